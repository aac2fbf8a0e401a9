"""``[[perturbations]]``: which gene each reagent of a genetic screen perturbs, by the reagent's id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.context.sections.base import Table
from infoalign_dgl.sources.rows import settle_ids
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
    reagents, values = loaded.ids(table.id), loaded.frame[table.gene].tolist()
    found = [normalize_entrez(value) for value in values]
    rows = zip(reagents, values, found, strict=True)
    agreed = settle_ids(
        (reagent, gene or "") for reagent, value, gene in rows if reagent and (gene or not value)
    )
    known |= {reagent: gene or None for reagent, gene in agreed.items()}
    for row, reagent, value, gene in zip(loaded.numbers, reagents, values, found, strict=True):
        if not reagent:
            loaded.account.drop("no id", row)
        elif value and gene is None:
            loaded.account.drop("not an Entrez id", row, value)
        elif known[reagent] != gene:
            loaded.account.drop("duplicated id: another row has another gene", row, reagent)
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
