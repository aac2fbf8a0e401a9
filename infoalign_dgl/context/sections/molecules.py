"""``[[molecules]]`` and ``[[crosswalks]]``: structures by id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from infoalign_dgl.context.sections.base import Loaded, Table, TableReader
from infoalign_dgl.sources.rows import MoleculeRows
from infoalign_dgl.sources.tables import format_by_ending


class MoleculeTable(Table):
    """Structures by id; each becomes a molecule. In an SDF or SMILES file the structures need no naming."""

    name: str
    id: str | None = None
    smiles: str | None = None
    inchi: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _structures_of_the_file(cls, given: Any) -> Any:
        if not isinstance(given, dict) or {"smiles", "inchi"} & {*given}:
            return given
        if isinstance(given.get("file"), str):
            kind = given.get("format") or format_by_ending(Path(given["file"]))
            if kind in ("sdf", "smi"):
                return {**given, "smiles": "smiles"}
        return given

    @model_validator(mode="after")
    def _one_structure(self) -> Self:
        if (self.smiles is None) == (self.inchi is None):
            raise ValueError("give exactly one of 'smiles' and 'inchi', the column of the structures")
        return self


class CrosswalkTable(MoleculeTable):
    """Structures by id; one becomes a molecule only if another table refers to its id."""

    id: str


def read_molecules(reader: TableReader, table: MoleculeTable, *, crosswalk: bool = False) -> MoleculeRows:
    """Read structures and their ids; the records of an SDF that give no structure are dropped here."""
    is_sdf = reader.format == "sdf" and table.smiles == "smiles"
    loaded = reader.read(["id", "smiles", "inchi"], text=["problem"] if is_sdf else [])
    if is_sdf:
        loaded = _without_problems(loaded, table)
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


def _without_problems(loaded: Loaded, table: MoleculeTable) -> Loaded:
    """Drop the records whose mol block gave no SMILES, for the reason that the reader found."""
    problems = loaded.frame["problem"].tolist()
    ids = [None] * len(problems) if table.id is None else loaded.ids(table.id)
    for number, problem, row_id in zip(loaded.numbers.tolist(), problems, ids, strict=True):
        if problem is not None:
            category, _, detail = problem.partition(": ")
            told = [part for part in (row_id, detail) if part]
            loaded.account.drop(f"structure {category}", number, ": ".join(told) or None)
    keep = loaded.frame["problem"].isna().to_numpy()
    return replace(loaded, frame=loaded.frame[keep].reset_index(drop=True), numbers=loaded.numbers[keep])
