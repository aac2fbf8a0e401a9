"""Tables of expression profiles: genes as columns, by Entrez id or symbol, or as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.context.recognition.known import Recognized, share
from infoalign_dgl.context.recognition.look import MIN_BLOCK
from infoalign_dgl.context.recognition.profiles import molecule_profiles
from infoalign_dgl.sources.tables import normalize_entrez

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


def expression(look: Look, known: Known) -> Recognized | None:
    """Recognize a table with a column per gene."""
    symbols = symbol_columns(look, known)
    columns = look.entrez_columns
    if not (columns or symbols):
        return None
    if len(columns) >= len(symbols):
        genes = {str(normalize_entrez(name.removeprefix("X"))) for name in columns}
        space, shared = known.space(look, "expression", genes)
        why = f"{len(columns):,} columns are named by Entrez ids{shared}"
        return molecule_profiles(look, known, "expression", {"space": space}, why)
    genes = {gene for name in symbols if (gene := known.names.find(name)) is not None}
    space, shared = known.space(look, "expression", genes)
    keys = {"space": space, "genes": "symbol"}
    found = molecule_profiles(
        look, known, "expression", keys, f"{len(genes):,} columns are known gene symbols{shared}"
    )
    if len(genes) < len(symbols) / 2:
        found.off = True
        found.reasons[0] = (
            f"{len(symbols):,} columns look like gene symbols, but no table given says which genes they "
            f"are: give one of symbols and Entrez ids"
        )
    return found


def genes_as_rows(look: Look, known: Known) -> Recognized | None:
    """Recognize a table turned around: a row per gene, a column per molecule."""
    for column in look.genes:
        others = {name for name in look.header if name != column}
        if not look.unique(column) or len(others) < MIN_BLOCK:
            continue
        for ids in known.molecules:
            if share(others, ids.values) >= 0.9:
                ids.choose()
                space, _ = known.space(look, "expression", look.ids(column))
                keys = {"space": space, "orientation": "genes-as-rows", "gene": column, "ids_of": ids.name}
                why = f"'{column}' has a gene for each row, and the other columns are named by ids of "
                return Recognized(
                    look.file, "expression", keys, [f"{why}'{ids.column}' of '{ids.entry.file}'"]
                )
    return None


def symbol_columns(look: Look, known: Known) -> list[str]:
    """Columns of numbers named by gene symbols, where most columns are such."""
    if look.symbol_columns:
        return look.symbol_columns
    taken = {column for block in look.blocks.values() for column in block}
    named = [name for name in look.header if known.names.find(name) and (name in look.plain or name in taken)]
    named = [name for name in named if name in taken or look.is_numeric(name)]
    return named if len(named) >= max(3, len(look.header) / 2) else []
