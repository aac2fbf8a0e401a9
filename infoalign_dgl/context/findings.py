"""What a check finds: above all what it says of the rows and columns that a build would leave out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.identity import NO_STRUCTURE
from infoalign_dgl.context.recognition.spec_text import toml_value
from infoalign_dgl.context.sections.profiles import AgainstControls, MoleculeProfiles
from infoalign_dgl.sources.rows import MAX_LISTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infoalign_dgl.context.profiles import Aggregated
    from infoalign_dgl.context.sections.base import Table
    from infoalign_dgl.sources.rows import TableAccount

LISTED = 5  # rows or columns of a kind that a sentence names

_MIN_CONTROL_ROWS = 3  # rows of one unknown id that may be control wells

# Reasons for which rows are left out as the spec asks.
_ASKED = ("no other table refers to it", "control well", "below its molecule's strongest dose")
# By how a reason begins: the keys whose column it is about, and what to do.
_ADVICE: dict[str, tuple[tuple[str, ...], str]] = {
    "structure ": (("smiles", "inchi"), "correct these cells"),
    "no structure": (("smiles", "inchi"), "fill these cells in where the structures are known"),
    "unknown molecule id": (("id", "source"), "check that ids_of names the table that has these ids"),
    NO_STRUCTURE: (("id", "source"), "correct the structure in the table that ids_of names"),
    "no molecule id": (("id",), "fill these cells in"),
    "duplicated id": (("id",), "give each an id of its own"),
    "not an Entrez id": (
        ("gene", "entrez", "source", "target"),
        "give genes by their number in NCBI Gene, such as 1017",
    ),
    "no symbol": (("symbol",), "fill these cells in"),
    "unknown gene": (("gene", "source", "target"), "add them to [[genes]], which lists all genes there are"),
    "no finite feature": ((), "check that 'features' names the measured columns"),
    "no metaedge": (("metaedge",), "fill these cells in"),
    "self-loop": (("source", "target"), "nothing needs doing, since a gene's edge to itself says nothing"),
}
_COLUMN_NOTES = {
    "unknown_genes": "columns that name no known gene, which would be left out",
    "repeated_genes": "columns of a gene that has several, of which the median is taken",
    "columns_without_numbers": "feature columns without any number, which would be left out",
}
_ROW_NOTES = {
    "duplicated_rows": "rows with the very values of an earlier row",
    "outlying_rows": "rows with a value far beyond those of the others",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that a build would leave out.

    Parameters
    ----------
    message : str
        A sentence that says where, what, and what to do.
    file : str or None
        The table's file; None where it is about the spec or a feature space.
    count : int
        Rows, cells or columns that it is about; 1 for what is wrong once.
    rows : list of [int, str or None]
        Some of them, where they are rows or cells: number in the file, and what stands there. The first row
        of each different value comes before the others.
    is_problem : bool
        Whether it stops a build, or leaves nothing of a table.
    """

    message: str
    file: str | None = None
    count: int = 1
    rows: list[list[Any]] = field(default_factory=list)
    is_problem: bool = False


def account_findings(account: TableAccount, table: Table | None, *, whole: bool) -> Iterator[Finding]:
    """Say what of a table would be left out, and why.

    Parameters
    ----------
    account : TableAccount
    table : Table or None
        What the spec says of it.
    whole : bool
        Whether the account is complete: tables were brought together.
    """
    where, file = f"[[{account.kind}]] '{account.table}'", account.table
    unit = "columns" if "row_numbers" in account.notes else "rows"
    asked = {reason: n for reason, n in account.dropped.items() if _is_asked(reason, table)}
    others = {reason: n for reason, n in account.dropped.items() if reason not in asked}
    for reason, count in sorted(others.items()):
        keys, advice = next((tip for start, tip in _ADVICE.items() if reason.startswith(start)), ((), ""))
        columns = [column for key in keys if (column := getattr(table, key, None)) is not None]
        named = f" ({' or '.join(repr(column) for column in columns)})" if columns else ""
        rows = _different_first(account.listed.get(reason, []))[:LISTED]
        advice += _may_be_controls(account.listed.get(reason, []), reason, table)
        message = f"{where} would lose {count:,} of {account.rows:,} {unit}: {reason}{named}"
        yield Finding(f"{message}{_rows(rows, unit)}{advice and ': '}{advice}", file, count, rows)
    if asked:
        merged: dict[str, int] = {}
        for reason, count in sorted(asked.items()):
            name = "metaedges not chosen" if reason.startswith("metaedge ") else reason
            merged[name] = merged.get(name, 0) + count
        named = ", ".join(f"{reason}: {count:,}" for reason, count in merged.items())
        count = sum(asked.values())
        message = f"{where} leaves out {count:,} of {account.rows:,} {unit} as the spec has it ({named})"
        yield Finding(message, file, count)
    if whole and account.rows and not account.used and others:
        reason, count = max(others.items(), key=lambda item: item[1])
        message = (
            f"{where} would contribute nothing: of its {account.rows:,} {unit} {count:,} would be dropped"
        )
        advice = f"with the reason '{reason}': correct the table, or take it out of the spec"
        yield Finding(f"{message}, {advice}", file, account.rows, is_problem=True)
    yield from _noted(account, where)


