"""``[[morphology]]`` and ``[[gene_morphology]]``: profiles of molecules and of genetic perturbations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from infoalign_dgl import _spill
from infoalign_dgl.context.sections.base import Loaded, Table, TableReader, references
from infoalign_dgl.context.sections.perturbations import reagent_genes
from infoalign_dgl.context.sections.profiles import (
    AgainstControls,
    MoleculeProfiles,
    Profiles,
    against_controls,
    duplicated_rows,
    labels_of,
)
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.rows import GeneProfileRows, ProfileRows

if TYPE_CHECKING:
    from infoalign_dgl.context.sections.perturbations import GeneOf

COMPARTMENTS = ("Cells_", "Cytoplasm_", "Nuclei_", "Image_")  # what pycytominer takes for features
_NOT_MEASURED = ("Image_Metadata_",)

Patterns = Annotated[list[str], Field(min_length=1)]


class MorphologyTable(MoleculeProfiles, AgainstControls):
    """Morphology profiles of molecules; ``features`` are column names or patterns such as ``harmony_*``.

    Without ``features``: the columns of numbers that begin with one of ``COMPARTMENTS``.
    """

    features: Patterns | None = None


class GeneMorphologyTable(Profiles, AgainstControls, Table):
    """Morphology profiles of genetic perturbations, which gene nodes carry; ``features`` as for molecules.

    Each row's gene is in the column ``gene``, or is that of the reagent ``id`` in the table ``ids_of``.
    """

    gene: str | None = None
    id: str | None = None
    ids_of: str | None = None
    features: Patterns | None = None

    @model_validator(mode="after")
    def _one_gene(self) -> Self:
        if (self.gene is None) == (self.id is None) or (self.id is None) != (self.ids_of is None):
            raise ValueError(
                "give 'gene', the column of Entrez ids, or 'id' and 'ids_of', the column of reagents and the "
                "name of the [[perturbations]] table that has their genes"
            )
        return self


def read_morphology(reader: TableReader, table: MorphologyTable) -> ProfileRows:
    """Read profiles of molecules."""
    keys = ["smiles", "inchi", "id", "batch", "plate", "well", "dose"]
    loaded, columns, values = _read(reader, table, keys)
    return ProfileRows(
        loaded.account,
        "morphology",
        table.space,
        columns,
        values,
        references(loaded, table),
        loaded.numbers,
        labels_of(loaded, table),
        table.rules(),
    )


def read_gene_morphology(
    reader: TableReader, table: GeneMorphologyTable, genes_of: GeneOf
) -> GeneProfileRows:
    """Read profiles of genetic perturbations; rows of reagents without a gene are counted as dropped."""
    loaded, columns, values = _read(reader, table, ["gene", "id", "plate"])
    numbers = loaded.numbers
    if table.gene is not None:
        genes = loaded.genes(table.gene)
    else:
        genes = reagent_genes(loaded, str(table.id), genes_of[str(table.ids_of)])
        keep = np.array([gene is not None for gene in genes], bool)
        genes = [gene for gene in genes if gene is not None]
        values, numbers = _spill.take_rows(values, keep), numbers[keep]
    return GeneProfileRows(loaded.account, table.space, columns, values, genes, numbers, table.rules())


def _read(
    reader: TableReader, table: MorphologyTable | GeneMorphologyTable, keys: list[str]
) -> tuple[Loaded, list[str], np.ndarray]:
    """Read a table's rows and features, normalized if the table says so, without the control wells."""
    columns = reader.features(table.features) if table.features else _conventional(reader)
    loaded = reader.read(keys, columns, filters=["controls"])
    columns = [column for column in columns if loaded.frame[column].dtype == np.float64]
    values = loaded.matrix(columns)
    if not table.features and len(values):  # an empty column would keep the table from joining a space
        measured = np.zeros(len(columns), bool)
        for part in _spill.column_parts(values):
            measured[part] = ~np.isnan(values[:, part]).all(axis=0)
        loaded.account.notes["columns_without_numbers"] = [
            column for column, there in zip(columns, measured, strict=True) if not there
        ]
        columns = [column for column, there in zip(columns, measured, strict=True) if there]
        values = loaded.matrix(columns) if not measured.all() else values
    loaded.account.notes["duplicated_rows"] = duplicated_rows(values, loaded.numbers)
    loaded, values = against_controls(loaded, table, values)
    return loaded, columns, values


def _conventional(reader: TableReader) -> list[str]:
    """Names of the columns that are features by pycytominer's convention."""
    found = [
        name for name in reader.header if name.startswith(COMPARTMENTS) and not name.startswith(_NOT_MEASURED)
    ]
    if not found:
        raise SpecError(
            f"[[{reader.section}]] '{reader.table.file}' has no column that begins with one of "
            f"{', '.join(COMPARTMENTS)}: name its features, for instance features = ['Median_*']"
        )
    return found
