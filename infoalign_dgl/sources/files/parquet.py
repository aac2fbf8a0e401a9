"""Parquet. Rows are numbered from 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet

from infoalign_dgl.sources.files.base import UNREADABLE, Cells, refuse_gzip, take_arrow, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def header(path: Path) -> list[str]:
    """Read the column names."""
    refuse_gzip(path, "Parquet")
    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    try:
        # Not read_table, which runs out of memory where 100,000 columns are named in another order.
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read(columns=list(dict.fromkeys([*text, *numbers])))
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    rows = np.arange(1, table.num_rows + 1)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    del table
    return take_arrow(path, columns, text, numbers, rows)
