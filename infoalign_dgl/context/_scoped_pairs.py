"""Similar pairs of rows of two tiles, the same bits however rows are tiled, and which of them stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Tile = tuple[np.ndarray, np.ndarray]  # row numbers, and the rows
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]  # i, j, similarity

_SCORED = 1 << 18  # entries of the pairs that are scored at once: small enough for a cache
_ROUNDING = 1e-12  # a cosine that is smaller is zero: what products of unit vectors round to is far below


def compare(left: Tile, right: Tile, least: float) -> tuple[Pairs, int]:
    """Compare every row of a tile with every row of another, or with the rows after it in the same one.

    Parameters
    ----------
    left, right : (row numbers, rows)
        Rows other than zero: packed fingerprints, uint8, or float32. The same tile, if its first numbers are.
    least : float
        Similarity of the pairs that are wanted.

    Returns
    -------
    pairs : (i, j, similarity)
        Those at or above ``least``, other than zero; int64, int64, float64.
    stored : int
        How many are not zero, those below ``least`` with them.
    """
    packed = left[1].dtype == np.uint8
    prepare = _bits if packed else _unit
    one = prepare(left[1])
    alone = left[0][0] == right[0][0]
    other = one if alone else prepare(right[1])
    similarity = (one @ other.T).astype(np.float64, copy=False)
    if packed:  # counts, which are exact
        sizes, others = one.sum(axis=1, dtype=np.float64), other.sum(axis=1, dtype=np.float64)
        similarity /= sizes[:, None] + others - similarity
    if alone:
        similarity = np.triu(similarity, 1)
    size = np.abs(similarity)
    high = size > _ROUNDING
    stored = int(high.sum())
    high &= similarity >= least - _ROUNDING
    first, second = np.nonzero(high)
    found = similarity[first, second] if packed else _score(one, other, first, second)
    keep = found >= least
    return (left[0][first[keep]], right[0][second[keep]], found[keep]), stored


def compare_each(tiles: Sequence[Tile], *, least: float) -> tuple[Pairs, int]:
    """Compare the rows of each tile among themselves; as :func:`compare`."""
    pairs, stored = zip(*(compare(tile, tile, least) for tile in tiles), strict=True)
    i, j, similarity = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return (i, j, similarity), sum(stored)


def _bits(rows: np.ndarray) -> np.ndarray:
    return np.unpackbits(rows, axis=1).astype(np.float32)


def _unit(rows: np.ndarray) -> np.ndarray:
    values = rows.astype(np.float64)
    values /= np.sqrt((values * values).sum(axis=1, keepdims=True))
    return values


def _score(one: np.ndarray, other: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Sum products pair by pair: what a product of matrices rounds to depends on their shapes."""
    found = np.empty(len(first))
    step = max(1, _SCORED // one.shape[1])
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        found[part] = (one[first[part]] * other[second[part]]).sum(axis=1)
    return found


class ScopedPairs:
    """Pairs found so far, without those that are below the cut whatever else is found.

    Parameters
    ----------
    least : float
        Similarity of the pairs that are wanted.
    most : int
        Pairs of which the least similar is surely no less than the cut, but for ``slack``.
    highest, slack : float
        The cut is above the ``most``-th similarity, or above ``highest`` where that is less, less ``slack``.
    """

    def __init__(self, least: float, most: int, highest: float, slack: float) -> None:
        self.least, self.stored = least, 0
        self._most, self._highest, self._slack = most, highest, slack
        self._parts: list[Pairs] = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        self._held, self._room = 0, 2 * most + _SCORED

    def add(self, pairs: Pairs, stored: int) -> None:
        """Add pairs that were found, and how many were compared and not zero."""
        self.stored += stored
        self._parts.append(pairs)
        self._held += len(pairs[0])
        if self._held > self._room:
            self._trim()

    def all(self) -> Pairs:
        """Give the pairs, in any order."""
        i, j, similarity = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        self._parts = [(i, j, similarity)]
        return i, j, similarity

    def _trim(self) -> None:
        i, j, similarity = self.all()
        place = len(similarity) - self._most
        reached = min(float(np.partition(similarity, place)[place]), self._highest)
        self.least = max(self.least, reached - self._slack)
        keep = similarity >= self.least
        self._parts = [(i[keep], j[keep], similarity[keep])]
        self._held = int(keep.sum())
        self._room = max(self._room, 2 * self._held)
