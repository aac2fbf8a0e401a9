"""Exchanged responses: everybody has another one's, whole, and nothing else of the graph is changed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from infoalign_dgl.context import EDGE_TYPES, build_from_rows
from infoalign_dgl.context.permuted import permute_responses
from infoalign_dgl.sources.simulate import simulate
from infoalign_dgl.sources.simulated import simulation_rows
from infoalign_dgl.training.holdout import choose_holdout

RESPONSES = [kind for kind in EDGE_TYPES if kind[0] == "molecule" and kind[2] != "molecule"]


@pytest.fixture(scope="module")
def graph():
    return build_from_rows(simulation_rows(simulate(500)))


def responses(graph):
    """What each molecule has edges to, with their weights."""
    found = [set() for _ in range(graph.num_nodes["molecule"])]
    for kind in RESPONSES:
        for source, target, weight in zip(*graph.edges(kind), strict=True):
            found[source].add((kind, int(target), float(weight)))
    return [frozenset(one) for one in found]


def spaces_of(graph, molecule_responses):
    return frozenset(
        space.name
        for kind, target, _ in molecule_responses
        for space in graph.spaces.values()
        if space.node_type == kind[2] != "gene" and space.node_rows[target] >= 0
    )


def test_everybody_has_the_whole_response_of_another(graph):
    before, after = responses(graph), responses(permute_responses(graph))
    assert Counter(before) == Counter(after)
    measured = [number for number, one in enumerate(before) if one]
    assert len(measured) > 100
    distinct = Counter(before)
    assert not [n for n in measured if after[n] == before[n] and distinct[before[n]] == 1]
    assert [n for n, one in enumerate(after) if one] == measured
    # Whoever is not alone with the spaces it has profiles in keeps these spaces.
    kinds = [spaces_of(graph, one) for one in before]
    often = Counter(kinds)
    assert all(spaces_of(graph, after[n]) == kinds[n] for n in measured if often[kinds[n]] > 1)


def test_nothing_else_changes_and_seeds_differ(graph):
    permuted = permute_responses(graph, seed=1)
    for kind in EDGE_TYPES:
        if kind not in RESPONSES:
            for one, other in zip(graph.edges(kind), permuted.edges(kind), strict=True):
                np.testing.assert_array_equal(one, other)
    assert permuted.nodes is graph.nodes
    assert permuted.spaces is graph.spaces
    assert responses(permuted) != responses(permute_responses(graph, seed=2))
    assert responses(permuted) == responses(permute_responses(graph, seed=1))
    usable = np.ones(graph.num_nodes["molecule"], bool)
    held = choose_holdout(graph, 0.05, usable).molecules
    np.testing.assert_array_equal(held, choose_holdout(permuted, 0.05, usable).molecules)
