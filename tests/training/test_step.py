"""A step: its noise is its own, and its gradients do not depend on how the batch was cut."""

from __future__ import annotations

import pytest
import torch

from infoalign_dgl.training.distributed import World
from infoalign_dgl.training.setup import describe_run, load_data, make_model
from infoalign_dgl.training.step import Trainer, accumulate_gradients, take_step
from infoalign_dgl.training.targets import number_of_parts


@pytest.fixture
def make_trainer(graph, make_config):
    def make(**changes):
        config = make_config(**changes)
        data = load_data(graph, config)
        torch.manual_seed(config.seed)
        model = make_model(describe_run(graph, config, data).model, data, torch.device("cpu"))
        optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
        return Trainer(model.train(), optimizer, data.builder, config, torch.device("cpu"), 10), data

    return make


def batch_of(data, step=0):
    plan = data.sampler.epoch(0)
    return data.builder.prepare(plan.batches[step], plan.walk_ids[step], 0)


def gradients(trainer, parts, step=0):
    trainer.model.zero_grad(set_to_none=True)
    losses = accumulate_gradients(trainer, step, parts)
    return losses, [parameter.grad.clone() for parameter in trainer.model.parameters()]


@pytest.mark.parametrize("loss", ["balanced", "eq3", "reference"])
@pytest.mark.parametrize("micro_batch", [2, 5])
def test_micro_batches_have_the_gradients_of_the_batch(make_trainer, monkeypatch, loss, micro_batch):
    """BatchNorm in eval mode, no dropout, no latent noise: what is left must not depend on the cut."""
    trainer, data = make_trainer(loss=loss, dropout=0.0, beta=0.1)
    trainer.model.eval()
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    batch = batch_of(data)
    losses, whole = gradients(trainer, [batch])
    parts = data.builder.cut(batch, number_of_parts([len(batch.molecules)], micro_batch))
    assert len(parts) > 1
    again, summed = gradients(trainer, parts)
    torch.testing.assert_close(again, losses, rtol=1e-5, atol=1e-6)
    largest = max(gradient.abs().max() for gradient in whole)
    for one, other in zip(whole, summed, strict=True):
        assert (one - other).abs().max() < 1e-6 * largest
    assert largest > 0.01


def test_noise_is_the_steps_the_ranks_and_the_parts(make_trainer):
    trainer, data = make_trainer()
    batch = batch_of(data)
    first, _ = gradients(trainer, [batch])
    torch.rand(7)
    again, _ = gradients(trainer, [batch])
    assert torch.equal(first, again)
    later, _ = gradients(trainer, [batch], step=1)
    assert not torch.equal(first, later)
    twice, _ = gradients(trainer, [batch, batch])
    assert not torch.allclose(twice, 2 * first, rtol=1e-6)
    trainer.world = World(rank=1, size=2)
    elsewhere, _ = gradients(trainer, [batch])
    assert not torch.equal(first, elsewhere)


def test_a_step_reports_itself(make_trainer):
    trainer, data = make_trainer()
    trainer.micro_batch = 4
    batch = batch_of(data)
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    report = take_step(trainer, 3, batch)
    assert (report.step, report.micro_batches) == (4, 4)
    assert report.lr == pytest.approx(1e-3 * 0.9158, rel=1e-3)  # cos(7/16 pi 3/10)
    assert report.targets == {name: len(rows) for name, rows in batch.targets.items()}
    assert report.losses.shape == (2 + len(batch.targets),)
    assert report.losses[0] == pytest.approx(report.losses[2:].sum().item(), rel=1e-4)
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
