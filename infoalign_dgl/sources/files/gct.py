"""GCT, versions 1.2 and 1.3: text with genes as rows and profiles as columns. It is read turned around.

A row of the table is a profile, one column of the file. Its columns are ``cid`` (the profile's id) and the
file's fields on profiles (version 1.3), and one column of numbers per row id (rid). Rows are numbered as the
profiles stand in the file, from 1.

Where the rids are not the gene ids one wants, the fields on rows are a table of their own, of format
``"gct-rows"``: columns ``rid`` and the fields, a row per rid. Listed under ``[[gene_ids]]`` with
``symbol = "rid"`` and ``entrez = "pr_gene_id"``, say, it gives the rids their genes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import UNREADABLE, Cells, open_lines, parse_numbers, take, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_VERSIONS = {"#1.2": 2, "#1.3": 4}  # numbers in the second line
_KINDS_OF_COUNTS = "rows, columns, fields on rows, fields on columns"


@dataclass(frozen=True)
class _Gct:
    """What stands in a file; ``lines`` are those of the matrix, split at tabs."""

    cids: list[str | None]
    fields: dict[str, list[str | None]]  # on profiles
    row_fields: list[str]
    lines: list[list[str]]


def header(path: Path) -> list[str]:
    """Read the names: ``cid``, fields on profiles, row ids."""
    gct = _parse(path)
    return ["cid", *gct.fields, *(line[0] for line in gct.lines)]


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    gct = _parse(path)
    fields = {"cid": gct.cids, **gct.fields}
    rows = {line[0]: line for line in gct.lines}
    first = 1 + len(gct.row_fields)

    def column(name: str) -> list[str | None] | np.ndarray:
        return fields[name] if name in fields else _numbers(rows[name][first:])

    return take(text, numbers, np.arange(1, len(gct.cids) + 1), column)


def header_of_rows(path: Path) -> list[str]:
    """Read the names of the table of rows: ``rid`` and the fields on rows."""
    return ["rid", *_parse(path).row_fields]


def read_rows(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns of the table of rows; its rows are numbered as they stand in the matrix, from 1."""
    gct = _parse(path)
    names = ["rid", *gct.row_fields]
    columns = {name: [_text(line[position]) for line in gct.lines] for position, name in enumerate(names)}
    return take(text, numbers, np.arange(1, len(gct.lines) + 1), columns.__getitem__)


def _text(cell: str) -> str | None:
    return cell.strip() or None


def _numbers(texts: list[str]) -> np.ndarray:
    try:
        return np.array(texts, np.float64)
    except ValueError:  # some cell is empty or no number
        return parse_numbers(texts)


def _parse(path: Path) -> _Gct:
    try:
        with open_lines(path) as stream:
            lines = [line.rstrip("\n") for line in stream]
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise SourceError(f"'{path}' is empty: give a GCT file")
    wanted = _VERSIONS.get(lines[0].strip())
    if wanted is None:
        raise SourceError(
            f"'{path}' begins with '{lines[0][:40]}' and not with #1.2 or #1.3: give a GCT file of one of "
            "these versions, or set 'format' to what it is"
        )
    counts = _counts(path, lines[1] if len(lines) > 1 else "", wanted)
    num_rows, num_columns, num_row_fields, num_fields = counts if wanted == 4 else (*counts, 1, 0)
    if len(lines) != 3 + num_fields + num_rows:
        raise SourceError(
            f"'{path}' says that it has {num_rows} rows and {num_fields} fields on columns, so "
            f"{3 + num_fields + num_rows} lines, but it has {len(lines)}: fetch or copy it again"
        )
    width = 1 + num_row_fields + num_columns
    table = [line.split("\t") for line in lines[2:]]
    for number, line in enumerate(table, start=3):
        if len(line) != width:
            raise SourceError(
                f"'{path}' is ragged: line {number} has {len(line)} fields where its second line says "
                f"{width}: correct that line"
            )
    first = 1 + num_row_fields
    names, *others = table
    fields = {line[0]: [_text(cell) for cell in line[first:]] for line in others[:num_fields]}
    if len(fields) < num_fields or "cid" in fields:
        raise SourceError(f"'{path}' has a field on columns twice, or one named 'cid': rename it")
    return _Gct([_text(cell) for cell in names[first:]], fields, names[1:first], others[num_fields:])


def _counts(path: Path, line: str, wanted: int) -> list[int]:
    parts = line.split()
    if len(parts) < wanted or not all(part.isdigit() for part in parts[:wanted]):
        expected = ", ".join(_KINDS_OF_COUNTS.split(", ")[:wanted])
        raise SourceError(
            f"'{path}' has '{line[:40]}' as its second line where the numbers of {expected} should be: "
            "give a GCT file"
        )
    return [int(part) for part in parts[:wanted]]
