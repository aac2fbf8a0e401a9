"""What readers of files share: what they return, compression, and what to say of a file that is damaged."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from infoalign_dgl import _spill
from infoalign_dgl.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, pa.ArrowException)

# What pyarrow takes for an empty cell of delimited text, which then holds for every kind of file, and what
# the files of L1000 write for a missing value.
_MISSING = {"", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "NaN", "nan", "-NaN", "-nan", "NULL", "null"}
_MISSING |= {"-666", "-666.0"}
_MISSING_NUMBER = -666.0


@dataclass(frozen=True)
class Cells:
    """Chosen columns of a file.

    Parameters
    ----------
    text : dict of str to list of (str or None)
        The text columns, None for an empty cell.
    numbers : np.ndarray
        The numeric columns, shape (rows, columns), floating; NaN for an empty cell and one that is no number.
    rows : np.ndarray
        The number by which a user finds each row in that kind of file, shape (rows,), int64.
    strange : list of str
        The numeric columns that have a cell that is neither empty nor a number.
    """

    text: dict[str, list[str | None]]
    numbers: np.ndarray
    rows: np.ndarray
    strange: list[str]


def number_repeated(names: Sequence[str]) -> list[str]:
    """Name the second of two columns ``x`` ``x#2``, and so on; the first keeps its name."""
    taken, numbered = set(names), []
    seen: dict[str, int] = {}
    for name in names:
        number = seen.get(name, 0) + 1
        while number > 1 and f"{name}#{number}" in taken:
            number += 1
        seen[name] = number
        numbered.append(name if number == 1 else f"{name}#{number}")
    return numbered


def suffix(path: Path) -> str:
    """Lower-case ending that says the kind of table, ``.gz`` taken off."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_binary(path: Path) -> IO[bytes]:
    """Open a file that may be gzipped."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def open_lines(path: Path) -> io.TextIOWrapper:
    """Open a text that may be gzipped, whatever its line ends, a byte order mark left aside."""
    return io.TextIOWrapper(open_binary(path), encoding="utf-8-sig")


def unreadable(path: Path, error: BaseException) -> SourceError:
    """Make the error that says why a file cannot be read."""
    if isinstance(error, EOFError):
        return SourceError(f"'{path}' is truncated (its gzip stream has no end): fetch or copy it again")
    if isinstance(error, (gzip.BadGzipFile, zlib.error)):
        return SourceError(f"'{path}' is not a whole gzip file ({error}): fetch or copy it again")
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in str(error):
        start = error.object[:2] if isinstance(error, UnicodeDecodeError) else b""
        guess = "UTF-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "LATIN1"
        return SourceError(
            f"'{path}' is not UTF-8 text: save it as UTF-8 ('iconv -f {guess} -t UTF-8' does so where it is "
            f"{guess})"
        )
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SourceError(f"'{path}' cannot be read ({reason}): check that it is the table it should be")


def import_h5py(path: Path) -> Any:
    """Import h5py, which is optional.

    Raises
    ------
    SourceError
        If it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise SourceError(
            f"'{path}' is an HDF5 file and h5py is not installed: pip install 'infoalign-dgl[hdf5]'"
        ) from error
    return h5py


def refuse_gzip(path: Path, kind: str) -> None:
    """Raise a SourceError where a file of a kind that is not read from gzip is gzipped."""
    with path.open("rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            raise SourceError(f"'{path}' is gzipped, which {kind} cannot be read from: gunzip it")


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading.

    Raises
    ------
    SourceError
        If h5py is not installed, or the file is damaged or of another kind, on opening it or later.
    """
    h5py = import_h5py(path)
    refuse_gzip(path, "HDF5")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except UnicodeDecodeError as error:
        raise SourceError(
            f"'{path}' has text that is not UTF-8, such as {error.object[:60]!r}: write it again as UTF-8"
        ) from error
    except (*UNREADABLE, KeyError) as error:
        raise unreadable(path, error) from error


def plain_texts(values: Any) -> list[str | None]:
    """Turn an array of strings (as bytes too), numbers or booleans to text, None for NaN and for ``""``."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        return [None if np.isnan(value) else str(value) for value in values.tolist()]
    texts = (value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist())
    return [text.strip() or None for text in texts]


def parse_numbers(texts: Sequence[Any]) -> np.ndarray:
    """Turn cells to float64, NaN for each that is no number; shape (cells,)."""
    return pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64)


def settle_texts(cells: Sequence[str | None]) -> list[str | None]:
    """Give a column of texts, None for each cell that says that it is missing."""
    return [None if cell in _MISSING else cell for cell in cells]


def settle_numbers(cells: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, bool]:
    """Give a column of numbers, NaN where missing, and whether a cell is neither empty nor a number."""
    if isinstance(cells, np.ndarray):
        values, strange = cells, False
    else:
        values = parse_numbers(cells)
        without = (cells[row] for row in np.flatnonzero(np.isnan(values)).tolist())
        strange = any(cell is not None and cell not in _MISSING for cell in without)
    return np.where(values == _MISSING_NUMBER, np.nan, values), strange


def take(
    text: Sequence[str],
    numbers: Sequence[str],
    rows: np.ndarray,
    column: Callable[[str], list[str | None] | np.ndarray],
) -> Cells:
    """Take columns, each of which ``column`` gives as texts or as an array of numbers."""

    def texts(name: str) -> list[str | None]:
        values = column(name)
        return plain_texts(values) if isinstance(values, np.ndarray) else values

    return _cells(text, numbers, rows, texts, column)


def take_arrow(
    path: Path,
    columns: dict[str, pa.ChunkedArray],
    text: Sequence[str],
    numbers: Sequence[str],
    rows: np.ndarray,
) -> Cells:
    """Take Arrow columns; those of numbers leave ``columns``, to be in memory once.

    Raises
    ------
    SourceError
        If a column holds lists, records, or text that is not UTF-8.
    """
    nested = next((name for name in columns if pa.types.is_nested(columns[name].type)), None)
    if nested is not None:
        raise SourceError(f"'{path}' has lists or records in column '{nested}': give one value in each cell")

    def cells(name: str, values: pa.ChunkedArray) -> list[Any]:
        try:
            return values.to_pylist()
        except UnicodeDecodeError as error:
            raise SourceError(
                f"'{path}' has text in column '{name}' that is not UTF-8, such as {error.object[:60]!r}: "
                "write it again as UTF-8"
            ) from error

    def texts(name: str) -> list[str | None]:
        values = columns[name]
        if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
            values = values.cast(pa.string(), safe=False)
        return cells(name, values if pa.types.is_string(values.type) else values.cast(pa.string()))

    def floats(name: str) -> np.ndarray | list[Any]:
        values = columns.pop(name)
        if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
            return values.cast(pa.float64(), safe=False).to_numpy()
        return cells(name, values)

    taken = _cells(text, numbers, rows, texts, floats)
    pa.default_memory_pool().release_unused()
    return taken


def _cells(
    text: Sequence[str],
    numbers: Sequence[str],
    rows: np.ndarray,
    texts: Callable[[str], list[str | None]],
    floats: Callable[[str], np.ndarray | list[Any]],
) -> Cells:
    """Take columns and settle what is missing in them."""
    taken = {name: settle_texts(texts(name)) for name in text}
    matrix = _spill.empty((len(rows), len(numbers)), by_column=True)
    strange = []
    for part in _spill.column_parts(matrix):
        for position in range(part.start, part.stop):
            matrix[:, position], is_strange = settle_numbers(floats(numbers[position]))
            strange += [numbers[position]] if is_strange else []
    return Cells(taken, matrix, rows, strange)
