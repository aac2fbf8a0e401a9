"""``[[molecules]]`` and ``[[crosswalks]]``: structures by id."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from infoalign_dgl.context.sections.base import Table, TableReader
from infoalign_dgl.sources.rows import MoleculeRows


class MoleculeTable(Table):
    """Structures by id; each becomes a molecule."""

    name: str
    id: str | None = None
    smiles: str | None = None
    inchi: str | None = None

    @model_validator(mode="after")
    def _one_structure(self) -> Self:
        if (self.smiles is None) == (self.inchi is None):
            raise ValueError("give exactly one of 'smiles' and 'inchi', the column of the structures")
        return self


class CrosswalkTable(MoleculeTable):
    """Structures by id; one becomes a molecule only if another table refers to its id."""

    id: str


def read_molecules(reader: TableReader, table: MoleculeTable, *, crosswalk: bool = False) -> MoleculeRows:
    """Read structures and their ids."""
    loaded = reader.read(["id", "smiles", "inchi"])
    structure = table.smiles or table.inchi
    ids: list[str | None] = [None] * len(loaded.frame) if table.id is None else loaded.ids(table.id)
    return MoleculeRows(
        loaded.account,
        table.name,
        ids,
        loaded.frame[structure].tolist(),
        "smiles" if table.smiles else "inchi",
        loaded.numbers,
        crosswalk,
    )
