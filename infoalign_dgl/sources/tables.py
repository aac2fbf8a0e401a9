"""Tables from files, of any kind that :mod:`infoalign_dgl.sources.files` has a module for.

Errors name the file, row and column. Rows have the numbers by which a user finds them in that kind of file.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, cast

import pandas as pd

from infoalign_dgl.errors import SourceError
from infoalign_dgl.extensions import find, names
from infoalign_dgl.sources.files import delimited, gct, gctx, h5ad, parquet, sdf, smi
from infoalign_dgl.sources.files.base import number_repeated, suffix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from infoalign_dgl.sources.files.base import Cells

FIRST_ROW = 2  # number of the first row of data below a header


@dataclass(frozen=True)
class Reader:
    """What reads one kind of table: its columns' names, and chosen columns (as :func:`read_table` says)."""

    header: Callable[[Path], list[str]]
    read: Callable[[Path, Sequence[str], Sequence[str]], Cells]


BUILT_IN_READERS: dict[str, Reader] = {
    "csv": Reader(partial(delimited.header, delimiter=","), partial(delimited.read, delimiter=",")),
    "tsv": Reader(partial(delimited.header, delimiter="\t"), partial(delimited.read, delimiter="\t")),
    "parquet": Reader(parquet.header, parquet.read),
    "sdf": Reader(sdf.header, sdf.read),
    "smi": Reader(smi.header, smi.read),
    "h5ad": Reader(h5ad.header, h5ad.read),
    "gct": Reader(gct.header, gct.read),
    "gct-rows": Reader(gct.header_of_rows, gct.read_rows),
    "gctx": Reader(gctx.header, gctx.read),
    "gctx-rows": Reader(gctx.header_of_rows, gctx.read_rows),
}
BUILT_IN_ENDINGS: dict[str, str] = {
    ".csv": "csv",
    **dict.fromkeys((".tsv", ".tab", ".txt", ".sif"), "tsv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".sdf", ".sd"), "sdf"),
    **dict.fromkeys((".smi", ".smiles"), "smi"),
    ".h5ad": "h5ad",
    ".gct": "gct",
    ".gctx": "gctx",
}
_FLOAT_LIKE_INTEGER = re.compile(r"([+-]?\d+)\.0*")
_ENTREZ = re.compile(r"(?:Gene::)?(\d+)(?:\.0*)?")


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """End of a sentence that names the nearest of the known names, or all of them where they are few."""
    names = [str(name) for name in known]
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    spelled = {name.casefold(): name for name in reversed(names)}  # the first of those that fold alike
    near = difflib.get_close_matches(wanted.casefold(), spelled, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{spelled[near[0]]}'?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"there is: {shown}" if names else "there is none"


def format_by_ending(path: Path) -> str | None:
    """Return the kind of table that a file's name says it is; None where it says none."""
    ending = suffix(path)
    return BUILT_IN_ENDINGS.get(ending) or (find("ending", ending) if ending else None)


def check_format(name: str) -> None:
    """Check that there is such a kind of table, built in or registered.

    Raises
    ------
    SourceError
        If not.
    """
    if name not in BUILT_IN_READERS and find("reader", name) is None:
        known = [*BUILT_IN_READERS, *names("reader")]
        raise SourceError(f"there is no format '{name}': {did_you_mean(name, known)}")


def read_header(path: Path, *, format: str | None = None, repeated: bool = False) -> list[str]:
    """Read the column names of a table.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.tsv``, ``.tab``, ``.txt``, ``.sif``, ``.sdf``, ``.sd``, ``.smi``, ``.smiles`` or
        ``.gct`` (each also with ``.gz``), ``.parquet``, ``.pq``, ``.h5ad`` or ``.gctx``.
    format : str, optional
        The kind of file, whatever its ending says: a key of ``BUILT_IN_READERS``, or a registered one
        (:func:`infoalign_dgl.extensions.register_reader`).
    repeated : bool
        Call the second of two columns ``x`` of a text ``x#2``, and so on, instead of refusing the file.

    Raises
    ------
    SourceError
        If the file is missing, empty, unreadable or of another kind, or if two columns share a name.
    """
    _require_file(path)
    names = _reader(path, format).header(path)
    if repeated and (format or format_by_ending(path)) in ("csv", "tsv"):
        return number_repeated(names)
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise SourceError(f"'{path}' has two columns named '{twice}': rename or remove one of them")
    return names


def read_table(
    path: Path,
    *,
    text: Sequence[str] = (),
    numbers: Sequence[str] = (),
    format: str | None = None,
    repeated: bool = False,
    header: Sequence[str] | None = None,
    strange: list[str] | None = None,
) -> pd.DataFrame:
    """Read chosen columns of a table.

    Parameters
    ----------
    path : Path
        As for :func:`read_header`.
    text : sequence of str
        Columns to read as strings, with None for an empty cell, ``NA``, ``nan`` and the like, and ``-666``.
    numbers : sequence of str
        Columns to read as float64, with NaN for an empty cell, for -666, and for what is not a number.
    format, repeated
        As for :func:`read_header`.
    header : sequence of str, optional
        What :func:`read_header` gave, which is read again otherwise.
    strange : list of str, optional
        Gets the names of those of ``numbers`` that have a cell that is neither empty nor a number.

    Returns
    -------
    pandas.DataFrame
        The chosen columns; the index has the rows' numbers in the file.

    Raises
    ------
    SourceError
        As for :func:`read_header`; and if a column is missing, a row has too few or too many fields, the
        file ends too early, or there is no row.
    """
    names = read_header(path, format=format, repeated=repeated) if header is None else header
    known = set(names)
    for wanted in (*text, *numbers):
        if wanted not in known:
            raise SourceError(f"'{path}' has no column '{wanted}': {did_you_mean(wanted, names)}")
    cells = _reader(path, format).read(path, text, numbers)
    if len(cells.rows) == 0:
        raise SourceError(f"'{path}' has a header and no rows: give a table with at least one row")
    if strange is not None:
        strange += cells.strange
    index = pd.Index(cells.rows, name="row")
    if not numbers:
        return pd.DataFrame({name: pd.Series(cells.text[name], dtype=object) for name in text}).set_index(
            index
        )
    frame = pd.DataFrame(cells.numbers, columns=list(numbers), index=index, copy=False)
    for position, name in enumerate(text):
        frame.insert(position, name, pd.Series(cells.text[name], dtype=object, index=index))
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
    whole = _FLOAT_LIKE_INTEGER.fullmatch(value) if "." in value else None
    return (whole[1] if whole else value) or None


def normalize_entrez(value: str | None) -> str | None:
    """Return an Entrez gene id as a plain integer in text, or None where the value is no such id.

    ``"1017"``, ``"1017.0"``, ``" 01017"`` and Hetionet's ``"Gene::1017"`` all give ``"1017"``.
    """
    if value is None:
        return None
    if value.isdecimal() and value.isascii() and value[0] != "0":  # most are so, and there are many
        return value
    found = _ENTREZ.fullmatch(value.strip())
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


def _reader(path: Path, format: str | None) -> Reader:
    """Return what reads the file: as the kind that is given, or else as what its ending says."""
    found = format or format_by_ending(path)
    if found is None:
        raise SourceError(
            f"'{path}' ends in none of {', '.join(BUILT_IN_ENDINGS)} (the texts also with .gz): rename it "
            "after what it holds, or set 'format'"
        )
    check_format(found)
    return BUILT_IN_READERS[found] if found in BUILT_IN_READERS else cast("Reader", find("reader", found))
