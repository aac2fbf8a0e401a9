"""Tables of gene ids and symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.recognition.known import MIN_OVERLAP, Recognized, share
from infoalign_dgl.context.recognition.networks import metaedge_column
from infoalign_dgl.sources.tables import normalize_entrez

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


def add_gene_ids(look: Look, known: Known, ids: Sequence[set[str]]) -> bool:
    """Take a table of gene ids and symbols, none of which are ids of molecules; say whether it is one."""
    if look.structure or look.blocks or look.conventional or metaedge_column(look):
        return False
    for column in look.plain:
        entrez = [normalize_entrez(cell) for cell in look.cells[column]]
        rows = [row for row, gene in enumerate(entrez) if gene is not None]
        different = {entrez[row] for row in rows}
        if look.entrez_share(column) < 0.5 or len(different) < 0.9 * len(rows):
            continue
        others = [name for name in look.plain if name != column and not look.is_numeric(name)]
        symbol = next((name for name in others if look.symbols(name, rows)), None)
        if symbol is not None and any(share(look.ids(symbol), one) >= MIN_OVERLAP for one in ids):
            return False
        if symbol is None:
            continue
        reasons = [f"'{column}' has different Entrez ids and '{symbol}' what look like their symbols"]
        keys: dict[str, Any] = {"symbol": symbol, "entrez": column}
        if "status" in look.plain:
            keys["status"] = "status"
        left_out = _other_kinds(look, rows, others)
        if left_out:
            keys["where_not"] = left_out
            reasons.append(f"where_not: these rows have no Entrez id in '{column}'")
        for row in rows:
            name, gene = look.cells[symbol][row], entrez[row]
            if name and gene:
                known.names.add(name, gene)
        known.genes |= {gene for gene in different if gene}
        known.found.append(Recognized(look.file, "gene_ids", keys, reasons))
        return True
    return False


def _other_kinds(look: Look, rows: list[int], others: list[str]) -> dict[str, list[str]]:
    """Find a column that says which rows are no genes: ``{column: [values]}``."""
    genes = set(rows)
    count = len(look.cells[look.header[0]])
    if len(genes) == count:
        return {}
    for column in others:
        cells = look.cells[column]
        of_genes = {cells[row] for row in genes}
        values = {cells[row] for row in range(count) if row not in genes}
        if len(values) <= 10 and None not in values and not values & of_genes:
            return {column: sorted(value for value in values if value)}
    return {}
