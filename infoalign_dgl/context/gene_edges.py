"""Genes by Entrez id: which there are, and the edges that touch them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.context.profiles import Aggregated, Measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.edges import EdgeBook, Kind
    from infoalign_dgl.context.identity import Molecules
    from infoalign_dgl.sources.rows import (
        GeneGeneRows,
        GeneProfileRows,
        GeneRows,
        MoleculeGeneRows,
        TableAccount,
    )


@dataclass(frozen=True)
class GeneEdges:
    """Edges to genes before genes have local ids.

    Parameters
    ----------
    sources : np.ndarray
        int64: Entrez ids, or local ids of molecules.
    targets : np.ndarray
        int64 Entrez ids.
    weights : np.ndarray
        float64 in [0, 1].
    """

    kind: Kind
    sources: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    account: TableAccount | None = None

    def entrez(self) -> list[np.ndarray]:
        """Entrez ids at the ends."""
        return [self.sources, self.targets] if self.kind[0] == "gene" else [self.targets]

    def add_to(self, book: EdgeBook, genes: np.ndarray) -> None:
        """Add the edges to a book, by local ids: positions among ``genes``, ascending Entrez ids."""
        sources = np.searchsorted(genes, self.sources) if self.kind[0] == "gene" else self.sources
        book.add(self.kind, (sources, np.searchsorted(genes, self.targets), self.weights), self.account)


def closed_genes(tables: Sequence[GeneRows]) -> np.ndarray | None:
    """Entrez ids of the gene tables, ascending; None without such tables: then any gene may come."""
    if not tables:
        return None
    known: set[int] = set()
    for table in tables:
        ids = _entrez(table.genes)
        for row, gene in zip(table.numbers, ids.tolist(), strict=True):
            if not gene:
                table.account.drop("not an Entrez id", row)
                continue
            table.account.used += 1
            table.account.merged += gene in known
            known.add(gene)
    return np.array(sorted(known), np.int64)


def gene_measured(tables: Sequence[GeneProfileRows], known: np.ndarray | None) -> list[Measured]:
    """Profiles of genes, owned by Entrez id; rows of no known gene are counted as dropped."""
    measured = []
    for table in tables:
        genes = _entrez(table.genes)
        keep = _keep_known(table.account, table.numbers, known, genes)
        values, numbers = _spill.take_rows(table.values, keep), table.numbers[keep]
        measured.append(
            Measured(
                table.account,
                "gene",
                table.space,
                table.columns,
                values,
                genes[keep],
                numbers,
                {},
                table.rules,
            )
        )
    return measured


def gene_gene_edges(table: GeneGeneRows, weights: np.ndarray, known: np.ndarray | None) -> GeneEdges:
    """Edges of a gene-gene table; self-loops and rows of no known gene are counted as dropped."""
    sources, targets = _entrez(table.sources), _entrez(table.targets)
    keep = _keep_known(table.account, table.numbers, known, sources, targets)
    loop = keep & (sources == targets)
    table.account.drop_all("self-loop", table.numbers[loop], map(str, sources[loop]))
    keep &= ~loop
    table.account.used += int(keep.sum())
    kind = ("gene", table.relation, "gene")
    return GeneEdges(kind, sources[keep], targets[keep], weights[keep], table.account)


def molecule_gene_edges(
    table: MoleculeGeneRows, molecules: Molecules, weights: np.ndarray, known: np.ndarray | None
) -> GeneEdges:
    """Edges of a molecule-gene table; rows of no known gene are counted as dropped."""
    sources, targets = molecules.of(table.molecules), _entrez(table.genes)
    about = sources >= 0  # the others were counted when molecules were identified
    keep = about.copy()
    keep[about] = _keep_known(table.account, table.numbers[about], known, targets[about])
    table.account.used += int(keep.sum())
    kind = ("molecule", table.relation, "gene")
    return GeneEdges(kind, sources[keep], targets[keep], weights[keep], table.account)


def expression_edges(
    spaces: Sequence[Aggregated], top: float, known: np.ndarray | None
) -> tuple[list[GeneEdges], dict[str, Any]]:
    """Molecule-regulates-gene edges of every expression space, with the cuts for the report."""
    found, cuts = [], {}
    for space in spaces:
        if space.node_type != "gene_expression":
            continue
        molecules, genes, weights, cut = regulates_from_expression(space, top)
        keep = np.ones(len(genes), bool) if known is None else np.isin(genes, known)
        found.append(
            GeneEdges(("molecule", "regulates", "gene"), molecules[keep], genes[keep], weights[keep])
        )
        cuts[space.name] = {
            "edges": int(keep.sum()),
            "smallest_value": cut if len(genes) else None,
            "unknown_genes": int((~keep).sum()),
        }
    return found, cuts


def gene_ids(
    edges: Sequence[GeneEdges], profiles: Sequence[Aggregated], known: np.ndarray | None
) -> np.ndarray:
    """Entrez ids of all gene nodes, ascending: the known ones, or whichever edges and profiles name."""
    if known is not None:
        return known
    named = [ids for part in edges for ids in part.entrez()] + [space.owners for space in profiles]
    return np.unique(np.concatenate(named)) if named else np.zeros(0, np.int64)


def regulates_from_expression(
    space: Aggregated, top: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Molecule-regulates-gene edges from the largest absolute values of a whole expression matrix.

    Parameters
    ----------
    space : Aggregated
        Raw expression; its columns are Entrez ids.
    top : float
        Share of the matrix's entries that become edges, rounded up as in the published code; ties go to the
        earlier row, then column.

    Returns
    -------
    molecules : np.ndarray
        Local molecule ids, int64.
    genes : np.ndarray
        Entrez ids, int64.
    weights : np.ndarray
        |value| / the profile's own largest |value|, float64, in (0, 1].
    cut : float
        The smallest |value| that became an edge; NaN if none did.

    References
    ----------
    Liu et al. 2024, section 3.1; the weights here are scaled to [0, 1] per profile.
    """
    values = space.settled.values
    count = int(np.ceil(top * values.size - 1e-9))  # 0.07 * 300 is 21.000... more in binary
    cut, ties = _cut_of_largest(values, count)
    found = []
    for part in _spill.row_parts(values):
        size = np.abs(_spill.rows_of(values, part))
        row, column = np.nonzero((size >= cut) & (size > 0))
        tie = size[row, column] == cut
        earlier = ~tie | (np.cumsum(tie) <= ties)
        ties -= min(ties, int(tie.sum()))
        row, column = row[earlier], column[earlier]
        found.append((row + part.start, column, size[row, column], size.max(axis=1)[row]))
    row, column, size, largest = (np.concatenate(pieces) for pieces in zip(*found, strict=True))
    genes = np.array([int(name) for name in space.settled.columns], np.int64)[column]
    return space.owners[row], genes, size / largest, float(size.min()) if len(size) else float("nan")


