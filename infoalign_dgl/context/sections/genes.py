"""``[[gene_ids]]`` and ``[[genes]]``: symbols, and which genes there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.context.sections.base import Table, TableReader
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.rows import GeneRows
from infoalign_dgl.sources.tables import did_you_mean, normalize_entrez

if TYPE_CHECKING:
    from infoalign_dgl.sources.genes import GeneNames
    from infoalign_dgl.sources.rows import TableAccount


class GeneIdTable(Table):
    """Gene symbols and their Entrez ids; ``aliases`` maps other symbols to those of the table."""

    symbol: str
    entrez: str
    aliases: dict[str, str] = {}


class GeneTable(Table):
    """The genes there are: where the spec lists such tables, other genes are unknown."""

    gene: str
    symbol: str | None = None


def read_genes(reader: TableReader, table: GeneTable) -> GeneRows:
    """Read which genes there are."""
    loaded = reader.read(["gene", "symbol"])
    symbols = [None] * len(loaded.frame) if table.symbol is None else loaded.frame[table.symbol].tolist()
    return GeneRows(loaded.account, loaded.genes(table.gene), symbols, loaded.numbers)


def read_gene_ids(reader: TableReader, table: GeneIdTable, names: GeneNames) -> TableAccount:
    """Add the symbols of a table to ``names``."""
    loaded = reader.read(["symbol", "entrez"])
    pairs = zip(loaded.numbers, loaded.frame[table.symbol], loaded.frame[table.entrez], strict=True)
    for row, symbol, value in pairs:
        entrez = normalize_entrez(value)
        if entrez is None:
            loaded.account.drop("not an Entrez id", row, value)
        elif not symbol:
            loaded.account.drop("no symbol", row, value)
        else:
            names.add(symbol.strip(), entrez)
            loaded.account.used += 1
    for alias, symbol in table.aliases.items():
        found = names.entrez_of.get(symbol)
        if found is None:
            raise SpecError(
                f"[[gene_ids]] '{table.file}' has aliases.{alias} = '{symbol}', which is no symbol of "
                f"that table: "
                f"{did_you_mean(symbol, names.entrez_of)}"
            )
        names.add_alias(alias, found)
    return loaded.account
