"""Batches made where a GPU would make them, on the CPU here, against those of the host."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from infoalign_dgl.training.distributed import ALONE, World
from infoalign_dgl.training.prefetch import prepared_batches
from infoalign_dgl.training.resident import ResidentBuilder
from infoalign_dgl.training.setup import describe_run, load_data, make_model
from infoalign_dgl.training.step import Trainer, take_step

CPU = torch.device("cpu")


@pytest.fixture
def make_data(graph, make_config):
    def make(**changes):
        config = make_config(dropout=0.0, **changes)
        return config, load_data(graph, config)

    return make


def assert_same_molecules(one, other):
    for name in ("atom_features", "bond_features", "neighbor", "arc_offsets", "atom_offsets"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("world", [ALONE, World(1, 2)])
@pytest.mark.parametrize("sampling", ["uniform", "measured=0.5"])
def test_the_same_molecules_walks_and_targets(make_data, world, sampling):
    _, data = make_data(sampling=sampling)
    steps = data.sampler.steps_per_epoch + 2  # into the next epoch
    resident = ResidentBuilder.of(data.builder, CPU)
    made = list(resident.batches(data.sampler, 1, steps, world))
    expected = list(prepared_batches(data.sampler, data.builder, 1, steps, world))
    assert len(made) == len(expected) == steps - 1
    for one, other in zip(made, expected, strict=True):
        assert one.molecules.tolist() == other.molecules.tolist()
        assert one.whole.tolist() == other.whole.tolist()
        assert_same_molecules(one.graphs, other.graphs)
        torch.testing.assert_close(one.totals.values, other.totals.values)
        for name, rows in other.targets.items():
            every = one.targets[name]
            assert every.molecule.tolist() == list(range(len(one.molecules)))
            assert torch.equal(every.alpha.nonzero().squeeze(1), rows.molecule)
            for field in ("alpha", "count", "mean"):
                torch.testing.assert_close(
                    getattr(every, field)[rows.molecule], getattr(rows, field), rtol=0, atol=1e-6
                )


@pytest.mark.parametrize("loss", ["balanced", "eq3", "reference"])
@pytest.mark.parametrize("micro_batch", [None, 5])
def test_a_step_comes_out_the_same(graph, make_data, loss, micro_batch):
    config, data = make_data(loss=loss)
    reports, weights = [], []
    for builder in (data.builder, ResidentBuilder.of(data.builder, CPU)):
        torch.manual_seed(0)
        model = make_model(describe_run(graph, config, data).model, data, CPU).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=config.lr)
        trainer = Trainer(model, optimizer, builder, config, CPU, 10, micro_batch)
        if builder is data.builder:
            batch = next(prepared_batches(data.sampler, builder, 0, 1))
        else:
            batch = next(builder.batches(data.sampler, 0, 1, ALONE))
        reports.append(take_step(trainer, 0, batch))
        weights.append(model.state_dict())
    host, resident = reports
    assert host.micro_batches == resident.micro_batches == (1 if micro_batch is None else 4)
    assert {name: int(count) for name, count in host.targets.items()} == {
        name: int(count) for name, count in resident.targets.items()
    }
    torch.testing.assert_close(resident.losses, host.losses, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(resident.gradients, host.gradients, rtol=1e-4, atol=1e-6)
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-5, atol=1e-6, msg=name)


def test_parts_of_a_batch_cover_it(make_data):
    _, data = make_data()
    resident = ResidentBuilder.of(data.builder, CPU)
    batch = next(resident.batches(data.sampler, 0, 1, ALONE))
    parts = resident.cut(batch, 3)
    assert [one for part in parts for one in part.molecules.tolist()] == batch.molecules.tolist()
    start = 0
    for part in parts:
        here = slice(start, start + len(part.molecules))
        assert_same_molecules(part.graphs, data.builder.packed.gather(batch.molecules[here]))
        for name, rows in part.targets.items():
            assert rows.molecule.tolist() == list(range(len(part.molecules)))
            for field in ("alpha", "count", "mean"):
                assert torch.equal(getattr(rows, field), getattr(batch.targets[name], field)[here])
        assert dataclasses.astuple(part.totals)[0] == batch.totals.spaces
        assert torch.equal(part.totals.values, batch.totals.values)
        start += len(part.molecules)
