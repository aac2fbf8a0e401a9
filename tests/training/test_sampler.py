"""Draws are a function of seed, epoch and step; shares and repeats are as promised."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoalign_dgl.errors import RunError
from infoalign_dgl.training.sampler import Sampler, within_reach
from infoalign_dgl.walks import WalkIndex


def make(n=50, measured=7, batch_size=8, share=None, seed=0, num_walks=1):
    mask = np.zeros(2 * n, bool)
    mask[: 2 * measured : 2] = True
    settings = {"batch_size": batch_size, "share": share, "seed": seed, "num_walks": num_walks}
    return Sampler.of(2 * np.arange(n), mask, **settings)


@given(st.integers(2, 60), st.integers(2, 70), st.integers(0, 5), st.integers(0, 5))
def test_uniform_takes_every_molecule_once(n, batch_size, seed, epoch):
    plan = make(n, 0, batch_size, seed=seed).epoch(epoch)
    assert sorted(np.concatenate(plan.batches)) == list(range(0, 2 * n, 2))
    assert all(len(batch) >= 2 for batch in plan.batches)
    assert max(map(len, plan.batches)) <= max(batch_size, 2) + 1
    assert len(plan.batches) == make(n, 0, batch_size).steps_per_epoch
    for batch, walk_ids in zip(plan.batches, plan.walk_ids, strict=True):
        assert np.array_equal(batch, walk_ids[:, 0])


def test_epochs_and_seeds_differ_and_repeat():
    first = make().epoch(0).batches
    assert all(np.array_equal(a, b) for a, b in zip(first, make().epoch(0).batches, strict=True))
    assert not np.array_equal(np.concatenate(first), np.concatenate(make().epoch(1).batches))
    assert not np.array_equal(np.concatenate(first), np.concatenate(make(seed=1).epoch(0).batches))


@given(
    st.integers(1, 20), st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]), st.integers(2, 30), st.integers(1, 3)
)
def test_measured_share(measured, share, batch_size, num_walks):
    sampler = make(40, measured, batch_size, share, num_walks=num_walks)
    everything = [sampler.epoch(epoch) for epoch in range(4)]
    assert sampler.steps_per_epoch == -(-40 // batch_size)
    for plan in everything:
        for batch in plan.batches:
            assert len(batch) == batch_size
            assert (batch < 2 * measured).sum() == max(1, round(share * batch_size))
        drawn, ids = np.concatenate(plan.batches), np.concatenate(plan.walk_ids)
        assert ids.shape == (len(drawn), num_walks)
        assert len(set(ids.ravel().tolist())) == ids.size
        assert np.array_equal(ids & 0xFFFFFFFF, np.repeat(drawn[:, None], num_walks, axis=1))
        for molecule in set(drawn.tolist()):
            walks = (ids[drawn == molecule] >> 32).ravel()
            assert sorted(walks) == list(range(len(walks)))
    # Whole permutations one after another: no molecule of a pool is ever two draws ahead of another.
    drawn = np.concatenate([batch for plan in everything for batch in plan.batches])
    for pool in (np.arange(0, 2 * measured, 2), np.arange(2 * measured, 80, 2)):
        counts = [(drawn == molecule).sum() for molecule in pool]
        assert max(counts) - min(counts) <= 1


def test_measured_alone_and_none():
    assert make(10, 10, 4, 0.5).epoch(0).batches[0].shape == (4,)
    with pytest.raises(RunError, match="no training molecule has a profile"):
        make(10, 0, 4, 0.5)
    with pytest.raises(RunError, match="needs at least 2"):
        make(1)


@given(st.integers(0, 5), st.integers(0, 1000))
def test_within_reach_is_breadth_first_search(length, seed):
    rng = np.random.default_rng(seed)
    src, dst = rng.integers(0, 9, 12), rng.integers(0, 9, 12)
    index = WalkIndex.from_edges(src, dst, np.ones(12, np.float32), 9)
    targets = rng.random(9) < 0.2
    adjacency = np.zeros((9, 9), int)
    adjacency[src, dst] = 1
    expected = targets.copy()
    reach = np.eye(9, dtype=int)
    for _ in range(length):
        reach = reach @ adjacency
        expected |= reach @ targets.astype(int) > 0
    assert np.array_equal(within_reach(index, targets, length), expected)
