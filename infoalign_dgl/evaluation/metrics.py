"""How good predictions are, task by task: ROC-AUC, average precision, mean absolute error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infoalign_dgl.evaluation.tasks import Kind

THRESHOLDS = (0.80, 0.85, 0.90, 0.95)
"""ROC-AUC values whose shares of tasks the paper reports."""


@dataclass(frozen=True)
class TaskScores:
    """What one method scored on every task of a set, S seeds, T tasks.

    Attributes
    ----------
    kind : {"binary", "regression"}
    roc_auc, average_precision : numpy.ndarray
        (S, T) float64; NaN where a task was not scored, and for regression.
    mae : numpy.ndarray
        (S, T) float64, mean absolute error in the task's own units; NaN where a task was not scored, and for
        binary labels.
    labelled : numpy.ndarray
        (T,) int64, rows with a label among those asked for.
    positives : numpy.ndarray
        (T,) int64, those with label 1; 0 for regression.
    missing : numpy.ndarray
        (T,) int64, labelled rows without a prediction; the others were scored.
    reasons : list of (str or None)
        T; why a task was not scored.
    """

    kind: Kind
    roc_auc: np.ndarray
    average_precision: np.ndarray
    mae: np.ndarray
    labelled: np.ndarray
    positives: np.ndarray
    missing: np.ndarray
    reasons: list[str | None]

    @property
    def main(self) -> np.ndarray:
        """(S, T): ``roc_auc`` of binary tasks, ``mae`` of the others."""
        return self.roc_auc if self.kind == "binary" else self.mae

    @property
    def scored(self) -> np.ndarray:
        """(T,) bool: the tasks that have scores."""
        return np.array([reason is None for reason in self.reasons], dtype=bool)

    def mean(self, metric: str = "main") -> np.ndarray:
        """(S,): mean over the scored tasks of ``metric``, an attribute's name; NaN if there is none."""
        values = getattr(self, metric)[:, self.scored]
        return values.mean(axis=1) if values.shape[1] else np.full(len(values), np.nan)


@dataclass(frozen=True)
class Shares:
    """Share of tasks at or above each ROC-AUC of `THRESHOLDS`.

    Attributes
    ----------
    of_scored : numpy.ndarray
        (S, 4), of the tasks that were scored; NaN if there are none.
    of_all : numpy.ndarray
        (S, 4), of all tasks of the set, as the published code counts: a task that cannot be scored counts as
        one below.
    num_scored, num_all : int
        The two denominators.
    """

    of_scored: np.ndarray
    of_all: np.ndarray
    num_scored: int
    num_all: int


def task_scores(
    labels: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    kind: Kind,
    *,
    reasons: Sequence[str | None] | None = None,
) -> TaskScores:
    """Score predictions on some rows, each task on its labelled rows that have a prediction.

    Parameters
    ----------
    labels : numpy.ndarray
        (n, T) float64, NaN where unmeasured.
    values : numpy.ndarray
        (S, n, T), the predictions of each seed; what is not finite is no prediction.
    rows : numpy.ndarray
        Indices of the rows to score, or (n,) bool.
    kind : {"binary", "regression"}
    reasons : sequence of (str or None), optional
        T; tasks that are not to be scored, for a reason known before (`trainable_tasks`).

    Returns
    -------
    TaskScores

    Raises
    ------
    EvaluationError
        If shapes do not fit each other, or labels of kind "binary" are not 0 or 1.
    """
    labels, values, rows = _checked(labels, values, rows, kind, reasons)
    seeds, _, tasks = values.shape
    given: list[str | None] = list(reasons) if reasons is not None else [None] * tasks
    roc_auc, precision, mae = (np.full((seeds, tasks), np.nan) for _ in range(3))
    labelled, missing, positives = (np.zeros(tasks, dtype=np.int64) for _ in range(3))
    for task, used, count in _labelled(labels, values, rows):
        labelled[task], missing[task] = count, count - len(used)
        positives[task] = np.count_nonzero(labels[rows, task] == 1) if kind == "binary" else 0
        given[task] = given[task] or _unscorable(labels[used, task], count, kind)
        if given[task] is not None:
            continue
        if kind == "binary":
            roc_auc[:, task], precision[:, task] = rank_scores(labels[used, task] == 1, values[:, used, task])
        else:
            errors = np.abs(values[:, used, task].astype(np.float64) - labels[used, task])
            mae[:, task] = errors.mean(axis=1)
    return TaskScores(kind, roc_auc, precision, mae, labelled, positives, missing, given)


