"""Intervals and tests are those of scipy and of closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.statistics import (
    compare,
    estimate,
    holm,
    paired_test,
    percentile_interval,
    t_interval,
)

RNG = np.random.default_rng(5)


def test_t_interval() -> None:
    values = RNG.standard_normal(12)
    mean, half_width = t_interval(values)
    low, high = stats.t.interval(0.95, 11, loc=values.mean(), scale=stats.sem(values))
    assert mean - half_width == pytest.approx(low)
    assert mean + half_width == pytest.approx(high)


def test_estimate_has_the_spread_over_seeds_and_molecules() -> None:
    found = estimate(np.array([0.7, 0.8, 0.9]), np.linspace(0, 1, 1001)[:, None])
    assert (found.mean, found.sd) == (pytest.approx(0.8), pytest.approx(0.1))
    assert (found.low, found.high) == (pytest.approx(0.025), pytest.approx(0.975))
    one = estimate(np.array([0.7]))
    assert (one.mean, one.sd, one.low, one.high, one.num_seeds) == (0.7, None, None, None, 1)
    none = estimate(np.full(2, np.nan), np.full((5, 3), np.nan))
    assert math.isnan(none.mean)
    assert (none.sd, none.low) == (None, None)


def test_an_interval_averages_what_a_resample_could_score() -> None:
    replicates = np.array([[0.2, 0.4], [0.6, np.nan], [np.nan, np.nan]])
    assert percentile_interval(replicates, confidence=1.0) == (pytest.approx(0.3), pytest.approx(0.6))


def test_paired_test_is_scipys() -> None:
    ours, theirs = RNG.normal(0.8, 0.1, 20), RNG.normal(0.7, 0.1, 20)
    theirs[0] = ours[0]  # says nothing of the sign, and is left out of the test
    found = paired_test(ours, theirs, "task")
    assert found.p_value == pytest.approx(stats.wilcoxon(ours[1:], theirs[1:]).pvalue)
    mean, half_width = t_interval(ours - theirs)
    assert (found.difference, found.half_width) == (pytest.approx(mean), pytest.approx(half_width))
    differences = ours - theirs
    assert (found.higher, found.lower) == ((differences > 0).sum(), (differences < 0).sum())
    assert found.pairs == found.higher + found.lower + 1


def test_wilcoxon_of_five_pairs_all_higher() -> None:
    """All 2^5 signs are as likely, and two of them are as extreme."""
    found = paired_test(np.arange(1.0, 6.0), np.zeros(5), "seed")
    assert found.p_value == pytest.approx(2 / 32)


def test_too_little_to_compare_says_so() -> None:
    one = paired_test(np.array([0.8]), np.array([0.7]), "seed")
    assert (one.difference, one.half_width, one.p_value) == (pytest.approx(0.1), None, None)
    assert one.reason == "one seed"
    none = paired_test(np.empty(0), np.empty(0), "task")
    assert math.isnan(none.difference)
    assert none.reason == "no task"
    same = paired_test(np.ones(3), np.ones(3), "seed")
    assert (same.difference, same.p_value, same.reason) == (0.0, None, "no seed differs")


def test_methods_are_compared_on_the_tasks_of_both() -> None:
    ours = np.array([[0.9, 0.8, np.nan, 0.7], [0.7, 0.9, np.nan, 0.7]])
    theirs = np.array([[0.6, np.nan, 0.5, 0.7], [0.6, np.nan, 0.5, 0.5]])
    found = compare(ours, theirs)
    assert found.tasks.pairs == 2
    assert found.tasks.difference == found.seeds.difference == pytest.approx((0.2 + 0.1) / 2)
    assert found.seeds.higher == 2
    assert (found.low, found.high) == (None, None)


def test_the_interval_over_molecules_is_of_the_difference() -> None:
    noise = RNG.normal(size=(1000, 4))
    ours, theirs = np.full((1, 4), 0.8), np.full((1, 4), 0.7)
    found = compare(ours, theirs, our_replicates=0.8 + noise, their_replicates=0.7 + noise)
    assert (found.low, found.high) == (pytest.approx(0.1), pytest.approx(0.1))  # the noise is common to both
    assert found.seeds.reason == "one seed"
    assert found.tasks.p_value is not None
    with pytest.raises(EvaluationError, match="cannot be paired"):
        compare(ours, theirs, our_replicates=noise, their_replicates=noise[:5])


def test_methods_that_share_nothing_have_no_difference() -> None:
    ours, theirs = np.array([[0.9, np.nan]]), np.array([[np.nan, 0.9]])
    found = compare(ours, theirs)
    assert math.isnan(found.tasks.difference)
    assert found.seeds.reason == "no task in common"
    with pytest.raises(EvaluationError, match="of 2 and 1 tasks"):
        compare(ours, theirs[:, :1])
    other = compare(np.full((3, 2), 0.9), np.full((1, 2), 0.8))
    assert other.seeds.reason == "3 and 1 seeds cannot be paired"
    assert other.seeds.difference == pytest.approx(0.1)


def test_holm_corrects_for_the_number_of_tests() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [
        pytest.approx(0.03),
        None,
        pytest.approx(0.06),
        pytest.approx(0.06),
    ]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
