"""A graph without some of its node types, to see what a representation owes to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.context.graph import ContextGraph
from infoalign_dgl.context.vocabulary import EDGE_TYPES, NODE_TYPES
from infoalign_dgl.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Collection


def leave_out_nodes(graph: ContextGraph, types: Collection[str]) -> ContextGraph:
    """Leave out all nodes of some types, with their edges and feature spaces.

    Parameters
    ----------
    graph : ContextGraph
        Unchanged; what stays is shared.
    types : collection of str
        Node types; not molecules, where walks start.

    Returns
    -------
    ContextGraph
        With no node of these types.

    Raises
    ------
    GraphError
        If a type is unknown, is that of molecules, or has no nodes in this graph.

    References
    ----------
    Liu et al. 2024, "Learning Molecular Representation in a Cell", ablation of the context graph's nodes.
    """
    for kind in types:
        if kind not in NODE_TYPES[1:]:
            raise GraphError(f"nodes of type '{kind}' cannot be left out: use {', '.join(NODE_TYPES[1:])}")
        if not graph.num_nodes[kind]:
            raise GraphError(f"the graph has no {kind} nodes to leave out: name a type that it has")
    nodes = {kind: table.iloc[:0] if kind in types else table for kind, table in graph.nodes.items()}
    edges = {kind: graph.edges(kind) for kind in EDGE_TYPES if kind[0] not in types and kind[2] not in types}
    spaces = {name: space for name, space in graph.spaces.items() if space.node_type not in types}
    reduced = ContextGraph.from_edges(edges, nodes, spaces, graph.schema, graph.report)
    reduced.folder = graph.folder  # the same molecules, whose features may be cached there
    return reduced
