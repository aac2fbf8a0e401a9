"""Columns of a feature space: heavy tails clipped, near-constant and repeated ones found."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl import _spill

if TYPE_CHECKING:
    from collections.abc import Sequence

FREQUENCY_CUT = 0.05  # pycytominer's: second most frequent value over the most frequent one


def clip_tails(values: np.ndarray, quantile: float) -> tuple[np.ndarray, int]:
    """Set each column's values beyond its outer quantiles to the nearest value within.

    Parameters
    ----------
    values : np.ndarray
        Shape (rows, d), float64, NaN where missing.
    quantile : float
        In (0.5, 1); 1 - quantile is cut at the other end.

    Returns
    -------
    clipped : np.ndarray
        Shape (rows, d). The bounds are values that the column has, so that no more of its values change than
        the quantile says: fewer than 1 / (1 - quantile) values are left as they are.
    count : int
        How many entries changed.
    """
    if not len(values):
        return values, 0
    ordered = np.sort(values, axis=0)  # NaN last
    last = np.maximum((~np.isnan(values)).sum(axis=0) - 1, 0)
    slack = 1e-9  # (1 - 0.9) * 10 is 0.999... in binary
    first = np.floor((1 - quantile) * last + slack).astype(np.int64)
    low = np.take_along_axis(ordered, first[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.ceil(quantile * last - slack).astype(np.int64)[None], axis=0)[0]
    outside = (values < low) | (values > high)
    return np.clip(values, low, high), int(outside.sum())


def near_constant(values: np.ndarray) -> np.ndarray:
    """Which columns have hardly more than one value, shape (d,), bool.

    Those whose second most frequent value is less than 0.05 times as frequent as the most frequent one, as
    in ``frequency_threshold`` of pycytominer; a constant column is among them.
    """
    found = np.zeros(values.shape[1], bool)
    for part in _spill.column_parts(values):
        for column in range(part.start, part.stop):
            counts = np.sort(np.unique(values[:, column], return_counts=True)[1])[::-1]
            found[column] = len(counts) < 2 or counts[1] / counts[0] < FREQUENCY_CUT
    return found


def repeated(values: np.ndarray, columns: Sequence[str]) -> dict[str, str]:
    """Columns with the very values of another: each with the one, first by name, that it repeats."""
    digests: list[bytes] = []
    for part in _spill.column_parts(values):
        for column in range(part.start, part.stop):  # + 0.0: -0.0 is 0.0
            digests.append(hashlib.blake2b((values[:, column] + 0.0).tobytes()).digest())
    first: dict[bytes, str] = {}
    found = {}
    for name, digest in sorted(zip(columns, digests, strict=True)):
        original = first.setdefault(digest, name)
        if original != name:
            found[name] = original
    return found
