"""Tables of an evaluation, read from the Markdown that it wrote them as."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.plots.pages._parts import GroupedGrid

if TYPE_CHECKING:
    from pathlib import Path

_BAR = re.compile(r"(?<!\\)\|")
_BEST = re.compile(r"\*\*(.*)\*\*")
_GROUP = re.compile(r"\*([^*].*)\*")


def read_markdown_table(path: Path) -> GroupedGrid:
    """Read a table that :func:`~infoalign_dgl.evaluation.tables.write_table` wrote as Markdown.

    Parameters
    ----------
    path : Path
        ``tables/NAME.md`` of a results folder.

    Raises
    ------
    EvaluationError
        If it is no such table.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"'{path}' cannot be read ({error}): run evaluate again") from error
    title = _BEST.fullmatch(lines[0].strip()) if lines else None
    rows = [_cells(line) for line in lines if line.startswith("| ")]
    if title is None or len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise EvaluationError(f"'{path}' is no table of an evaluation: run evaluate again")
    groups: list[tuple[str, list[list[tuple[str, bool]]]]] = []
    for row in rows[2:]:  # below the header and its rule
        name = _GROUP.fullmatch(row[0])
        if name is not None and not any(row[1:]):
            groups.append((name[1], []))
            continue
        if not groups:
            groups.append(("", []))
        groups[-1][1].append([_cell(text) for text in row])
    notes = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    return GroupedGrid(title[1], rows[0], groups, notes)


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in _BAR.split(line.strip())[1:-1]]


def _cell(text: str) -> tuple[str, bool]:
    best = _BEST.fullmatch(text)
    return (text, False) if best is None else (best[1], True)
