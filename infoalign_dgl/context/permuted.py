"""A graph whose molecules have each other's responses, from which nothing can be learnt of cells."""

from __future__ import annotations

import numpy as np

from infoalign_dgl.context.graph import ContextGraph
from infoalign_dgl.context.vocabulary import EDGE_TYPES

PROFILE_TYPES = ("gene_expression", "morphology")


def permute_responses(graph: ContextGraph, *, seed: int = 0) -> ContextGraph:
    """Give every molecule another one's responses: profiles, binding and regulation, together.

    Molecules exchange them with those that have profiles in the same feature spaces, and molecules that are
    alone with theirs among each other. So the same molecules are measured as before (but for the latter), a
    response's parts stay together, and what is lost is only which structure caused it.

    Parameters
    ----------
    graph : ContextGraph
        Unchanged; its tables and features are shared.
    seed : int
        Of the exchange.

    Returns
    -------
    ContextGraph
        Its node tables still say whose a profile is; the edges are what is permuted.
    """
    responses = [kind for kind in EDGE_TYPES if kind[0] == "molecule" and kind[2] != "molecule"]
    edges = {kind: graph.edges(kind) for kind in EDGE_TYPES}
    moved = _exchange(_measurements(graph, responses), seed)
    for kind in responses:
        source, target, weight = edges[kind]
        edges[kind] = (moved[source], target, weight)
    permuted = ContextGraph.from_edges(edges, graph.nodes, graph.spaces, graph.schema, graph.report)
    permuted.folder = graph.folder
    return permuted


def _measurements(graph: ContextGraph, responses: list[tuple[str, str, str]]) -> np.ndarray:
    """Shape (molecules, feature spaces of profiles + 1), bool: who has a profile; last, any response."""
    spaces = [space for space in graph.spaces.values() if space.node_type in PROFILE_TYPES]
    has = np.zeros((graph.num_nodes["molecule"], len(spaces) + 1), bool)
    for kind in responses:
        source, target, _ = graph.edges(kind)
        has[source, -1] = True
        for column, space in enumerate(spaces):
            if space.node_type == kind[2]:
                has[source[space.node_rows[target] >= 0], column] = True
    return has


def _exchange(has: np.ndarray, seed: int) -> np.ndarray:
    """Shape (molecules,), int64: who gets each one's responses; those without any keep that."""
    rng = np.random.default_rng(seed)
    _, group, sizes = np.unique(has, axis=0, return_inverse=True, return_counts=True)
    group = np.where(sizes[group.ravel()] == 1, -1, group.ravel())
    group[~has.any(axis=1)] = -2
    moved = np.arange(len(has))
    for number in np.unique(group[group > -2]):
        ring = rng.permutation(np.flatnonzero(group == number))
        moved[ring] = np.roll(ring, 1)  # one ring: nobody keeps the own
    return moved
