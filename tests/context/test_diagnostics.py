"""Diagnostics against small graphs whose answers are plain."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from infoalign_dgl.context import EDGE_TYPES, describe_node, diagnose
from infoalign_dgl.errors import GraphError


@pytest.fixture
def chain(make_graph):
    """0-1-2 similar; 2 perturbs profile 0; 3 binds gene 7, which has a row; 4-5 similar; others isolated."""
    return make_graph(
        {
            ("molecule", "similar", "molecule"): (
                np.array([0, 1, 4]),
                np.array([1, 2, 5]),
                np.array([0.5, 0.75, 0.9]),
            ),
            ("molecule", "perturbs", "morphology"): (np.array([2]), np.array([0]), np.ones(1)),
            ("molecule", "binds", "gene"): (np.array([3]), np.array([7]), np.array([0.5])),
        }
    )


def test_isolation_and_reach(chain):
    for length, near in ((1, 2), (2, 3), (3, 4), (4, 4)):
        found = diagnose(chain, length=length)
        assert found.isolated_molecules == 24
        assert found.within_reach == near / 30
        assert found.num_nodes["molecule"] == 30
        assert found.num_edges["molecule similar molecule"] == 3


def test_alpha_shares_sum_to_one_and_are_those_of_a_loop(graph):
    found = diagnose(graph, length=4, seed=3)
    assert sum(space.alpha_share for space in found.spaces) == pytest.approx(1)
    walks = graph.walks(np.arange(30), 4, seed=3, walk_ids=np.arange(30))
    for space in found.spaces:
        rows = graph.row_index(space.name)
        shares, visits = [], 0
        for nodes, alpha in zip(walks.nodes, walks.alpha, strict=True):
            mass = {name: 0.0 for name in graph.spaces}
            for node, a in zip(nodes, alpha, strict=True):
                for name in graph.spaces:
                    if node >= 0 and graph.row_index(name)[node] >= 0:
                        mass[name] += float(a)
                visits += node >= 0 and rows[node] >= 0
            shares.append(mass[space.name] / sum(mass.values()))
        assert space.alpha_share == pytest.approx(np.mean(shares))
        assert space.visits == pytest.approx(visits / 30)
    coverage = {space.name: space.coverage for space in found.spaces}
    assert coverage == {"fingerprint": 1, "crispr": 3 / 12, "expression": 6 / 30, "painting": 10 / 30}


def test_a_sample_of_molecules_is_enough(graph):
    assert diagnose(graph, max_molecules=7).sampled_molecules == 7
    assert diagnose(graph).sampled_molecules == 30


def test_hubs_are_the_nodes_of_most_edges(graph, edges):
    degree = {}
    for kind in EDGE_TYPES:
        for side, end in ((0, kind[0]), (1, kind[2])):
            for node in edges[kind][side].tolist():
                degree[end, node] = degree.get((end, node), 0) + 1
    hubs = diagnose(graph, num_hubs=5).hubs
    assert [hub.degree for hub in hubs] == sorted(degree.values(), reverse=True)[:5]
    for hub in hubs:
        keys = graph.nodes[hub.node_type]["key"]
        assert degree[hub.node_type, int(np.flatnonzero(keys == hub.key)[0])] == hub.degree


def test_edges_at_thresholds_above_the_builds_own(graph, edges):
    counts = {c.spaces: c for c in diagnose(graph, thresholds=(0.3, 0.5, 0.8)).thresholds}
    weights = edges["molecule", "similar", "molecule"][2]
    assert counts["fingerprint"].edges == {
        0.3: None,  # the graph was built at 0.5
        0.5: int((weights >= 0.5).sum()),
        0.8: int((weights >= 0.8).sum()),
    }
    assert set(counts) == {"fingerprint", "crispr", "expression", "painting"}


def test_one_node(chain):
    gene = describe_node(chain, "gene:8")
    assert (gene.local_id, gene.global_id) == (7, 37)
    assert gene.spaces == ["crispr"]
    assert gene.attributes["symbol"] == "G7"
    assert gene.degrees == {"molecule binds gene": 1}
    (neighbor,) = gene.neighbors
    assert (neighbor.node_type, neighbor.key, neighbor.relation) == ("molecule", "MOLECULE000003", "binds")
    assert (neighbor.weight, neighbor.outgoing, neighbor.label) == (0.5, False, "CCCC")
    assert describe_node(chain, "gene:G7") == gene
    molecule = describe_node(chain, "molecule:MOLECULE000001-X")
    assert molecule.degrees == {"molecule similar molecule": 2}
    assert [(n.key[-1], n.outgoing) for n in molecule.neighbors] == [("2", True), ("0", False)]
    assert all(a.weight >= b.weight for a, b in itertools.pairwise(molecule.neighbors))
    assert describe_node(chain, "morphology:morphology:MOLECULE000000").spaces == ["painting"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gene", "write TYPE:KEY"),
        ("protein:5", "with TYPE one of molecule, gene"),
        ("gene:13", "the graph has no gene '13': did you mean '"),
        ("molecule:MOLECULE0001", "did you mean 'MOLECULE"),
    ],
)
def test_unknown_nodes_name_the_nearest(chain, name, message):
    with pytest.raises(GraphError, match=message):
        describe_node(chain, name)
