"""``[[perturbations]]``: which gene each reagent of a genetic screen perturbs, by the reagent's id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.context.sections.base import Table
from infoalign_dgl.sources.tables import normalize_entrez

if TYPE_CHECKING:
    from infoalign_dgl.context.sections.base import Loaded, TableReader
    from infoalign_dgl.sources.rows import TableAccount

GeneOf = dict[str, dict[str, str | None]]  # table's name -> reagent's id -> Entrez id, None for a control


class PerturbationTable(Table):
    """Genes, by Entrez id, of reagents such as JUMP's guides and ORFs; a control has none."""

    name: str
    id: str
    gene: str


def read_perturbations(reader: TableReader, table: PerturbationTable, genes: GeneOf) -> TableAccount:
    """Add the reagents of a table to ``genes``."""
    loaded = reader.read(["id", "gene"])
    known = genes.setdefault(table.name, {})
    found = zip(loaded.numbers, loaded.ids(table.id), loaded.frame[table.gene], strict=True)
    for row, reagent, value in found:
        gene = normalize_entrez(value)
        if not reagent:
            loaded.account.drop("no id", row)
        elif value and gene is None:
            loaded.account.drop("not an Entrez id", row, value)
        elif known.setdefault(reagent, gene) != gene:
            loaded.account.drop("duplicated id: an earlier row has another gene", row, reagent)
        else:
            loaded.account.used += 1
    return loaded.account


def reagent_genes(loaded: Loaded, column: str, known: dict[str, str | None]) -> list[str | None]:
    """Return the gene of each row's reagent, None for rows without one, which are counted as dropped."""
    genes: list[str | None] = []
    for row, reagent in zip(loaded.numbers, loaded.ids(column), strict=True):
        gene = known.get(reagent) if reagent else None
        if gene is None:
            why = "reagent without a gene" if reagent in known else "unknown reagent"
            loaded.account.drop(why if reagent else "no reagent", row, reagent)
        genes.append(gene)
    return genes
