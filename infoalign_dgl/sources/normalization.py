"""Normalization of profiles against control wells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from infoalign_dgl import _spill

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_CONTROLS = 2  # the deviation of a single control is 0 in every column
_TO_DEVIATION = 1.4826  # median absolute deviation to standard deviation, for normal data


def robust_mad(
    values: np.ndarray, controls: np.ndarray, groups: Sequence[str | None] | None = None
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Centre and scale each column by the median and the median absolute deviation of the control rows.

    Parameters
    ----------
    values : np.ndarray
        Shape (rows, d), float; NaN and infinite entries are missing.
    controls : np.ndarray
        Shape (rows,), bool: the rows that are control wells.
    groups : sequence of (str or None), optional
        Each row's plate: a plate's rows are compared with its own controls. None: all with all.

    Returns
    -------
    normalized : np.ndarray
        Shape (rows, d), float64: (x - median) / (1.4826 MAD); NaN where x is missing, where the column's
        controls do not differ (their MAD is 0), and in rows without controls.
    without_controls : np.ndarray
        Shape (rows,), bool: rows of a group with fewer than ``MIN_CONTROLS`` controls, and rows of no group.
    flat : dict of str to int
        By group (``""`` where there are none), in how many columns the controls do not differ; groups
        without such columns are left out.

    Notes
    -----
    Equal to ``RobustMAD`` of pycytominer, except where the MAD is 0: that one divides by 1e-18.
    """
    names = np.array([""] * len(values) if groups is None else [g or "" for g in groups], object)
    members = {}
    without = np.ones(len(values), bool)
    for name in sorted(set(names)):
        rows = names == name
        if (rows & controls).sum() >= MIN_CONTROLS and (groups is None or name):
            members[name] = np.flatnonzero(rows), np.flatnonzero(rows & controls)
            without[rows] = False
    normalized = _spill.empty(values.shape, by_column=True)
    flat: dict[str, int] = {}
    for part in _spill.column_parts(values):
        block = np.array(values[:, part], np.float64)
        block[np.isinf(block)] = np.nan
        result = np.full_like(block, np.nan)
        for name, (rows, reference) in members.items():
            median = _median(block[reference])
            spread = _TO_DEVIATION * _median(np.abs(block[reference] - median))
            if (spread == 0).any():
                flat[name] = flat.get(name, 0) + int((spread == 0).sum())
            with np.errstate(over="ignore"):  # an overflow is infinite, which counts as missing
                result[rows] = (block[rows] - median) / np.where(spread > 0, spread, np.nan)
        normalized[:, part] = result
        _spill.release(normalized)
    return normalized, without, flat


def _median(values: np.ndarray) -> np.ndarray:
    """Medians of the columns, missing entries left aside; NaN where all are missing."""
    return pd.DataFrame(values).median().to_numpy(np.float64)
