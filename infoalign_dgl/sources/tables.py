"""Tables from files: delimited text (gzipped or not) and Parquet.

Errors name the file, row and column. Rows are numbered as a spreadsheet shows them: the header is row 1, so
the first row of data is row 2.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import re
import zlib
from collections import Counter
from fnmatch import fnmatchcase
from typing import IO, TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from infoalign_dgl.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FIRST_ROW = 2  # number of the first row of data
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".sif": "\t", ".txt": "\t"}
_DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", " ": "blanks"}
_PARQUET = {".parquet", ".pq"}
_FLOAT_LIKE_INTEGER = re.compile(r"([+-]?\d+)\.0*")
_ENTREZ = re.compile(r"(?:Gene::)?(\d+)(?:\.0*)?")
_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, pa.ArrowException)


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """End of a sentence that names the nearest of the known names, or all of them where they are few."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    folded = [name for name in names if name.lower() == wanted.lower()]
    if folded:
        return f"did you mean '{folded[0]}'?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"there is: {shown}" if names else "there is none"


def read_header(path: Path) -> list[str]:
    """Read the column names of a table.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.tsv``, ``.tab``, ``.txt``, ``.sif`` (each also with ``.gz``), ``.parquet`` or ``.pq``.

    Raises
    ------
    SourceError
        If the file is missing, empty, unreadable or of another kind, or if two columns share a name.
    """
    _require_file(path)
    suffix = _suffix(path)
    delimited = suffix not in _PARQUET
    names = _delimited_header(path, _delimiter(path, suffix)) if delimited else _parquet_header(path)
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise SourceError(f"'{path}' has two columns named '{twice}': rename or remove one of them")
    return names


def read_table(path: Path, *, text: Sequence[str] = (), numbers: Sequence[str] = ()) -> pd.DataFrame:
    """Read chosen columns of a table.

    Parameters
    ----------
    path : Path
        As for :func:`read_header`.
    text : sequence of str
        Columns to read as strings, with None for an empty cell.
    numbers : sequence of str
        Columns to read as float64, with NaN for an empty cell and for one that is not a number.

    Returns
    -------
    pandas.DataFrame
        The chosen columns; row i of it is row i + 2 of the file.

    Raises
    ------
    SourceError
        As for :func:`read_header`; and if a column is missing, a row has too few or too many fields, the
        file ends too early, or there is no row.
    """
    names = read_header(path)
    known = set(names)
    for wanted in (*text, *numbers):
        if wanted not in known:
            raise SourceError(f"'{path}' has no column '{wanted}': {did_you_mean(wanted, names)}")
    if _suffix(path) in _PARQUET:
        table = _read_parquet(path, [*text, *numbers])
    else:
        table = _read_delimited(path, text, numbers)
    if table.num_rows == 0:
        raise SourceError(f"'{path}' has a header and no rows: give a table with at least one row")
    found = dict(zip(table.column_names, table.columns, strict=True))
    matrix = np.empty((table.num_rows, len(numbers)))  # one block: wide tables have 10^5 columns
    for position, name in enumerate(numbers):
        matrix[:, position] = _numbers(found[name])
    texts = pd.DataFrame({name: _texts(found[name]) for name in text}, dtype=object)
    features = pd.DataFrame(matrix, columns=list(numbers))
    return pd.concat([texts, features], axis=1) if len(text) else features


def select_columns(path: Path, names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Names of the columns that match any of the patterns, in the table's order.

    Raises
    ------
    SourceError
        If a pattern matches no column.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SourceError(
                f"'{path}' has no column that matches '{pattern}': {did_you_mean(pattern, names)}"
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def normalize_id(value: str | None) -> str | None:
    """Strip an id and undo what a float column does to integer ids (``"1234.0"`` gives ``"1234"``)."""
    if value is None:
        return None
    value = value.strip()
    whole = _FLOAT_LIKE_INTEGER.fullmatch(value)
    return (whole[1] if whole else value) or None


def normalize_entrez(value: str | None) -> str | None:
    """Return an Entrez gene id as a plain integer in text, or None where the value is no such id.

    ``"1017"``, ``"1017.0"``, ``" 01017"`` and Hetionet's ``"Gene::1017"`` all give ``"1017"``.
    """
    found = _ENTREZ.fullmatch(value.strip()) if value is not None else None
    return str(int(found[1])) if found and int(found[1]) > 0 else None


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise SourceError(f"'{path}' is a folder: name a table's file")
    if not path.is_file():
        folder = path.parent
        if not folder.is_dir():
            raise SourceError(
                f"'{path}' does not exist, nor does its folder: check the path and the data root"
            )
        near = did_you_mean(path.name, sorted(p.name for p in folder.iterdir()))
        raise SourceError(f"'{path}' does not exist: {near}")


def _suffix(path: Path) -> str:
    """Lower-case ending that says the kind of table, ``.gz`` taken off."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _delimiter(path: Path, suffix: str) -> str:
    if suffix not in _DELIMITERS:
        raise SourceError(
            f"'{path}' ends neither in {', '.join(_DELIMITERS)} (with or without .gz) nor in .parquet: "
            f"rename it after what it holds"
        )
    return _DELIMITERS[suffix]


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _unreadable(path: Path, error: BaseException) -> SourceError:
    if isinstance(error, EOFError):
        return SourceError(f"'{path}' is truncated (its gzip stream has no end): fetch or copy it again")
    if isinstance(error, (gzip.BadGzipFile, zlib.error)):
        return SourceError(f"'{path}' is not a whole gzip file ({error}): fetch or copy it again")
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in str(error):
        return SourceError(f"'{path}' is not UTF-8 text: save it as UTF-8")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SourceError(f"'{path}' cannot be read ({reason}): check that it is the table it should be")


def _parquet_header(path: Path) -> list[str]:
    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _delimited_header(path: Path, delimiter: str) -> list[str]:
    try:
        with _open(path) as stream:
            lines = (line.decode("utf-8-sig" if i == 0 else "utf-8") for i, line in enumerate(stream))
            names = next((row for row in csv.reader(lines, delimiter=delimiter) if row), [])
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
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


def _read_parquet(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path, columns=columns)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _read_delimited(path: Path, text: Sequence[str], numbers: Sequence[str]) -> pa.Table:
    types = {name: pa.string() for name in text} | {name: pa.float64() for name in numbers}
    try:
        return _parse(path, types)
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise _unreadable(path, error) from error
    try:  # a cell that is no number: read again as text, from which numbers are taken one by one
        return _parse(path, dict.fromkeys(types, pa.string()))
    except pa.ArrowInvalid as error:
        raise _unreadable(path, error) from error


def _parse(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    ragged: list[tuple[int, int, int]] = []

    def remember(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append((row.number, row.expected_columns, row.actual_columns))
        return "error"

    # One thread, since only then does the parser know the number of a ragged row.
    options = {
        "read_options": pyarrow.csv.ReadOptions(use_threads=False),
        "parse_options": pyarrow.csv.ParseOptions(
            delimiter=_delimiter(path, _suffix(path)), newlines_in_values=True, invalid_row_handler=remember
        ),
        "convert_options": pyarrow.csv.ConvertOptions(
            column_types=types, include_columns=list(types), strings_can_be_null=True
        ),
    }
    try:
        with _open(path) as stream:
            return pyarrow.csv.read_csv(stream, **options)
    except pa.ArrowInvalid as error:
        if ragged:
            row, expected, actual = ragged[0]
            raise SourceError(
                f"'{path}' is ragged: row {row} has {actual} fields where the header has {expected}: "
                f"correct that row"
            ) from error
        raise
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    return column.to_pylist() if pa.types.is_string(column.type) else column.cast(pa.string()).to_pylist()


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64()).to_numpy()
    values = pd.Series(column.to_pylist(), dtype=object)
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
