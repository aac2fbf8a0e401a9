"""Structure-data files (SDF), V2000 and V3000.

Columns: ``smiles``, made from the record's mol block; ``name``, its title line; ``problem``, why the mol
block gave no SMILES, empty where it did; and every property that some record has. A property that is itself
named like one of the three is the column ``property NAME``. A record that is broken stays a row, with an
empty ``smiles``. Rows are numbered by record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import UNREADABLE, Cells, open_lines, take, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MADE = ("smiles", "name", "problem")
_PROPERTY = re.compile(r">.*?<(.+)>")
_END = "M  END"
_HEAD = 4  # lines of a mol block before its atoms; the first is a title, which may be anything


def header(path: Path) -> list[str]:
    """Read the column names: of all records' properties, so the whole file is read."""
    properties: dict[str, None] = {}
    records = ends = 0
    for block, found in _records(path):
        properties.update(dict.fromkeys(found))
        records += 1
        ends += _END in block
    if not records:
        raise SourceError(f"'{path}' is empty: give an SDF with records")
    if not ends:
        raise SourceError(
            f"'{path}' has no record with a line '{_END}', which ends a molecule's atoms and bonds: give "
            "an SDF, or set 'format' to what it is"
        )
    return [*MADE, *properties]


def read(path: Path, text: Sequence[str], numbers: Sequence[str]) -> Cells:
    """Read columns, as :func:`infoalign_dgl.sources.tables.read_table` says."""
    blocks, properties = [], []
    for block, found in _records(path):
        blocks.append(block)
        properties.append(found)
    made = {"name": [block.split("\n", 1)[0].strip() or None for block in blocks]}
    if {"smiles", "problem"} & {*text, *numbers}:
        from infoalign_dgl.molecules._workers import map_chunks
        from infoalign_dgl.molecules.parsing import mol_blocks_to_smiles

        results = [row for chunk in map_chunks(mol_blocks_to_smiles, blocks) for row in chunk]
        made |= {"smiles": [row[0] for row in results], "problem": [row[1] for row in results]}

    def column(name: str) -> list[str | None]:
        return made[name] if name in made else [found.get(name) for found in properties]

    return take(text, numbers, np.arange(1, len(blocks) + 1), column)


def _records(path: Path) -> Iterator[tuple[str, dict[str, str | None]]]:
    """Yield each record's mol block and properties."""
    try:
        with open_lines(path) as stream:
            lines: list[str] = []
            number = 1
            for line in stream:
                if line.startswith("$$$$"):
                    yield _split(path, number, lines)
                    lines = []
                    number += 1
                else:
                    lines.append(line.rstrip("\n"))
            if any(line.strip() for line in lines):  # the last record may lack its end
                yield _split(path, number, lines)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _split(path: Path, number: int, lines: list[str]) -> tuple[str, dict[str, str | None]]:
    """Split a record into its mol block and its properties."""
    end = next((i + 1 for i, line in enumerate(lines) if line.startswith(_END)), None)
    if end is None:  # a broken record, of which the properties are kept
        end = next((i for i, line in enumerate(lines) if i >= _HEAD and line.startswith(">")), len(lines))
    properties: dict[str, str | None] = {}
    name: str | None = None
    values: list[str] = []
    for line in [*lines[end:], ""]:
        if name is None:
            match = _PROPERTY.match(line)
            name, values = (match[1], []) if match else (None, [])
        elif line.strip():
            values.append(line.strip())
        else:  # a blank line ends the values
            column, value = f"property {name}" if name in MADE else name, "\n".join(values) or None
            if properties.setdefault(column, value) != value:
                raise SourceError(
                    f"'{path}' has the property '{name}' twice in record {number}, with two values: rename "
                    "or remove one of them"
                )
            name = None
    return "\n".join([*lines[:end], ""]), properties
