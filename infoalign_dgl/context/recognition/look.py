"""A look at a table of unknown kind: what its columns hold, judged by their cells and not by name alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.context.sections.morphology import COMPARTMENTS
from infoalign_dgl.sources.files.base import parse_numbers
from infoalign_dgl.sources.genes import gene_of
from infoalign_dgl.sources.tables import normalize_entrez, normalize_id, read_header, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

MIN_BLOCK = 5  # columns of a common prefix that are taken for a block of features
MIN_CONVENTIONAL = 3
MIN_OWN = 0.9  # of ids, the share that are not repeated (for another structure)
_MOST_PLAIN = 200  # columns of no block that are read
_SAMPLE = 5000  # rows by which a column's kind is judged
_MOST_PARSED = 200  # different cells that are tried as structures
_MOSTLY = 0.8
_PREFIX = re.compile(r"([A-Za-z]+[_.])|([A-Za-z_.]*?[A-Za-z_.])\d+$")
_STRUCTURAL = re.compile(r"[()=#\[\]/\\@]|[cno]\d")  # what a SMILES has and a name or an id seldom
_INCHIKEY = re.compile(r"(InChIKey=)?[A-Z]{14}-[A-Z]{10}-[A-Z]")
_WELL = re.compile(r"[A-P][A-Z]?-?\d{1,2}")
_GENE_NAME = re.compile(r"entrez|gene|ncbi", re.IGNORECASE)
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9]*([.@_-][A-Za-z0-9]+)*")
_DIGITS = re.compile(r"\d+")
_SYMBOL_COLUMN = re.compile(r"[A-Z][A-Z0-9]+([.-][A-Z0-9]+)*|C\d+orf\d+")
_MIN_SYMBOLS = 20
_LABEL_CELLS = {"0", "1", "0.0", "1.0"}
_LABELS = {"plate": {"plate", "barcode"}, "dose": {"dose", "conc", "concentration"}}
_LABELS |= {"batch": {"batch", "source", "run"}}


@dataclass(frozen=True, eq=False)
class Look:
    """A table as it was found.

    Parameters
    ----------
    path : Path
    file : str
        How a spec names it.
    header : list of str
    cells : dict of str to list of (str or None)
        The columns that were read, as text: those of no block, and some of each block.
    blocks : dict of str to list of str
        Columns of numbers by a pattern that matches them, the largest block first.
    entrez_columns : list of str
        Columns whose names are Entrez ids.
    conventional : list of str
        Columns that are features by pycytominer's convention.
    symbol_columns : list of str
        Columns whose names look like gene symbols, where most columns are such.
    label_blocks : list of str
        Patterns of columns that hold zeros and ones alone, as the labels of tasks do.
    """

    path: Path
    file: str
    header: list[str]
    cells: dict[str, list[str | None]]
    blocks: dict[str, list[str]]
    entrez_columns: list[str]
    conventional: list[str]
    symbol_columns: list[str]
    label_blocks: list[str] = field(default_factory=list)
    known_genes: set[str] = field(default_factory=set)  # filled in once all tables were looked at
    _ids: dict[str, set[str]] = field(default_factory=dict)

    @cached_property
    def plain(self) -> list[str]:
        """Columns that were read and are in no block."""
        taken = {*self.entrez_columns, *self.conventional, *self.symbol_columns}
        taken |= {column for block in self.blocks.values() for column in block}
        return [column for column in self.cells if column not in taken]

    @property
    def has_features(self) -> bool:
        """Whether there are columns of numbers that may be a profile."""
        return bool(self.blocks or self.conventional or self.entrez_columns)

    @cached_property
    def structure(self) -> tuple[str, str, str] | None:
        """The column of structures: the key it has in a spec, the column, and why it is taken for that."""
        found = []
        for column in self.plain:
            kind, read, tried = _structures(self.sample(column), named="smiles" in column.lower())
            if read >= _MOSTLY * tried > 0:
                # SMILES before InChI, which does not say which tautomer was drawn.
                found.append((kind == "smiles", read / tried, kind, column, read, tried))
        if not found:
            return None
        _, _, kind, column, read, tried = max(found, key=lambda row: row[:2])
        name = "InChI" if kind == "inchi" else "SMILES"
        return kind, column, f"'{column}' holds structures: RDKit reads {read} of {tried} tried as {name}"

    @cached_property
    def genes(self) -> list[str]:
        """Columns of Entrez ids."""
        return [column for column in self.plain if self.entrez_share(column) >= 0.9]

    def entrez_share(self, column: str) -> float:
        """Share of a column's cells that are Entrez ids; 0 where nothing but their being integers says so."""
        found = self.sample(column)
        ids = [gene for cell in found if (gene := normalize_entrez(cell)) is not None]
        if not ids:
            return 0.0
        marked = sum(cell.startswith("Gene::") for cell in found) / len(found)
        different = set(ids)
        known = len(different) >= 20 and len(different & self.known_genes) >= 0.95 * len(different)
        return len(ids) / len(found) if marked > 0.5 or _GENE_NAME.search(column) or known else 0.0

    def sample(self, column: str) -> list[str]:
        """Return cells of a column that are not empty, from all over it."""
        there = [cell for cell in self.cells[column] if cell]
        return there[:: max(1, len(there) // _SAMPLE)]

    def is_numeric(self, column: str) -> bool:
        """Whether (nearly) all cells are numbers."""
        cells = self.sample(column)
        return bool(cells) and float(np.isfinite(parse_numbers(cells)).mean()) >= 0.9

    def ids(self, column: str) -> set[str]:
        """Return the different ids in a column."""
        if column not in self._ids:
            found = (normalize_id(cell) for cell in self.cells[column])
            self._ids[column] = {one for one in found if one is not None}
        return self._ids[column]

    def unique(self, column: str, *, least: float = MIN_OWN) -> bool:
        """Whether a column has an id for nearly every row, and at least this share of them is different."""
        there = [cell for cell in self.cells[column] if cell]
        return len(there) >= 0.95 * len(self.cells[column]) and len(set(there)) >= least * len(there)

    def names_structures(self, column: str) -> bool:
        """Whether a column has an id for nearly every row, and nearly each is of one structure.

        A compound that was bought twice has two rows, of one id and one structure.
        """
        if self.structure is None or column in (self.structure[1], "problem"):
            return False
        rows = zip(self.cells[column], self.cells[self.structure[1]], strict=True)
        there = [row for row in rows if row[0]]
        own = len({row_id for row_id, _ in there}) >= MIN_OWN * len(set(there))
        return own and len(there) >= 0.95 * len(self.cells[column])

    def labels(self) -> dict[str, str]:
        """Columns that say where a row was measured: by their names, wells by their cells."""
        found: dict[str, str] = {}
        for column in self.plain:
            words = {word.lower() for word in re.split(r"[^A-Za-z]+|(?<=[a-z])(?=[A-Z])", column) if word}
            cells = self.sample(column)
            for label, names in _LABELS.items():
                fits = cells and (label != "dose" or self.is_numeric(column))
                if words & names and fits and column != "problem":
                    found.setdefault(label, column)
        wells = [
            column
            for column in self.plain
            if column not in found.values() and _share_matching(_WELL, self.sample(column)) >= 0.9
        ]
        if wells:
            found["well"] = max(wells, key=lambda column: "well" in column.lower())
        return found

    def symbols(self, column: str, rows: Iterable[int]) -> bool:
        """Whether the cells in these rows look like gene symbols, nearly each once."""
        there = [cell for row in rows if (cell := self.cells[column][row])]
        like = sum(bool(_SYMBOL.fullmatch(cell)) and len(cell) <= 20 for cell in there)
        # Ids such as JCP2022_800003 and NM_001155 look like symbols too, but differ in little but numbers.
        words = {_DIGITS.sub("", cell) for cell in there}
        different = len(set(there)) >= 0.9 * len(there) and len(words) > max(1, 0.1 * len(there))
        return different and like >= 0.9 * len(there)

    def inchikeys(self) -> list[str]:
        """Columns of InChIKeys, from which no structure can be made."""
        return [column for column in self.plain if _share_matching(_INCHIKEY, self.sample(column)) == 1]


def look_at(path: Path, file: str) -> Look:
    """Read a table's header and those columns that say what it is.

    Parameters
    ----------
    path : Path
    file : str
        How a spec names it.

    Raises
    ------
    SourceError
        If the file cannot be read as a table.
    """
    header = read_header(path)
    entrez = [name for name in header if gene_of(name, None) is not None]
    entrez = entrez if len(entrez) >= MIN_CONVENTIONAL else []
    conventional = [name for name in header if name.startswith(COMPARTMENTS)]
    conventional = conventional if len(conventional) >= MIN_CONVENTIONAL else []
    others = [name for name in header if name not in {*entrez, *conventional}]
    symbols = [name for name in others if _SYMBOL_COLUMN.fullmatch(name)]
    symbols = symbols if len(symbols) >= max(_MIN_SYMBOLS, len(header) / 2) else []
    groups = _groups([name for name in others if name not in set(symbols)])
    grouped = {name for names in groups.values() for name in names}
    plain = [name for name in others if name not in grouped and name not in set(symbols)]
    wide = [entrez, conventional, symbols, *groups.values()]
    wanted = [*_spread(plain, _MOST_PLAIN), *(name for names in wide for name in _spread(names))]
    named = (entrez, conventional, symbols)
    look = Look(path, file, header, _columns(path, wanted), {}, *named)
    blocks = {}
    for pattern, names in groups.items():
        if all(look.is_numeric(name) or not look.sample(name) for name in _spread(names)):
            if {cell for name in _spread(names) for cell in look.sample(name)} <= _LABEL_CELLS:
                look.label_blocks.append(pattern)
            else:
                blocks[pattern] = names
    rest = [name for pattern, names in groups.items() if pattern not in blocks for name in names]
    more = [name for name in rest if name not in look.cells][:_MOST_PLAIN]
    cells = look.cells if not more else look.cells | _columns(path, more)
    ordered = dict(sorted(blocks.items(), key=lambda item: -len(item[1])))
    read = {column: cells[column] for column in header if column in cells}
    return Look(path, file, header, read, ordered, *named, label_blocks=look.label_blocks)


def _columns(path: Path, names: Sequence[str]) -> dict[str, list[str | None]]:
    frame = read_table(path, text=names)
    return {name: frame[name].tolist() for name in names}


def _groups(names: Sequence[str]) -> dict[str, list[str]]:
    """Group columns by what their names begin with; those that only describe rows stand apart."""
    groups: dict[str, list[str]] = {}
    for name in names:
        found = _PREFIX.match(name)
        prefix = found and (found[1] or found[2])
        if prefix and prefix != "Metadata_":
            groups.setdefault(f"{prefix}*", []).append(name)
    return {pattern: found for pattern, found in groups.items() if len(found) >= MIN_BLOCK}


def _spread(names: Sequence[str], count: int = 6) -> list[str]:
    """Take some of the names, from all over the list."""
    if len(names) <= count:
        return list(names)
    return [names[place] for place in sorted(set(np.linspace(0, len(names) - 1, count).astype(int).tolist()))]


def _structures(cells: Sequence[str], *, named: bool) -> tuple[str, int, int]:
    """Which notation of structures RDKit reads most of the cells in, how many it reads, and of how many."""
    from rdkit import rdBase

    from infoalign_dgl.molecules.parsing import parse_structure

    different = list(dict.fromkeys(cells))[:_MOST_PARSED]
    kind = "inchi" if sum(cell.startswith("InChI=") for cell in different) > len(different) / 2 else "smiles"
    # Many names and ids are SMILES too: 'CBS', 'C', '1'.
    structural = sum(bool(_STRUCTURAL.search(cell)) for cell in different)
    if kind == "smiles" and not named and structural < 0.3 * len(different):
        return kind, 0, len(different)
    with rdBase.BlockLogs():
        read = sum(parse_structure(cell, kind)[0] is not None for cell in different)  # type: ignore[arg-type]
    return kind, read, len(different)


def _share_matching(pattern: re.Pattern[str], cells: Sequence[str]) -> float:
    return sum(bool(pattern.fullmatch(cell)) for cell in cells) / max(len(cells), 1)