def space_findings(spaces: Sequence[Aggregated], warnings: Sequence[str]) -> Iterator[Finding]:
    """Say which columns feature spaces would lose, and which tables do not fit theirs."""
    for warning in warnings:
        nothing = "no usable profile or column" in warning
        advice = "check 'features' and how its rows name molecules" if nothing else "name that in the spec"
        yield Finding(f"{warning}: {advice}", is_problem=nothing)
    for space in spaces:
        report = space.report
        where = f"feature space '{space.name}'"
        dropped = report["dropped_columns"]
        if dropped:
            most = sorted(dropped.items(), key=lambda item: -item[1])[:LISTED]
            named = ", ".join(f"'{column}' ({share:.0%})" for column, share in most)
            message = f"{where} would lose {len(dropped):,} columns, of which too many profiles are missing"
            yield Finding(f"{message} ({named}): raise max_missing to keep more", count=len(dropped))
        for table, count in report["columns_not_in_widest_table"].items():
            message = f"{where} has the columns of its widest table, and {count:,} others of '{table}'"
            yield Finding(f"{message} would be left out: give it a 'space' of its own", table, count)
        constant = report["near_constant_columns"]
        if constant:
            message = f"{where} has {len(constant):,} near-constant columns (kept): {_names(constant)}"
            yield Finding(f"{message}: drop = ['near-constant'] leaves them out", count=len(constant))
        infinite = report["infinite_values"]
        if infinite:
            yield Finding(f"{where} has {infinite:,} infinite values, which count as missing", count=infinite)


def _is_asked(reason: str, table: Table | None) -> bool:
    filters = getattr(table, "where_not", {})
    where_not = [f"{column} is {value}" for column, values in filters.items() for value in values]
    metaedge = reason.startswith("metaedge ") and reason.endswith("not chosen")
    return reason in (*_ASKED, *where_not) or metaedge


def _may_be_controls(listed: list[list[Any]], reason: str, table: Table | None) -> str:
    """Say which id most rows of unknown molecules have, if it may be that of control wells."""
    without = ("unknown molecule id", NO_STRUCTURE)
    if reason not in without or not isinstance(table, MoleculeProfiles) or table.id is None:
        return ""
    ((name, count),) = Counter(row_id for _, row_id in listed).most_common(1) or [("", 0)]
    if count < _MIN_CONTROL_ROWS or 2 * count <= len(listed):
        return ""
    of = "them" if len(listed) < MAX_LISTED else f"the first {MAX_LISTED:,}"
    chosen = toml_value({table.id: [name]})
    leaves = f"where_not = {chosen} leaves them out"
    if isinstance(table, AgainstControls):
        measures = f'controls = {chosen} with normalize = "robust-mad" measures the others against them'
        leaves = f"{measures}, and {leaves}"
    return f"; '{name}' has {count:,} of {of}: if these are control wells, {leaves}"


def _noted(account: TableAccount, where: str) -> Iterator[Finding]:
    """Say what the account notes of columns and of suspicious rows."""
    for note, what in _COLUMN_NOTES.items():
        names = account.notes.get(note) or []
        if names:
            message = f"{where} has {len(names):,} {what}: {_names(names)}"
            yield Finding(message, account.table, len(names))
    for note, what in _ROW_NOTES.items():
        count = account.notes.get(note, {}).get("rows", 0)
        if count:
            rows = account.notes[note]["listed"][:LISTED]
            shown = ", ".join(str(row) for row, _ in rows) + (", ..." if count > LISTED else "")
            yield Finding(f"{where} has {count:,} {what} (kept): {shown}", account.table, count, rows)


def _different_first(listed: list[list[Any]]) -> list[list[Any]]:
    """Put the first row of each value before its others, lest one frequent value hides the rare ones."""
    seen: set[str | None] = set()
    first: list[list[Any]] = []
    again: list[list[Any]] = []
    for row in listed:
        (again if row[1] in seen else first).append(row)
        seen.add(row[1])
    return first + again


def _rows(rows: list[list[Any]], unit: str) -> str:
    if not rows:
        return ""
    shown = [f"{number}" + (f" '{_short(detail)}'" if detail else "") for number, detail in rows]
    return f", {unit if len(rows) > 1 else unit[:-1]} {', '.join(shown)}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:LISTED]) + (", ..." if len(names) > LISTED else "")
