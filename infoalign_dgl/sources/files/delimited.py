"""Delimited text: commas or tabs, gzipped or not, with a header.

Rows are numbered as a spreadsheet shows them: the first row, most often the header, is row 1; a row of
several lines counts once, and blank rows count.
"""

from __future__ import annotations

import csv
import io
from itertools import islice
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import (
    UNREADABLE,
    Cells,
    number_repeated,
    open_binary,
    take_arrow,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "blanks"}
_BLOCKS = [1 << 20, 1 << 25, 1 << 30]  # bytes at a time, tried in turn: a row has to fit into one


def header(path: Path, *, delimiter: str) -> list[str]:
    """Read the column names; a byte order mark is left aside."""
    try:
        with open_binary(path) as stream:
            # Line by line: what is beyond the header, and in columns nobody reads, may be what it will.
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
                f"'{path}' should be delimited by {_DELIMITER_NAMES[delimiter]}, as its name or format "
                f"says, but its header '{names[0][:60]}' seems delimited by {_DELIMITER_NAMES[other]}: "
                "correct the name or format, or rewrite the file"
            )
    return names


def read(path: Path, text: Sequence[str], numbers: Sequence[str], *, delimiter: str) -> Cells:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says; repeated names are numbered."""
    types = {name: pa.string() for name in text} | {name: pa.float64() for name in numbers}
    given = header(path, delimiter=delimiter)
    names = number_repeated(given)
    try:
        if names != given:  # pyarrow chooses columns by the names that are in the file
            table, has_blanks = _parse(path, dict.fromkeys(given, pa.string()), delimiter, [])
            table = table.rename_columns(names).select(list(types))
        else:
            table, has_blanks = _parse_chosen(path, types, delimiter)
        rows = np.arange(2, table.num_rows + 2)
        if has_blanks:
            rows = _row_numbers(path, delimiter)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    columns = dict(zip(table.column_names, table.columns, strict=True))
    del table
    return take_arrow(path, columns, text, numbers, rows)


class _BlankLines(io.RawIOBase):
    """Passes on a stream and notes whether there is a blank line in it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.last = b"\n"  # a file that begins with a line end begins with a blank line
        self.seen = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        if not self.seen:
            start = (self.last + data[:2]).removeprefix(b"\r")
            self.seen = any(pair in part for pair in (b"\n\n", b"\n\r\n") for part in (start, data))
            self.last = (self.last + data)[-2:]
        return data


def _parse_chosen(path: Path, types: dict[str, pa.DataType], delimiter: str) -> tuple[pa.Table, bool]:
    try:
        return _parse(path, types, delimiter, list(types))
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        # A cell that is no number: read again as text, from which numbers are taken one by one.
        return _parse(path, dict.fromkeys(types, pa.string()), delimiter, list(types))


def _parse(
    path: Path, types: dict[str, pa.DataType], delimiter: str, chosen: list[str]
) -> tuple[pa.Table, bool]:
    """Parse the chosen columns, all where the list is empty, and say whether some lines are blank."""
    ragged: list[tuple[int, int, int]] = []

    def remember(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append((row.number, row.expected_columns, row.actual_columns))
        return "error"

    options = {
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=remember
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=types, include_columns=chosen, strings_can_be_null=True
        ),
    }
    for block in _BLOCKS:
        # One thread, since only then does the parser know the number of a ragged row.
        sizes = pyarrow.csv.ReadOptions(use_threads=False, block_size=block)
        try:
            with open_binary(path) as stream:
                watched = _BlankLines(stream)
                return pyarrow.csv.read_csv(watched, read_options=sizes, **options), watched.seen
        except pa.ArrowInvalid as error:
            if ragged:
                row, expected, actual = ragged[0]
                if watched.seen:
                    row = int(_row_numbers(path, delimiter)[row - 2])
                raise SourceError(
                    f"'{path}' is ragged: row {row} has {actual} fields where the header has {expected}: "
                    f"correct that row"
                ) from error
            if "block" not in str(error) or block == _BLOCKS[-1]:
                raise
    raise AssertionError("the last block returns or raises")


def _row_numbers(path: Path, delimiter: str) -> np.ndarray:
    """Numbers of the rows below the header that are not blank, shape (rows,), int64."""
    with open_binary(path) as stream:
        reader = csv.reader((line.decode(errors="replace") for line in stream), delimiter=delimiter)
        filled = (number for number, row in enumerate(reader, start=1) if row)
        return np.fromiter(islice(filled, 1, None), np.int64)
