"""``[[gene_gene]]`` and ``[[molecule_gene]]``: edges between genes, and from molecules to genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from infoalign_dgl.context.sections.base import AboutMolecules, Table, TableReader, references, weight_column
from infoalign_dgl.sources.rows import GeneGeneRows, MoleculeGeneRows

if TYPE_CHECKING:
    from collections.abc import Sequence


class GeneGeneTable(Table):
    """Edges between genes, by Entrez id; without ``weight`` each weighs 1."""

    kind: Literal["interacts", "covaries", "regulates"]
    source: str
    target: str
    weight: str | None = None


class MoleculeGeneTable(AboutMolecules):
    """Edges from molecules to genes, by Entrez id; without ``weight`` each weighs 1.

    ``weight_rule = "share-of-max"`` turns scores into weights: a score's size over the largest one of its
    molecule's rows in the table.
    """

    kind: Literal["binds", "regulates"]
    gene: str
    weight: str | None = None
    weight_rule: Literal["as-is", "share-of-max"] = "as-is"


def read_gene_gene(reader: TableReader, table: GeneGeneTable) -> GeneGeneRows:
    """Read edges between genes."""
    loaded = reader.read(["source", "target"], weight_column(reader, table.weight))
    weights = None if table.weight is None else loaded.matrix([table.weight])[:, 0]
    return GeneGeneRows(
        loaded.account,
        table.kind,
        loaded.genes(table.source),
        loaded.genes(table.target),
        weights,
        loaded.numbers,
    )


def read_molecule_gene(reader: TableReader, table: MoleculeGeneTable) -> MoleculeGeneRows:
    """Read edges from molecules to genes."""
    loaded = reader.read(["smiles", "inchi", "id", "gene"], weight_column(reader, table.weight))
    molecules = references(loaded, table)
    weights = None if table.weight is None else loaded.matrix([table.weight])[:, 0]
    if weights is not None and table.weight_rule == "share-of-max":
        weights = share_of_max(molecules.values, weights)
        loaded.account.notes["weight_rule"] = (
            f"|{table.weight}| / the largest |{table.weight}| of the molecule"
        )
    return MoleculeGeneRows(
        loaded.account, table.kind, molecules, loaded.genes(table.gene), weights, loaded.numbers
    )


def share_of_max(groups: Sequence[str | None], scores: np.ndarray) -> np.ndarray:
    """Divide each score's size by the largest of its group: shape (rows,), in [0, 1], NaN for a NaN score."""
    _, group = np.unique([g or "" for g in groups], return_inverse=True)
    size = np.abs(scores)
    largest = np.zeros(group.max() + 1)
    np.maximum.at(largest, group, np.nan_to_num(size, nan=0.0))
    return size / np.where(largest > 0, largest, 1.0)[group]
