"""SMILES files: on each line a SMILES, blanks, and the molecule's name; a header is optional.

Columns: ``smiles`` (with its CXSMILES extension ``|...|``, if any) and ``name`` (the rest of the line).
Rows are numbered by line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import UNREADABLE, Cells, open_lines, take, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS = ["smiles", "name"]
_LINE = re.compile(r"(\S+(?:\s+\|[^|]*\|)?)\s*(.*)")


def header(path: Path) -> list[str]:
    """Return the column names, which are the same for all such files.

    Raises
    ------
    SourceError
        If the file is empty, unreadable, or delimited by commas or semicolons.
    """
    try:
        with open_lines(path) as stream:
            first = next((line.strip() for line in stream if line.strip()), "")
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    if not first:
        raise SourceError(f"'{path}' is empty: give a SMILES on each line")
    if re.search(r"[,;]", first.split()[0]):
        raise SourceError(
            f"'{path}' should have a SMILES, blanks and a name on each line, but its first line "
            f"'{first[:60]}' has commas or semicolons: if it is a CSV file, set format = \"csv\""
        )
    return list(COLUMNS)


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    rows: list[int] = []
    found: list[tuple[str, str | None]] = []
    try:
        with open_lines(path) as stream:
            for number, line in enumerate(stream, start=1):
                match = _LINE.match(line.strip())
                if match is None or (not found and _is_header(match[1])):
                    continue
                rows.append(number)
                found.append((match[1], match[2] or None))
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    columns = {name: [row[position] for row in found] for position, name in enumerate(COLUMNS)}
    return take(text, numbers, np.array(rows, np.int64), columns.__getitem__)


def _is_header(word: str) -> bool:
    return word.lower().endswith(("smiles", "smi"))  # neither ends a SMILES: 'm' is no atom
