"""The published implementation's raw folder: tables of ids beside ``.npz`` matrices with aligned rows.

``structure.csv.gz`` (mol_id, smiles); ``CP-Bray`` and ``CP-JUMP`` (mol_id) with their morphology;
``G-CRISPR`` and ``G-ORF`` (ncbi_gene_id, mol_id) with morphology of genetic perturbations; ``GE`` (mol_id)
with expression, whose columns ``L1k_idmaps.csv`` (ncbi_gene_id) names in order; ``G-G.csv.gz`` (source_id,
target_id).

References
----------
Liu et al. 2024, Learning Molecular Representation in a Cell, appendix on data; data set ``InfoAlign-Data``,
folder ``pretrain_raw``.
"""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Literal

import numpy as np

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.rows import (
    ContextRows,
    GeneGeneRows,
    GeneProfileRows,
    GeneRows,
    MoleculeGeneRows,
    MoleculeReferences,
    MoleculeRows,
    ProfileRows,
    SpaceRules,
    TableAccount,
    number_rows,
)
from infoalign_dgl.sources.tables import normalize_entrez, normalize_id, read_table

if TYPE_CHECKING:
    from pathlib import Path

_MORPHOLOGY = {"CP-Bray": "bray", "CP-JUMP": "jump"}
_GENE_MORPHOLOGY = {"G-CRISPR": "crispr", "G-ORF": "orf"}
_STRUCTURES = "structure.csv.gz"


def read_reference_layout(folder: Path) -> ContextRows:
    """Read a folder in the published implementation's raw layout.

    Parameters
    ----------
    folder : Path
        The folder, with all of the files that the module's description lists.

    Returns
    -------
    ContextRows
        Morphology in the spaces ``bray`` and ``jump``, genetic perturbations in ``crispr`` and ``orf``,
        expression in ``l1000``. As in the published graph, each ``mol_id`` is a molecule (the structure is
        that of its first row), each row of expression is a node, a molecule's rows of both morphology tables
        share their nodes, the genes are those that were perturbed, and a molecule named beside a gene binds
        it.

    Raises
    ------
    SourceError
        If a file is missing or damaged, or a matrix does not fit its table.
    """
    if not folder.is_dir():
        raise SourceError(f"'{folder}' is not a folder: give reference: and the folder with {_STRUCTURES}")
    perturbed = [_gene_table(folder, name, space) for name, space in _GENE_MORPHOLOGY.items()]
    profiles = [_profile_table(folder, name, "morphology", space) for name, space in _MORPHOLOGY.items()]
    return ContextRows(
        molecules=[_structures(folder)],
        profiles=[*profiles, _profile_table(folder, "GE", "gene_expression", "l1000")],
        gene_profiles=[roles[0] for roles in perturbed],
        gene_gene=[_gene_gene(folder)],
        molecule_gene=[roles[2] for roles in perturbed],
        genes=[roles[1] for roles in perturbed],
        joined=True,
    )


def _ids(values: list[str | None]) -> list[str | None]:
    return [normalize_id(value) for value in values]


def _structures(folder: Path) -> MoleculeRows:
    table = read_table(folder / _STRUCTURES, text=["mol_id", "smiles"])
    account = TableAccount(_STRUCTURES, "molecules", len(table))
    ids, smiles = _ids(table["mol_id"].tolist()), table["smiles"].tolist()
    return MoleculeRows(account, _STRUCTURES, ids, smiles, "smiles", number_rows(len(table)), own=True)


def _molecules(ids: list[str | None]) -> MoleculeReferences:
    return MoleculeReferences(_ids(ids), "id", _STRUCTURES)


