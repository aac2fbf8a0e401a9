"""What training will see of a graph, said before training: isolation, reach, alpha by feature space, hubs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.context.vocabulary import EDGE_TYPES, FINGERPRINT, NODE_TYPES
from infoalign_dgl.errors import GraphError
from infoalign_dgl.sources.tables import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.graph import ContextGraph

_MAX_NEIGHBORS_SHOWN = 50


@dataclass(frozen=True)
class SpaceDiagnosis:
    """One feature space as walks meet it.

    Attributes
    ----------
    rows, dim : int
        Size of the space.
    coverage : float
        Share of the genes that have a row, if genes carry the space; else share of the molecules.
    visits : float
        Nodes with a row that a walk of a molecule visits, on average; the start counts.
    alpha_share : float
        Share of a molecule's alpha mass that the space gets, averaged over molecules; over all spaces it
        sums to 1.
    """

    name: str
    node_type: str
    rows: int
    dim: int
    coverage: float
    visits: float
    alpha_share: float


@dataclass(frozen=True)
class Hub:
    """A node with many edges."""

    node_type: str
    key: str
    label: str
    degree: int


@dataclass(frozen=True)
class ThresholdCounts:
    """Similarity edges of one or more feature spaces of a node type that a higher threshold would keep.

    Attributes
    ----------
    edges : dict of float to (int or None)
        By threshold; None below the threshold of the build, whose edges were never stored.
    """

    spaces: str
    node_type: str
    edges: dict[float, int | None]


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found.

    Attributes
    ----------
    isolated_molecules : int
        Molecules without any edge: their only target is their own fingerprint.
    within_reach : float
        Share of molecules with a measured node (one with a row in a space other than the fingerprint) within
        ``length`` steps.
    sampled_molecules : int
        Molecules walked from for ``visits`` and ``alpha_share``.
    """

    num_nodes: dict[str, int]
    num_edges: dict[str, int]
    length: int
    isolated_molecules: int
    within_reach: float
    sampled_molecules: int
    spaces: list[SpaceDiagnosis]
    hubs: list[Hub]
    thresholds: list[ThresholdCounts]


@dataclass(frozen=True)
class Neighbor:
    """A node at the other end of an edge; ``outgoing`` if the edge points to it."""

    node_type: str
    key: str
    label: str
    relation: str
    weight: float
    outgoing: bool


@dataclass(frozen=True)
class NodeDescription:
    """One node and its neighborhood.

    Attributes
    ----------
    attributes : dict
        The node's row in its table.
    spaces : list of str
        Feature spaces in which it has a row.
    degrees : dict of str to int
        Edges by canonical type.
    neighbors : list of Neighbor
        The 50 with the largest weights, by weight and then by type and key.
    """

    node_type: str
    key: str
    local_id: int
    global_id: int
    attributes: dict[str, Any]
    spaces: list[str]
    degrees: dict[str, int]
    neighbors: list[Neighbor]


def diagnose(
    graph: ContextGraph,
    *,
    length: int = 4,
    max_molecules: int = 20_000,
    num_hubs: int = 10,
    thresholds: Sequence[float] = (0.7, 0.8, 0.9),
    seed: int = 0,
) -> Diagnosis:
    """Say what walks of a given length will meet.

    Parameters
    ----------
    graph : ContextGraph
        The graph.
    length : int
        Walk length L in steps.
    max_molecules : int
        Walk from at most so many molecules, drawn at random.
    num_hubs : int
        Nodes of highest degree to name.
    thresholds : sequence of float
        Similarity thresholds to count edges at.
    seed : int
        Of the draw and of the walks.

    Returns
    -------
    Diagnosis
    """
    index = graph.walk_index()
    degrees = np.diff(index.indptr)
    num_molecules = graph.num_nodes["molecule"]
    sample = np.arange(num_molecules)
    if num_molecules > max_molecules:
        sample = np.sort(np.random.default_rng(seed).choice(num_molecules, max_molecules, replace=False))
    reached = _within(index, _measured(graph), length)[:num_molecules]
    return Diagnosis(
        num_nodes=graph.num_nodes,
        num_edges={" ".join(kind): count for kind, count in graph.num_edges.items()},
        length=length,
        isolated_molecules=int((degrees[:num_molecules] == 0).sum()),
        within_reach=float(reached.mean()),
        sampled_molecules=len(sample),
        spaces=_walked_spaces(graph, sample, length, seed),
        hubs=_hubs(graph, degrees, num_hubs),
        thresholds=_threshold_counts(graph, thresholds),
    )


def describe_node(graph: ContextGraph, name: str) -> NodeDescription:
    """Describe one node and its neighborhood.

    Parameters
    ----------
    graph : ContextGraph
        The graph.
    name : str
        ``type:key``, for instance ``gene:1017``, ``molecule:RYYVLZVUVIJVGH`` or
        ``morphology:comas:RYYVLZVUVIJVGH``; a gene's symbol and a molecule's full InChIKey, or one of the ids
        that tables give it, do as well.

    Raises
    ------
    GraphError
        If there is no such node, with the nearest name that there is.
    """
    node_type, _, key = name.partition(":")
    if node_type not in NODE_TYPES or not key:
        raise GraphError(
            f"'{name}' names no node: write TYPE:KEY with TYPE one of {', '.join(NODE_TYPES)}, for "
            f"instance gene:1017"
        )
    table = graph.nodes[node_type]
    found = np.flatnonzero((table["key"] == key).to_numpy())
    other = {"gene": "symbol", "molecule": "inchikey"}.get(node_type)
    if not len(found) and other is not None:
        found = np.flatnonzero((table[other] == key).to_numpy())
    if not len(found) and "ids" in table:  # a graph of before they were kept has none
        found = np.flatnonzero([key in ids.split(";") for ids in table["ids"]])
    if not len(found):
        known = [*table["key"], *(table[other] if other else [])]
        raise GraphError(f"the graph has no {node_type} '{key}': {did_you_mean(key, known)}")
    node = int(found[0])
    degrees, neighbors = _neighborhood(graph, node_type, node)
    return NodeDescription(
        node_type=node_type,
        key=table["key"].iloc[node],
        local_id=node,
        global_id=graph.node_offsets[node_type] + node,
        attributes={str(column): value for column, value in table.iloc[node].items()},
        spaces=[s.name for s in graph.spaces.values() if s.node_type == node_type and s.node_rows[node] >= 0],
        degrees=degrees,
        neighbors=neighbors,
    )


