"""Which nodes shape a molecule's targets: the expected alpha at each node that its walks visit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.context.vocabulary import EDGE_TYPES, NODE_TYPES
from infoalign_dgl.training.sampler import REPEAT_SHIFT
from infoalign_dgl.walks import random_walks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.config import Transition
    from infoalign_dgl.walks import WalkIndex, Walks

_PATHS = 10


@dataclass(frozen=True)
class VisitedNode:
    """A node that walks from the molecule visit.

    Attributes
    ----------
    node_type, key, label : str
        The label is what people call it: a gene's symbol, a molecule's SMILES, a profile's space; the key
        where there is none.
    spaces : list of str
        Feature spaces of the run in which it has a row: what it brings to the targets.
    mass : float
        Mean over walks of the sum of alpha at it.
    error : float
        Standard error of that mean, since walks are drawn.
    share : float
        Of the mass of all nodes that walks visit.
    visited : float
        Share of the walks that come to it.
    steps : int
        Fewest steps in which one did.
    """

    node_type: str
    key: str
    label: str
    spaces: list[str]
    mass: float
    error: float
    share: float
    visited: float
    steps: int


@dataclass(frozen=True)
class SpaceMass:
    """What of the alpha mass falls on nodes with a row in a feature space.

    Attributes
    ----------
    mass : float
        Mean over walks.
    share : float
        Of that of all spaces.
    nodes : int
        Nodes with a row in it that a walk visited.
    """

    space: str
    node_type: str
    mass: float
    share: float
    nodes: int


@dataclass(frozen=True)
class Path:
    """The way from the molecule to a node, which walks take again and again.

    Attributes
    ----------
    nodes : list of VisitedNode
        From the first step on; the molecule itself is left out.
    relations : list of str
        Of the edges, one per step.
    weights : list of float
        Of the edges.
    alpha : float
        Their product.
    taken : float
        Share of the walks that begin with it.
    mass : float
        Alpha mass that it carries to its last node: ``alpha * taken``.
    """

    nodes: list[VisitedNode]
    relations: list[str]
    weights: list[float]
    alpha: float
    taken: float
    mass: float

    def said(self) -> str:
        """Write it as its steps: what each edge is, where it leads, and its weight."""
        steps = zip(self.nodes, self.relations, self.weights, strict=True)
        return ", ".join(
            f"{relation} {node.label if node.node_type == 'gene' else node.key} ({weight:.2g})"
            for node, relation, weight in steps
        )


@dataclass(frozen=True)
class AlphaMass:
    """What walks from the molecule visit, by which its targets are weighted.

    Attributes
    ----------
    walks, length : int
    transition : str
    seed : int
        Of the run: the first walks are those that training took in its first epoch.
    isolated : bool
        Whether the molecule has no edge to walk along; its only target is then its own fingerprint.
    total : float
        Mean over walks of the sum of alpha, 1 for an isolated molecule.
    without_features : float
        Share of it that falls on nodes without a row in any space: ways to others, but no targets.
    own : VisitedNode
        The molecule itself: the start, and returns to it.
    nodes : dict of str to list of VisitedNode
        By node type, those of largest mass, the molecule itself left out.
    visited : dict of str to int
        By node type, how many were visited in all.
    spaces : list of SpaceMass
    paths : list of Path
        Those that carry the largest mass, without those that come to a node twice.
    """

    walks: int
    length: int
    transition: str
    seed: int
    isolated: bool
    total: float
    without_features: float
    own: VisitedNode
    nodes: dict[str, list[VisitedNode]]
    visited: dict[str, int]
    spaces: list[SpaceMass]
    paths: list[Path]


def alpha_mass(
    graph: ContextGraph,
    index: WalkIndex,
    molecule: int,
    *,
    length: int,
    transition: Transition = "uniform",
    seed: int = 0,
    walks: int = 1000,
    spaces: Sequence[str] | None = None,
    top: int = 20,
) -> AlphaMass:
    """Walk from a molecule many times, and say how much alpha falls where.

    A target weighs by the alpha of the nodes it comes from, so a node's mass, the mean over walks of the sum
    of alpha at it, is what it counts in the molecule's expected target (before a feature space's own weight
    in the loss). The walks are counter-based: those of one seed are always the same, and the first are those
    that pretraining took in its first epoch.

    Parameters
    ----------
    graph : ContextGraph
    index : WalkIndex
        What to walk along, over the graph's global node ids.
    molecule : int
        Node id.
    length, transition, seed
        As the run has them.
    walks : int
        W, at least 1.
    spaces : sequence of str, optional
        Feature spaces that count; all of the graph by default.
    top : int
        Nodes to name of each type.

    Returns
    -------
    AlphaMass

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 3.1 and Eq. 3 (alpha).
    """
    ids = molecule + (np.arange(walks, dtype=np.int64) << REPEAT_SHIFT)
    walked = random_walks(
        index,
        np.full(walks, molecule, np.int64),
        length,
        transition=transition,
        seed=seed,
        walk_ids=ids,
        return_edges=True,
    )
    rows = {name: graph.row_index(name) >= 0 for name in (graph.spaces if spaces is None else spaces)}
    found = _visited(graph, walked, rows)
    order = sorted(found, key=lambda node: (-found[node].mass, node))
    kind_of = {kind: [found[node] for node in order if found[node].node_type == kind] for kind in NODE_TYPES}
    own = found[molecule]
    kind_of["molecule"].remove(own)
    per_space = {
        name: (sum(found[node].mass for node in found if has[node]), sum(bool(has[node]) for node in found))
        for name, has in rows.items()
    }
    total = sum(node.mass for node in found.values())
    with_features = sum(node.mass for node in found.values() if node.spaces)
    all_spaces = sum(mass for mass, _ in per_space.values())
    return AlphaMass(
        walks=walks,
        length=length,
        transition=transition,
        seed=seed,
        isolated=bool(index.indptr[molecule + 1] == index.indptr[molecule]),
        total=total,
        without_features=1 - with_features / total if total else 0.0,
        own=own,
        nodes={kind: nodes[:top] for kind, nodes in kind_of.items()},
        visited={kind: len(nodes) for kind, nodes in kind_of.items()},
        spaces=[
            SpaceMass(name, graph.spaces[name].node_type, mass, mass / all_spaces if all_spaces else 0.0, n)
            for name, (mass, n) in per_space.items()
        ],
        paths=_paths(graph, walked, found, min(top, _PATHS)),
    )


def _visited(graph: ContextGraph, walked: Walks, rows: dict[str, np.ndarray]) -> dict[int, VisitedNode]:
    """Describe every node that a walk visits, by global id."""
    walks = len(walked.nodes)
    there = walked.nodes >= 0
    of_walk, step = np.nonzero(there)
    node, alpha = walked.nodes[there], walked.alpha[there].astype(np.float64)
    ids, place = np.unique(node, return_inverse=True)
    # A walk may come to a node several times: its sum there is what varies from walk to walk.
    pairs, pair_of = np.unique(place * walks + of_walk, return_inverse=True)
    per_pair = np.bincount(pair_of, alpha)
    of_node = pairs // walks
    total = np.bincount(of_node, per_pair, minlength=len(ids))
    squares = np.bincount(of_node, per_pair**2, minlength=len(ids))
    visits = np.bincount(of_node, minlength=len(ids))
    mass = total / walks
    error = np.sqrt(np.maximum(squares / walks - mass**2, 0) / max(walks - 1, 1))
    steps = np.full(len(ids), walked.nodes.shape[1])
    np.minimum.at(steps, place, step)
    return {
        int(ids[i]): VisitedNode(
            *name_node(graph, int(ids[i])),
            [name for name, has in rows.items() if has[ids[i]]],
            float(mass[i]),
            float(error[i]),
            float(mass[i] / mass.sum()),
            float(visits[i] / walks),
            int(steps[i]),
        )
        for i in range(len(ids))
    }


def name_node(graph: ContextGraph, node: int) -> tuple[str, str, str]:
    """Give a node's type, key, and what people call it, by global id."""
    kind = next(kind for kind in reversed(NODE_TYPES) if graph.node_offsets[kind] <= node)
    row = graph.nodes[kind].iloc[node - graph.node_offsets[kind]]
    label = {"gene": "symbol", "molecule": "smiles"}.get(kind, "space")
    return kind, str(row["key"]), str(row[label]) or str(row["key"])


