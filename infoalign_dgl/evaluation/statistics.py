"""Whether a difference between methods is more than chance: intervals and paired comparisons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Estimate:
    """A score with how far it may be off.

    Attributes
    ----------
    mean : float
        Mean over seeds; NaN if nothing was scored.
    sd : float or None
        Standard deviation over seeds (n - 1); None for a single seed.
    low, high : float or None
        Ends of the 95 % bootstrap interval over molecules; None if there was none.
    num_seeds : int
    """

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    num_seeds: int


@dataclass(frozen=True)
class PairedTest:
    """One method's scores minus another's, pair by pair.

    Attributes
    ----------
    pairs : int
    difference : float
        Mean difference; NaN without a pair.
    half_width : float or None
        Half of its 95 % t interval.
    p_value : float or None
        Two-sided Wilcoxon signed-rank test of a difference symmetric about 0.
    higher, lower : int
        Pairs in which the method's score is higher, lower; the others tie.
    reason : str or None
        Why there is no interval and no test.
    """

    pairs: int
    difference: float
    half_width: float | None
    p_value: float | None
    higher: int
    lower: int
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """A method against a baseline on the tasks that both have scores for.

    Attributes
    ----------
    tasks : PairedTest
        Pairs are tasks, each with its mean over seeds. Tasks share molecules, so their differences are not
        independent and the p-value is too small rather than too large.
    seeds : PairedTest
        Pairs are seeds, each with its mean over tasks: what training again would change, on these molecules.
    low, high : float or None
        95 % bootstrap interval over molecules of the mean difference.
    """

    tasks: PairedTest
    seeds: PairedTest
    low: float | None
    high: float | None


def t_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Mean of a sample and half the width of its Student t interval.

    Parameters
    ----------
    values : numpy.ndarray
        (n,) with n >= 2.
    confidence : float
        Probability that such intervals cover the mean.

    Returns
    -------
    (float, float)
        Mean and half width.
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=np.float64)
    quantile = float(t.ppf(0.5 + confidence / 2, len(values) - 1))
    return float(values.mean()), quantile * float(values.std(ddof=1)) / math.sqrt(len(values))


def percentile_interval(replicates: np.ndarray, confidence: float = 0.95) -> tuple[float, float] | None:
    """Give the ends of the bootstrap percentile interval of a mean over tasks.

    Parameters
    ----------
    replicates : numpy.ndarray
        (B, T) scores of resamples (`bootstrap_scores`), or differences of two methods' scores. A resample is
        averaged over the tasks that it could score.
    confidence : float
        Probability that such intervals aim to cover.

    Returns
    -------
    (float, float) or None
        None if no resample could score a task.
    """
    present = ~np.isnan(replicates)
    counts = present.sum(axis=1)
    if not counts.any():
        return None
    means = np.where(present, replicates, 0.0).sum(axis=1)[counts > 0] / counts[counts > 0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def estimate(by_seed: np.ndarray, replicates: np.ndarray | None = None) -> Estimate:
    """Sum up a score over seeds and resamples.

    Parameters
    ----------
    by_seed : numpy.ndarray
        (S,), the score of each seed.
    replicates : numpy.ndarray, optional
        (B, T) scores of resamples.

    Returns
    -------
    Estimate
    """
    by_seed = np.asarray(by_seed, dtype=np.float64)
    interval = None if replicates is None else percentile_interval(replicates)
    low, high = interval or (None, None)
    sd = float(by_seed.std(ddof=1)) if len(by_seed) > 1 and not np.isnan(by_seed).any() else None
    return Estimate(float(by_seed.mean()), sd, low, high, len(by_seed))


def paired_test(ours: np.ndarray, theirs: np.ndarray, pair: str) -> PairedTest:
    """Compare two methods pair by pair.

    Parameters
    ----------
    ours, theirs : numpy.ndarray
        (n,) scores; entry i of both is of the same seed or task.
    pair : str
        What a pair is, for the reason where there is no test.

    Returns
    -------
    PairedTest
    """
    from scipy.stats import wilcoxon

    differences = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    count = len(differences)
    higher, lower = int((differences > 0).sum()), int((differences < 0).sum())
    if count < 2:
        mean = float(differences[0]) if count else math.nan
        return PairedTest(count, mean, None, None, higher, lower, f"{'one' if count else 'no'} {pair}")
    mean, half_width = t_interval(differences)
    moved = differences[differences != 0]
    if not moved.size:
        return PairedTest(count, 0.0, 0.0, None, 0, 0, f"no {pair} differs")
    p_value = float(wilcoxon(moved).pvalue)
    return PairedTest(count, mean, half_width, p_value, higher, lower, None)


def compare(
    ours: np.ndarray,
    theirs: np.ndarray,
    *,
    our_replicates: np.ndarray | None = None,
    their_replicates: np.ndarray | None = None,
) -> Comparison:
    """Compare a method with a baseline on the same rows, seeds and tasks.

    Parameters
    ----------
    ours, theirs : numpy.ndarray
        (S, T) scores, NaN where a task was not scored; the task is left out for both then.
    our_replicates, their_replicates : numpy.ndarray, optional
        (B, T) scores of the same resamples.

    Returns
    -------
    Comparison
        Differences are ours minus theirs.

    Raises
    ------
    EvaluationError
        If the numbers of tasks or of resamples differ.
    """
    if ours.shape[1] != theirs.shape[1]:
        raise EvaluationError(
            f"methods of {ours.shape[1]} and {theirs.shape[1]} tasks cannot be compared: "
            "score both on one task set"
        )
    common = ~(np.isnan(ours).any(axis=0) | np.isnan(theirs).any(axis=0))
    ours, theirs = ours[:, common], theirs[:, common]
    tasks = paired_test(ours.mean(axis=0), theirs.mean(axis=0), "task")
    if not common.any():
        seeds = paired_test(np.empty(0), np.empty(0), "task in common")
    elif len(ours) != len(theirs):
        difference = float(ours.mean() - theirs.mean())
        reason = f"{len(ours)} and {len(theirs)} seeds cannot be paired"
        seeds = PairedTest(0, difference, None, None, 0, 0, reason)
    else:
        seeds = paired_test(ours.mean(axis=1), theirs.mean(axis=1), "seed")
    interval = None
    if our_replicates is not None and their_replicates is not None:
        if our_replicates.shape != their_replicates.shape:
            raise EvaluationError(
                f"resamples of shapes {our_replicates.shape} and {their_replicates.shape} cannot be paired: "
                "draw as many of the same rows, with the same seed, for both"
            )
        interval = percentile_interval((our_replicates - their_replicates)[:, common])
    low, high = interval or (None, None)
    return Comparison(tasks, seeds, low, high)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for their number: one comparison in several that looks good by chance is expected.

    Parameters
    ----------
    p_values : sequence of (float or None)
        None where there was no test, which does not count.

    Returns
    -------
    list of (float or None)
        In the order given.

    References
    ----------
    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics, 1979.
    """
    tested = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, place) in enumerate(tested):
        largest = max(largest, min(1.0, value * (len(tested) - rank)))
        corrected[place] = largest
    return corrected
