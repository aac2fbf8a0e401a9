"""What a page knows of a graph's sample, as JSON: nodes with their attributes, edges, and walks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.context.vocabulary import EDGE_TYPES, NODE_TYPES
from infoalign_dgl.plots.pages.graph_sample import STREAMS, TRANSITIONS
from infoalign_dgl.plots.pages.structures import compact_structure

if TYPE_CHECKING:
    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.plots.pages.graph_sample import Sample
    from infoalign_dgl.walks import WalkIndex

_LISTED = 6  # of what a cell joins by ";", such as plates; ids are kept all, since they are searched
_WHOLE = {"key", "inchikey", "smiles", "ids", "symbol", "molecule"}


class NodeRecords:
    """What the page keeps of each node, made when it is asked for.

    A record is ``[cells, spaces, degrees, neighbours, structure]``: the node's row in its table; positions of
    the feature spaces in which it has a row; edge types and how many edges of each it has in the graph, one
    after the other; how many different nodes these lead to; and a molecule's drawn structure.

    Parameters
    ----------
    graph : ContextGraph
    index : WalkIndex
        The graph's arcs, both ways.
    """

    def __init__(self, graph: ContextGraph, index: WalkIndex) -> None:
        self._index = index
        self._starts = [graph.node_offsets[kind] for kind in NODE_TYPES]
        self._cells = {kind: _columns(graph, kind) for kind in NODE_TYPES}
        self._rows = np.zeros((len(graph.spaces), graph.total_nodes), bool)
        for place, name in enumerate(graph.spaces):
            self._rows[place] = graph.row_index(name) >= 0
        self._made: dict[int, list[Any]] = {}
        self._bytes: dict[int, int] = {}

    def record(self, node: int) -> list[Any]:
        """Give the record of a node by its global id."""
        if node not in self._made:
            self._made[node] = self._make(node)
        return self._made[node]

    def bytes_of(self, node: int) -> int:
        """Say how many bytes the record of a node takes in the page."""
        if node not in self._bytes:
            text = json.dumps(self.record(node), ensure_ascii=False, separators=(",", ":"))
            marked = sum(map(text.count, "<>&"))  # six characters each in a page
            self._bytes[node] = len(text.encode()) + 5 * marked + 1
        return self._bytes[node]

    def type_of(self, node: int) -> str:
        """Give the type of a node by its global id."""
        return NODE_TYPES[int(np.searchsorted(self._starts, node, side="right")) - 1]

    def _make(self, node: int) -> list[Any]:
        kind = self.type_of(node)
        local = node - self._starts[NODE_TYPES.index(kind)]
        cells = [_shown(name, values[local]) for name, values in self._cells[kind].items()]
        first, end = self._index.indptr[node : node + 2]
        relations = self._index.relations
        degrees: list[int] = []
        if relations is not None:
            for relation, count in enumerate(np.bincount(relations[first:end]).tolist()):
                degrees += [relation, count] if count else []
        neighbours = len(np.unique(self._index.indices[first:end]))
        record = [cells, np.flatnonzero(self._rows[:, node]).tolist(), degrees, neighbours]
        if kind == "molecule":
            record.append(compact_structure(str(self._cells[kind]["smiles"][local])))
        return record


def page_data(graph: ContextGraph, records: NodeRecords, sample: Sample) -> dict[str, Any]:
    """Put together what the page's script reads.

    Parameters
    ----------
    graph : ContextGraph
    records : NodeRecords
        Of the graph.
    sample : Sample
        What is kept of it.

    Returns
    -------
    dict
        ``types`` with the columns of each type's table, ``spaces``, ``nodes`` (by type, in the order of
        ``types``), ``edges`` (per edge type the steps from source to source, the targets and the weights),
        ``walks`` (how they were taken, and per start its edges and alphas). Nodes and edges are numbered on
        from type to type.
    """
    by_type: dict[str, list[Any]] = {kind: [] for kind in NODE_TYPES}
    for node in sample.nodes.tolist():
        by_type[records.type_of(node)].append(records.record(node))
    edges, kept = _inner_edges(graph, sample.nodes)
    return {
        "types": [
            {"name": kind, "columns": list(map(str, graph.nodes[kind].columns))} for kind in NODE_TYPES
        ],
        "spaces": list(graph.spaces),
        "nodes": [by_type[kind] for kind in NODE_TYPES],
        "edges": edges,
        "walks": {
            "transitions": list(TRANSITIONS),
            "streams": STREAMS,
            "starts": np.searchsorted(sample.nodes, sample.starts).tolist(),
            "of": _walks(sample, kept),
        },
    }


def _inner_edges(graph: ContextGraph, nodes: np.ndarray) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Edges between nodes of the sample by type, and the global ids of all of them in that order."""
    place = np.full(graph.total_nodes, -1, np.int64)
    place[nodes] = np.arange(len(nodes))
    offsets, listed, kept, first = graph.node_offsets, [], [], 0
    for kind in EDGE_TYPES:
        src, dst, weight = graph.edges(kind)
        source, target = place[src + offsets[kind[0]]], place[dst + offsets[kind[2]]]
        inner = np.flatnonzero((source >= 0) & (target >= 0))
        inner = inner[np.argsort(source[inner], kind="stable")]  # steps between sources are mostly 0 or 1
        kept.append(first + inner)
        first += len(src)
        listed.append(
            {
                "type": list(kind),
                "steps": np.diff(source[inner], prepend=0).tolist(),
                "target": target[inner].tolist(),
                "weight": _rounded(weight[inner]),
            }
        )
    return listed, np.concatenate(kept)


def _walks(sample: Sample, kept: np.ndarray) -> list[list[list[Any]]]:
    """Per start its walks, each ``[edges, alphas]`` until the dead end."""
    order = np.argsort(kept)
    there = np.minimum(np.searchsorted(kept[order], sample.edges), max(len(kept) - 1, 0))
    crossed = order[there] if len(kept) else sample.edges
    return [
        [
            [edges[ids >= 0].tolist(), _rounded(alpha[ids >= 0])]
            for edges, ids, alpha in zip(places, walks, alphas, strict=True)
        ]
        for places, walks, alphas in zip(crossed, sample.edges, sample.alpha, strict=True)
    ]


def _rounded(values: np.ndarray) -> list[float | int]:
    """Numbers with four digits that count, whole ones without a point."""
    found = [float(f"{value:.4g}") for value in values.tolist()]
    return [int(value) if value == int(value) else value for value in found]


def _columns(graph: ContextGraph, kind: str) -> dict[str, np.ndarray]:
    return {str(name): graph.nodes[kind][name].to_numpy() for name in graph.nodes[kind].columns}


def _shown(column: str, value: Any) -> str | int | float:
    """Give a cell as the page has it: joined values shortened, missing ones empty."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else ""
    text = "" if value is None else str(value)
    parts = text.split(";")
    if column in _WHOLE or len(parts) <= _LISTED:
        return text
    return ";".join(parts[:_LISTED]) + f"; and {len(parts) - _LISTED:,} more"
