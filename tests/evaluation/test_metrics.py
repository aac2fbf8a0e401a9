"""Scores agree with scikit-learn's, and nothing that cannot be scored is lost."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, mean_absolute_error, roc_auc_score

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.metrics import bootstrap_scores, rank_scores, task_scores, threshold_shares
from infoalign_dgl.evaluation.statistics import percentile_interval


def _binary(rows: int, tasks: int, seeds: int, *, decimals: int, rng: np.random.Generator):
    labels = np.where(rng.random((rows, tasks)) < 0.6, rng.integers(0, 2, (rows, tasks)), np.nan)
    values = (rng.random((seeds, rows, tasks)) + 0.3 * np.nan_to_num(labels)).round(decimals)
    return labels, values.astype(np.float32)


@pytest.mark.parametrize("decimals", [1, 2, 6])
def test_rank_scores_are_those_of_sklearn_with_ties_too(decimals: int) -> None:
    labels, values = _binary(150, 6, 3, decimals=decimals, rng=np.random.default_rng(decimals))
    rows = np.arange(20, 150)
    scores = task_scores(labels, values, rows, "binary")
    for task in range(6):
        used = rows[~np.isnan(labels[rows, task])]
        truth = labels[used, task]
        assert scores.labelled[task] == len(used)
        assert scores.positives[task] == truth.sum()
        for seed in range(3):
            given = values[seed, used, task]
            assert scores.roc_auc[seed, task] == pytest.approx(roc_auc_score(truth, given), abs=1e-12)
            expected = average_precision_score(truth, given)
            assert scores.average_precision[seed, task] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(scores.mae).all()
    np.testing.assert_allclose(scores.mean(), scores.roc_auc.mean(axis=1))


def test_a_constant_prediction_is_worth_half_and_the_rate() -> None:
    positive = np.array([True, False, False, False])
    assert [float(x[0]) for x in rank_scores(positive, np.zeros((1, 4)))] == [0.5, 0.25]


def test_errors_are_those_of_sklearn() -> None:
    rng = np.random.default_rng(1)
    labels = np.where(rng.random((80, 3)) < 0.7, rng.normal(size=(80, 3)), np.nan)
    values = rng.normal(size=(2, 80, 3)).astype(np.float32)
    scores = task_scores(labels, values, np.arange(80), "regression")
    for task in range(3):
        used = ~np.isnan(labels[:, task])
        expected = [mean_absolute_error(labels[used, task], values[seed, used, task]) for seed in range(2)]
        np.testing.assert_allclose(scores.mae[:, task], expected, rtol=1e-6)
    assert scores.main is scores.mae
    assert np.isnan(scores.roc_auc).all()


def test_tasks_without_a_score_have_a_reason() -> None:
    labels = np.array([[0, 1, np.nan, 0, 0, 1], [1, 1, np.nan, 1, 1, 0], [0, 1, 0, 0, 1, 1.0]])
    values = np.zeros((1, 3, 6), dtype=np.float32)
    values[:, :, 3] = np.nan
    values[:, 1:, 4] = np.inf
    scores = task_scores(labels, values, np.arange(2), "binary", reasons=[None] * 5 + ["one class in train"])
    assert scores.reasons == [
        None,
        "one class in test",
        "no label in test",
        "no prediction in test",
        "one class in test where there is a prediction",
        "one class in train",
    ]
    np.testing.assert_array_equal(scores.missing, [0, 0, 0, 2, 1, 0])
    np.testing.assert_array_equal(np.isnan(scores.roc_auc[0]), ~scores.scored)
    assert scores.mean() == [0.5]
    nothing = task_scores(labels, np.full_like(values, np.nan), np.arange(3), "binary")
    assert np.isnan(nothing.mean()).all()
    assert np.isnan(threshold_shares(nothing).of_scored).all()


def test_shares_by_both_denominators() -> None:
    """The published code divides by all tasks; one that cannot be scored adds nothing to its sum."""
    rng = np.random.default_rng(2)
    labels, values = _binary(60, 12, 4, decimals=3, rng=rng)
    values += np.nan_to_num(labels).astype(np.float32) * np.linspace(0, 0.6, 12, dtype=np.float32)
    labels[:, [3, 7]] = np.nan
    scores = task_scores(labels, values, np.arange(60), "binary")
    shares = threshold_shares(scores)
    assert (shares.num_scored, shares.num_all) == (10, 12)
    for place, threshold in enumerate((0.80, 0.85, 0.90, 0.95)):
        count = np.where(np.isnan(scores.roc_auc), np.nan, scores.roc_auc >= threshold)
        np.testing.assert_allclose(shares.of_all[:, place], np.nansum(count, axis=1) / count.shape[1])
        np.testing.assert_allclose(shares.of_scored[:, place], np.nanmean(count, axis=1))
    assert 0 < shares.of_all[0, 3] < shares.of_all[0, 0] < 1


def test_what_does_not_fit_is_refused() -> None:
    labels = np.array([[0.0], [0.5]])
    with pytest.raises(EvaluationError, match=r"0.5 at row 1, task 0"):
        task_scores(labels, np.zeros((1, 2, 1)), np.arange(2), "binary")
    assert task_scores(labels, np.zeros((1, 2, 1)), np.array([True, False]), "binary").labelled == [1]
    with pytest.raises(EvaluationError, match=r"\(2, 1\)"):
        task_scores(labels, np.zeros((2, 1)), np.arange(2), "regression")
    with pytest.raises(EvaluationError, match="one entry per task"):
        task_scores(labels, np.zeros((1, 2, 1)), np.arange(2), "regression", reasons=[None, None])


def test_a_resample_scores_what_its_rows_score() -> None:
    """Against sklearn with the draws as weights; the draws are read off a regression's resamples."""
    rng = np.random.default_rng(3)
    labels, values = _binary(40, 2, 3, decimals=1, rng=rng)
    replicates = bootstrap_scores(labels, values, np.arange(40), "binary", resamples=50, seed=4)
    # The error of row i is 1 in task i and 0 elsewhere, so a resample's mean tells how often it was drawn.
    unit = bootstrap_scores(
        np.zeros((40, 40)), np.eye(40)[None], np.arange(40), "regression", resamples=50, seed=4
    )
    draws = (unit * 40).round()
    assert (draws.sum(axis=1) == 40).all()
    for task in range(2):
        used = ~np.isnan(labels[:, task])
        for replicate, weights in zip(replicates, draws[:, used], strict=True):
            expected = np.mean(
                [
                    roc_auc_score(labels[used, task], values[s, used, task], sample_weight=weights)
                    for s in range(3)
                ]
            )
            assert replicate[task] == pytest.approx(expected, abs=1e-6)


