"""Similar pairs of dense rows: a short product of low precision finds candidates, float64 decides.

What the product may miss is proven in :mod:`infoalign_dgl.context._prefilter`: nothing. Pairs whose float64
cosine is within its own rounding of the threshold are decided in exact arithmetic.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.context._prefilter import Arithmetic, Prefilter
from infoalign_dgl.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from infoalign_dgl.context._pair_store import PairStore

_SCORED = 512  # pairs scored at once: two gathers of that many rows, small enough for a cache
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
    adding = Lock()
    with Arithmetic(num_threads) as arithmetic:
        prefilter = Prefilter(rows, squares, float(threshold), arithmetic)

        def add_pairs(blocks: tuple[int, int]) -> None:
            for i, j in prefilter.candidates(*blocks, max(float(threshold), store.least_useful)):
                for begin in range(0, len(i), _SCORED):
                    part = slice(begin, begin + _SCORED)
                    decided = _decide(rows, squares, i[part], j[part], threshold)
                    with adding:
                        store.add(*decided)

        blocks = prefilter.block_pairs
        for done, _ in enumerate(arithmetic.map(add_pairs, blocks), start=1):
            if progress is not None:
                progress(done, len(blocks))


def _squared_norms(rows: np.ndarray) -> np.ndarray:
    """Give (n,) float64 squared norms; a row whose norm is not a number is an error."""
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    if not np.isfinite(squares).all():
        row = int(np.argmax(~np.isfinite(squares)))
        raise GraphError(f"'rows' must be finite, but row {row} is not: impute or drop it")
    return squares


def _decide(
    rows: np.ndarray, squares: np.ndarray, i: np.ndarray, j: np.ndarray, threshold: Fraction
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score candidates in float64 and keep those at or above the threshold."""
    dots = np.einsum("ij,ij->i", rows[i], rows[j], dtype=np.float64)
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
