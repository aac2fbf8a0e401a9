"""Profiles to feature spaces: tables joined, replicates aggregated, gaps settled, values scaled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
    parts, owners = [], []
    infinite = 0
    for table in tables:
        found = pd.Index(table.columns).get_indexer(pd.Index(columns))
        values = np.where(found >= 0, table.values[:, found], np.nan)
        infinite += int(np.isinf(values).sum())
        values[np.isinf(values)] = np.nan
        usable = ~np.isnan(values).all(axis=1)
        table.account.drop_all("no finite feature", table.numbers[~usable])
        table.account.used += int(usable.sum())
        parts.append(values[usable])
        owners.append(table.owners[usable])
    values, ids, replicates = median_by_owner(np.concatenate(parts), np.concatenate(owners))
    settled = settle_missing(values, columns)
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
    for i in np.flatnonzero(counts > 1):
        group = np.sort(values[order[starts[i] : starts[i] + counts[i]]], axis=0)  # NaN last
        present = (~np.isnan(group)).sum(axis=0)
        low = np.take_along_axis(group, np.maximum(present - 1, 0)[None] // 2, axis=0)[0]
        high = np.take_along_axis(group, np.minimum(present // 2, len(group) - 1)[None], axis=0)[0]
        medians[i] = low / 2 + high / 2  # halves first: the sum of two huge values stays finite
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