def test_rows_of_one_molecule_are_drawn_together() -> None:
    labels, values = np.zeros((30, 30)), np.eye(30)[None]
    keys = [f"molecule {row // 3}" for row in range(27)] + [None] * 3
    drawn = bootstrap_scores(labels, values, np.arange(30), "regression", keys=keys, resamples=20) > 0
    for first in range(0, 27, 3):
        np.testing.assert_array_equal(drawn[:, first], drawn[:, first + 2])
    assert (drawn[:, 27] != drawn[:, 29]).any()


def test_bootstrap_spread_is_that_of_a_mean() -> None:
    rng = np.random.default_rng(5)
    errors = rng.exponential(size=400)
    replicates = bootstrap_scores(
        np.zeros((400, 1)), errors[None, :, None], np.arange(400), "regression", resamples=4000
    )
    assert replicates.std() == pytest.approx(errors.std() / 20, rel=0.05)
    assert replicates.mean() == pytest.approx(errors.mean(), rel=0.01)


def test_bootstrap_intervals_cover_the_roc_auc() -> None:
    """Two normal classes a distance d apart have a ROC-AUC of Phi(d / sqrt(2))."""
    rng = np.random.default_rng(6)
    labels = (np.arange(120) < 40).astype(float)[:, None]
    truth = stats.norm.cdf(1 / np.sqrt(2))
    covered = 0
    for seed in range(200):
        values = (rng.normal(size=(120, 1)) + labels)[None]
        replicates = bootstrap_scores(labels, values, np.arange(120), "binary", resamples=300, seed=seed)
        low, high = percentile_interval(replicates)
        covered += low <= truth <= high
    assert 0.90 <= covered / 200 <= 0.985


def test_a_resample_without_a_class_has_no_score() -> None:
    labels = np.array([1.0, 0, 0, 0])[:, None]
    values = np.arange(4.0)[None, :, None]
    replicates = bootstrap_scores(labels, values, np.arange(4), "binary", resamples=200)
    assert 0 < np.isnan(replicates).sum() < 200
    assert np.nanmax(replicates) == 0
    reasons = ["one class in train"]
    assert np.isnan(
        bootstrap_scores(labels, values, np.arange(4), "binary", reasons=reasons, resamples=5)
    ).all()


def test_toxcast_size_takes_seconds() -> None:
    """617 tasks and 10 seeds of one method: 20 methods stay well under a minute."""
    rng = np.random.default_rng(7)
    labels = np.where(rng.random((2144, 617)) < 0.3, rng.random((2144, 617)) < 0.15, np.nan)
    values = rng.random((10, 2144, 617), dtype=np.float32)
    start = time.process_time()
    task_scores(labels, values, np.arange(2144), "binary")
    assert time.process_time() - start < 5
