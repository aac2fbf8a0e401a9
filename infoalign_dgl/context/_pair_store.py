"""Pairs found so far, kept within what a sparsity cut can use."""

from __future__ import annotations

import numpy as np

_SLACK = 1 << 20


class PairStore:
    """Collects pairs in any order; where only the ``most`` best may stay, it holds about twice as many.

    Parameters
    ----------
    most : int or None
        Number of pairs to keep at the end, the most similar first and ties by (i, j); None: all.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.least_useful = 0.0
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._held = 0

    def add(self, i: np.ndarray, j: np.ndarray, similarity: np.ndarray) -> None:
        """Add pairs, i < j, of which none was added before."""
        if len(i):
            self._parts.append((i, j, similarity))
            self._held += len(i)
        if self.most is not None and self._held > 2 * self.most + _SLACK:
            self._trim(self.most)

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give all pairs that stay, sorted by (i, j)."""
        if self.most is not None:
            self._trim(self.most)
        i, j, similarity = self._merged()
        order = np.lexsort((j, i))
        return i[order], j[order], similarity[order]

    def _merged(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self._parts:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing, np.zeros(0, dtype=np.float64)
        i, j, similarity = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        return i, j, similarity

    def _trim(self, most: int) -> None:
        """Keep the best pairs by a partial selection; only those tied at the cut are sorted."""
        i, j, similarity = self._merged()
        if len(i) > most:
            cut = np.partition(similarity, len(similarity) - most)[len(similarity) - most] if most else np.inf
            above = np.flatnonzero(similarity > cut)
            tied = np.flatnonzero(similarity == cut)
            tied = tied[np.lexsort((j[tied], i[tied]))][: most - len(above)]
            kept = np.concatenate([above, tied])
            i, j, similarity = i[kept], j[kept], similarity[kept]
            self.least_useful = float(cut)
        self._parts, self._held = [(i, j, similarity)], len(i)
