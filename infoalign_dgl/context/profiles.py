"""Profiles to feature spaces: tables joined, replicates aggregated, gaps settled, values scaled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from infoalign_dgl import _spill
from infoalign_dgl.context._columns import clip_tails, near_constant, repeated
from infoalign_dgl.context._replicates import (
    at_strongest_dose,
    canonical_order,
    joined_labels,
    mean_by_owner,
    median_by_owner,
)
from infoalign_dgl.context.spaces import (
    MAX_MISSING_SHARE,
    FeatureSpace,
    Settled,
    scaled_space,
    settle_missing,
)
from infoalign_dgl.sources.rows import LABELS, NO_RULES, SpaceRules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infoalign_dgl.sources.rows import Flaw, TableAccount

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
    labels: dict[str, np.ndarray] = field(default_factory=dict)  # of LABELS: each row's text or None
    rules: SpaceRules = NO_RULES


@dataclass(frozen=True)
class Aggregated:
    """One feature space before scaling: one complete row per owner, or several where replicates are kept.

    Parameters
    ----------
    name, node_type : str
        As in :class:`~infoalign_dgl.context.spaces.FeatureSpace`.
    settled : Settled
        Raw values, shape (profiles, d), complete.
    owners : np.ndarray
        Shape (profiles,), local ids of the measured molecules or genes, ascending, int64.
    replicates : np.ndarray
        Rows aggregated for each profile, int64.
    report : dict
        What was done to the space, for ``build_report.json``.
    labels : pandas.DataFrame
        Where each profile was measured: table, batch, plate, well and dose as text, several joined by ``;``,
        empty where unknown.
    """

    name: str
    node_type: str
    settled: Settled
    owners: np.ndarray
    replicates: np.ndarray
    report: dict[str, Any]
    labels: pd.DataFrame


def aggregate_spaces(tables: Sequence[Measured], warnings: list[str]) -> list[Aggregated]:
    """Join tables into feature spaces and reduce each owner's rows, by default to their median.

    Parameters
    ----------
    tables : sequence of Measured
        In any order: a space has the columns of its table with the most, and others join that have 95 % of
        them. Rows without any finite feature are counted as dropped, others as used.
    warnings : list of str
        Gets a sentence for each space that nothing remains of, and for each table that could not join.

    Returns
    -------
    list of Aggregated
        Sorted by name.
    """
    joined: dict[str, list[Measured]] = {}
    wanted = {table.space for table in tables}
    for table in sorted(tables, key=_widest_first):
        name = _space_of(table, joined, wanted, warnings)
        joined.setdefault(name, []).append(table)
    spaces = []
    for name in sorted(joined):
        space = _aggregate(name, joined[name], warnings)
        if space.settled.values.size == 0:
            warnings.append(f"feature space '{name}' has no usable profile or column and was left out")
        else:
            spaces.append(space)
    return spaces


def _widest_first(table: Measured) -> tuple[int, list[str], str]:
    """Order in which tables found and join spaces, which is not that of the spec."""
    return -len(table.columns), sorted(table.columns), table.account.table


def _space_of(
    table: Measured, joined: dict[str, list[Measured]], wanted: set[str], warnings: list[str]
) -> str:
    """Name of the space a table joins: the one it asks for, unless it lacks too many of its columns."""
    name, number, lacking = table.space, 1, ""
    while name in joined:
        columns = joined[name][0].columns
        shared = len(set(columns) & set(table.columns)) / len(columns)
        if shared >= MIN_SHARED_COLUMNS:
            break
        lacking = lacking or f"{shared:.1%} of the columns of feature space '{name}'"
        number += 1
        while (name := f"{table.space}-{number}") in wanted:
            number += 1
    if lacking:
        warnings.append(
            f"'{table.account.table}' has {lacking} (it needs {MIN_SHARED_COLUMNS:.0%}) and became feature "
            f"space '{name}'"
        )
    return name


def _aggregate(name: str, tables: list[Measured], warnings: list[str]) -> Aggregated:
    columns = sorted(tables[0].columns)  # whatever their order in the file, the graph is the same
    rules = _rules(tables)
    joined, infinite = _joined(name, tables, columns, rules, warnings)
    reduced = _reduction(joined, rules)
    profiles = _spill.empty((len(reduced.owners), len(columns)), by_column=True)
    clipped = 0
    # A few columns at a time: whatever is done to profiles here is done to each column by itself.
    for part in _spill.parts(len(columns), 8 * len(joined.owners)):
        values = reduced.reduce(joined.columns(part))
        if rules.clip is not None:
            values, count = clip_tails(values, rules.clip)
            clipped += count
        profiles[:, part] = values
        _spill.release(profiles)
    max_missing = MAX_MISSING_SHARE if rules.max_missing is None else rules.max_missing
    settled = settle_missing(profiles, columns, max_missing=max_missing)
    settled, flaws = _flawed_columns(settled, rules.drop or ())
    extra = {t.account.table: len(set(t.columns) - set(columns)) for t in tables[1:]}
    report = {
        "node_type": tables[0].node_type,
        "tables": [table.account.table for table in tables],
        "rows": len(joined.owners),
        "profiles": len(reduced.owners),
        "aggregate": rules.aggregate,
        "columns": len(settled.columns),
        "dropped_columns": settled.dropped_columns,
        **flaws,
        "columns_not_in_widest_table": {table: count for table, count in extra.items() if count},
        "infinite_values": infinite,
        "clip": rules.clip,
        "clipped_values": clipped,
        "imputed_values": settled.num_imputed,
    }
    return Aggregated(
        name, tables[0].node_type, settled, reduced.owners, reduced.replicates, report, reduced.labels
    )


def _rules(tables: list[Measured]) -> SpaceRules:
    """Return what the tables of a space say, which the spec lets them say once."""

    def said(rule: str) -> Any:
        return next((found for t in tables if (found := getattr(t.rules, rule)) is not None), None)

    rules = SpaceRules(**{field.name: said(field.name) for field in fields(SpaceRules)})
    return replace(rules, aggregate=rules.aggregate or "median")


@dataclass(frozen=True)
class _Joined:
    """The usable rows of a space's tables, one table after the other.

    ``places`` says for each table where the space's columns are, -1 for one that it lacks; ``usable`` which
    of its rows are used.
    """

    tables: list[Measured]
    places: list[np.ndarray]
    usable: list[np.ndarray]

    @cached_property
    def owners(self) -> np.ndarray:
        """Shape (rows,), int64."""
        return np.concatenate([t.owners[keep] for t, keep in zip(self.tables, self.usable, strict=True)])

    def columns(self, part: slice) -> np.ndarray:
        """Return some of the space's columns, shape (rows, columns), float64, NaN where missing: a copy."""
        values = np.concatenate(
            [
                _columns(table, place[part])[keep]
                for table, place, keep in zip(self.tables, self.places, self.usable, strict=True)
            ]
        )
        values[np.isinf(values)] = np.nan
        return values

    def labels(self, label: str) -> np.ndarray:
        """Return one of ``LABELS`` or the table of each row, shape (rows,), text, empty where unknown."""
        found = [
            np.array([value or "" for value in table.labels[label][keep]], object)
            if label in table.labels
            else np.full(int(keep.sum()), table.account.table if label == "table" else "", object)
            for table, keep in zip(self.tables, self.usable, strict=True)
        ]
        return np.concatenate(found)


