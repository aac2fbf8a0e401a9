"""Profiles to feature spaces: tables joined, replicates aggregated, gaps settled, values scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from infoalign_dgl import _spill
from infoalign_dgl.context.spaces import FeatureSpace, Settled, scaled_space, settle_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.sources.rows import TableAccount

MIN_SHARED_COLUMNS = 0.95  # of a space's columns that a table needs to join it


@dataclass(frozen=True)
class Measured:
    """One table's profiles, each with the node (molecule or gene, by local id) that it measures."""

    account: TableAccount
    node_type: str
    space: str
    columns: list[str]
    values: np.ndarray
    owners: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True)
class Aggregated:
    """One feature space before scaling: one complete row per owner.

    Parameters
    ----------
    name, node_type : str
        As in :class:`~infoalign_dgl.context.spaces.FeatureSpace`.
    settled : Settled
        Raw values, shape (owners, d), complete.
    owners : np.ndarray
        Local ids of the measured molecules or genes, ascending, int64.
    replicates : np.ndarray
        Rows aggregated for each owner, int64.
    report : dict
        What was done to the space, for ``build_report.json``.
    """

    name: str
    node_type: str
    settled: Settled
    owners: np.ndarray
    replicates: np.ndarray
    report: dict[str, Any]


def aggregate_spaces(tables: Sequence[Measured], warnings: list[str]) -> list[Aggregated]:
    """Join tables into feature spaces and reduce each owner's rows to their median.

    Parameters
    ----------
    tables : sequence of Measured
        In the order of the spec. Rows without any finite feature are counted as dropped, others as used.
    warnings : list of str
        Gets a sentence for each space that nothing remains of, and for each table that could not join.

    Returns
    -------
    list of Aggregated
        Sorted by name.
    """
    joined: dict[str, list[Measured]] = {}
    for table in tables:
        name = _space_of(table, joined, warnings)
        joined.setdefault(name, []).append(table)
    spaces = []
    for name in sorted(joined):
        space = _aggregate(name, joined[name])
        if space.settled.values.size == 0:
            warnings.append(f"feature space '{name}' has no usable profile or column and was left out")
        else:
            spaces.append(space)
    return spaces


def _space_of(table: Measured, joined: dict[str, list[Measured]], warnings: list[str]) -> str:
    """Name of the space a table joins: the one it asks for, unless it lacks too many of its columns."""
    if table.space not in joined:
        return table.space
    wanted = joined[table.space][0].columns
    shared = len(set(wanted) & set(table.columns)) / len(wanted)
    if shared >= MIN_SHARED_COLUMNS:
        return table.space
    number = 2
    while f"{table.space}-{number}" in joined:
        number += 1
    own = f"{table.space}-{number}"
    warnings.append(
        f"'{table.account.table}' has {shared:.1%} of the columns of feature space '{table.space}' "
        f"(it needs {MIN_SHARED_COLUMNS:.0%}) and became feature space '{own}'"
    )
    return own


def _aggregate(name: str, tables: list[Measured]) -> Aggregated:
    columns = tables[0].columns
    places = [pd.Index(table.columns).get_indexer(pd.Index(columns)) for table in tables]
    usable = []
    infinite = 0
    for table, place in zip(tables, places, strict=True):
        finite = np.zeros(len(table.values), bool)
        for part in _spill.parts(len(place), 8 * len(finite)):
            values = _columns(table, place[part])
            infinite += int(np.isinf(values).sum())
            finite |= np.isfinite(values).any(axis=1)
        table.account.drop_all("no finite feature", table.numbers[~finite])
        table.account.used += int(finite.sum())
        usable.append(finite)
    owners = np.concatenate([table.owners[keep] for table, keep in zip(tables, usable, strict=True)])
    ids, replicates = np.unique(owners, return_counts=True)
    medians = _spill.empty((len(ids), len(columns)), by_column=True)
    # A few columns at a time: whatever is done to profiles here is done to each column by itself.
    for part in _spill.parts(len(columns), 8 * len(owners)):
        stacked = [
            _columns(table, place[part])[keep]
            for table, place, keep in zip(tables, places, usable, strict=True)
        ]
        values = np.concatenate(stacked)
        values[np.isinf(values)] = np.nan
        medians[:, part] = median_by_owner(values, owners)[0]
        _spill.release(medians)
    settled = settle_missing(medians, columns)
    extra = {t.account.table: len(set(t.columns) - set(columns)) for t in tables[1:]}
    report = {
        "node_type": tables[0].node_type,
        "tables": [table.account.table for table in tables],
        "rows": int(replicates.sum()),
        "profiles": len(ids),
        "columns": len(settled.columns),
        "dropped_columns": settled.dropped_columns,
        "columns_not_in_first_table": {table: count for table, count in extra.items() if count},
        "infinite_values": infinite,
        "imputed_values": settled.num_imputed,
    }
    return Aggregated(name, tables[0].node_type, settled, ids, replicates, report)


def _columns(table: Measured, place: np.ndarray) -> np.ndarray:
    """Give the columns at these places, NaN where the place is -1: a copy."""
    values = np.full((len(table.values), len(place)), np.nan)
    values[:, place >= 0] = table.values[:, place[place >= 0]]
    _spill.release(table.values)
    return values


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
    order = np.argsort(owners, kind="stable")
    ids, starts, counts = np.unique(owners[order], return_index=True, return_counts=True)
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


def profile_nodes(spaces: Sequence[Aggregated], molecule_keys: Sequence[str]) -> pd.DataFrame:
    """Table of profile nodes, by space and then by molecule: key, molecule (its key), space, replicates."""
    parts = [
        pd.DataFrame(
            {
                "key": [f"{space.name}:{molecule_keys[owner]}" for owner in space.owners],
                "molecule": [molecule_keys[owner] for owner in space.owners],
                "space": space.name,
                "replicates": space.replicates,
            }
        )
        for space in spaces
    ]
    if not parts:
        empty = {"key": object, "molecule": object, "space": object, "replicates": np.int64}
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in empty.items()})
    return pd.concat(parts, ignore_index=True)


def finish_space(space: Aggregated, nodes: np.ndarray, num_nodes: int, *, float16: bool) -> FeatureSpace:
    """Scale a space for the nodes (local ids, one per row) that carry it."""
    node_rows = np.full(num_nodes, -1, np.int64)
    node_rows[nodes] = np.arange(len(nodes))
    finished, constant = scaled_space(space.name, space.node_type, space.settled, node_rows, float16=float16)
    space.report["constant_columns"] = constant
    return finished
