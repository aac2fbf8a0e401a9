"""Similar pairs of dense rows: a float32 product finds candidates with a proven margin, float64 decides.

The margin. Let u be a row divided by its norm in float64 and rounded to float32: each entry is off by at most
e = 2^-24 of itself (and 2^-150 where it is subnormal), so a product of two such rows is off by at most
2 e + e^2 plus the norms' own rounding, below 3 e in all. Summing d products in float32, in any order and with
or without fused operations, adds at most g |u| |v|, g = d e / (1 - d e) (Higham 2002, "Accuracy and Stability
of Numerical Algorithms", section 3.1). So a pair whose cosine is at least t has a float32 product of at least
t - (d + 8) e / (1 - d e), and what is below can be left out. Pairs whose float64 cosine is within its own
rounding of t are decided in exact arithmetic.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from infoalign_dgl.context._pair_store import PairStore

_BLOCK = 2048
_CANDIDATES = 2048  # pairs scored at once: two gathers of that many float64 rows
_UNIT32 = 2.0**-24
_UNIT64 = 2.0**-53


def search(
    rows: np.ndarray,
    threshold: Fraction,
    store: PairStore,
    *,
    num_threads: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Add all pairs of float32 ``rows`` (n, d) whose cosine is at least ``threshold`` to ``store``.

    Raises
    ------
    GraphError
        If a value is not finite.
    """
    squares = _squared_norms(rows)
    present = np.flatnonzero(squares > 0)
    unit = np.empty((len(present), rows.shape[1]), dtype=np.float32)
    for begin in range(0, len(present), _BLOCK):
        block = present[begin : begin + _BLOCK]
        unit[begin : begin + _BLOCK] = rows[block].astype(np.float64) / np.sqrt(squares[block])[:, None]
    dim = rows.shape[1]
    margin = (dim + 8) * _UNIT32 / (1 - dim * _UNIT32)
    starts = range(0, len(present), _BLOCK)
    total, done = len(starts) * (len(starts) + 1) // 2, 0
    with _Product(num_threads) as product:
        for row_start in starts:
            for column_start in starts[row_start // _BLOCK :]:
                least = max(float(threshold), store.least_useful) - margin
                row, column = product(unit, row_start, column_start, least)
                i, j = present[row_start + row], present[column_start + column]
                for begin in range(0, len(i), _CANDIDATES):
                    part = slice(begin, begin + _CANDIDATES)
                    store.add(*_decide(rows, squares, i[part], j[part], threshold))
                done += 1
                if progress is not None:
                    progress(done, total)


def _squared_norms(rows: np.ndarray) -> np.ndarray:
    """Give (n,) float64 squared norms; a row whose norm is not a number is an error."""
    squares = np.empty(len(rows), dtype=np.float64)
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK].astype(np.float64)
        squares[begin : begin + _BLOCK] = np.einsum("ij,ij->i", block, block)
    if not np.isfinite(squares).all():
        row = int(np.argmax(~np.isfinite(squares)))
        raise GraphError(f"'rows' must be finite, but row {row} is not: impute or drop it")
    return squares


class _Product:
    """Blocks of the float32 product, through torch where it is installed (it is faster) or numpy."""

    def __init__(self, num_threads: int) -> None:
        self._torch: Any = None
        if importlib.util.find_spec("torch") is not None:
            import torch

            self._torch = torch
        self._threads = num_threads

    def __enter__(self) -> _Product:
        if self._torch is not None:
            # The margin is proven for float32: a caller's leave to use less must not reach this product.
            self._before = (self._torch.get_num_threads(), self._torch.get_float32_matmul_precision())
            self._torch.set_num_threads(self._threads)
            self._torch.set_float32_matmul_precision("highest")
        return self

    def __exit__(self, *_: object) -> None:
        if self._torch is not None:
            self._torch.set_num_threads(self._before[0])
            self._torch.set_float32_matmul_precision(self._before[1])

    def __call__(
        self, unit: np.ndarray, row_start: int, column_start: int, least: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the pairs of two blocks, row before column, whose product is at least ``least``."""
        left, right = unit[row_start : row_start + _BLOCK], unit[column_start : column_start + _BLOCK]
        if self._torch is not None:
            with self._torch.inference_mode():
                near = self._torch.mm(self._torch.from_numpy(left), self._torch.from_numpy(right).T) >= least
                row, column = (at.numpy() for at in near.nonzero(as_tuple=True))
        else:
            row, column = np.nonzero(left @ right.T >= np.float64(least))
        if row_start == column_start:
            before = row < column
            return row[before], column[before]
        return row, column


def _decide(
    rows: np.ndarray, squares: np.ndarray, i: np.ndarray, j: np.ndarray, threshold: Fraction
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score candidates in float64 and keep those at or above the threshold."""
    dots = np.einsum("ij,ij->i", rows[i].astype(np.float64), rows[j].astype(np.float64))
    similarity = np.minimum(dots / np.sqrt(squares[i] * squares[j]), 1.0)
    keep = similarity >= float(threshold)
    rounding = 4 * (rows.shape[1] + 4) * _UNIT64
    for at in np.flatnonzero(np.abs(similarity - float(threshold)) <= rounding):
        keep[at] = _reaches(rows[i[at]], rows[j[at]], threshold)
    return i[keep], j[keep], similarity[keep]


def _reaches(left: np.ndarray, right: np.ndarray, threshold: Fraction) -> bool:
    """Decide x.y >= t |x| |y| for t > 0 without rounding: floats are integers times a power of two."""
    x, y = _as_integers(left), _as_integers(right)
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    squares = sum(a * a for a in x) * sum(b * b for b in y)
    return dot > 0 and (dot * threshold.denominator) ** 2 >= threshold.numerator**2 * squares


def _as_integers(row: np.ndarray) -> list[int]:
    """Give a row times the power of two that makes all of it integers; a cosine does not see the factor."""
    mantissa, exponent = np.frexp(row.astype(np.float64))
    used = exponent[row != 0]
    lowest = int(used.min()) if len(used) else 0
    scaled = (mantissa * 2**24).astype(np.int64).tolist()
    return [m << (e - lowest) if m else 0 for m, e in zip(scaled, exponent.tolist(), strict=True)]
