"""Gene symbols and Entrez ids, symbols that R has mangled included."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infoalign_dgl.sources.tables import normalize_entrez

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

_MANGLED_NUMBER = re.compile(r"X(\d+(?:\.0*)?)")
_NOT_SYNTACTIC = re.compile(r"[^A-Za-z0-9._]")


def r_mangled(name: str) -> str:
    """Return what R makes of a column name: ``HLA-DMA`` gives ``HLA.DMA``, ``7SK`` gives ``X7SK``."""
    name = _NOT_SYNTACTIC.sub(".", name)
    return name if re.match(r"[A-Za-z]|\.(?!\d)", name) else f"X{name}"


@dataclass
class GeneNames:
    """Symbols to Entrez ids and back, whatever the order in which they are added.

    Of a symbol's several genes the one with the smallest Entrez id holds, and of a gene's several symbols the
    first by the alphabet. A symbol goes before an alias, and an exact name before one that R has mangled. An
    alias of several genes names none of them.
    """

    entrez_of: dict[str, str] = field(default_factory=dict)
    symbol_of: dict[str, str] = field(default_factory=dict)
    status_of: dict[str, str] = field(default_factory=dict)  # Entrez id -> for instance "landmark"
    _aliases: dict[str, str] = field(default_factory=dict)  # alias -> Entrez id, empty for several genes
    _mangled: dict[str, str] = field(default_factory=dict)
    _mangled_aliases: dict[str, str] = field(default_factory=dict)

    def add(self, symbol: str, entrez: str) -> None:
        """Add a symbol of a gene."""
        self.entrez_of[symbol] = min(self.entrez_of.get(symbol, entrez), entrez, key=int)
        self.symbol_of[entrez] = min(self.symbol_of.get(entrez, symbol), symbol)
        mangled = r_mangled(symbol)
        self._mangled[mangled] = min(self._mangled.get(mangled, entrez), entrez, key=int)

    def add_status(self, entrez: str, status: str) -> None:
        """Say what a gene is, for instance "landmark"; of several the first by the alphabet holds."""
        self.status_of[entrez] = min(self.status_of.get(entrez, status), status)

    def add_alias(self, alias: str, entrez: str) -> None:
        """Add another symbol of a gene, which will not be shown as its symbol."""
        for aliases, name in ((self._aliases, alias), (self._mangled_aliases, r_mangled(alias))):
            aliases[name] = entrez if aliases.get(name, entrez) == entrez else ""

    def find(self, symbol: str) -> str | None:
        """Entrez id of a symbol, exact or mangled by R, or None."""
        known = (self.entrez_of, self._aliases, self._mangled, self._mangled_aliases)
        return next((names[symbol] for names in known if names.get(symbol)), None)


@dataclass(frozen=True)
class GeneColumns:
    """Which columns of an expression table are genes.

    Parameters
    ----------
    names : sequence of str
        All columns that were asked about.
    of : dict of str to list of int
        Positions in ``names`` of each gene's columns, by its Entrez id.
    unknown : list of str
        Columns that name no known gene.
    left_out : list of str
        Columns whose gene is none of those asked for.
    """

    names: Sequence[str]
    of: dict[str, list[int]]
    unknown: list[str]
    left_out: list[str]

    @property
    def entrez(self) -> list[str]:
        """The genes."""
        return list(self.of)

    @property
    def columns(self) -> list[str]:
        """All their columns."""
        return [self.names[place] for places in self.of.values() for place in places]

    @property
    def repeated(self) -> list[str]:
        """Columns of genes that have several, sorted."""
        several = (places for places in self.of.values() if len(places) > 1)
        return sorted(self.names[place] for places in several for place in places)


def gene_columns(
    candidates: Sequence[str], names: GeneNames | None, only: Container[str] | None = None
) -> GeneColumns:
    """Find the gene of each column name.

    Parameters
    ----------
    candidates : sequence of str
        Column names.
    names : GeneNames or None
        How to read symbols; None where the columns are Entrez ids.
    only : container of str, optional
        The Entrez ids of the genes asked for; all of them if left out.
    """
    taken: dict[str, list[int]] = {}
    unknown, left_out = [], []
    for place, column in enumerate(candidates):
        entrez = gene_of(column, names)
        if entrez is None:
            unknown.append(column)
        elif only is not None and entrez not in only:
            left_out.append(column)
        else:
            taken.setdefault(entrez, []).append(place)
    return GeneColumns(candidates, taken, unknown, left_out)


def gene_of(name: str, names: GeneNames | None) -> str | None:
    """Entrez id of a symbol, or with ``names`` None of an Entrez id, mangled by R (``X1017``) or not."""
    if names is not None:
        return names.find(name.strip())
    mangled = _MANGLED_NUMBER.fullmatch(name.strip())
    return normalize_entrez(mangled[1] if mangled else name)
