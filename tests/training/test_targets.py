"""Batches: walks of their own per epoch and repeat, targets of the visited nodes, the counts foretold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infoalign_dgl.models import InfoAlign
from infoalign_dgl.models.objective import eq3_loss
from infoalign_dgl.training import PretrainConfig
from infoalign_dgl.training.setup import describe_run, load_data
from infoalign_dgl.training.targets import number_of_parts


@pytest.fixture(scope="module")
def built(graph):
    return load_data(graph, PretrainConfig(batch_size=16, holdout=0.1, device="cpu"))


def test_walks_differ_by_epoch_and_repeat_alone(built):
    molecules = np.repeat(np.flatnonzero(built.measured[:96]), 8)
    ids = (molecules + (np.tile(np.arange(8), len(molecules) // 8) << 32))[:, None]
    first, _ = built.builder.walks(molecules, ids, 0)
    again, _ = built.builder.walks(molecules[::-1], ids[::-1], 0)
    assert np.array_equal(first, again[::-1])
    other_epoch, _ = built.builder.walks(molecules, ids, 1)
    assert not np.array_equal(first, other_epoch)
    same_repeat, _ = built.builder.walks(molecules, molecules[:, None], 0)
    assert np.array_equal(same_repeat[::8], first[::8])
    assert not np.array_equal(same_repeat, first)


def test_the_walks_of_a_molecule_stand_side_by_side(graph):
    settings = PretrainConfig(batch_size=16, holdout=0.1, num_walks=3, walk_length=2, device="cpu")
    data = load_data(graph, settings)
    plan = data.sampler.epoch(0)
    molecules, ids = plan.batches[0], plan.walk_ids[0]
    assert ids.shape == (16, 3)
    together = data.builder.walks(molecules, ids, 0)
    alone = [data.builder.walks(molecules, ids[:, [number]], 0) for number in range(3)]
    for place in range(2):
        assert np.array_equal(together[place], np.hstack([walk[place] for walk in alone]))
    assert len({walk[0].tobytes() for walk in alone}) == 3


def test_the_literal_loss_of_several_walks_is_their_mean(graph):
    """Eq. 3 is an expectation over walks."""
    settings = PretrainConfig(batch_size=16, holdout=0.1, num_walks=3, hidden=8, layers=2, device="cpu")
    data = load_data(graph, settings)
    model = InfoAlign(describe_run(graph, settings, data).model).eval()
    plan = data.sampler.epoch(0)
    molecules, ids = plan.batches[0], plan.walk_ids[0]

    def loss(walk_ids):
        batch = data.builder.prepare(molecules, walk_ids, 0)
        torch.manual_seed(0)
        latent = model.encode(batch.graphs)
        nodes = walk_ids.shape[1] * (settings.walk_length + 1)
        given = (model, latent, batch.targets, batch.totals)
        return eq3_loss(*given, beta=1e-3, path_nodes=nodes).total.item()

    alone = [loss(ids[:, [number]]) for number in range(3)]
    assert loss(ids) == pytest.approx(np.mean(alone), rel=1e-5)
    assert np.ptp(alone) > 1e-4


def test_prepared_targets_are_the_visited_rows(graph, built):
    plan = built.sampler.epoch(0)
    batch, ids = plan.batches[0], plan.walk_ids[0]
    prepared = built.builder.prepare(batch, ids, 0)
    nodes, alpha = built.builder.walks(batch, ids, 0)
    assert prepared.graphs.num_molecules == len(batch)
    for name, targets in prepared.targets.items():
        space, rows = graph.spaces[name], graph.row_index(name)
        for r, position in enumerate(targets.molecule.tolist()):
            here = [i for i, node in enumerate(nodes[position]) if node >= 0 and rows[node] >= 0]
            weight = alpha[position, here].astype(float)
            values = space.dense(rows[nodes[position, here]])
            assert targets.count[r] == len(here)
            assert targets.alpha[r].item() == pytest.approx(weight.sum(), rel=1e-6)
            np.testing.assert_allclose(targets.mean[r], weight @ values / weight.sum(), rtol=1e-5, atol=1e-6)
    assert len(prepared.targets["fingerprint"]) == len(batch)


def test_expected_targets_are_those_of_the_first_epoch(built):
    plan = built.sampler.epoch(0)
    visited = dict.fromkeys(built.builder.spaces, 0)
    for batch, ids in zip(plan.batches, plan.walk_ids, strict=True):
        for name, targets in built.builder.prepare(batch, ids, 0).targets.items():
            visited[name] += len(targets)
    every = np.concatenate(plan.batches), np.concatenate(plan.walk_ids)
    assert built.builder.expected_targets(*every) == visited


@pytest.mark.parametrize(("micro_batch", "sizes"), [(None, [16]), (16, [16]), (7, [5, 5, 6]), (2, [2] * 8)])
def test_a_batch_cut_into_parts(built, micro_batch, sizes):
    """A part is what the builder prepares for its molecules alone, but for the totals."""
    plan = built.sampler.epoch(0)
    molecules, ids = plan.batches[0], plan.walk_ids[0]
    batch = built.builder.prepare(molecules, ids, 0)
    parts = built.builder.cut(batch, number_of_parts([16], micro_batch))
    assert [len(part.molecules) for part in parts] == sizes
    start = 0
    for part in parts:
        stop = start + len(part.molecules)
        alone = built.builder.prepare(molecules[start:stop], ids[start:stop], 0)
        assert np.array_equal(part.molecules, alone.molecules)
        for name in ("atom_features", "edge_src", "edge_dst", "bond_features", "molecule"):
            assert torch.equal(getattr(part.graphs, name), getattr(alone.graphs, name))
        for name, rows in alone.targets.items():
            for field in ("molecule", "alpha", "count", "mean"):
                assert torch.equal(getattr(part.targets[name], field), getattr(rows, field))
        assert torch.equal(part.totals.values, batch.totals.values)
        start = stop
    assert start == len(molecules)


@pytest.mark.parametrize(("size", "sizes"), [(2, [2]), (3, [3]), (5, [2, 3]), (6, [2, 2, 2]), (7, [2, 2, 3])])
def test_no_part_has_a_single_molecule(built, size, sizes):
    plan = built.sampler.epoch(0)
    batch = built.builder.prepare(plan.batches[0][:size], plan.walk_ids[0][:size], 0)
    assert [len(part.molecules) for part in built.builder.cut(batch, number_of_parts([size], 2))] == sizes
