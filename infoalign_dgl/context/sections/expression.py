"""``[[expression]]``: expression profiles of molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from infoalign_dgl.context.sections.base import AboutMolecules, InSpace, TableReader, references
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.genes import gene_columns
from infoalign_dgl.sources.rows import ProfileRows

if TYPE_CHECKING:
    from infoalign_dgl.sources.genes import GeneNames


class ExpressionTable(AboutMolecules, InSpace):
    """Expression profiles of molecules: every column named by a gene (Entrez id or symbol) is a feature."""

    genes: Literal["entrez", "symbol"] = "entrez"


def read_expression(reader: TableReader, table: ExpressionTable, names: GeneNames) -> ProfileRows:
    """Read profiles whose columns are genes."""
    taken = {table.smiles, table.inchi, table.id, *table.where_not}
    candidates = [column for column in reader.header if column not in taken]
    found = gene_columns(candidates, None if table.genes == "entrez" else names)
    if not found.columns:
        raise SpecError(
            f"[[expression]] '{table.file}' has no column that names a gene by {table.genes}: set genes "
            f"to the other of "
            f"'entrez' and 'symbol', or list the symbols under [[gene_ids]]"
        )
    loaded = reader.read(["smiles", "inchi", "id"], found.columns)
    loaded.account.notes |= {"unknown_columns": found.unknown, "repeated_columns": found.repeated}
    return ProfileRows(
        loaded.account,
        "gene_expression",
        table.space,
        found.entrez,
        loaded.matrix(found.columns),
        references(loaded, table),
        loaded.numbers,
    )
