"""How sure predictions are: ensembles, conformal intervals and sets, calibration, uncertain latents.

All functions take the rows that they are to work on, row for row the same in labels and predictions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from infoalign_dgl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.evaluation.predictions import Predictions
    from infoalign_dgl.evaluation.tasks import Kind


class Ensemble(NamedTuple):
    """What the seeds of a method say together, each (n, T) float64.

    Attributes
    ----------
    mean : numpy.ndarray
        Mean over seeds.
    between : numpy.ndarray
        Standard deviation between seeds (of a sample: divided by S - 1); NaN for one seed.
    own : numpy.ndarray or None
        Root of the mean square of the method's own standard deviations, where it has them.
    """

    mean: np.ndarray
    between: np.ndarray
    own: np.ndarray | None


def ensemble(predictions: Predictions) -> Ensemble:
    """Put the seeds of a method together.

    Parameters
    ----------
    predictions : Predictions
        Of S seeds; an entry that any seed has no prediction for is NaN.

    Returns
    -------
    Ensemble

    References
    ----------
    Lakshminarayanan et al. 2017, Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles,
    section 2.4: the variance of the mixture of Gaussian members is ``own**2`` plus that of their means.
    """
    values = predictions.values.astype(np.float64)
    between = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)
    spread = predictions.spread
    own = None if spread is None else np.sqrt(np.square(spread, dtype=np.float64).mean(axis=0))
    return Ensemble(values.mean(axis=0), between, own)


@dataclass(frozen=True)
class Conformal:
    """Intervals or sets that hold the true label with a stated confidence, task by task.

    Attributes
    ----------
    kind : {"binary", "regression"}
    confidence : float
    radius : numpy.ndarray
        (T,) float64: the intervals' half width in the task's units; the largest distance between a class, 0
        or 1, and the probability at which it is in the set. NaN where there is a reason.
    labelled : numpy.ndarray
        (T,) int64, labels that it was calibrated by.
    reasons : list of (str or None)
        T; why a task has no intervals or sets.
    """

    kind: Kind
    confidence: float
    radius: np.ndarray
    labelled: np.ndarray
    reasons: list[str | None]

    def intervals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the lower and upper ends, each (n, T) float64, around ``values`` (n, T); NaN where none is."""
        values = np.asarray(values, np.float64)
        return values - self.radius, values + self.radius

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Say which classes are in the set of each entry.

        Parameters
        ----------
        probabilities : numpy.ndarray
            (n, T), of class 1.

        Returns
        -------
        numpy.ndarray
            (n, T, 2) bool for classes 0 and 1: one class says that it is known, both that it is not, none
            that the molecule is like neither. Both where there is no prediction or a reason.
        """
        far = np.abs(np.arange(2) - np.asarray(probabilities, np.float64)[..., None]) > self.radius[:, None]
        return ~far


def fewest_labels(confidence: float) -> int:
    """Count the labels without which an interval of that confidence is infinite: 9 for 0.9, 19 for 0.95."""
    if not 0 < confidence < 1:
        raise EvaluationError(f"a confidence lies between 0 and 1, and {confidence} does not: 0.9 is usual")
    return math.ceil(round(confidence / (1 - confidence), 9))


def conformalize(labels: np.ndarray, values: np.ndarray, kind: Kind, confidence: float = 0.9) -> Conformal:
    """Calibrate intervals or sets by split-conformal prediction, each task on its own.

    A new molecule's label is in its interval or set with at least the stated confidence if it is exchangeable
    with the molecules calibrated by; the share is over draws of both, and over both classes. The score is
    ``|label - value|``: for a probability that is one minus the probability of the true class, so that the
    sets are those of the least ambiguous set-valued classifier.

    Parameters
    ----------
    labels : numpy.ndarray
        (m, T) float64 of molecules that were not trained on, NaN where unmeasured.
    values : numpy.ndarray
        (m, T), what is predicted for them; what is not finite is no prediction.
    kind : {"binary", "regression"}
    confidence : float
        Between 0 and 1.

    Returns
    -------
    Conformal

    Raises
    ------
    EvaluationError
        If shapes do not fit, the confidence is none, or the package mapie is not installed.

    References
    ----------
    Papadopoulos et al. 2002, Inductive Confidence Machines for Regression; Sadinle et al. 2019, Least
    Ambiguous Set-Valued Classifiers with Bounded Error Levels. Calculated by MAPIE.
    """
    labels, values = _checked(labels, values, kind)
    fewest = fewest_labels(confidence)
    used = np.isfinite(labels) & np.isfinite(values)
    labelled = used.sum(axis=0)
    reasons: list[str | None] = [
        None if count >= fewest else f"{count} labels to calibrate by, and {confidence:.0%} needs {fewest}"
        for count in labelled.tolist()
    ]
    radius = np.full(labels.shape[1], np.nan)
    for task in np.flatnonzero(labelled >= fewest):
        rows = used[:, task]
        radius[task] = _radius(labels[rows, task], values[rows, task], confidence)
    return Conformal(kind, confidence, radius, labelled, reasons)


def _radius(labels: np.ndarray, values: np.ndarray, confidence: float) -> float:
    """Take the half width of MAPIE's intervals, which is the same everywhere."""
    try:
        from mapie.regression import SplitConformalRegressor
    except ImportError as error:
        raise EvaluationError(
            "mapie is not installed, which intervals and sets need: pip install 'infoalign-dgl[evaluation]'"
        ) from error
    mapie = SplitConformalRegressor(_Stored(), confidence_level=confidence)
    mapie.conformalize(values[:, None], labels)
    # MAPIE's own count asks for one label more than it takes; 'infinite bounds' leaves that to fewest_labels.
    _, interval = mapie.predict_interval(np.zeros((1, 1)), allow_infinite_bounds=True)
    return float(interval[0, 1, 0])


