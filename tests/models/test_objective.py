"""The three losses and their gradients against a form that loops over every visited node."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from infoalign_dgl.models.config import ModelConfig
from infoalign_dgl.models.objective import (
    OBJECTIVES,
    BatchTotals,
    SpaceTargets,
    alpha_weighted_bce,
    objective,
)

BETA = 0.3
PATH = 5


def random_walks(num_molecules, spaces, rng, *, never=()):
    """Per molecule a list of (space or None, alpha, row): what each node of its walk carries."""
    names = [name for name in spaces if name not in never]
    walks = []
    for _ in range(num_molecules):
        alphas = np.cumprod(np.concatenate([[1.0], rng.uniform(0.3, 1.0, PATH - 1)]))
        nodes = [("fingerprint", alphas[0], rng.random(spaces["fingerprint"]).round())]
        for alpha in alphas[1:]:
            name = rng.choice([*names, ""])
            nodes.append((name or None, alpha, rng.random(spaces[name]) if name else None))
        walks.append(nodes)
    return walks


def collapse(walks, spaces):
    targets = {}
    for name, columns in spaces.items():
        rows = []
        for molecule, nodes in enumerate(walks):
            here = [(alpha, row) for space, alpha, row in nodes if space == name]
            if here:
                total = sum(alpha for alpha, _ in here)
                rows.append((molecule, total, len(here), sum(a * r for a, r in here) / total))
        targets[name] = SpaceTargets(
            torch.tensor([r[0] for r in rows], dtype=torch.int64),
            torch.tensor([r[1] for r in rows], dtype=torch.float64),
            torch.tensor([r[2] for r in rows], dtype=torch.float64),
            torch.tensor(np.array([r[3] for r in rows]).reshape(len(rows), columns)),
        )
    return targets


def in_float32(targets):
    return {
        space: SpaceTargets(t.molecule, t.alpha.float(), t.count.float(), t.mean.float())
        for space, t in targets.items()
    }


def loss_of(name, model, batch, targets, *, beta=BETA):
    totals = BatchTotals.of(targets, batch.num_molecules)
    return objective(name, model, model.encode(batch), targets, totals, beta=beta, path_nodes=PATH)


def uncollapsed(name, model, batch, walks):
    """Every node on its own; decoders run on all rows; no helper of the package beyond the model's parts."""
    latent = model.encode(batch)
    noise = torch.randn_like(latent.mu)
    z = latent.mu if name == "reference" else latent.mu + latent.sigma * noise
    logits = {space: model.decode(space, z) for space in model.config.spaces}
    sums: dict[str, torch.Tensor] = {}
    weights: dict[str, float] = {}
    entries: dict[str, int] = {}
    for molecule, nodes in enumerate(walks):
        for space, alpha, row in nodes:
            if space is None:
                continue
            q = torch.sigmoid(logits[space][molecule])
            y = torch.tensor(row)
            nll = -(y * q.log() + (1 - y) * (1 - q).log())
            kind = model.config.modality[space]
            if name == "reference":
                sums[kind] = sums.get(kind, 0) + alpha * nll.sum()
                entries[kind] = entries.get(kind, 0) + len(row)
            else:
                sums[space] = sums.get(space, 0) + alpha * nll.mean()
                weights[space] = weights.get(space, 0) + alpha
    if name == "eq3":
        fit = sum(sums.values()) / (len(walks) * PATH)
    elif name == "balanced":
        fit = sum(sums[space] / weights[space] for space in sums)
    else:
        fit = sum(sums[kind] / entries[kind] for kind in sums)
    if name == "reference":
        draw = latent.mu + latent.sigma * noise
        ratio = Normal(latent.mu, latent.sigma).log_prob(draw) - Normal(0, 1).log_prob(draw)
        return fit + BETA * ratio.sum(1).mean()
    kl = 0.5 * (latent.mu**2 + latent.sigma**2 - 1 - torch.log(latent.sigma**2)).sum(1).mean()
    return fit + BETA * kl


