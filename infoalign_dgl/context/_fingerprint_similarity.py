"""Similar pairs of binary fingerprints: every decision is one of integers."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl._extension import load_native

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from infoalign_dgl.context._pair_store import PairStore

_REPORTS = 64
_BLOCK = 512


def search(
    rows: np.ndarray,
    metric: str,
    threshold: Fraction,
    store: PairStore,
    *,
    num_threads: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Add all pairs of packed ``rows`` (n, bytes) with at least ``threshold`` to ``store``."""
    native = load_native()
    table: Any = native.BitTable(np.ascontiguousarray(rows)) if native is not None else _NumpyTable(rows)
    bits = table.group_bits
    least = least_common(bits, metric, threshold)
    tiles = table.num_tiles
    step = max(1, -(-tiles // _REPORTS))
    bits_per_row = np.bitwise_count(rows).sum(axis=1, dtype=np.int64)
    for begin in range(0, tiles, step):
        end = min(begin + step, tiles)
        i, j, common = table.scan(least, begin, end, num_threads)
        store.add(i, j, similarity_of(bits_per_row[i], bits_per_row[j], common.astype(np.int64), metric))
        if progress is not None:
            progress(end, tiles)


def least_common(bits: np.ndarray, metric: str, threshold: Fraction) -> np.ndarray:
    """Fewest common bits that make fingerprints of a and b bits similar.

    Cosine: c / sqrt(a b) >= p / q where c q >= ceil(sqrt(p^2 a b)). Tanimoto: c / (a + b - c) >= p / q where
    c (p + q) >= p (a + b). Python's integers have no limit, so any threshold can be asked for.

    Parameters
    ----------
    bits : np.ndarray
        (G,) numbers of set bits, ascending, above 0.
    metric : {"cosine", "tanimoto"}
        As above.
    threshold : Fraction
        p / q.

    Returns
    -------
    np.ndarray
        (G, G) int32, filled where a <= b.
    """
    p, q = threshold.numerator, threshold.denominator
    least = np.zeros((len(bits), len(bits)), dtype=np.int32)
    for row, a in enumerate(bits.tolist()):
        for column, b in enumerate(bits[row:].tolist(), start=row):
            if metric == "cosine":
                root = isqrt(p * p * a * b - 1) + 1
                fewest = -(-root // q)
            else:
                fewest = -(-p * (a + b) // (p + q))
            least[row, column] = fewest
    return least


def similarity_of(a: np.ndarray, b: np.ndarray, common: np.ndarray, metric: str) -> np.ndarray:
    """Give the similarity as float64, the same number for the same fraction.

    The root is drawn last: c^2 / (a b) of equal fractions rounds to equal numbers, c / sqrt(a b) may not.
    """
    if metric == "cosine":
        return np.sqrt(common * common / (a * b))
    return common / (a + b - common)


class _NumpyTable:
    """The native ``BitTable`` in numpy, a block of rows at a time."""

    def __init__(self, rows: np.ndarray) -> None:
        bits = np.bitwise_count(rows).sum(axis=1, dtype=np.int64)
        order = np.argsort(bits, kind="stable")
        self._order = order[bits[order] > 0]
        self._bits = bits[self._order]
        self.group_bits, self._group = np.unique(self._bits, return_inverse=True)
        self._unpacked = np.unpackbits(rows[self._order], axis=1).astype(np.float32)
        self.num_tiles = -(-len(self._order) // _BLOCK)

    def scan(
        self, least: np.ndarray, begin: int, end: int, num_threads: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compare the rows of some blocks with all after them; the float32 product is exact below 2^24."""
        del num_threads  # the matrix product brings its own
        found = []
        for tile in range(begin, end):
            first = tile * _BLOCK
            common = self._unpacked[first : first + _BLOCK] @ self._unpacked[first:].T
            needed = least[self._group[first : first + _BLOCK, None], self._group[None, first:]]
            row, column = np.nonzero(np.triu(common >= needed, k=1))
            a, b = self._order[first + row], self._order[first + column]
            found.append((np.minimum(a, b), np.maximum(a, b), common[row, column].astype(np.int64)))
        i, j, shared = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return i, j, shared
