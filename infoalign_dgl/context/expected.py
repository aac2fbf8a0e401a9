"""Counts of a graph beside those that its spec expects, for instance a paper's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.context.vocabulary import NODE_TYPES

if TYPE_CHECKING:
    from infoalign_dgl.context.graph import ContextGraph


@dataclass(frozen=True)
class Compared:
    """One count: of nodes of a type, or of pairs of nodes that edges connect."""

    what: str
    here: int
    expected: int


def compare_expected(graph: ContextGraph) -> tuple[str, list[Compared]]:
    """Compare a graph's counts with those of its spec's ``[expected]``.

    Returns
    -------
    source : str
        Where the expected counts are from, empty where the spec has none.
    counts : list of Compared
        Of what the spec names: nodes by type, and ``edges``, connected pairs of nodes, as a simple graph
        counts them: edges of different types between the same two nodes are one.
    """
    expected = graph.schema.get("spec", {}).get("expected")
    if not expected:
        return "", []
    here = dict(graph.num_nodes)
    if expected["edges"] is not None:
        here["edges"] = connected_pairs(graph)
    names = (*NODE_TYPES, "edges")
    return expected["source"], [
        Compared(name, here[name], expected[name]) for name in names if expected[name] is not None
    ]


def connected_pairs(graph: ContextGraph) -> int:
    """Count the pairs of nodes with at least one edge of any type between them, in either direction."""
    offsets, total = graph.node_offsets, sum(graph.num_nodes.values())
    pairs = []
    for kind in graph.num_edges:
        src, dst, _ = graph.edges(kind)
        first, second = src + offsets[kind[0]], dst + offsets[kind[2]]
        pairs.append(np.minimum(first, second) * total + np.maximum(first, second))
    return len(np.unique(np.concatenate(pairs)))