def _paths(graph: ContextGraph, walked: Walks, found: dict[int, VisitedNode], top: int) -> list[Path]:
    """Name the beginnings of walks that carry most mass to their end; parallel edges make different ones."""
    assert walked.edges is not None
    bounds = np.cumsum(list(graph.num_edges.values()))
    paths: list[Path] = []
    for steps in range(1, walked.nodes.shape[1]):
        begun = walked.nodes[:, steps] >= 0
        whole = np.concatenate([walked.nodes[begun, : steps + 1], walked.edges[begun, :steps]], axis=1)
        distinct, first, counts = np.unique(whole, axis=0, return_index=True, return_counts=True)
        alphas = walked.alpha[begun][first, : steps + 1].astype(np.float64)
        for row, alpha, count in zip(distinct, alphas, counts, strict=True):
            nodes, edges = row[: steps + 1], row[steps + 1 :]
            if len(set(nodes.tolist())) <= steps:
                continue
            before = np.where(alpha[:-1] > 0, alpha[:-1], 1)
            taken = count / len(walked.nodes)
            paths.append(
                Path(
                    [found[int(node)] for node in nodes[1:]],
                    [EDGE_TYPES[int(np.searchsorted(bounds, edge, side="right"))][1] for edge in edges],
                    (alpha[1:] / before).tolist(),
                    float(alpha[-1]),
                    float(taken),
                    float(taken * alpha[-1]),
                )
            )
    paths.sort(key=lambda path: (-path.mass, len(path.nodes), [node.key for node in path.nodes]))
    return paths[:top]
