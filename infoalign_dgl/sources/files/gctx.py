"""GCTX: GCT as HDF5, read with h5py. Columns, rows and the format ``"gctx-rows"`` are as for GCT.

The layout: ``/0/DATA/0/matrix``, a row per profile and a column per gene; ``/0/META/COL/id``, the profiles'
ids, beside fields on profiles; ``/0/META/ROW/id``, the row ids, beside fields on rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import (
    Cells,
    open_hdf5,
    plain_texts,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MATRIX, _PROFILES, _ROWS = "0/DATA/0/matrix", "0/META/COL", "0/META/ROW"


def header(path: Path) -> list[str]:
    """Read the names: ``cid``, fields on profiles, row ids."""
    with open_hdf5(path) as file:
        _check(path, file)
        return ["cid", *_fields(file[_PROFILES]), *_ids(path, file[_ROWS])]


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    with open_hdf5(path) as file:
        _check(path, file)
        profiles = file[_PROFILES]
        fields = {"cid", *_fields(profiles)}
        place = {rid: position for position, rid in enumerate(_ids(path, file[_ROWS]))}
        measured = [name for name in dict.fromkeys([*text, *numbers]) if name not in fields]
        values = columns_of(file[_MATRIX], [place[name] for name in measured])
        found: dict[str, Any] = {name: values[:, position] for position, name in enumerate(measured)}
        found |= {name: _field(profiles, name) for name in {*text, *numbers} & fields}
    return take(text, numbers, np.arange(1, len(values) + 1), found.__getitem__)


def header_of_rows(path: Path) -> list[str]:
    """Read the names of the table of rows: ``rid`` and the fields on rows."""
    with open_hdf5(path) as file:
        _check(path, file)
        return ["rid", *_fields(file[_ROWS])]


def read_rows(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns of the table of rows; its rows are numbered as they stand in the matrix, from 1."""
    with open_hdf5(path) as file:
        _check(path, file)
        columns = {name: _field(file[_ROWS], name) for name in {*text, *numbers}}
        rows = np.arange(1, len(file[_ROWS]["id"]) + 1)
    return take(text, numbers, rows, columns.__getitem__)


def columns_of(matrix: Any, columns: list[int]) -> np.ndarray:
    """Read columns of an HDF5 data set a block of rows at a time, shape (rows, columns), in its own dtype."""
    result = _spill.empty((matrix.shape[0], len(columns)), matrix.dtype, by_column=True)
    for part in _spill.parts(len(result) if columns else 0, matrix.shape[1] * matrix.dtype.itemsize):
        result[part] = matrix[part][:, columns]
        _spill.release(result)
    return result


def _check(path: Path, file: Any) -> None:
    missing = [name for name in (_MATRIX, f"{_PROFILES}/id", f"{_ROWS}/id") if name not in file]
    if missing:
        raise SourceError(f"'{path}' has no '/{missing[0]}', which a GCTX file has: give a GCTX file")
    shape, expected = file[_MATRIX].shape, (len(file[_PROFILES]["id"]), len(file[_ROWS]["id"]))
    if shape != expected:
        raise SourceError(
            f"'{path}' has a matrix of shape {shape} where its ids say (profiles, genes) = {expected}: "
            "fetch or copy it again"
        )


def _fields(group: Any) -> list[str]:
    return [name for name in group if name != "id"]


def _field(group: Any, name: str) -> list[str | None]:
    return plain_texts(group["id" if name in ("cid", "rid") else name][()])


def _ids(path: Path, group: Any) -> list[str]:
    ids = plain_texts(group["id"][()])
    if None in ids:
        raise SourceError(
            f"'{path}' has an empty row id, number {ids.index(None) + 1}: give every row of the matrix an id"
        )
    return [value for value in ids if value is not None]
