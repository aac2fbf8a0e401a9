"""Columns, such as one of cell lines, that tell the rows of one molecule apart."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from infoalign_dgl.context.recognition.spec_text import toml_value

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.look import Look

_NAMES = {"cell", "cells", "cellline", "celltype", "line", "tissue", "organism", "species", "strain", "donor"}
_NAMES |= {"medium", "media", "time", "itime", "timepoint", "hour", "hours", "duration"}
_MOST = 20  # different values that are taken for conditions
_LISTED = 5


def conditions(look: Look, column: str) -> list[str]:
    """Say which columns tell rows of one molecule (or gene) apart, and how to keep these apart.

    Parameters
    ----------
    look : Look
    column : str
        The column that names a row's molecule or gene.
    """
    reasons = []
    seen: set[tuple[int, ...]] = set()  # 'cell_id' and 'cell_iname' divide the rows in the same way
    for name in look.plain:
        words = {word.lower() for word in re.split(r"[^A-Za-z]+|(?<=[a-z])(?=[A-Z])", name) if word}
        cells = look.cells[name]
        counts = Counter(cell for cell in cells if cell)
        if not words & _NAMES or name == column or not 2 <= len(counts) <= _MOST:
            continue
        pairs = {(row_id, cell) for row_id, cell in zip(look.cells[column], cells, strict=True) if cell}
        per_id = Counter(row_id for row_id, _ in pairs if row_id)
        first: dict[str | None, int] = {}
        divided = tuple(first.setdefault(cell, len(first)) for cell in cells)
        if max(per_id.values(), default=0) < 2 or divided in seen:
            continue
        seen.add(divided)
        reasons.append(_reason(name, counts))
    return reasons


def _reason(name: str, counts: Counter[str]) -> str:
    values = sorted(counts)
    named = [f"'{value}' ({counts[value]:,} rows)" for value in values[:_LISTED]]
    if len(values) > _LISTED:
        named.append(f"{len(values) - _LISTED} others")
    chosen = toml_value({name: values[1:]})
    return (
        f"'{name}' tells rows of one molecule or gene apart, {', '.join(named[:-1])} and {named[-1]}, which "
        f"become one profile: to keep them apart, list the table once for each with a space of its own, for "
        f"'{values[0]}' with where_not = {chosen}"
    )