def _matrix(folder: Path, name: str, rows: int) -> np.ndarray:
    """Matrix of a table, shape (rows, d), float64."""
    path = folder / f"{name}_feature.npz"
    if not path.is_file():
        raise SourceError(f"'{path}' does not exist: it holds the features of '{name}.csv.gz'")
    try:
        with path.open("rb") as stream, np.load(stream) as arrays:
            if "data" not in arrays:
                raise SourceError(
                    f"'{path}' has no array 'data' but {sorted(arrays)}: it should hold the features"
                )
            values = arrays["data"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SourceError(f"'{path}' cannot be read ({error}): fetch or copy it again") from error
    if values.ndim != 2 or len(values) != rows or values.dtype.kind not in "fiu":
        raise SourceError(
            f"'{path}' holds {values.dtype} of shape {values.shape} where '{name}.csv.gz' has {rows} rows: "
            f"it should hold one row of numbers per row of that table"
        )
    return values.astype(np.float64)


def _profile_table(
    folder: Path, name: str, node_type: Literal["morphology", "gene_expression"], space: str
) -> ProfileRows:
    table = read_table(folder / f"{name}.csv.gz", text=["mol_id"])
    values = _matrix(folder, name, len(table))
    if node_type == "morphology":
        columns = _numbered(space, values.shape[1])
    else:
        columns = _expression_columns(folder, values.shape[1])
    account = TableAccount(f"{name}.csv.gz", node_type, len(table))
    return ProfileRows(
        account,
        node_type,
        space,
        columns,
        values,
        _molecules(table["mol_id"].tolist()),
        number_rows(len(table)),
        rules=SpaceRules(aggregate="keep"),
    )


def _numbered(space: str, width: int) -> list[str]:
    """Names of a matrix's columns, in their order when sorted as text too."""
    digits = len(str(width - 1))
    return [f"{space}_{i:0{digits}}" for i in range(width)]


def _expression_columns(folder: Path, width: int) -> list[str]:
    path = folder / "L1k_idmaps.csv"
    ids = [normalize_entrez(value) for value in read_table(path, text=["ncbi_gene_id"])["ncbi_gene_id"]]
    if len(ids) != width:
        raise SourceError(
            f"'{path}' names {len(ids)} genes where 'GE_feature.npz' has {width} columns: they should be "
            f"the same"
        )
    columns: list[str] = []
    for row, entrez in zip(number_rows(len(ids)), ids, strict=True):
        if entrez is None or entrez in columns:
            what = "no Entrez id" if entrez is None else f"the Entrez id {entrez} a second time"
            raise SourceError(
                f"'{path}' row {row} has {what}: each expression column needs a gene of its own"
            )
        columns.append(entrez)
    return columns


def _gene_table(folder: Path, name: str, space: str) -> tuple[GeneProfileRows, GeneRows, MoleculeGeneRows]:
    """Read a table of genetic perturbations in its three roles: profiles, known genes, edges to molecules."""
    file = f"{name}.csv.gz"
    table = read_table(folder / file, text=["ncbi_gene_id", "mol_id"])
    values = _matrix(folder, name, len(table))
    columns = _numbered(space, values.shape[1])
    genes = [normalize_entrez(value) for value in table["ncbi_gene_id"]]
    numbers = number_rows(len(table))
    profiles = GeneProfileRows(
        TableAccount(file, "gene_morphology", len(table)), space, columns, values, genes, numbers
    )
    named = GeneRows(TableAccount(file, "genes", len(table)), genes, [None] * len(genes), numbers)
    linked = np.flatnonzero([bool(value) for value in table["mol_id"]])
    bound = MoleculeGeneRows(
        TableAccount(file, "molecule_gene", len(linked)),
        "binds",
        _molecules([table["mol_id"].iloc[row] for row in linked]),
        [genes[row] for row in linked],
        None,
        numbers[linked],
    )
    return profiles, named, bound


def _gene_gene(folder: Path) -> GeneGeneRows:
    file = "G-G.csv.gz"
    table = read_table(folder / file, text=["source_id", "target_id"])
    ends = [[normalize_entrez(value) for value in table[column]] for column in ("source_id", "target_id")]
    account = TableAccount(file, "gene_gene", len(table))
    return GeneGeneRows(account, "interacts", ends[0], ends[1], None, number_rows(len(table)))