def _cut_of_largest(values: np.ndarray, count: int) -> tuple[float, int]:
    """Give the smallest of the ``count`` largest absolute values, and how many of those equal it."""
    if not count:
        return float("inf"), 0
    largest = np.empty(0)
    for part in _spill.row_parts(values):
        largest = np.concatenate([largest, np.abs(_spill.rows_of(values, part)).ravel()])
        if len(largest) > count:
            largest = np.partition(largest, len(largest) - count)[-count:]
    cut = float(largest.min())
    return cut, int((largest == cut).sum())


def _entrez(genes: Sequence[str | None]) -> np.ndarray:
    """Entrez ids as int64, 0 for a row without one."""
    return np.array([int(gene) if gene else 0 for gene in genes], np.int64)


def _keep_known(
    account: TableAccount, numbers: np.ndarray, known: np.ndarray | None, *ends: np.ndarray
) -> np.ndarray:
    """Rows whose ends are all known genes; the others are counted as dropped."""
    valid = np.logical_and.reduce([ids > 0 for ids in ends])
    account.drop_all("not an Entrez id", numbers[~valid])
    if known is None:
        return valid
    there = np.logical_and.reduce([np.isin(ids, known) for ids in ends])
    unknown = valid & ~there
    named = [", ".join(str(ids[row]) for ids in ends) for row in np.flatnonzero(unknown)]
    account.drop_all("unknown gene", numbers[unknown], named)
    return valid & there
