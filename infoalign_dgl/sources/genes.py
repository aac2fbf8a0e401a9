"""Gene symbols and Entrez ids, symbols that R has mangled included."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from infoalign_dgl.sources.tables import normalize_entrez

_NOT_SYNTACTIC = re.compile(r"[^A-Za-z0-9._]")


def r_mangled(name: str) -> str:
    """Return what R makes of a column name: ``HLA-DMA`` gives ``HLA.DMA``, ``7SK`` gives ``X7SK``."""
    name = _NOT_SYNTACTIC.sub(".", name)
    return name if re.match(r"[A-Za-z]|\.(?!\d)", name) else f"X{name}"


@dataclass
class GeneNames:
    """Symbols to Entrez ids and back; of two entries that disagree the first one holds."""

    entrez_of: dict[str, str] = field(default_factory=dict)
    symbol_of: dict[str, str] = field(default_factory=dict)
    _mangled: dict[str, str] = field(default_factory=dict)

    def add(self, symbol: str, entrez: str) -> None:
        """Add a symbol of a gene."""
        self.entrez_of.setdefault(symbol, entrez)
        self.symbol_of.setdefault(entrez, symbol)
        self._mangled.setdefault(r_mangled(symbol), entrez)

    def add_alias(self, alias: str, entrez: str) -> None:
        """Add another symbol of a gene, which will not be shown as its symbol."""
        self.entrez_of.setdefault(alias, entrez)
        self._mangled.setdefault(r_mangled(alias), entrez)

    def find(self, symbol: str) -> str | None:
        """Entrez id of a symbol, exact or mangled by R, or None."""
        return self.entrez_of.get(symbol) or self._mangled.get(symbol)


@dataclass(frozen=True)
class GeneColumns:
    """Which columns of an expression table are genes.

    Parameters
    ----------
    columns : list of str
        The table's column names that are genes, each gene once.
    entrez : list of str
        Their Entrez ids.
    unknown : list of str
        Columns that name no known gene.
    repeated : list of str
        Columns whose gene an earlier column has already.
    """

    columns: list[str]
    entrez: list[str]
    unknown: list[str]
    repeated: list[str]


def gene_columns(candidates: list[str], names: GeneNames | None) -> GeneColumns:
    """Find the gene of each column name.

    Parameters
    ----------
    candidates : list of str
        Column names.
    names : GeneNames or None
        How to read symbols; None where the columns are Entrez ids.
    """
    taken: dict[str, str] = {}
    unknown, repeated = [], []
    for column in candidates:
        entrez = normalize_entrez(column) if names is None else names.find(column)
        if entrez is None:
            unknown.append(column)
        elif entrez in taken:
            repeated.append(column)
        else:
            taken[entrez] = column
    return GeneColumns(list(taken.values()), list(taken), unknown, repeated)
