"""Pairs found so far, kept within what a sparsity cut can use."""

from __future__ import annotations

import numpy as np

_SLACK = 1 << 20
_CHUNK = 1 << 16


class PairStore:
    """Collects pairs in any order; where only the ``most`` best may stay, it holds about twice as many.

    Pairs are copied into chunks: small arrays kept one by one, between the large ones that a search frees,
    would scatter over the heap and keep it from shrinking.

    Parameters
    ----------
    most : int or None
        Number of pairs to keep at the end, the most similar first and ties by (i, j); None: all.
    """

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.least_useful = 0.0
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._room = 0  # pairs that still fit into the last part
        self._held = 0

    def add(self, i: np.ndarray, j: np.ndarray, similarity: np.ndarray) -> None:
        """Add pairs, i < j, of which none was added before."""
        done = 0
        while done < len(i):
            if not self._room:
                chunk = (np.empty(_CHUNK, np.int64), np.empty(_CHUNK, np.int64), np.empty(_CHUNK))
                self._parts.append(chunk)
                self._room = _CHUNK
            count = min(self._room, len(i) - done)
            start = _CHUNK - self._room
            for column, values in zip(self._parts[-1], (i, j, similarity), strict=True):
                column[start : start + count] = values[done : done + count]
            done += count
            self._room -= count
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
        i, j, similarity = (np.concatenate(column)[: self._held] for column in zip(*self._parts, strict=True))
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
        self._parts, self._room, self._held = [(i, j, similarity)], 0, len(i)
