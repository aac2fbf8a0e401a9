"""A step's seed: fixed for all time, and nobody else's."""

from __future__ import annotations

from itertools import product

import numpy as np

from infoalign_dgl.training.seeds import step_seed


def oracle(*values):
    """splitmix64 over the values, in numpy's wrapping arithmetic."""
    state = np.uint64(0)
    with np.errstate(over="ignore"):
        for value in values:
            z = (state ^ np.uint64(value)) + np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = z ^ (z >> np.uint64(31))
    return int(state)


def test_against_splitmix64():
    # The first output of splitmix64 from state 0 is in the literature.
    assert oracle(0) == 0xE220A8397B1DCDAF
    for values in product((0, 1, 2**63 - 1), (0, 1, 500_000), (0, 7), (0, 1, 63)):
        assert step_seed(*values) == oracle(*values)


def test_no_two_parts_share_a_seed():
    seeds = [step_seed(*values) for values in product((0, 1, 2), range(300), range(8), range(8))]
    assert len(set(seeds)) == len(seeds)
    low = [seed & 0xFFFFFFFF for seed in seeds]  # all that torch's generator of the CPU takes
    assert len(low) - len(set(low)) < 4 * len(low) ** 2 / 2**33