def gradients(model):
    return {name: p.grad.clone() if p.grad is not None else None for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", list(OBJECTIVES))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_collapsed_equals_uncollapsed(make_model, batch, name, seed):
    model = make_model(dropout=0.0).double().train()
    walks = random_walks(batch.num_molecules, model.config.spaces, np.random.default_rng(seed))
    torch.manual_seed(seed)
    expected = uncollapsed(name, model, batch, walks)
    expected.backward()
    expected_gradients = gradients(model)
    model.zero_grad(set_to_none=True)
    torch.manual_seed(seed)
    targets = collapse(walks, model.config.spaces)
    terms = loss_of(name, model, batch, targets)
    torch.testing.assert_close(terms.total, expected, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(terms.total, BETA * terms.kl + sum(terms.spaces.values()))
    terms.total.backward()
    for key, value in gradients(model).items():
        torch.testing.assert_close(value, expected_gradients[key], atol=1e-10, rtol=1e-8, msg=key)


def rows_between(targets, start, stop):
    """The targets of molecules ``start`` to ``stop - 1``, numbered from 0."""
    parts = {}
    for space, rows in targets.items():
        here = (rows.molecule >= start) & (rows.molecule < stop)
        parts[space] = SpaceTargets(
            rows.molecule[here] - start, rows.alpha[here], rows.count[here], rows.mean[here]
        )
    return parts


@pytest.mark.parametrize("name", list(OBJECTIVES))
@pytest.mark.parametrize("edges", [(0, 3, 10), (0, 1, 2, 7, 10)])
def test_parts_add_up_to_the_batch(make_model, molecules, monkeypatch, name, edges):
    """BatchNorm in eval mode, no dropout, and noise that belongs to the molecule: equal to 1e-12."""
    model = make_model(dropout=0.0).double().eval()
    noise = torch.randn(len(molecules), 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets = collapse(
        random_walks(len(molecules), model.config.spaces, np.random.default_rng(5), never=("second",)),
        model.config.spaces,
    )

    def run(start, stop, totals):
        monkeypatch.setattr(torch, "randn_like", lambda _: noise[start:stop])
        latent = model.encode(molecules.gather(np.arange(start, stop)))
        part = rows_between(targets, start, stop)
        terms = objective(name, model, latent, part, totals, beta=BETA, path_nodes=PATH)
        terms.total.backward()
        return terms

    totals = BatchTotals.of(targets, len(molecules))
    whole = run(0, len(molecules), totals)
    expected = gradients(model)
    model.zero_grad(set_to_none=True)
    terms, counted = None, None
    for start, stop in pairwise(edges):
        here = BatchTotals.of(rows_between(targets, start, stop), stop - start)
        counted = here if counted is None else counted + here
        part = run(start, stop, totals)
        terms = part if terms is None else terms + part
    torch.testing.assert_close(counted.values, totals.values, rtol=1e-14, atol=0)
    torch.testing.assert_close(terms.stacked(), whole.stacked(), rtol=1e-12, atol=1e-14)
    assert not terms.stacked().requires_grad
    for key, value in gradients(model).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-10, atol=1e-12, msg=key)


def test_totals_are_counts(make_model, molecules):
    spaces = make_model().config.spaces
    walks = random_walks(len(molecules), spaces, np.random.default_rng(0), never=("second",))
    totals = BatchTotals.of(collapse(walks, spaces), len(molecules))
    assert totals.molecules == len(molecules)
    for name in spaces:
        alphas = [alpha for nodes in walks for space, alpha, _ in nodes if space == name]
        assert totals.count(name) == len(alphas)
        assert totals.alpha(name).item() == pytest.approx(sum(alphas), rel=1e-12)
    assert BatchTotals.of({}, 3).molecules == 3


@pytest.mark.parametrize(("name", "decodes_all"), [("reference", True), ("eq3", False), ("balanced", False)])
def test_only_the_published_loss_decodes_every_molecule(make_model, batch, name, decodes_all):
    model = make_model()
    targets = in_float32(
        collapse(
            random_walks(batch.num_molecules, model.config.spaces, np.random.default_rng(0)),
            model.config.spaces,
        )
    )
    seen = {}
    for space, decoder in model.decoders.items():
        decoder.register_forward_hook(
            lambda _layer, _given, logits, space=space: seen.update({space: len(logits)})
        )
    loss_of(name, model, batch, targets)
    assert seen == {space: batch.num_molecules if decodes_all else len(targets[space]) for space in targets}


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_a_space_that_nobody_visited_is_exactly_zero(make_model, batch, name):
    model = make_model().train()
    walks = random_walks(
        batch.num_molecules, model.config.spaces, np.random.default_rng(0), never=("second", "expression")
    )
    terms = loss_of(name, model, batch, in_float32(collapse(walks, model.config.spaces)))
    terms.total.backward()
    for space in ("second", "expression"):
        assert terms.spaces[space].item() == 0.0
        for parameter in model.decoders[space].parameters():
            assert parameter.grad is not None
            assert torch.count_nonzero(parameter.grad) == 0
    assert terms.spaces["profile"].item() > 0
    assert any(torch.count_nonzero(p.grad) for p in model.decoders["profile"].parameters())


def test_limits():
    """One visited node with alpha 1: every loss is its plain BCE, up to eq3's share."""

    class Constant:
        config = ModelConfig(spaces={"a": 3}, modality={"a": "molecule"})

        def decode(self, space, z, rows=None):
            return torch.zeros(len(z if rows is None else rows), 3)

    class Unit:
        mu = torch.zeros(2, 4)

        def sample(self):
            return self.mu

        def kl(self):
            return torch.tensor(7.0)

        def log_ratio(self, z):
            return torch.tensor(7.0)

    def run(name, alpha):
        rows = SpaceTargets(torch.tensor([1]), torch.tensor([alpha]), torch.tensor([1.0]), torch.rand(1, 3))
        totals = BatchTotals.of({"a": rows}, 2)
        return objective(name, Constant(), Unit(), {"a": rows}, totals, beta=0.5, path_nodes=PATH)

    ln2 = float(np.log(2))
    assert run("balanced", 1.0).total.item() == pytest.approx(ln2 + 3.5)
    assert run("reference", 1.0).total.item() == pytest.approx(ln2 + 3.5)
    assert run("eq3", 1.0).total.item() == pytest.approx(ln2 / (2 * PATH) + 3.5)
    assert run("balanced", 0.1).total.item() == pytest.approx(ln2 + 3.5)
    assert run("reference", 0.1).total.item() == pytest.approx(0.1 * ln2 + 3.5)
    assert run("eq3", 0.1).total.item() == pytest.approx(0.1 * ln2 / (2 * PATH) + 3.5)


def test_float32_under_autocast(make_model, batch):
    model = make_model(dropout=0.0).eval()
    walks = random_walks(batch.num_molecules, model.config.spaces, np.random.default_rng(0))
    targets = in_float32(collapse(walks, model.config.spaces))
    plain = loss_of("reference", model, batch, targets, beta=0.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss_of("reference", model, batch, targets, beta=0.0)
    assert half.total.dtype == half.kl.dtype == torch.float32
    assert all(loss.dtype == torch.float32 for loss in half.spaces.values())
    assert half.total.item() == pytest.approx(plain.total.item(), rel=0.02)


def test_large_logits_stay_finite():
    rows = SpaceTargets(torch.tensor([0]), torch.ones(1), torch.ones(1), torch.tensor([[0.0, 1.0, 0.5]]))
    logits = torch.tensor([[1e4, -1e4, 1e4]], requires_grad=True)
    loss = alpha_weighted_bce(logits, rows)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()