def _joined(
    name: str, tables: list[Measured], columns: list[str], rules: SpaceRules, warnings: list[str]
) -> tuple[_Joined, int]:
    """Join the tables' usable rows; count these as used, others as dropped, and infinite entries."""
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
        usable.append(finite)
    joined = _Joined(tables, places, usable)
    if rules.aggregate == "strongest-dose":
        joined = _at_strongest_dose(name, joined, warnings)
    for table, keep in zip(tables, joined.usable, strict=True):
        table.account.used += int(keep.sum())
    return joined, infinite


def _columns(table: Measured, place: np.ndarray) -> np.ndarray:
    """Give the columns at these places, NaN where the place is -1: a copy."""
    values = np.full((len(table.values), len(place)), np.nan)
    values[:, place >= 0] = table.values[:, place[place >= 0]]
    _spill.release(table.values)
    return values


def _at_strongest_dose(name: str, joined: _Joined, warnings: list[str]) -> _Joined:
    """Leave only rows at the largest dose of their molecule; the others are counted as dropped."""
    told = pd.Series(joined.labels("dose"), dtype=object)
    doses = pd.to_numeric(told, errors="coerce")
    strange = told[(told != "") & doses.isna()]
    if len(strange):
        warnings.append(
            f"{len(strange):,} of {len(told):,} rows of feature space '{name}' have a dose that is no "
            f"number, such as '{strange.iloc[0]}', and count as rows of unknown dose"
        )
    strongest = at_strongest_dose(joined.owners, doses.to_numpy(np.float64))
    kept = []
    for table, usable in zip(joined.tables, joined.usable, strict=True):
        mine, strongest = strongest[: usable.sum()], strongest[usable.sum() :]
        keep = usable.copy()
        keep[usable] = mine
        weaker = usable & ~keep
        details = table.labels["dose"][weaker] if "dose" in table.labels else None
        table.account.drop_all("below its molecule's strongest dose", table.numbers[weaker], details)
        kept.append(keep)
    return replace(joined, usable=kept)