def rank_scores(positive: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and average precision of one task for many predictions of the same rows.

    Rows that tie count half in the ROC-AUC, and share the precision after the last of them.

    Parameters
    ----------
    positive : numpy.ndarray
        (n,) bool, of both classes.
    values : numpy.ndarray
        (S, n), finite.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        (S,) float64 each.
    """
    order = np.argsort(values, axis=1)
    ordered, hits = np.take_along_axis(values, order, axis=1), positive[order]
    count = positive.size
    place = np.arange(count)
    starts = np.ones(ordered.shape, dtype=bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.ones_like(starts)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, place, count)[:, ::-1], axis=1)[:, ::-1]
    num_positive = int(positive.sum())
    ranks = (first + last) / 2 + 1  # a tie has the mean of its places
    below = (ranks * hits).sum(axis=1) - num_positive * (num_positive + 1) / 2
    roc_auc = below / (num_positive * (count - num_positive))
    hits_before = np.cumsum(hits, axis=1) - hits
    hits_from = num_positive - np.take_along_axis(hits_before, first, axis=1)
    precision = (hits_from / (count - first) * hits).sum(axis=1) / num_positive
    return roc_auc, precision


def threshold_shares(scores: TaskScores) -> Shares:
    """Share of tasks with a ROC-AUC at or above each of `THRESHOLDS`, by both denominators.

    Parameters
    ----------
    scores : TaskScores
        Of a binary set.

    Returns
    -------
    Shares
    """
    reached = scores.roc_auc[:, scores.scored, None] >= np.array(THRESHOLDS)
    counts = reached.sum(axis=1).astype(np.float64)
    num_scored, num_all = int(scores.scored.sum()), len(scores.reasons)
    of_scored = counts / num_scored if num_scored else np.full_like(counts, np.nan)
    return Shares(of_scored, counts / num_all, num_scored, num_all)


def bootstrap_scores(
    labels: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    kind: Kind,
    *,
    reasons: Sequence[str | None] | None = None,
    keys: Sequence[str | None] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Score resamples of the molecules: what other molecules might have given.

    Molecules are drawn with replacement, each with all its rows; a method's score of a resample is its mean
    over seeds. The same ``rows``, ``keys`` and ``seed`` draw the same molecules for every method, so that
    replicates can be subtracted.

    Parameters
    ----------
    labels, values, rows, kind, reasons
        As for `task_scores`.
    keys : sequence of (str or None), optional
        n names of molecules; rows of one name are drawn together, a row without a name alone. By default each
        row is a molecule.
    resamples : int
        B.
    seed : int
        Of the draws.

    Returns
    -------
    numpy.ndarray
        (B, T) float64, ROC-AUC or MAE; NaN for tasks that are not scored, and in resamples that left a task
        without labels or with one class.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile intervals).
    """
    labels, values, rows = _checked(labels, values, rows, kind, reasons)
    draws = _draws(rows, keys, resamples, seed)
    place = np.zeros(len(labels), dtype=np.int64)
    place[rows] = np.arange(len(rows))
    replicates = np.full((resamples, labels.shape[1]), np.nan)
    for task, used, count in _labelled(labels, values, rows):
        if (reasons is not None and reasons[task]) or _unscorable(labels[used, task], count, kind):
            continue
        drawn = draws[place[used]]
        if kind == "binary":
            replicates[:, task] = _resampled_auc(labels[used, task] == 1, values[:, used, task], drawn)
        else:
            errors = np.abs(values[:, used, task].astype(np.float64) - labels[used, task]).mean(axis=0)
            replicates[:, task] = _divide(errors @ drawn, drawn.sum(axis=0))
    return replicates


def _checked(
    labels: np.ndarray,
    values: np.ndarray,
    rows: np.ndarray,
    kind: Kind,
    reasons: Sequence[str | None] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels, values, rows = np.asarray(labels, dtype=np.float64), np.asarray(values), np.asarray(rows)
    if labels.ndim != 2 or values.ndim != 3 or values.shape[1:] != labels.shape:
        raise EvaluationError(
            f"'values' must be (seeds, rows, tasks) for labels of (rows, tasks) {labels.shape}, "
            f"not {values.shape}: predict all rows and tasks, NaN where there is no prediction"
        )
    if reasons is not None and len(reasons) != labels.shape[1]:
        raise EvaluationError(
            f"'reasons' must have one entry per task, {labels.shape[1]}, not {len(reasons)}"
        )
    if rows.dtype == bool:
        rows = np.flatnonzero(rows)
    chosen = labels[rows]
    other = ~(np.isnan(chosen) | np.isin(chosen, (0.0, 1.0)))
    if kind == "binary" and other.any():
        row, task = np.argwhere(other)[0]
        raise EvaluationError(
            f"'labels' has {chosen[row, task]:g} at row {rows[row]}, task {task}, where a binary task has "
            "0 or 1: score it as a regression"
        )
    return labels, values, rows


def _labelled(
    labels: np.ndarray, values: np.ndarray, rows: np.ndarray
) -> Iterator[tuple[int, np.ndarray, int]]:
    """Yield (task, rows with a label and a prediction of every seed, rows with a label)."""
    for task in range(labels.shape[1]):
        measured = rows[~np.isnan(labels[rows, task])]
        predicted = np.isfinite(values[:, measured, task]).all(axis=0)
        yield task, measured[predicted], len(measured)


def _unscorable(labels: np.ndarray, labelled: int, kind: Kind) -> str | None:
    """Reason why a task with these labels, of rows that have a prediction, has no score."""
    if not labelled:
        return "no label in test"
    if not labels.size:
        return "no prediction in test"
    if kind == "binary" and (labels == labels[0]).all():
        return (
            "one class in test"
            if labels.size == labelled
            else "one class in test where there is a prediction"
        )
    return None


def _draws(rows: np.ndarray, keys: Sequence[str | None] | None, resamples: int, seed: int) -> np.ndarray:
    """(rows, B) float32: how often each row is in each resample of molecules."""
    names = range(len(rows)) if keys is None else [keys[row] if keys[row] else int(row) for row in rows]
    numbers: dict[object, int] = {}
    group = np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)
    rng = np.random.default_rng(seed)
    counts = np.empty((len(rows), resamples), dtype=np.float32)
    for resample in range(resamples if numbers else 0):
        drawn = rng.integers(len(numbers), size=len(numbers))
        counts[:, resample] = np.bincount(drawn, minlength=len(numbers))[group]
    return counts


def _resampled_auc(positive: np.ndarray, values: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(B,) ROC-AUC, mean over seeds, row i counted ``drawn[i]`` times; NaN where a class is absent."""
    ours, theirs = values[:, positive], values[:, ~positive]
    weights_ours, weights_theirs = drawn[positive], drawn[~positive]
    total = np.zeros(drawn.shape[1])
    # A pair counts 2, 1 (a tie) or 0, halved below. Blocks of positives bound the memory that pairs need.
    step = max(1, 4_000_000 // max(1, theirs.shape[1]))
    for start in range(0, ours.shape[1], step):
        block = ours[:, start : start + step]
        wins = np.zeros((block.shape[1], theirs.shape[1]), dtype=np.uint16)
        for one, other in zip(block, theirs, strict=True):
            wins += (one[:, None] > other).view(np.uint8)
            wins += (one[:, None] >= other).view(np.uint8)
        drawn_wins = wins.T.astype(np.float32) @ weights_ours[start : start + step]
        total += np.einsum("nb,nb->b", drawn_wins, weights_theirs)
    pairs = weights_ours.sum(axis=0) * weights_theirs.sum(axis=0)
    return _divide(total / (2 * len(values)), pairs)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide, NaN where the denominator is 0."""
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient
