"""Tables from files: delimited text (gzipped or not) and Parquet.

Errors name the file, row and column. Rows are numbered as a spreadsheet shows them: the header is row 1, so
the first row of data is row 2.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from infoalign_dgl import _spill
from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files import delimited, parquet
from infoalign_dgl.sources.files.base import suffix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import ModuleType

FIRST_ROW = 2  # number of the first row of data
_FORMATS: dict[str, ModuleType] = {
    **dict.fromkeys(delimited.DELIMITERS, delimited),
    **dict.fromkeys((".parquet", ".pq"), parquet),
}
_FLOAT_LIKE_INTEGER = re.compile(r"([+-]?\d+)\.0*")
_ENTREZ = re.compile(r"(?:Gene::)?(\d+)(?:\.0*)?")


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
    names: list[str] = _format(path).header(path)
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
    table = _format(path).read(path, text, numbers)
    if table.num_rows == 0:
        raise SourceError(f"'{path}' has a header and no rows: give a table with at least one row")
    found = dict(zip(table.column_names, table.columns, strict=True))
    texts = [(name, _texts(found[name])) for name in text]
    # One block: wide tables have 10^5 columns. Each is let go when it is there, to be in memory once.
    matrix = _spill.empty((table.num_rows, len(numbers)), by_column=True)
    del table
    for part in _spill.column_parts(matrix):
        for position in range(part.start, part.stop):
            matrix[:, position] = _numbers(found.pop(numbers[position]))
    pa.default_memory_pool().release_unused()
    frame = pd.DataFrame(matrix, columns=list(numbers), copy=False)
    for position, (name, values) in enumerate(texts):
        frame.insert(position, name, pd.Series(values, dtype=object))
    return frame


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


def _format(path: Path) -> ModuleType:
    """Return the module that reads a file of this ending."""
    found = _FORMATS.get(suffix(path))
    if found is None:
        raise SourceError(
            f"'{path}' ends in none of {', '.join(_FORMATS)} (with or without .gz): rename it after what it "
            "holds"
        )
    return found


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    return column.to_pylist() if pa.types.is_string(column.type) else column.cast(pa.string()).to_pylist()


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64()).to_numpy()
    values = pd.Series(column.to_pylist(), dtype=object)
    return pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