@dataclass(frozen=True)
class _Reduction:
    """How a space's rows become profiles: whose each is, of how many rows, and some of their columns."""

    owners: np.ndarray
    replicates: np.ndarray
    labels: pd.DataFrame
    reduce: Callable[[np.ndarray], np.ndarray]


def _reduction(joined: _Joined, rules: SpaceRules) -> _Reduction:
    labels = {label: joined.labels(label) for label in ("table", *LABELS)}
    owners = joined.owners
    if rules.aggregate == "keep":
        order = canonical_order(owners, list(labels.values()), _digests(joined))
        kept = pd.DataFrame({label: found[order] for label, found in labels.items()})
        return _Reduction(owners[order], np.ones(len(order), np.int64), kept, lambda rows: rows[order])
    by_owner = mean_by_owner if rules.aggregate == "mean" else median_by_owner
    ids, replicates = np.unique(owners, return_counts=True)
    told = pd.DataFrame({k: joined_labels(owners, found) for k, found in labels.items()})
    return _Reduction(ids, replicates, told, lambda rows: by_owner(rows, owners)[0])


def _digests(joined: _Joined) -> list[bytes]:
    """Return a digest of each row's values, which does not depend on how many columns are read at once."""
    found = [hashlib.blake2b(digest_size=16) for _ in joined.owners]
    for part in _spill.parts(len(joined.places[0]), 8 * len(found)):
        for digest, row in zip(found, joined.columns(part) + 0.0, strict=True):  # + 0.0: -0.0 is 0.0
            digest.update(row.tobytes())
    return [digest.digest() for digest in found]


def _flawed_columns(settled: Settled, drop: Sequence[Flaw]) -> tuple[Settled, dict[str, Any]]:
    """Find near-constant and repeated columns, and drop those whose flaw the spec names."""
    same = repeated(settled.values, settled.columns)
    constant = near_constant(settled.values)
    flaws = {
        "near-constant": [settled.columns[column] for column in np.flatnonzero(constant)],
        "duplicated": list(same),
    }
    gone = {column for flaw in drop for column in flaws[flaw]}
    if gone:
        keep = [place for place, column in enumerate(settled.columns) if column not in gone]
        values = _spill.empty((len(settled.values), len(keep)), by_column=True)
        for place, column in enumerate(keep):
            values[:, place] = settled.values[:, column]
        settled = replace(settled, values=values, columns=[settled.columns[place] for place in keep])
    report = {
        "near_constant_columns": flaws["near-constant"],
        "duplicated_columns": same,
        "columns_dropped_for_flaws": len(gone),
    }
    return settled, report


def profile_nodes(spaces: Sequence[Aggregated], molecule_keys: Sequence[str]) -> pd.DataFrame:
    """Table of profile nodes, by space and then by molecule.

    Its columns are key, molecule (its key), space, replicates, and where they were measured: table, batch,
    plate, well, dose. The keys of a molecule's profiles after its first end in ``#2``, ``#3`` and so on.
    """
    names = ("key", "molecule", "space", "replicates", "table", *LABELS)
    parts = []
    for space in spaces:
        molecules = [molecule_keys[owner] for owner in space.owners]
        number = pd.Series(space.owners).groupby(space.owners).cumcount() + 1
        part = pd.DataFrame({"molecule": molecules, "space": space.name, "replicates": space.replicates})
        part["key"] = [
            f"{space.name}:{molecule}" + (f"#{n}" if n > 1 else "")
            for molecule, n in zip(molecules, number, strict=True)
        ]
        parts.append(pd.concat([part, space.labels], axis=1)[list(names)])
    if not parts:
        kinds = dict.fromkeys(names, object) | {"replicates": np.int64}
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    return pd.concat(parts, ignore_index=True)


def finish_space(space: Aggregated, nodes: np.ndarray, num_nodes: int, *, float16: bool) -> FeatureSpace:
    """Scale a space for the nodes (local ids, one per row) that carry it."""
    node_rows = np.full(num_nodes, -1, np.int64)
    node_rows[nodes] = np.arange(len(nodes))
    finished, constant = scaled_space(space.name, space.node_type, space.settled, node_rows, float16=float16)
    space.report["constant_columns"] = constant
    return finished
