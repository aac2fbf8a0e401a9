"""Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet

from infoalign_dgl.sources.files.base import UNREADABLE, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa


def header(path: Path) -> list[str]:
    """Read the column names."""
    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> pa.Table:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    try:
        return pyarrow.parquet.read_table(path, columns=[*text, *numbers])
    except UNREADABLE as error:
        raise unreadable(path, error) from error
