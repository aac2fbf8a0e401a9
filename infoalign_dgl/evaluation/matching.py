"""Scores of profiles under what a decoder predicts, and how well they match molecules with profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._ranks import Ranks, chance, joined, rank_right
from infoalign_dgl.evaluation.statistics import percentile_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCORES = ("paper", "kl", "gaussian")
FORWARD, BACKWARD = "molecule_to_profile", "profile_to_molecule"
_RESAMPLES = 1000
_SEED = 0
_BLOCK_ENTRIES = 1 << 24  # scores held at once: 128 MB
_RESAMPLED_ENTRIES = 1 << 22


@dataclass(frozen=True)
class Figure:
    """A mean over queries, with how far it may be off and what chance gives.

    Attributes
    ----------
    value : float
    low, high : float or None
        Ends of the 95 % bootstrap interval over molecules, the candidates staying as they are; None for a
        single molecule.
    chance : float
        The value's expectation for candidates in random order, in closed form.
    """

    value: float
    low: float | None
    high: float | None
    chance: float


@dataclass(frozen=True)
class Direction:
    """One way to match.

    Attributes
    ----------
    queries : np.ndarray
        (Q,) int64: numbers of the molecules, or of the profiles, that have a right answer.
    candidates : int
        Profiles, or molecules, that each query ranks.
    right : np.ndarray
        (Q,) int64, right answers of each query.
    ranks : dict of str to Ranks
        By score.
    chance : Ranks
        Of candidates in random order.
    figures : dict of str to dict of str to Figure
        By score and measure.
    """

    queries: np.ndarray
    candidates: int
    right: np.ndarray
    ranks: dict[str, Ranks]
    chance: Ranks
    figures: dict[str, dict[str, Figure]]


@dataclass(frozen=True)
class _Bilinear:
    """Scores of M rows against P columns: ``left @ right.T + of_left[:, None] + of_right``, all float64."""

    left: np.ndarray
    right: np.ndarray
    of_left: np.ndarray
    of_right: np.ndarray

    def turned(self) -> _Bilinear:
        """Return the scores of the columns against the rows."""
        return _Bilinear(self.right, self.left, self.of_right, self.of_left)

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Give some rows' scores a block at a time: which of ``rows``, and (b, P) float32.

        In float32 candidates that are equal tie, however a matrix product rounded each.
        """
        step = max(1, _BLOCK_ENTRIES // max(1, len(self.right)))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            chosen = rows[part]
            scores = self.left[chosen] @ self.right.T + self.of_left[chosen, None] + self.of_right
            yield part, scores.astype(np.float32)


def score_pairs(logits: np.ndarray, profiles: np.ndarray, score: str) -> np.ndarray:
    """Score every profile for every molecule.

    With p the decoded features and y a profile, both in [0, 1]:

    - ``paper``: the Bernoulli log-likelihood, sum_d y log p + (1 - y) log(1 - p), nats. It is linear in y, so
      that among real-valued profiles the best is not p but the one that lies farthest on its side of 1/2.
    - ``kl``: the same less the profile's own, sum_d y log y + (1 - y) log(1 - y): minus the Kullback-Leibler
      divergence of p from y, which is 0 for y = p and below 0 otherwise.
    - ``gaussian``: -1/2 sum_d (y - p)^2 / s_d^2, with s_d the standard deviation of column d over all of the
      profiles; columns that do not vary count nothing.

    Parameters
    ----------
    logits : np.ndarray
        (M, d), the decoder's; p = sigmoid(logits).
    profiles : np.ndarray
        (P, d) in [0, 1].
    score : {"paper", "kl", "gaussian"}

    Returns
    -------
    np.ndarray
        (M, P) float64, higher is better.

    Raises
    ------
    EvaluationError
        If there is no such score.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, Eq. 3 (the likelihood that decoders are
    trained on) and its matching of molecules and morphology.
    """
    of = _bilinear(logits, profiles, score)
    scores: np.ndarray = of.left @ of.right.T + of.of_left[:, None] + of.of_right
    return scores


def _bilinear(logits: np.ndarray, profiles: np.ndarray, score: str) -> _Bilinear:
    from scipy.special import expit, xlogy

    x, y = np.asarray(logits, np.float64), np.asarray(profiles, np.float64)
    if score == "gaussian":
        p, variance = expit(x), y.var(axis=0)
        weight = np.divide(1, variance, out=np.zeros_like(variance), where=variance > 0)
        return _Bilinear(p * weight, y, -((p**2) @ weight) / 2, -((y**2) @ weight) / 2)
    if score not in SCORES:
        raise EvaluationError(f"there is no score {score!r}: choose of {', '.join(SCORES)}")
    entropy = -(xlogy(y, y) + xlogy(1 - y, 1 - y)).sum(axis=1)
    return _Bilinear(x, y, -np.logaddexp(0, x).sum(axis=1), entropy if score == "kl" else 0 * entropy)


def match(
    logits: np.ndarray,
    profiles: np.ndarray,
    owner: np.ndarray,
    *,
    ks: Sequence[int] = (1, 10),
    scores: Sequence[str] = SCORES,
) -> dict[str, Direction]:
    """Rank profiles for each molecule, and molecules for each profile.

    Each profile of a molecule is a right answer to it. HIT@k is the share of queries with a right answer
    among the first k. NDCG@k counts all of them: a right answer on place i gives 1 / log2(1 + i) if i <= k,
    and the sum is divided by that of a perfect ranking, min(k, right answers) of them on top. MRR is the
    mean of one over the first right answer's rank, ``mean rank`` that of the rank itself. Where candidates
    tie, each figure is its mean over their orders.

    Parameters
    ----------
    logits : np.ndarray
        (M, d), a decoder's output for each molecule.
    profiles : np.ndarray
        (P, d) in [0, 1].
    owner : np.ndarray
        (P,) int64, each profile's molecule; -1 for one that is no molecule's, and only ranked.
    ks : sequence of int
        Where HIT and NDCG are cut.
    scores : sequence of str
        As :func:`score_pairs` knows them.

    Returns
    -------
    dict of str to Direction
        ``molecule_to_profile`` and ``profile_to_molecule``. From profile to molecule ``paper`` and ``kl``
        rank alike: the profile's own entropy is the same for all molecules.

    Raises
    ------
    EvaluationError
        If a k is below 1, a score is unknown or there is none, no profile is a molecule's, or there is
        nothing to choose from.
    """
    ks, scores = sorted(set(ks)), list(dict.fromkeys(scores))
    if not ks or ks[0] < 1 or not scores:
        raise EvaluationError(f"matching needs scores and k of at least 1, not {scores} and {ks}")
    if not (owner >= 0).any() or min(len(logits), len(profiles)) < 2:
        raise EvaluationError(
            f"{len(logits):,} molecules and {len(profiles):,} profiles, {int((owner >= 0).sum()):,} of them "
            "of one of the molecules, cannot be matched: give two of each at least, and one pair"
        )
    bilinear = {score: _bilinear(logits, profiles, score) for score in scores}
    order = np.argsort(owner, kind="stable")
    own = np.split(order, np.searchsorted(owner[order], np.arange(len(logits))))[1:]
    molecules = np.array([number for number, rows in enumerate(own) if len(rows)])
    owned = np.flatnonzero(owner >= 0)
    turned = {score: of.turned() for score, of in bilinear.items()}
    return {
        FORWARD: _direction(bilinear, molecules, [own[number] for number in molecules], molecules, ks),
        BACKWARD: _direction(turned, owned, [owner[[row]] for row in owned], owner[owned], ks),
    }


def _direction(
    bilinear: dict[str, _Bilinear],
    queries: np.ndarray,
    right: list[np.ndarray],
    molecule: np.ndarray,
    ks: list[int],
) -> Direction:
    """Rank for the queries, of which each belongs to a molecule."""
    ranks = {
        score: joined(rank_right(block, right[part], ks) for part, block in of.blocks(queries))
        for score, of in bilinear.items()
    }
    candidates = len(next(iter(bilinear.values())).right)
    number = np.array([len(rows) for rows in right])
    by_chance = chance(candidates, number, ks)
    expected = {name: float(values.mean()) for name, values in _measures(by_chance, ks).items()}
    measured = {score: _measures(found, ks) for score, found in ranks.items()}
    columns = [values for of in measured.values() for values in of.values()]
    intervals = iter(_intervals(np.column_stack(columns), molecule))
    figures = {
        score: {
            name: Figure(float(values.mean()), *next(intervals), expected[name])
            for name, values in of.items()
        }
        for score, of in measured.items()
    }
    return Direction(queries, candidates, number, ranks, by_chance, figures)


def _measures(ranks: Ranks, ks: list[int]) -> dict[str, np.ndarray]:
    """Each query's share in every figure."""
    found = {f"HIT@{k}": ranks.hit(k) for k in ks}
    found |= {f"NDCG@{k}": ranks.ndcg[:, column] for column, k in enumerate(ks)}
    return {**found, "MRR": ranks.reciprocal(), "mean rank": ranks.first()}


def _intervals(values: np.ndarray, molecule: np.ndarray) -> list[tuple[float | None, float | None]]:
    """95 % bootstrap intervals of the means of (Q, F) columns; a molecule's queries are drawn together."""
    clusters, place = np.unique(molecule, return_inverse=True)
    if len(clusters) < 2:
        return [(None, None)] * values.shape[1]
    sums = np.zeros((len(clusters), values.shape[1] + 1))
    np.add.at(sums, place, np.column_stack([values, np.ones(len(values))]))
    rng = np.random.default_rng(_SEED)
    step = max(1, _RESAMPLED_ENTRIES // len(clusters))
    totals = []
    for start in range(0, _RESAMPLES, step):
        drawn = rng.integers(len(clusters), size=(min(step, _RESAMPLES - start), len(clusters)))
        totals.append(np.stack([np.bincount(row, minlength=len(clusters)) @ sums for row in drawn]))
    total = np.concatenate(totals)
    means = total[:, :-1] / total[:, -1:]
    return [percentile_interval(column[:, None]) or (None, None) for column in means.T]
