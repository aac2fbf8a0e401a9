"""Delimited text: commas or tabs, gzipped or not, with a header."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import UNREADABLE, open_binary, suffix, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".sif": "\t", ".txt": "\t"}
_DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "blanks"}


def header(path: Path) -> list[str]:
    """Read the column names; a byte order mark is left aside."""
    delimiter = _delimiter(path)
    try:
        with open_binary(path) as stream:
            lines = (line.decode("utf-8-sig" if i == 0 else "utf-8") for i, line in enumerate(stream))
            names = next((row for row in csv.reader(lines, delimiter=delimiter) if row), [])
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    if not names:
        raise SourceError(f"'{path}' is empty: give a table with a header and rows")
    if len(names) == 1:
        other = next((d for d in _DELIMITER_NAMES if d != delimiter and d in names[0]), None)
        if other is not None:
            raise SourceError(
                f"'{path}' should be delimited by {_DELIMITER_NAMES[delimiter]}, as its name says, but "
                f"its header "
                f"'{names[0][:60]}' seems delimited by {_DELIMITER_NAMES[other]}: rename the file or "
                f"rewrite it"
            )
    return names


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> pa.Table:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    types = {name: pa.string() for name in text} | {name: pa.float64() for name in numbers}
    try:
        return _parse(path, types)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise unreadable(path, error) from error
    try:  # a cell that is no number: read again as text, from which numbers are taken one by one
        return _parse(path, dict.fromkeys(types, pa.string()))
    except pa.ArrowInvalid as error:
        raise unreadable(path, error) from error


def _delimiter(path: Path) -> str:
    return DELIMITERS[suffix(path)]


def _parse(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    ragged: list[tuple[int, int, int]] = []

    def remember(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append((row.number, row.expected_columns, row.actual_columns))
        return "error"

    # One thread, since only then does the parser know the number of a ragged row.
    options = {
        "read_options": pyarrow.csv.ReadOptions(use_threads=False),
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter=_delimiter(path), newlines_in_values=True, invalid_row_handler=remember
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=types, include_columns=list(types), strings_can_be_null=True
        ),
    }
    try:
        with open_binary(path) as stream:
            return pyarrow.csv.read_csv(stream, **options)
    except pa.ArrowInvalid as error:
        if ragged:
            row, expected, actual = ragged[0]
            raise SourceError(
                f"'{path}' is ragged: row {row} has {actual} fields where the header has {expected}: "
                f"correct that row"
            ) from error
        raise
    except UNREADABLE as error:
        raise unreadable(path, error) from error
