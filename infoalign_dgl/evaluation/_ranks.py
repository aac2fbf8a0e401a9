"""Where right answers stand in rankings, what that is worth, and what chance would give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Ranks:
    """Where the right answers of Q queries stand among their candidates.

    Candidates of one score stand in no order, and every figure is its mean over all orders of them.

    Attributes
    ----------
    above : np.ndarray
        (Q,) int64, candidates that score higher than the best right answer.
    tied : np.ndarray
        (Q,) int64, candidates that score as the best right answer does, itself among them.
    right : np.ndarray
        (Q,) int64, how many of the tied are right.
    ndcg : np.ndarray
        (Q, K) float64, NDCG at each k that was asked for.
    """

    above: np.ndarray
    tied: np.ndarray
    right: np.ndarray
    ndcg: np.ndarray

    def hit(self, k: int) -> np.ndarray:
        """Give the probability that a right answer is among the first k, (Q,) float64."""
        inside = np.clip(k - self.above, 0, self.tied)
        wrong = self.tied - self.right
        log_none = _log_choose(wrong, np.minimum(inside, wrong)) - _log_choose(self.tied, inside)
        hit: np.ndarray = 1 - np.where(inside > wrong, 0.0, np.exp(log_none))
        return hit

    def first(self) -> np.ndarray:
        """Give the expected rank of the first right answer, (Q,) float64, 1 for the top."""
        first: np.ndarray = self.above + (self.tied + 1) / (self.right + 1)
        return first

    def reciprocal(self) -> np.ndarray:
        """Give the expected reciprocal of the rank of the first right answer, (Q,) float64."""
        kinds, place = np.unique(
            np.column_stack([self.above, self.tied, self.right]), axis=0, return_inverse=True
        )
        return np.array([_reciprocal(*kind) for kind in kinds.tolist()])[place]


def rank_right(scores: np.ndarray, right: Sequence[np.ndarray], ks: Sequence[int]) -> Ranks:
    """Rank candidates by score, the highest first, and find the right ones.

    Parameters
    ----------
    scores : np.ndarray
        (Q, n), row q scores the candidates of query q.
    right : sequence of np.ndarray
        Per query, the columns of its right answers, at least one.
    ks : sequence of int
        Where NDCG is cut.

    References
    ----------
    Jarvelin and Kekalainen, Cumulated gain-based evaluation of IR techniques, ACM Transactions on Information
    Systems, 2002 (NDCG, here of right and wrong); McSherry and Najork, Computing information retrieval
    performance measures efficiently in the presence of tied scores, ECIR 2008.
    """
    discounts = _discounts(scores.shape[1], ks)
    places, gains = [], []
    for row, wanted in zip(scores, right, strict=True):
        ascending = np.sort(row)
        up_to = np.searchsorted(ascending, row[wanted], "right")
        higher = len(row) - up_to
        equal = up_to - np.searchsorted(ascending, row[wanted], "left")
        best = higher.argmin()
        places.append((higher[best], equal[best], (higher == higher[best]).sum()))
        gained = (discounts[:, higher + equal] - discounts[:, higher]) / equal
        gains.append(gained.sum(axis=1) / discounts[:, len(wanted)])
    above, tied, correct = np.array(places, np.int64).reshape(-1, 3).T
    return Ranks(above, tied, correct, np.array(gains).reshape(-1, len(ks)))


def chance(candidates: int, right: np.ndarray, ks: Sequence[int]) -> Ranks:
    """Give what a ranking in random order is worth: that of candidates which all have one score.

    Parameters
    ----------
    candidates : int
        n of each query.
    right : np.ndarray
        (Q,) int64, right answers of each query.
    ks : sequence of int
        Where NDCG is cut.
    """
    discounts = _discounts(candidates, ks)
    gained = right[:, None] * discounts[:, -1] / candidates
    ndcg = gained / discounts[:, right].T
    return Ranks(np.zeros_like(right), np.full_like(right, candidates), right, ndcg)


def joined(parts: Iterable[Ranks]) -> Ranks:
    """Put the ranks of several parts of the queries together."""
    found = list(parts)
    names = ("above", "tied", "right", "ndcg")
    return Ranks(*(np.concatenate([getattr(part, name) for part in found]) for name in names))


def _discounts(candidates: int, ks: Sequence[int]) -> np.ndarray:
    """(K, n + 1): what right answers on the first 0, 1, ..., n places give when cut at each k."""
    places = np.arange(1, candidates + 1)
    gains = np.where(places <= np.asarray(ks)[:, None], 1 / np.log2(places + 1), 0.0)
    return np.concatenate([np.zeros((len(ks), 1)), gains.cumsum(axis=1)], axis=1)


def _reciprocal(above: int, tied: int, right: int) -> float:
    """Mean of 1 / (above + j) where j is the first of ``right`` places drawn out of ``tied``."""
    if tied == right:
        return 1 / (above + 1)
    first = np.arange(1, tied - right + 2)
    chances = np.exp(_log_choose(tied - first, np.full_like(first, right - 1)) - _log_choose(tied, right))
    return float((chances / (above + first)).sum())


def _log_choose(total: np.ndarray | int, chosen: np.ndarray | int) -> np.ndarray:
    from scipy.special import gammaln

    total, chosen = np.asarray(total, np.float64), np.asarray(chosen, np.float64)
    log: np.ndarray = gammaln(total + 1) - gammaln(chosen + 1) - gammaln(total - chosen + 1)
    return log
