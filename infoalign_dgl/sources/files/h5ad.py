"""AnnData's ``.h5ad``, read with h5py by its published layout (anndata 0.7 and later).

Columns: ``obs_names``, the columns of ``obs``, and the names of variables, whose numbers are those of ``X``.
Rows are observations, numbered from 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import Cells, open_hdf5, plain_texts, take
from infoalign_dgl.sources.files.gctx import columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INDEX = "obs_names"


def header(path: Path) -> list[str]:
    """Read the names: ``obs_names``, columns of ``obs``, variables."""
    with open_hdf5(path) as file:
        _check(path, file)
        return [INDEX, *_columns(file["obs"]), *_variables(path, file)]


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    with open_hdf5(path) as file:
        _check(path, file)
        obs = file["obs"]
        fields = {INDEX, *_columns(obs)}
        place = {name: position for position, name in enumerate(_variables(path, file))}
        rows = np.arange(1, len(_field(path, obs, INDEX)) + 1)
        measured = [name for name in dict.fromkeys([*text, *numbers]) if name not in fields]
        values = _values(path, file["X"], [place[name] for name in measured], (len(rows), len(place)))
        found: dict[str, Any] = {name: values[:, position] for position, name in enumerate(measured)}
        found |= {name: _field(path, obs, name) for name in {*text, *numbers} & fields}
    return take(text, numbers, rows, found.__getitem__)


def _check(path: Path, file: Any) -> None:
    for name in ("X", "obs", "var"):
        if name not in file:
            raise SourceError(f"'{path}' has no '{name}', which AnnData writes: give an .h5ad file with X")
    for name in ("obs", "var"):
        if "_index" not in file[name].attrs:
            raise SourceError(
                f"'{path}' has '{name}' in the layout of AnnData before 0.7: read it with AnnData and write "
                "it again"
            )


def _columns(frame: Any) -> list[str]:
    return [str(name) for name in frame.attrs["column-order"]]


def _variables(path: Path, file: Any) -> list[str]:
    return [name or "" for name in _field(path, file["var"], INDEX)]


def _field(path: Path, frame: Any, name: str) -> list[str | None]:
    """Read a data frame's index or one of its columns as text."""
    element = frame[frame.attrs["_index"] if name == INDEX else name]
    if hasattr(element, "shape"):
        if "categories" not in element.attrs:
            return plain_texts(element[()])
        codes, categories = element[()], frame[element.attrs["categories"]]  # AnnData 0.7
    elif "mask" in element:
        return _masked(element)
    elif "categories" in element:
        codes, categories = element["codes"][()], element["categories"]
    else:
        kind = element.attrs.get("encoding-type", "a group")
        raise SourceError(f"'{path}' has the column '{name}' as {kind}: write it as text or numbers")
    known = plain_texts(categories[()]) if hasattr(categories, "shape") else _masked(categories)
    return [known[code] if code >= 0 else None for code in codes.tolist()]


def _masked(group: Any) -> list[str | None]:
    """Read values of which a mask says that they are missing."""
    values = zip(plain_texts(group["values"][()]), group["mask"][()].tolist(), strict=True)
    return [None if missing else value for value, missing in values]


def _values(path: Path, x: Any, columns: list[int], expected: tuple[int, int]) -> np.ndarray:
    """Read columns of a dense or sparse matrix, shape (observations, columns)."""
    kind = str(x.attrs.get("encoding-type", "array"))
    shape = x.shape if hasattr(x, "shape") else tuple(int(size) for size in x.attrs.get("shape", ()))
    if shape != expected:
        raise SourceError(
            f"'{path}' has X of shape {shape} where obs and var say {expected}: write or copy it again"
        )
    if hasattr(x, "shape"):
        return columns_of(x, columns)
    from scipy.sparse import csc_array, csr_array

    sparse = {"csr_matrix": csr_array, "csc_matrix": csc_array}.get(kind)
    if sparse is None:
        raise SourceError(f"'{path}' has X as {kind}: write it as a dense, CSR or CSC matrix")
    parts = (x["data"][()], x["indices"][()], x["indptr"][()])
    return sparse(parts, shape=shape).tocsc()[:, columns].toarray()
