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
    """Gene symbols and their Entrez ids.

    ``synonyms`` is a column of other symbols, several separated by ``|``; ``aliases`` maps other symbols to
    those of the table; ``status`` is a column that says for instance which genes are landmarks.
    """

    symbol: str
    entrez: str
    synonyms: str | None = None
    aliases: dict[str, str] = {}
    status: str | None = None


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
    loaded = reader.read(["symbol", "entrez", "synonyms", "status"])
    nothing = [None] * len(loaded.frame)
    synonyms = nothing if table.synonyms is None else loaded.frame[table.synonyms]
    status = nothing if table.status is None else loaded.frame[table.status]
    mine: dict[str, str] = {}
    columns = (loaded.frame[table.symbol], loaded.frame[table.entrez], synonyms, status)
    for row, symbol, value, others, kind in zip(loaded.numbers, *columns, strict=True):
        entrez = normalize_entrez(value)
        if entrez is None:
            loaded.account.drop("not an Entrez id", row, value)
        elif not symbol:
            loaded.account.drop("no symbol", row, value)
        else:
            symbol = symbol.strip()
            names.add(symbol, entrez)
            mine[symbol] = min(mine.get(symbol, entrez), entrez, key=int)
            loaded.account.used += 1
            if kind:
                names.add_status(entrez, kind.strip())
            for other in filter(None, (name.strip() for name in (others or "").split("|"))):
                names.add_alias(other, entrez)
    for alias, symbol in table.aliases.items():
        found = mine.get(symbol)  # of this table, so that the order of tables does not matter
        if found is None:
            raise SpecError(
                f"[[gene_ids]] '{table.file}' has aliases.{alias} = '{symbol}', which is no symbol of "
                f"that table: {did_you_mean(symbol, mine)}"
            )
        names.add_alias(alias, found)
    return loaded.account
