"""A simulation as rows, and the graph of it."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from infoalign_dgl.context import build_context_graph, build_from_rows
from infoalign_dgl.errors import GraphError
from infoalign_dgl.sources.simulate import Simulation, simulate
from infoalign_dgl.sources.simulated import simulation_rows


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(150, seed=1)


def test_every_row_of_the_simulation_is_used(simulation):
    rows = simulation_rows(simulation)
    graph = build_from_rows(rows)
    assert len(graph.nodes["molecule"]) <= 150
    for space, table in simulation.morphology.items():
        assert graph.spaces[space].num_rows == table["id"].nunique()
    assert graph.spaces["expression"].num_rows == simulation.expression["id"].nunique()
    assert graph.spaces["expression"].dim == simulation.expression.shape[1] - 1
    for table in graph.report["tables"]:
        assert table["table"].startswith("simulated")
        assert table["used"] == table["rows"] > 0
    assert graph.num_edges["gene", "interacts", "gene"] > 0
    assert graph.num_edges["molecule", "binds", "gene"] > 0
    assert graph.num_edges["molecule", "regulates", "gene"] > 0


def test_tables_without_rows_are_left_out(simulation):
    bare = Simulation(
        **{
            **{name: getattr(simulation, name) for name in simulation.__dataclass_fields__},
            "morphology": {},
            "expression": simulation.expression.iloc[:0],
            "gene_morphology": simulation.gene_morphology.iloc[:0],
            "gene_gene": simulation.gene_gene.iloc[:0],
            "molecule_gene": pd.DataFrame({"id": [], "entrez": []}),
        }
    )
    graph = build_from_rows(simulation_rows(bare))
    assert list(graph.spaces) == ["fingerprint"]
    assert graph.num_nodes["gene"] == graph.num_nodes["morphology"] == 0


def test_a_space_belongs_to_one_kind_of_node(simulation):
    rows = simulation_rows(simulation)
    rows.profiles[0] = dataclasses.replace(rows.profiles[0], space="expression")
    with pytest.raises(
        GraphError, match="space 'expression' is claimed for morphology and for gene_expression"
    ):
        build_from_rows(rows)


def test_simulated_n_is_a_spec():
    graph = build_context_graph("simulated:60")
    assert graph.report["tables"][0]["rows"] == 60
