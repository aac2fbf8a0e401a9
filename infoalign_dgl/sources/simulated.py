"""A simulation's tables as rows; every name in them says that they are simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from infoalign_dgl.sources.rows import (
    ContextRows,
    GeneGeneRows,
    GeneProfileRows,
    MoleculeGeneRows,
    MoleculeReferences,
    MoleculeRows,
    ProfileRows,
    TableAccount,
    number_rows,
)

if TYPE_CHECKING:
    import pandas as pd

    from infoalign_dgl.sources.simulate import Simulation

DEFAULT_MOLECULES = 3000
_NAME = "simulated"
EXPRESSION_SPACE = "expression"
GENE_SPACE = "gene_perturbation"


def simulation_rows(simulation: Simulation) -> ContextRows:
    """Turn a simulation into the rows that a context graph is built from.

    Parameters
    ----------
    simulation : Simulation
        As :func:`infoalign_dgl.sources.simulate.simulate` returns it; tables without rows are left out.

    Returns
    -------
    ContextRows
        Morphology under the simulation's own space names, expression in the space ``"expression"``, genetic
        perturbations in ``"gene_perturbation"``, gene-interacts-gene and molecule-binds-gene edges.
    """
    molecules = simulation.molecules
    rows = ContextRows(
        [
            MoleculeRows(
                _account("molecules", molecules),
                _NAME,
                _texts(molecules["id"]),
                _texts(molecules["smiles"]),
                "smiles",
                number_rows(len(molecules)),
            )
        ],
        symbols=dict(
            zip(_names(simulation.genes["entrez"]), _names(simulation.genes["symbol"]), strict=True)
        ),
    )
    for space, table in simulation.morphology.items():
        if len(table):
            rows.profiles.append(_profiles("morphology", space, table))
    if len(simulation.expression):
        rows.profiles.append(_profiles("gene_expression", EXPRESSION_SPACE, simulation.expression))
    if len(simulation.gene_morphology):
        rows.gene_profiles.append(_gene_profiles(simulation.gene_morphology))
    if len(simulation.gene_gene):
        rows.gene_gene.append(_gene_gene(simulation.gene_gene))
    if len(simulation.molecule_gene):
        rows.molecule_gene.append(_molecule_gene(simulation.molecule_gene))
    return rows


def _account(kind: str, table: pd.DataFrame, space: str | None = None) -> TableAccount:
    name = f"{_NAME} {kind}" + (f" ({space})" if space else "")
    return TableAccount(name, kind, len(table))


def _names(column: pd.Series) -> list[str]:
    return [str(value) for value in column]


def _texts(column: pd.Series) -> list[str | None]:
    return list(_names(column))


def _profiles(
    node_type: Literal["morphology", "gene_expression"], space: str, table: pd.DataFrame
) -> ProfileRows:
    features = table.drop(columns="id")
    return ProfileRows(
        _account(node_type, table, space),
        node_type,
        space,
        [str(column) for column in features.columns],
        features.to_numpy(np.float64),
        MoleculeReferences(_texts(table["id"]), "id", _NAME),
        number_rows(len(table)),
    )


def _gene_profiles(table: pd.DataFrame) -> GeneProfileRows:
    features = table.drop(columns="entrez")
    return GeneProfileRows(
        _account("gene_morphology", table),
        GENE_SPACE,
        [str(column) for column in features.columns],
        features.to_numpy(np.float64),
        _texts(table["entrez"]),
        number_rows(len(table)),
    )


def _gene_gene(table: pd.DataFrame) -> GeneGeneRows:
    sources, targets = _texts(table["gene_0"]), _texts(table["gene_1"])
    return GeneGeneRows(
        _account("gene_gene", table), "interacts", sources, targets, None, number_rows(len(table))
    )


def _molecule_gene(table: pd.DataFrame) -> MoleculeGeneRows:
    references = MoleculeReferences(_texts(table["id"]), "id", _NAME)
    return MoleculeGeneRows(
        _account("molecule_gene", table),
        "binds",
        references,
        _texts(table["entrez"]),
        None,
        number_rows(len(table)),
    )
