"""Uncertainty: promised coverage on simulated data, closed forms, MAPIE and scikit-learn as oracles."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import calibration_curve

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.predictions import Predictions
from infoalign_dgl.evaluation.uncertainty import (
    calibration_error,
    carry_latent,
    conformal_scores,
    conformalize,
    ensemble,
    fewest_labels,
)


def test_an_ensemble_is_the_mixture_of_its_members():
    rng = np.random.default_rng(0)
    values, spread = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
    found = ensemble(Predictions(values, np.abs(spread)))
    assert np.allclose(found.mean, values.astype(np.float64).mean(axis=0))
    assert np.allclose(found.between, np.sqrt(((values - found.mean) ** 2).sum(axis=0) / 3))
    draws = values + np.abs(spread) * rng.standard_normal((20000, 4, 6, 3)).astype(np.float32)
    mixture = draws.var(axis=(0, 1))
    assert np.allclose(found.own**2 + values.var(axis=0), mixture, rtol=0.05, atol=0.01)


def test_one_seed_has_no_spread_between_seeds_and_a_missing_prediction_is_missing():
    values = np.array([[[1.0], [np.nan]]], np.float32)
    found = ensemble(Predictions(values))
    assert found.mean[0] == 1
    assert np.isnan([found.mean[1, 0], *found.between[:, 0]]).all()
    assert found.own is None


@pytest.mark.parametrize("confidence", ["0.5", "0.75", "0.8", "0.9", "0.95", "0.98", "0.99"])
def test_the_radius_is_the_score_of_the_rank_that_exact_arithmetic_gives(confidence):
    share = Fraction(confidence)
    fewest = next(n for n in range(1, 200) if math.ceil((n + 1) * share) <= n)
    assert fewest_labels(float(confidence)) == fewest
    rng = np.random.default_rng(1)
    for count in (fewest, fewest + 1, 99, 199, 250):
        labels, values = rng.normal(size=(2, count, 1))
        found = conformalize(labels, values, "regression", float(confidence))
        rank = math.ceil((count + 1) * share)
        assert found.radius[0] == np.sort(np.abs(labels - values), axis=0)[rank - 1, 0]


@pytest.mark.parametrize("confidence", [0.8, 0.9])
def test_intervals_cover_as_often_as_promised(confidence):
    """Over draws of all m + 1 molecules, the chance is ceil((m + 1) c) / (m + 1), whatever the errors."""
    rng = np.random.default_rng(2)
    draws, count = 2000, 29
    values = rng.normal(size=(count + 1, draws))
    labels = values**2 + rng.standard_t(3, size=values.shape) * (1 + np.abs(values))  # a bad predictor
    found = conformalize(labels[:-1], values[:-1], "regression", confidence)
    scores = conformal_scores(found, labels[-1:], values[-1:])
    chance = math.ceil(30 * confidence - 1e-9) / 30
    assert abs(scores.coverage.mean() - chance) < 3 * math.sqrt(chance * (1 - chance) / draws)
    assert np.array_equal(scores.size, 2 * found.radius)
    lower, upper = found.intervals(values[-1:])
    assert np.array_equal((lower <= labels[-1]) & (labels[-1] <= upper), scores.coverage[None] == 1)


def test_sets_cover_as_often_as_promised_and_a_rare_class_less():
    rng = np.random.default_rng(3)
    draws, count = 2000, 59
    chance = rng.beta(0.5, 4, size=(count + 1, draws))
    labels = (rng.uniform(size=chance.shape) < chance).astype(float)
    shown = np.sqrt(chance)  # far too high
    found = conformalize(labels[:-1], shown[:-1], "binary")
    scores = conformal_scores(found, labels[-1:], shown[-1:])
    judged = np.isfinite(scores.coverage)
    assert judged.all()
    assert abs(scores.coverage.mean() - 0.9) < 3 * math.sqrt(0.09 / draws)
    both = np.nanmean(scores.by_class, axis=0)
    share = labels[-1].mean()
    assert both @ [1 - share, share] == pytest.approx(scores.coverage.mean())
    sets = found.sets(shown[-1:])
    assert np.array_equal(sets.sum(axis=2)[0], scores.size)
    right = conformal_scores(conformalize(labels[:-1], chance[:-1], "binary"), labels[-1:], chance[-1:])
    assert np.nanmean(right.by_class[:, 1]) < 0.75 < 0.9 < np.nanmean(right.by_class[:, 0])


class Given(ClassifierMixin, BaseEstimator):
    """A classifier for MAPIE whose one input is its probability."""

    classes_ = np.array([0, 1])
    fitted_ = True

    def fit(self, X, y=None):
        return self

    def predict_proba(self, X):
        return np.column_stack([1 - X[:, 0], X[:, 0]])

    def predict(self, X):
        return (X[:, 0] > 0.5).astype(int)


@pytest.mark.parametrize("confidence", [0.7, 0.9, 0.95])
def test_sets_are_those_of_mapies_classifier(confidence):
    rng = np.random.default_rng(4)
    for count in (20, 57, 200):
        chance = rng.uniform(size=(count, 1))
        labels = (rng.uniform(size=chance.shape) < chance).astype(float)
        grid = np.concatenate([np.linspace(0, 1, 1001)[:, None], chance])
        mapie = SplitConformalClassifier(Given(), confidence_level=confidence)
        mapie.conformalize(chance, labels[:, 0].astype(int))
        expected = mapie.predict_set(grid)[1][:, :, 0]
        assert np.array_equal(conformalize(labels, chance, "binary", confidence).sets(grid)[:, 0], expected)


def test_tasks_without_enough_labels_say_so_and_the_others_do_not_notice():
    rng = np.random.default_rng(5)
    labels, values = rng.normal(size=(2, 12, 4))
    labels[8:, 0] = np.nan
    labels[9:, 1] = np.nan
    values[:, 2] = np.nan  # a task that could not be trained
    found = conformalize(labels, values, "regression")
    assert found.reasons[0] == "8 labels to calibrate by, and 90% needs 9"
    assert found.reasons[2] == "0 labels to calibrate by, and 90% needs 9"
    assert [found.reasons[1], found.reasons[3]] == [None, None]
    assert np.isnan(found.radius).tolist() == [True, False, True, False]
    assert found.labelled.tolist() == [8, 9, 0, 12]
    alone = conformalize(labels[:9, [1]], values[:9, [1]], "regression")
    assert alone.radius[0] == found.radius[1]
    scores = conformal_scores(found, labels, values)
    for each in (scores.coverage, scores.size):
        assert np.isnan(each).tolist() == [True, False, True, False]
    assert scores.labelled.tolist() == [0, 9, 0, 12]
    binary = conformalize(np.zeros((3, 1)), np.full((3, 1), 0.2), "binary")
    assert binary.sets(np.array([[0.1], [np.nan]])).all()  # nothing is ruled out


def test_a_constant_task_and_one_class_have_intervals_and_sets():
    labels = np.ones((20, 1))
    assert conformalize(labels, labels, "regression").radius[0] == 0
    sets = conformalize(labels, np.full((20, 1), 0.7), "binary").sets(np.array([[0.9], [0.1]]))
    assert sets[:, 0].tolist() == [[False, True], [True, False]]


def test_calibration_error_is_the_gap_of_scikit_learns_curve():
    rng = np.random.default_rng(6)
    chance = rng.uniform(size=(1000, 2))
    labels = (rng.uniform(size=chance.shape) < chance**2).astype(float)
    found = calibration_error(labels, chance)
    for task in range(2):
        true, shown = calibration_curve(labels[:, task], chance[:, task], n_bins=10, strategy="quantile")
        assert found.error[task] == pytest.approx(np.abs(true - shown).mean())
    assert np.abs(found.error - 1 / 6).max() < 0.03  # the mean of p - p^2
    assert np.allclose(calibration_error(labels[::-1], chance[::-1]).error, found.error, rtol=1e-12)


def test_a_right_predictor_has_the_error_that_chance_gives_and_it_falls_with_labels():
    rng = np.random.default_rng(7)
    for count in (100, 2000):
        chance = np.repeat(rng.beta(2, 3, size=(count, 1)), 400, axis=1)
        found = calibration_error((rng.uniform(size=chance.shape) < chance).astype(float), chance)
        assert found.error.mean() == pytest.approx(found.by_chance[0], rel=0.05)
        assert found.by_chance[0] == pytest.approx(math.sqrt(2 / math.pi * 0.2 * 10 / count), rel=0.1)


def test_equal_probabilities_are_in_one_bin_whatever_the_order():
    labels = np.array([1.0] * 30 + [0.0] * 70)[:, None]
    assert calibration_error(labels, np.full((100, 1), 0.3)).error[0] == pytest.approx(0, abs=1e-12)
    assert calibration_error(labels, np.full((100, 1), 0.8)).error[0] == pytest.approx(0.5)
    assert calibration_error(labels, labels).error[0] == 0
    assert calibration_error(labels, 1 - labels).error[0] == 1


def test_unlabelled_and_unpredicted_rows_do_not_count_and_few_labels_are_no_error():
    rng = np.random.default_rng(8)
    chance = rng.uniform(size=(60, 3))
    labels = (rng.uniform(size=chance.shape) < chance).astype(float)
    labels[50:, 0], chance[:10, 0], labels[9:, 1] = np.nan, np.nan, np.nan
    found = calibration_error(labels, chance)
    assert found.labelled.tolist() == [40, 9, 60]
    assert found.error[0] == calibration_error(labels[10:50, :1], chance[10:50, :1]).error[0]
    assert np.isnan([found.error[1], found.by_chance[1]]).all()


def test_a_linear_head_has_the_standard_deviation_of_its_closed_form():
    rng = np.random.default_rng(9)
    weights = rng.normal(size=(30, 4))
    mu, sigma = rng.normal(size=(50, 30)), rng.uniform(0.01, 2, size=(50, 30))
    found = carry_latent(lambda z: z @ weights + 1000, mu, sigma, samples=4000)
    expected = np.sqrt(sigma**2 @ weights**2)
    assert np.abs(found.std / expected - 1).max() < 5 / math.sqrt(2 * 4000)
    assert np.abs((found.mean - mu @ weights - 1000) / expected).max() < 5 / math.sqrt(4000)
    by_seed = carry_latent(lambda z: np.stack([z @ weights, 2 * (z @ weights)]), mu, sigma, samples=20)
    assert by_seed.std.shape == (2, 50, 4)
    assert np.allclose(by_seed.std[1], 2 * by_seed.std[0])


def test_latents_are_the_same_for_a_seed_and_in_any_table():
    rng = np.random.default_rng(10)
    mu, sigma = rng.normal(size=(6, 8)), rng.uniform(size=(6, 8))
    mu[4] = np.nan

    def head(z):
        return np.tanh(z[:, :2])

    found = carry_latent(head, mu, sigma)
    assert np.isnan(found.std[4]).all()
    assert not np.isnan(found.std[[0, 1, 2, 3, 5]]).any()
    for again in (carry_latent(head, mu, sigma), carry_latent(head, mu[::-1], sigma[::-1])):
        rows = np.arange(6) if again.mean[0, 0] == found.mean[0, 0] else np.arange(5, -1, -1)
        assert np.array_equal(again.std[rows], found.std, equal_nan=True)
    assert np.array_equal(carry_latent(head, mu[2:3], sigma[2:3]).std, found.std[2:3])
    assert not np.allclose(carry_latent(head, mu, sigma, seed=1).std[0], found.std[0])
    assert np.array_equal(carry_latent(head, mu, 0 * sigma).std[:4], np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: conformalize(np.ones((3, 2)), np.ones((1, 3, 2)), "binary"),
            "take the mean over seeds first",
        ),
        (lambda: conformalize(np.ones((3, 2)), np.full((3, 2), 1.5), "binary"), "1.5 is none"),
        (lambda: calibration_error(np.ones((3, 2)), np.full((3, 2), -0.5)), "-0.5 is none"),
        (lambda: conformalize(np.ones((3, 2)), np.ones((3, 2)), "binary", 90), "between 0 and 1"),
        (lambda: carry_latent(np.sin, np.ones((3, 2)), np.ones((3, 1))), "same shape"),
        (lambda: carry_latent(np.sin, np.ones((3, 2)), np.ones((3, 2)), samples=1), "at least 2"),
    ],
)
def test_wrong_use_is_one_sentence(call, words):
    with pytest.raises(EvaluationError, match=words):
        call()


def test_a_missing_mapie_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mapie.regression", None)
    with pytest.raises(EvaluationError, match=r"pip install 'infoalign-dgl\[evaluation\]'"):
        conformalize(np.ones((20, 1)), np.ones((20, 1)), "regression")
