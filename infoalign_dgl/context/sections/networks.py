"""``[[gene_gene]]``, ``[[molecule_gene]]``, ``[[networks]]``: edges from molecules and genes to genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from infoalign_dgl.context.sections.base import AboutMolecules, Strict, Table, references, weight_column
from infoalign_dgl.sources.rows import GeneGeneRows, MoleculeGeneRows, MoleculeReferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.sections.base import Loaded, TableReader

WeightRule = Literal["as-is", "share-of-max", "share-of-table-max"]
Metaedge = Literal["GiG", "GcG", "Gr>G", "CbG", "CuG", "CdG"]
GENE_METAEDGES: dict[Metaedge, Literal["interacts", "covaries", "regulates"]] = {
    "GiG": "interacts",
    "GcG": "covaries",
    "Gr>G": "regulates",
}
MOLECULE_METAEDGES: dict[Metaedge, Literal["binds", "regulates"]] = {
    "CbG": "binds",
    "CuG": "regulates",
    "CdG": "regulates",
}
_COMPOUND = "Compound::"


class Weighted(Strict):
    """Weights of edges; without ``weight``, a column, each edge weighs 1.

    ``weight_rule`` turns scores into weights: ``"as-is"`` (they are in [0, 1] already), ``"share-of-max"`` (a
    score's size over the largest one among the rows of its source: its molecule, or its source gene) or
    ``"share-of-table-max"`` (over the largest one of the table).
    """

    weight: str | None = None
    weight_rule: WeightRule = "as-is"

    @model_validator(mode="after")
    def _rule_has_scores(self) -> Self:
        if self.weight is None and self.weight_rule != "as-is":
            raise ValueError(f"weight_rule = '{self.weight_rule}' needs 'weight', the column of scores")
        return self


class GeneGeneTable(Table, Weighted):
    """Edges between genes, by Entrez id."""

    kind: Literal["interacts", "covaries", "regulates"]
    source: str
    target: str


class MoleculeGeneTable(AboutMolecules, Weighted):
    """Edges from molecules to genes, by Entrez id."""

    kind: Literal["binds", "regulates"]
    gene: str


class NetworkTable(Table):
    """Edges of several kinds in one table, as Hetionet publishes them: source, metaedge, target.

    Ids are such as ``Gene::2625`` and ``Compound::DB00014``; a compound's is looked up among the ids of the
    table ``ids_of``. Rows of metaedges that are not chosen are counted as dropped.
    """

    source: str = "source"
    metaedge: str = "metaedge"
    target: str = "target"
    metaedges: Annotated[list[Metaedge], Field(min_length=1)] = [*GENE_METAEDGES, *MOLECULE_METAEDGES]
    ids_of: str | None = None

    @model_validator(mode="after")
    def _compounds_have_ids(self) -> Self:
        compounds = [code for code in self.metaedges if code in MOLECULE_METAEDGES]
        if compounds and self.ids_of is None:
            raise ValueError(
                f"metaedges {', '.join(compounds)} need 'ids_of', the name of the table with the compounds' "
                f"ids (or choose metaedges without them)"
            )
        return self


@dataclass(frozen=True)
class NetworkRows:
    """A network's edges by kind; all of them share the table's account."""

    gene_gene: list[GeneGeneRows]
    molecule_gene: list[MoleculeGeneRows]


def read_gene_gene(reader: TableReader, table: GeneGeneTable) -> GeneGeneRows:
    """Read edges between genes."""
    loaded = reader.read(["source", "target"], weight_column(reader, table.weight))
    sources = loaded.genes(table.source)
    return GeneGeneRows(
        loaded.account,
        table.kind,
        sources,
        loaded.genes(table.target),
        _weights(loaded, table, sources),
        loaded.numbers,
    )


def read_molecule_gene(reader: TableReader, table: MoleculeGeneTable) -> MoleculeGeneRows:
    """Read edges from molecules to genes."""
    loaded = reader.read(["smiles", "inchi", "id", "gene"], weight_column(reader, table.weight))
    molecules = references(loaded, table)
    return MoleculeGeneRows(
        loaded.account,
        table.kind,
        molecules,
        loaded.genes(table.gene),
        _weights(loaded, table, molecules.values),
        loaded.numbers,
    )


def read_network(reader: TableReader, table: NetworkTable) -> NetworkRows:
    """Read the edges of a network, kind by kind."""
    loaded = reader.read(["source", "metaedge", "target"])
    codes = loaded.frame[table.metaedge].to_numpy(object)
    chosen = dict.fromkeys(table.metaedges)
    for code in sorted({str(code) for code in codes if code is not None} - set(chosen)):
        loaded.account.drop_all(f"metaedge {code} not chosen", loaded.numbers[codes == code])
    loaded.account.drop_all("no metaedge", loaded.numbers[[code is None for code in codes]])
    genes, targets = loaded.genes(table.source), loaded.genes(table.target)
    compounds = [value and value.removeprefix(_COMPOUND) for value in loaded.ids(table.source)]
    rows = NetworkRows([], [])
    counts = loaded.account.notes["rows_by_metaedge"] = {}
    for code in chosen:
        here = np.flatnonzero(codes == code)
        counts[code] = len(here)
        ends, numbers = [targets[row] for row in here], loaded.numbers[here]
        if code in GENE_METAEDGES:
            starts = [genes[row] for row in here]
            kind = GENE_METAEDGES[code]
            rows.gene_gene.append(GeneGeneRows(loaded.account, kind, starts, ends, None, numbers))
        else:
            named = MoleculeReferences([compounds[row] for row in here], "id", table.ids_of)
            effect = MOLECULE_METAEDGES[code]
            rows.molecule_gene.append(MoleculeGeneRows(loaded.account, effect, named, ends, None, numbers))
    return rows


def share_of_max(groups: Sequence[str | None], scores: np.ndarray) -> np.ndarray:
    """Divide each score's size by the largest of its group: shape (rows,), in [0, 1], NaN for a NaN score."""
    _, group = np.unique([g or "" for g in groups], return_inverse=True)
    size = np.abs(scores)
    largest = np.zeros(group.max(initial=-1) + 1)
    np.maximum.at(largest, group, np.nan_to_num(size, nan=0.0))
    return size / np.where(largest > 0, largest, 1.0)[group]


def _weights(loaded: Loaded, table: Weighted, sources: Sequence[str | None]) -> np.ndarray | None:
    """Weights of a table's edges by its rule; None where it has no scores."""
    if table.weight is None:
        return None
    scores = loaded.matrix([table.weight])[:, 0]
    if table.weight_rule == "as-is":
        return scores
    whole = table.weight_rule == "share-of-table-max"
    loaded.account.notes["weight_rule"] = (
        f"|{table.weight}| / the largest |{table.weight}| of the {'table' if whole else 'source'}"
    )
    return share_of_max([None] * len(scores) if whole else sources, scores)
