"""GCT, versions 1.2 and 1.3: text with genes as rows and profiles as columns. It is read turned around.

A row of the table is a profile, one column of the file. Its columns are ``cid`` (the profile's id) and the
file's fields on profiles (version 1.3), and one column of numbers per row id (rid). Rows are numbered as the
profiles stand in the file, from 1.

Where the rids are not the gene ids one wants, the fields on rows are a table of their own, of format
``"gct-rows"``: columns ``rid`` and the fields, a row per rid. Listed under ``[[gene_ids]]`` with
``symbol = "rid"`` and ``entrez = "pr_gene_id"``, say, it gives the rids their genes.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import (
    UNREADABLE,
    Cells,
    open_lines,
    settle_numbers,
    settle_texts,
    take,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_VERSIONS = {"#1.2": 2, "#1.3": 4}  # numbers in the second line
_KINDS_OF_COUNTS = "rows, columns, fields on rows, fields on columns"


@dataclass(frozen=True)
class _Gct:
    """An open file: what stands above and beside its matrix, and the lines of that, one at a time."""

    cids: list[str | None]
    fields: dict[str, list[str | None]]  # on profiles
    row_fields: list[str]
    lines: Iterator[str]


def header(path: Path) -> list[str]:
    """Read the names: ``cid``, fields on profiles, row ids; so the whole file is read."""
    with _open(path) as gct:
        return ["cid", *gct.fields, *(line.split("\t", 1)[0] for line in gct.lines)]


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    with _open(path) as gct:
        fields = {"cid": gct.cids, **gct.fields}
        wanted = {*text, *numbers} - set(fields)
        places = {name: place for place, name in enumerate(numbers)}
        texts = {name: settle_texts(fields[name]) for name in text if name in fields}
        matrix = _spill.empty((len(gct.cids), len(numbers)), by_column=True)
        strange = []
        for name in places.keys() & fields.keys():
            matrix[:, places[name]], is_strange = settle_numbers(fields[name])
            strange += [name] if is_strange else []
        since_release = 0
        for line in gct.lines:
            name = line.split("\t", 1)[0]
            if name not in wanted:
                continue
            cells = line.split("\t")[1 + len(gct.row_fields) :]
            if name in text:
                texts[name] = settle_texts([_text(cell) for cell in cells])
            if name in places:
                matrix[:, places[name]], is_strange = settle_numbers(_numbers(cells))
                strange += [name] if is_strange else []
                since_release += matrix.itemsize * len(cells)
            if since_release > _spill.LARGEST_IN_MEMORY:
                _spill.release(matrix)
                since_release = 0
    return Cells(texts, matrix, np.arange(1, len(matrix) + 1), strange)


def header_of_rows(path: Path) -> list[str]:
    """Read the names of the table of rows: ``rid`` and the fields on rows."""
    with _open(path) as gct:
        return ["rid", *gct.row_fields]


def read_rows(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns of the table of rows; its rows are numbered as they stand in the matrix, from 1."""
    with _open(path) as gct:
        names = ["rid", *gct.row_fields]
        rows = [line.split("\t", len(names))[: len(names)] for line in gct.lines]
    columns = {name: [_text(row[place]) for row in rows] for place, name in enumerate(names)}
    return take(text, numbers, np.arange(1, len(rows) + 1), columns.__getitem__)


def _text(cell: str) -> str | None:
    return cell.strip() or None


def _numbers(cells: list[str]) -> np.ndarray | list[str | None]:
    try:
        return np.array(cells, np.float64)
    except ValueError:  # some cell is empty or no number
        return [_text(cell) for cell in cells]


@contextmanager
def _open(path: Path) -> Iterator[_Gct]:
    """Read what is above the matrix; an error may also come while its lines are read."""
    try:
        with open_lines(path) as stream:
            yield _begin(path, (line.rstrip("\n") for line in stream))
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _begin(path: Path, lines: Iterator[str]) -> _Gct:
    first = next(lines, "")
    wanted = _VERSIONS.get(first.strip())
    if wanted is None:
        if not first.strip() and not any(line.strip() for line in lines):
            raise SourceError(f"'{path}' is empty: give a GCT file")
        raise SourceError(
            f"'{path}' begins with '{first[:40]}' and not with #1.2 or #1.3: give a GCT file of one of "
            "these versions, or set 'format' to what it is"
        )
    counts = _counts(path, next(lines, ""), wanted)
    num_rows, num_columns, num_row_fields, num_fields = counts if wanted == 4 else (*counts, 1, 0)
    checked = _checked(path, lines, num_rows, num_fields, 1 + num_row_fields + num_columns)
    names, *others = (next(checked, "").split("\t") for _ in range(1 + num_fields))
    beside = 1 + num_row_fields
    fields = {line[0]: [_text(cell) for cell in line[beside:]] for line in others}
    if len(fields) < num_fields or "cid" in fields:
        raise SourceError(f"'{path}' has a field on columns twice, or one named 'cid': rename it")
    return _Gct([_text(cell) for cell in names[beside:]], fields, names[1:beside], checked)


def _checked(path: Path, lines: Iterator[str], num_rows: int, num_fields: int, width: int) -> Iterator[str]:
    """Pass on the lines from the third on; at the end, raise if some are ragged or their number is wrong."""
    expected = 3 + num_fields + num_rows
    ragged: tuple[int, int] | None = None
    last = 2  # number of the last line that is not blank: files may end in blank ones
    for number, line in enumerate(lines, start=3):
        found = line.count("\t") + 1
        if found == width and number <= expected:
            last = number
            yield line
        else:
            ragged = ragged or (number, found)
            last = number if line.strip() else last
    if last != expected:
        raise SourceError(
            f"'{path}' says that it has {num_rows} rows and {num_fields} fields on columns, so "
            f"{expected} lines, but it has {last}: fetch or copy it again"
        )
    if ragged is not None and ragged[0] <= expected:
        raise SourceError(
            f"'{path}' is ragged: line {ragged[0]} has {ragged[1]} fields where its second line says "
            f"{width}: correct that line"
        )


def _counts(path: Path, line: str, wanted: int) -> list[int]:
    parts = line.split()
    if len(parts) < wanted or not all(part.isdigit() for part in parts[:wanted]):
        expected = ", ".join(_KINDS_OF_COUNTS.split(", ")[:wanted])
        raise SourceError(
            f"'{path}' has '{line[:40]}' as its second line where the numbers of {expected} should be: "
            "give a GCT file"
        )
    return [int(part) for part in parts[:wanted]]
