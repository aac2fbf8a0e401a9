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


def add_gene_ids(look: Look, known: Known, ids: Sequence[set[str]], *, repeated: bool) -> bool:
    """Take a table of gene ids and symbols, which is not about molecules; say whether it is one.

    Parameters
    ----------
    look : Look
    known : Known
    ids : sequence of set of str
        Ids of molecules, by column.
    repeated : bool
        Whether the rows are reagents, of which a gene may have several.
    """
    if look.structure or look.blocks or look.conventional or metaedge_column(look):
        return False
    others = [name for name in look.plain if not look.is_numeric(name)]
    if any(share(look.ids(name), one) >= MIN_OVERLAP for name in others for one in ids):
        return False
    for column in look.plain:
        entrez = [normalize_entrez(cell) for cell in look.cells[column]]
        rows = [row for row, gene in enumerate(entrez) if gene is not None]
        first = [*{gene: row for row, gene in reversed([*enumerate(entrez)]) if gene is not None}.values()]
        if look.entrez_share(column) < 0.5 or not (repeated or len(first) >= 0.9 * len(rows)):
            continue
        fitting = [name for name in others if name != column and look.symbols(name, first)]
        if not fitting:
            continue
        symbol = max(fitting, key=lambda name: "symbol" in name.lower())
        _add(look, known, column, symbol, entrez)
        return True
    return False


def _add(look: Look, known: Known, column: str, symbol: str, entrez: list[str | None]) -> None:
    reasons = [f"'{column}' has Entrez ids and '{symbol}' what look like their symbols"]
    keys: dict[str, Any] = {"symbol": symbol, "entrez": column}
    if "status" in look.plain:
        keys["status"] = "status"
    left_out = _other_kinds(look, entrez)
    if left_out:
        keys["where_not"] = left_out
        reasons.append(f"where_not: these rows have no Entrez id in '{column}'")
    for name, gene in zip(look.cells[symbol], entrez, strict=True):
        if name and gene:
            known.names.add(name, gene)
    known.genes |= {gene for gene in entrez if gene}
    known.found.append(Recognized(look.file, "gene_ids", keys, reasons))


def _other_kinds(look: Look, entrez: list[str | None]) -> dict[str, list[str]]:
    """Find a column of a few kinds that says which rows are no genes: ``{column: [values]}``."""
    if None not in entrez:
        return {}
    kinds: dict[str, tuple[int, list[str]]] = {}
    for column in look.plain:
        cells = look.cells[column]
        of_genes = {cell for cell, gene in zip(cells, entrez, strict=True) if gene is not None}
        others = {cell or "" for cell, gene in zip(cells, entrez, strict=True) if gene is None}
        few = len(others) <= 10 and len(of_genes) <= 10 and not look.unique(column)
        if few and "" not in others and not others & of_genes:
            kinds[column] = (len(of_genes), sorted(others))
    if not kinds:
        return {}
    column = min(kinds, key=lambda name: kinds[name][0])
    return {column: kinds[column][1]}
