"""``[[morphology]]`` and ``[[gene_morphology]]``: profiles of molecules and of genetic perturbations."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from infoalign_dgl.context.sections.base import AboutMolecules, InSpace, Table, TableReader, references
from infoalign_dgl.sources.rows import GeneProfileRows, ProfileRows


class MorphologyTable(AboutMolecules, InSpace):
    """Morphology profiles of molecules; ``features`` are column names or patterns such as ``Cells_*``."""

    features: Annotated[list[str], Field(min_length=1)]


class GeneMorphologyTable(Table, InSpace):
    """Morphology profiles of genetic perturbations, which gene nodes carry."""

    gene: str
    features: Annotated[list[str], Field(min_length=1)]


def read_morphology(reader: TableReader, table: MorphologyTable) -> ProfileRows:
    """Read profiles of molecules."""
    columns = reader.features(table.features)
    loaded = reader.read(["smiles", "inchi", "id"], columns)
    columns = [column for column in columns if loaded.frame[column].dtype == np.float64]
    return ProfileRows(
        loaded.account,
        "morphology",
        table.space,
        columns,
        loaded.matrix(columns),
        references(loaded, table),
        loaded.numbers,
    )


def read_gene_morphology(reader: TableReader, table: GeneMorphologyTable) -> GeneProfileRows:
    """Read profiles of genetic perturbations."""
    columns = reader.features(table.features)
    loaded = reader.read(["gene"], columns)
    values = loaded.matrix(columns)
    return GeneProfileRows(
        loaded.account, table.space, columns, values, loaded.genes(table.gene), loaded.numbers
    )
