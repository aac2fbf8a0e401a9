"""``[[expression]]``: expression profiles of molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from infoalign_dgl import _spill
from infoalign_dgl.context._replicates import median_by_owner
from infoalign_dgl.context.sections.base import AboutMolecules, Loaded, TableReader, references
from infoalign_dgl.context.sections.profiles import (
    MoleculeProfiles,
    duplicated_rows,
    labels_of,
    outlying_rows,
)
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.genes import GeneColumns, gene_columns
from infoalign_dgl.sources.rows import MoleculeReferences, ProfileRows, TableAccount
from infoalign_dgl.sources.tables import did_you_mean, normalize_id

if TYPE_CHECKING:
    from infoalign_dgl.sources.genes import GeneNames


class ExpressionTable(MoleculeProfiles):
    """Expression profiles of molecules: every column named by a gene (Entrez id or symbol) is a feature.

    With ``orientation = "genes-as-rows"`` the column ``gene`` names each row's gene, and every other column
    is a profile, named by its molecule's id in the table ``ids_of``. Several columns (or rows) of one gene
    become their median. ``genes_only`` keeps some of the genes: those listed, or those of a status (for
    instance "landmark") in the column ``status`` of [[gene_ids]].
    """

    genes: Literal["entrez", "symbol"] = "entrez"
    genes_only: str | Annotated[list[str], Field(min_length=1)] | None = None
    orientation: Literal["genes-as-columns", "genes-as-rows"] = "genes-as-columns"
    gene: str | None = None

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if self.orientation == "genes-as-columns":
            if self.gene is not None:
                raise ValueError("'gene', the column that names a row's gene, is for 'genes-as-rows'")
            return AboutMolecules._one_reference(self)  # type: ignore[operator]
        if self.gene is None or self.ids_of is None:
            raise ValueError(
                "'genes-as-rows' needs 'gene', the column that names a row's gene, and 'ids_of', the name of "
                "the table whose ids the other columns are called by"
            )
        others = ("smiles", "inchi", "id", "batch", "plate", "well", "dose", "where_not")
        given = next((key for key in others if getattr(self, key)), None)
        if given is not None:
            raise ValueError(f"'{given}' is about rows that are profiles, and with 'genes-as-rows' none is")
        return self


def read_expression(reader: TableReader, table: ExpressionTable, names: GeneNames) -> ProfileRows:
    """Read profiles of genes."""
    read = _by_row if table.orientation == "genes-as-rows" else _by_column
    loaded, found, values, molecules = read(reader, table, names)
    notes = loaded.account.notes
    notes |= {"unknown_genes": found.unknown, "repeated_genes": found.repeated}
    notes |= {"left_out_genes": len(found.left_out)}
    notes["duplicated_rows"] = duplicated_rows(values, loaded.numbers)
    notes["outlying_rows"] = outlying_rows(values, loaded.numbers)
    return ProfileRows(
        loaded.account,
        "gene_expression",
        table.space,
        found.entrez,
        values,
        molecules,
        loaded.numbers,
        labels_of(loaded, table),
        table.rules(),
    )


def _by_column(
    reader: TableReader, table: ExpressionTable, names: GeneNames
) -> tuple[Loaded, GeneColumns, np.ndarray, MoleculeReferences]:
    """Read a table whose columns are genes."""
    keys = ["smiles", "inchi", "id", "batch", "plate", "well", "dose"]
    taken = {*(getattr(table, key) for key in keys), *table.where_not}
    candidates = [column for column in reader.header if column not in taken]
    found = gene_columns(candidates, _symbols(table, names), _wanted(table, names))
    _require_genes(table, found)
    loaded = reader.read(keys, found.columns)
    values = loaded.matrix([candidates[places[0]] for places in found.of.values()])
    for gene, places in enumerate(found.of.values()):
        if len(places) > 1:
            several = loaded.frame[[candidates[place] for place in places]].to_numpy()
            values[:, gene] = _medians(several.T)
    return loaded, found, values, references(loaded, table)


def _by_row(
    reader: TableReader, table: ExpressionTable, names: GeneNames
) -> tuple[Loaded, GeneColumns, np.ndarray, MoleculeReferences]:
    """Read a table whose rows are genes: its columns are counted as the rows of the account."""
    profiles = [column for column in reader.header if column != table.gene]
    by_gene = reader.read(["gene"], profiles)
    genes = [value or "" for value in by_gene.frame[table.gene]]
    found = gene_columns(genes, _symbols(table, names), _wanted(table, names))
    _require_genes(table, found)
    repeated = {gene: rows for gene, rows in enumerate(found.of.values()) if len(rows) > 1}
    first = np.array([rows[0] for rows in found.of.values()])
    values = _spill.empty((len(profiles), len(first)), by_column=True)
    for place, column in enumerate(profiles):
        given = by_gene.frame[column].to_numpy()
        values[place] = given[first]
        for gene, rows in repeated.items():
            values[place, gene] = _medians(given[rows][:, None])[0]
    places = {column: place for place, column in enumerate(reader.header, start=1)}
    numbers = np.array([places[column] for column in profiles], np.int64)
    account = TableAccount(table.file, "expression", len(profiles))
    account.notes["row_numbers"] = "of the file's columns, the first of which is 1: its rows are genes"
    molecules = MoleculeReferences([normalize_id(column) for column in profiles], "id", table.ids_of)
    return Loaded(by_gene.frame, numbers, account), found, values, molecules


def _medians(several: np.ndarray) -> np.ndarray:
    """Medians over the first axis, missing entries left aside, shape (second axis,)."""
    return median_by_owner(several, np.zeros(len(several), np.int64))[0][0]


def _symbols(table: ExpressionTable, names: GeneNames) -> GeneNames | None:
    return None if table.genes == "entrez" else names


def _wanted(table: ExpressionTable, names: GeneNames) -> set[str] | None:
    """Entrez ids that ``genes_only`` asks for."""
    if table.genes_only is None:
        return None
    if isinstance(table.genes_only, str):
        kinds = sorted(set(names.status_of.values()))
        if table.genes_only not in kinds:
            raise SpecError(
                f"[[expression]] '{table.file}' has genes_only = '{table.genes_only}', which is no status of "
                f"a gene in [[gene_ids]], whose key 'status' names the column: "
                f"{did_you_mean(table.genes_only, kinds)}"
            )
        return {entrez for entrez, kind in names.status_of.items() if kind == table.genes_only}
    listed = gene_columns(table.genes_only, _symbols(table, names))
    if listed.unknown:
        raise SpecError(
            f"[[expression]] '{table.file}' has genes_only with '{listed.unknown[0]}', which is no gene by "
            f"{table.genes}: correct it, or list its symbol under [[gene_ids]]"
        )
    return set(listed.entrez)


def _require_genes(table: ExpressionTable, found: GeneColumns) -> None:
    if found.columns:
        return
    of = "row" if table.orientation == "genes-as-rows" else "column"
    if found.left_out:
        raise SpecError(
            f"[[expression]] '{table.file}' has no {of} of a gene that genes_only asks for, and "
            f"{len(found.left_out)} of other genes: ask for some of these"
        )
    raise SpecError(
        f"[[expression]] '{table.file}' has no {of} that names a gene by {table.genes}: set genes to the "
        f"other of 'entrez' and 'symbol', or list the symbols under [[gene_ids]]"
    )