def _measured(graph: ContextGraph) -> np.ndarray:
    """Which nodes have a row in a space other than the fingerprint, shape (total nodes,), bool."""
    measured = np.zeros(graph.total_nodes, bool)
    for name in graph.spaces:
        if name != FINGERPRINT:
            measured |= graph.row_index(name) >= 0
    return measured


def _within(index: Any, targets: np.ndarray, steps: int) -> np.ndarray:
    """Which nodes are at most so many steps from a target, shape (nodes,), bool."""
    source = np.repeat(np.arange(index.num_nodes), np.diff(index.indptr))
    near = targets.copy()
    for _ in range(steps):
        near[source[near[index.indices]]] = True
    return near


def _walked_spaces(graph: ContextGraph, sample: np.ndarray, length: int, seed: int) -> list[SpaceDiagnosis]:
    walks = graph.walks(sample, length, seed=seed, walk_ids=sample)
    there = walks.nodes >= 0
    visits, mass = {}, {}
    for name in graph.spaces:
        hit = there & (graph.row_index(name)[np.where(there, walks.nodes, 0)] >= 0)
        visits[name] = float(hit.sum(axis=1).mean())
        mass[name] = (walks.alpha * hit).sum(axis=1, dtype=np.float64)
    total = sum(mass.values())  # at least 1: the start has a fingerprint
    return [
        SpaceDiagnosis(
            name,
            space.node_type,
            space.num_rows,
            space.dim,
            space.num_rows / max(graph.num_nodes["gene" if space.node_type == "gene" else "molecule"], 1),
            visits[name],
            float((mass[name] / total).mean()),
        )
        for name, space in graph.spaces.items()
    ]


def _label(graph: ContextGraph, node_type: str, node: int) -> str:
    """Return what a person calls a node: a gene's symbol, a molecule's SMILES, else nothing."""
    column = {"gene": "symbol", "molecule": "smiles"}.get(node_type)
    return str(graph.nodes[node_type][column].iloc[node]) if column else ""


def _hubs(graph: ContextGraph, degrees: np.ndarray, count: int) -> list[Hub]:
    starts = np.array([graph.node_offsets[kind] for kind in NODE_TYPES])
    hubs = []
    for node in np.argsort(-degrees, kind="stable")[:count].tolist():
        kind = NODE_TYPES[int(np.searchsorted(starts, node, side="right")) - 1]
        local = node - graph.node_offsets[kind]
        key = graph.nodes[kind]["key"].iloc[local]
        hubs.append(Hub(kind, key, _label(graph, kind, local), int(degrees[node])))
    return hubs


def _threshold_counts(graph: ContextGraph, thresholds: Sequence[float]) -> list[ThresholdCounts]:
    """Count stored similarity edges at other thresholds, by space where each node has one at most."""
    built_at = graph.schema.get("spec", {}).get("similarity", {}).get("threshold", 0.0)
    counts = []
    for kind in NODE_TYPES:
        src, _, weight = graph.edges((kind, "similar", kind))
        spaces = [space for space in graph.spaces.values() if space.node_type == kind]
        groups = [(space.name, space.node_rows[src] >= 0) for space in spaces]
        if kind == "gene" and len(spaces) > 1:  # an edge does not say in which of them its ends are similar
            groups = [(" or ".join(space.name for space in spaces), np.ones(len(src), bool))]
        for name, mine in groups:
            kept = {t: int((weight[mine] >= t).sum()) if t >= built_at else None for t in thresholds}
            counts.append(ThresholdCounts(name, kind, kept))
    return counts


def _neighborhood(graph: ContextGraph, node_type: str, node: int) -> tuple[dict[str, int], list[Neighbor]]:
    degrees: dict[str, int] = {}
    neighbors = []
    for kind in EDGE_TYPES:
        src, dst, weight = graph.edges(kind)
        for near, far, other, outgoing in ((src, dst, kind[2], True), (dst, src, kind[0], False)):
            if (kind[0] if outgoing else kind[2]) != node_type:
                continue
            found = np.flatnonzero(near == node)
            if len(found):
                label = " ".join(kind)
                degrees[label] = degrees.get(label, 0) + len(found)
            strongest = found[np.argsort(-weight[found], kind="stable")[:_MAX_NEIGHBORS_SHOWN]]
            keys = graph.nodes[other]["key"]
            neighbors += [
                Neighbor(
                    other,
                    keys.iloc[int(far[edge])],
                    _label(graph, other, int(far[edge])),
                    kind[1],
                    float(weight[edge]),
                    outgoing,
                )
                for edge in strongest.tolist()
            ]
    neighbors.sort(key=lambda n: (-n.weight, n.node_type, n.key))
    return degrees, neighbors[:_MAX_NEIGHBORS_SHOWN]
