"""Large arrays that live in a file: a build holds several, and memory need not.

Inside ``with spilling(folder):`` an array above :data:`LARGEST_IN_MEMORY` is a memory map of a file without a
name, which goes with the array or with the process, however that ends. What was written or read of such an
array leaves memory on :func:`release`. Elsewhere all arrays are in memory, and nothing here has any effect.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST_IN_MEMORY = 64 * 2**20
"""Bytes of the largest array that stays in memory, and of a part that is worked on at once."""

_LARGEST_PAGE = 2 * 2**20

_folder: ContextVar[Path | None] = ContextVar("_folder", default=None)


@contextmanager
def spilling(folder: Path) -> Iterator[None]:
    """Let large arrays made inside live in files of this folder, which have no names there."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def empty(shape: tuple[int, ...], dtype: Any = np.float64, *, by_column: bool = False) -> np.ndarray:
    """Make an array of zeros or of anything, by rows or with its columns one after the other."""
    folder, order = _folder.get(), "F" if by_column else "C"
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if folder is None or size <= LARGEST_IN_MEMORY:
        return np.empty(shape, dtype, order=order)  # type: ignore[call-overload]
    with tempfile.TemporaryFile(dir=folder) as stream:
        os.posix_fallocate(stream.fileno(), 0, size)  # on a full disk, an error here and no signal later
        return np.memmap(stream, dtype, "w+", shape=shape, order=order)  # type: ignore[call-overload]


def release(array: np.ndarray) -> None:
    """Give the memory back that holds parts of a mapped file; its contents stay."""
    found: Any = array
    while isinstance(found, np.ndarray):
        mapped = getattr(found, "_mmap", None)
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)
            return
        found = found.base


def parts(count: int, bytes_each: int) -> Iterator[slice]:
    """Give slices that go through so many things, each of as many as are worked on at once."""
    step = max(1, LARGEST_IN_MEMORY // max(bytes_each, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def row_parts(array: np.ndarray) -> Iterator[slice]:
    """Give slices of the rows of a matrix, after each of which what was read of it leaves memory."""
    for part in parts(len(array), array.shape[1] * 8):
        yield part
        release(array)


def column_parts(array: np.ndarray) -> Iterator[slice]:
    """Give slices of the columns of a matrix, after each of which what was read of it leaves memory."""
    for part in parts(array.shape[1], len(array) * 8):
        yield part
        release(array)


def rows_of(array: np.ndarray, part: slice) -> np.ndarray:
    """Copy a slice of the rows of a matrix, by rows.

    Of a matrix by columns, each column is elsewhere in the file, and reading a little of it may map as much
    as a page of the largest size: so a few columns at a time.
    """
    step = max(1, LARGEST_IN_MEMORY // _LARGEST_PAGE)
    copy = np.empty((part.stop - part.start, array.shape[1]), array.dtype)
    for first in range(0, array.shape[1], step):
        copy[:, first : first + step] = array[part, first : first + step]
        release(array)
    return copy


def take_rows(array: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Give the rows of a matrix that a mask marks; all of them are the matrix itself."""
    if keep.all():
        return array
    kept = empty((int(keep.sum()), array.shape[1]), array.dtype, by_column=True)
    for part in column_parts(array):
        kept[:, part] = array[keep, part]
        release(kept)
    return kept
