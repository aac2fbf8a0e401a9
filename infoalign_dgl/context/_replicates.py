"""Rows of one molecule or gene made one profile, whatever the order of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def median_by_owner(values: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reduce the rows of each owner to their median, missing entries left aside.

    Parameters
    ----------
    values : np.ndarray
        Shape (rows, d), float64, NaN where missing.
    owners : np.ndarray
        Shape (rows,), int64.

    Returns
    -------
    medians : np.ndarray
        Shape (owners, d), float64; NaN where all of an owner's entries are missing.
    ids : np.ndarray
        The owners, ascending.
    counts : np.ndarray
        Rows per owner.
    """
    order, ids, starts, counts = _groups(owners)
    medians = values[order[starts]] if len(ids) else np.empty((0, values.shape[1]))
    for count in np.unique(counts[counts > 1]).tolist():  # owners of as many rows at once
        chosen = np.flatnonzero(counts == count)
        group = values[order[starts[chosen, None] + np.arange(count)]]
        group.sort(axis=1)  # NaN last
        present = (~np.isnan(group)).sum(axis=1, keepdims=True)
        low = np.take_along_axis(group, np.maximum(present - 1, 0) // 2, axis=1)[:, 0]
        high = np.take_along_axis(group, np.minimum(present // 2, count - 1), axis=1)[:, 0]
        medians[chosen] = low / 2 + high / 2  # halves first: the sum of two huge values stays finite
    return medians, ids, counts


def mean_by_owner(values: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reduce the rows of each owner to their mean; parameters and results as for :func:`median_by_owner`."""
    order, ids, starts, counts = _groups(owners)
    means = values[order[starts]] if len(ids) else np.empty((0, values.shape[1]))
    for count in np.unique(counts[counts > 1]).tolist():
        chosen = np.flatnonzero(counts == count)
        group = values[order[starts[chosen, None] + np.arange(count)]]
        group.sort(axis=1)  # a sum's order counts
        present = (~np.isnan(group)).sum(axis=1)
        shares = np.nan_to_num(group / np.maximum(present, 1)[:, None])  # the sum of huge values stays finite
        means[chosen] = np.where(present > 0, shares.sum(axis=1), np.nan)
    return means, ids, counts


def at_strongest_dose(owners: np.ndarray, doses: np.ndarray) -> np.ndarray:
    """Which rows are at the largest dose of their owner, shape (rows,), bool.

    Parameters
    ----------
    owners : np.ndarray
        Shape (rows,), int64.
    doses : np.ndarray
        Shape (rows,), float64, NaN where unknown: such rows count only where no dose of the owner is known.
    """
    ids, position = np.unique(owners, return_inverse=True)
    known = np.where(np.isnan(doses), -np.inf, doses)
    largest = np.full(len(ids), -np.inf)
    np.maximum.at(largest, position, known)
    return known == largest[position]


def canonical_order(owners: np.ndarray, labels: Sequence[np.ndarray], digests: Sequence[bytes]) -> np.ndarray:
    """Order rows by owner, then labels, then digests of their values: shape (rows,), int64."""
    keys = list(zip(owners.tolist(), *labels, digests, strict=True))
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def joined_labels(owners: np.ndarray, labels: np.ndarray) -> list[str]:
    """Return for each owner, ascending, the different labels of its rows, sorted and joined by ``;``."""
    order, _, starts, counts = _groups(owners)
    groups = (labels[order[start : start + count]] for start, count in zip(starts, counts, strict=True))
    return [";".join(sorted({label for label in group if label})) for group in groups]


def _groups(owners: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows sorted by owner, the owners, and where each one's rows start and how many there are."""
    order = np.argsort(owners, kind="stable")
    return (order, *np.unique(owners[order], return_index=True, return_counts=True))