class _Stored:
    """What MAPIE takes for a regressor: its one input is the prediction."""

    fitted_ = True

    def fit(self, X: np.ndarray, y: Any = None) -> _Stored:
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X[:, 0]


@dataclass(frozen=True)
class ConformalScores:
    """How intervals or sets did on molecules that they were not calibrated by, each (T,) float64.

    Attributes
    ----------
    coverage : numpy.ndarray
        Share of the labels that are in their interval or set.
    size : numpy.ndarray
        Width of the intervals in the task's units, or mean number of classes in the sets.
    by_class : numpy.ndarray
        (T, 2), coverage of labels 0 and of labels 1; NaN for regression. Confidence is promised over both:
        a rare class may be covered much less.
    labelled : numpy.ndarray
        int64, labels with a prediction; the others are NaN where it is 0 or the task has no radius.
    """

    coverage: np.ndarray
    size: np.ndarray
    by_class: np.ndarray
    labelled: np.ndarray


def conformal_scores(conformal: Conformal, labels: np.ndarray, values: np.ndarray) -> ConformalScores:
    """Score intervals or sets on labelled molecules.

    Parameters
    ----------
    conformal : Conformal
    labels : numpy.ndarray
        (m, T) float64, NaN where unmeasured.
    values : numpy.ndarray
        (m, T), predictions.

    Returns
    -------
    ConformalScores

    Raises
    ------
    EvaluationError
        If shapes do not fit each other.
    """
    labels, values = _checked(labels, values, conformal.kind)
    used = np.isfinite(labels) & np.isfinite(values) & np.isfinite(conformal.radius)
    inside = used & (np.abs(labels - values) <= conformal.radius)
    by_class = np.full((labels.shape[1], 2), np.nan)
    if conformal.kind == "binary":
        size = _share(used[..., None] & conformal.sets(values), used[..., None]).sum(axis=1)
        for label in (0, 1):
            by_class[:, label] = _share(inside & (labels == label), used & (labels == label))
    else:
        size = np.where(used.any(axis=0), 2 * conformal.radius, np.nan)
    return ConformalScores(_share(inside, used), size, by_class, used.sum(axis=0))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide counts over rows; NaN where there is nothing."""
    count = whole.sum(axis=0)
    return np.where(count > 0, part.sum(axis=0) / np.maximum(count, 1), np.nan)


class CalibrationError(NamedTuple):
    """How far probabilities are from what happens, each (T,) float64.

    Attributes
    ----------
    error : numpy.ndarray
        Expected calibration error; NaN where a task has fewer labels than bins.
    by_chance : numpy.ndarray
        What a predictor would get whose probabilities are right, since labels are few: an error is one of
        calibration only as far as it exceeds this.
    labelled : numpy.ndarray
        int64, labels with a prediction.
    """

    error: np.ndarray
    by_chance: np.ndarray
    labelled: np.ndarray


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 10) -> CalibrationError:
    """Compare probabilities with the share of labels 1, in bins of about equally many molecules.

    Equal probabilities are in one bin, so that the order of rows decides nothing.

    Parameters
    ----------
    labels : numpy.ndarray
        (m, T) float64, 0, 1, or NaN where unmeasured.
    probabilities : numpy.ndarray
        (m, T), of class 1; what is not finite is no prediction.
    bins : int

    Returns
    -------
    CalibrationError
        ``by_chance`` is ``sqrt(2 / pi)`` times the standard deviations of the bins' means, which takes these
        means for normal.

    Raises
    ------
    EvaluationError
        If shapes do not fit each other, or a probability is none.

    References
    ----------
    Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning; Nguyen and O'Connor
    2015, Posterior Calibration and Exploratory Analysis for NLP Models (bins of equal mass).
    """
    from scipy.stats import rankdata

    labels, probabilities = _checked(labels, probabilities, "binary")
    used = np.isfinite(labels) & np.isfinite(probabilities)
    labelled = used.sum(axis=0)
    error, by_chance = (np.full(labels.shape[1], np.nan) for _ in range(2))
    for task in np.flatnonzero(labelled >= bins):
        label, chance = labels[used[:, task], task], probabilities[used[:, task], task]
        place = ((rankdata(chance) - 0.5) / len(chance) * bins).astype(np.int64)
        gap = np.bincount(place, label - chance, minlength=bins)
        variance = np.bincount(place, chance * (1 - chance), minlength=bins)
        error[task] = np.abs(gap).sum() / len(chance)
        by_chance[task] = math.sqrt(2 / math.pi) * np.sqrt(variance).sum() / len(chance)
    return CalibrationError(error, by_chance, labelled)


def _checked(labels: np.ndarray, values: np.ndarray, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    labels, values = np.asarray(labels, np.float64), np.asarray(values, np.float64)
    if labels.ndim != 2 or labels.shape != values.shape:
        raise EvaluationError(
            f"labels and predictions must be two tables of the same rows and tasks, and have the shapes "
            f"{labels.shape} and {values.shape}: take the mean over seeds first"
        )
    if kind == "binary" and np.any((values < 0) | (values > 1)):
        raise EvaluationError(
            f"binary tasks are predicted by probabilities, and {values[(values < 0) | (values > 1)][0]:g} is "
            "none: give the probability of class 1"
        )
    return labels, values


class Latents(NamedTuple):
    """What an uncertain latent makes of predictions, each of the shape of a prediction, float64.

    Attributes
    ----------
    mean, std : numpy.ndarray
        Over draws of the latent; the standard deviation is that of a sample.
    """

    mean: np.ndarray
    std: np.ndarray


def carry_latent(
    predict: Callable[[np.ndarray], np.ndarray],
    mu: np.ndarray,
    sigma: np.ndarray,
    *,
    samples: int = 100,
    seed: int = 0,
) -> Latents:
    """Predict draws of p(z|x) = N(mu, diag(sigma^2)) and say how far the predictions vary.

    All rows are moved by the same K draws of noise, so that a molecule's figures do not depend on the others
    of its table.

    Parameters
    ----------
    predict : callable
        From latents (n, D) float32 to an array of any shape, such as (S, n, T).
    mu, sigma : numpy.ndarray
        (n, D) each; rows of NaN where there is no molecule.
    samples : int
        K, at least 2: the standard deviation is known to one part in ``sqrt(2 K)``.
    seed : int
        Of the noise.

    Returns
    -------
    Latents

    Raises
    ------
    EvaluationError
        If shapes do not fit each other, or K is below 2.
    """
    if mu.ndim != 2 or mu.shape != sigma.shape:
        raise EvaluationError(
            f"mu and sigma must have the same shape (n, D), not {mu.shape} and {sigma.shape}"
        )
    if samples < 2:
        raise EvaluationError(f"'samples' must be at least 2 for a standard deviation, not {samples}")
    rng = np.random.default_rng(seed)
    mean, squares = np.zeros(()), np.zeros(())
    for done in range(1, samples + 1):
        noise = rng.standard_normal(mu.shape[1])
        values = np.asarray(predict((mu + sigma * noise).astype(np.float32)), np.float64)
        ahead = values - mean
        mean = mean + ahead / done
        squares = squares + ahead * (values - mean)
    return Latents(mean, np.sqrt(squares / (samples - 1)))
