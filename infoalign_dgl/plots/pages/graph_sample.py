"""Which part of a graph a page can hold: molecules to start from, what is around them, where they walk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.context.vocabulary import EDGE_TYPES
from infoalign_dgl.walks import random_walks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.walks import WalkIndex
    from infoalign_dgl.walks.walk import Transition

TRANSITIONS: tuple[Transition, ...] = ("uniform", "weight")
STREAMS = 3  # walks of each transition from a molecule: those that epochs 0, 1 and 2 take
LONGEST_WALK = 20  # steps that are kept of each
WHOLE_GRAPH = 5_000  # nodes up to which a graph is kept whole, if the bytes allow
BUDGET = 3_000_000  # bytes of JSON: with the figures and the drawing library a page stays below 5 MB
_BYTES_OF_EDGE = 15  # a step between sources, a target, a weight, and commas
_BYTES_OF_STEP = 14  # an edge number, an alpha, and commas
_OF_A_RELATION = 8  # neighbours of a molecule that are kept by edge type, those of the largest weights
_OF_A_PROFILE = 3  # similar profiles that are kept of a profile next to the molecule

# Groups of molecules by what they have, and how many of each are taken in a round: measured ones are looked
# at most, and of all others there should be some.
_GROUPS = {
    "morphology and expression measured": 5,
    "morphology or expression measured": 6,
    "not measured, with genes": 2,
    "only similar to others": 2,
    "isolated": 1,
}


@dataclass(frozen=True)
class Group:
    """Molecules of one kind: how many there are in the graph, and how many of them are starts."""

    name: str
    molecules: int
    starts: int


@dataclass(frozen=True)
class Sample:
    """What a page keeps of a graph.

    Attributes
    ----------
    nodes : np.ndarray
        (N,) int64 global ids, ascending.
    starts : np.ndarray
        (S,) int64 molecules whose walks are kept, in the order in which they were chosen.
    edges : np.ndarray
        (S, walks, steps) int64 global edge ids of the walks: those of each transition, by stream; -1 after a
        dead end.
    alpha : np.ndarray
        (S, walks, steps) float32: alpha after each step.
    groups : list of Group
    whole : bool
        Whether all nodes are kept.
    """

    nodes: np.ndarray
    starts: np.ndarray
    edges: np.ndarray
    alpha: np.ndarray
    groups: list[Group]
    whole: bool


def choose_sample(
    graph: ContextGraph,
    index: WalkIndex,
    bytes_of: Callable[[int], int],
    *,
    length: int,
    seed: int,
    budget: int = BUDGET,
) -> Sample:
    """Choose nodes until their bytes are spent, the same for the same seed.

    Parameters
    ----------
    graph : ContextGraph
    index : WalkIndex
        The graph's arcs, both ways.
    bytes_of : callable
        Bytes that a node (global id) takes in the page.
    length : int
        Steps of the walks.
    seed : int
        Of the order of molecules, and of the walks.
    budget : int
        Bytes of nodes, edges and walks.

    Returns
    -------
    Sample
    """
    kinds = molecule_groups(graph)
    everything = graph.total_nodes <= WHOLE_GRAPH and _bytes_of_all(graph, bytes_of, length) <= budget
    order = np.fromiter(_rounds(kinds, seed), np.int64)
    chosen = _Chosen(index, bytes_of, budget)
    if everything:
        chosen.kept[:] = True
        starts = np.sort(order)
        _, edges, alpha = _walks(index, starts, length, seed)
    else:
        starts, edges, alpha = _choose_starts(graph, index, chosen, order, length, seed)
    groups = [
        Group(name, int((kinds == group).sum()), int((kinds[starts] == group).sum()))
        for group, name in enumerate(_GROUPS)
    ]
    return Sample(np.flatnonzero(chosen.kept), starts, edges, alpha, groups, everything)


def molecule_groups(graph: ContextGraph) -> np.ndarray:
    """Which group each molecule is of, shape (molecules,), int64: positions in the groups' order."""
    count = graph.num_nodes["molecule"]
    has: dict[str, np.ndarray] = {}
    for kind in EDGE_TYPES:
        src, dst, _ = graph.edges(kind)
        for node_type, ids, other in ((kind[0], src, kind[2]), (kind[2], dst, kind[0])):
            if node_type == "molecule":
                has.setdefault(other, np.zeros(count, bool))[ids] = True
    none = np.zeros(count, bool)
    morphology, expression = has.get("morphology", none), has.get("gene_expression", none)
    unmeasured = [has.get("gene", none), has.get("molecule", none)]
    return np.select([morphology & expression, morphology | expression, *unmeasured], [0, 1, 2, 3], 4)


def _rounds(kinds: np.ndarray, seed: int) -> Iterator[int]:
    """All molecules, a few of each group in turn."""
    rng = np.random.default_rng(seed)
    queues = [rng.permutation(np.flatnonzero(kinds == group)).tolist() for group in range(len(_GROUPS))]
    position = [0] * len(queues)
    while any(at < len(queue) for at, queue in zip(position, queues, strict=True)):
        for group, share in enumerate(_GROUPS.values()):
            yield from queues[group][position[group] : position[group] + share]
            position[group] += share


class _Chosen:
    """Nodes that are kept so far, and the bytes that they leave."""

    def __init__(self, index: WalkIndex, bytes_of: Callable[[int], int], budget: int) -> None:
        self.kept = np.zeros(index.num_nodes, bool)
        self._index, self._bytes_of, self._left = index, bytes_of, budget

    def take(self, nodes: Iterable[int], walks: int) -> bool:
        """Keep all of some nodes and the bytes of their walks, or none where the bytes do not allow."""
        added, cost = [], walks
        for node in nodes:
            if self.kept[node]:
                continue
            first, end = self._index.indptr[node : node + 2]
            self.kept[node] = True
            added.append(node)
            inner = int(self.kept[self._index.indices[first:end]].sum())
            cost += self._bytes_of(node) + _BYTES_OF_EDGE * inner
        if cost > self._left:
            self.kept[added] = False
            return False
        self._left -= cost
        return True


def _choose_starts(
    graph: ContextGraph, index: WalkIndex, chosen: _Chosen, order: np.ndarray, length: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take molecules with all around them while the bytes last."""
    profiles = graph.node_offsets["gene_expression"]
    most = order[:WHOLE_GRAPH]  # far more than the bytes allow
    nodes, edges, alpha = _walks(index, most, length, seed)
    count = 0
    for start, walked, crossed in zip(most.tolist(), nodes, edges, strict=True):
        around = [start, *_around(index, start, profiles), *walked[walked >= 0].tolist()]
        if not chosen.take(around, _BYTES_OF_STEP * int((crossed >= 0).sum())):
            break
        count += 1
    return most[:count], edges[:count], alpha[:count]


def _around(index: WalkIndex, molecule: int, profiles: int) -> Iterator[int]:
    """Give its strongest neighbours by edge type, and what its profiles are similar to, with the owners."""
    for node in _strongest(index, molecule, _OF_A_RELATION):
        yield node
        if node < profiles:
            continue
        for other in _strongest(index, node, _OF_A_PROFILE):
            yield other
            if other >= profiles:
                yield from (owner for owner in _strongest(index, other, 1) if owner < profiles)


def _strongest(index: WalkIndex, node: int, most: int) -> list[int]:
    first, end = index.indptr[node : node + 2]
    weight, relations = index.weight[first:end], _relations(index)[first:end]
    found: list[int] = []
    for relation in np.unique(relations):
        arcs = np.flatnonzero(relations == relation)
        best = arcs[np.argsort(-weight[arcs], kind="stable")[:most]]
        found += index.indices[first:end][best].tolist()
    return found


def _relations(index: WalkIndex) -> np.ndarray:
    return np.zeros(index.num_arcs, np.int32) if index.relations is None else index.relations


def _walks(
    index: WalkIndex, starts: np.ndarray, length: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, edges and alphas after each step, (S, walks, steps); a walk's id is its molecule's node id."""
    found: list[Any] = [
        random_walks(
            index,
            starts,
            min(length, LONGEST_WALK),
            transition=transition,
            seed=seed,
            walk_ids=starts,
            stream=stream,
            return_edges=True,
        )
        for transition in TRANSITIONS
        for stream in range(STREAMS)
    ]
    nodes = np.stack([walks.nodes[:, 1:] for walks in found], axis=1)
    alpha = np.stack([walks.alpha[:, 1:] for walks in found], axis=1)
    return nodes, np.stack([walks.edges for walks in found], axis=1), alpha


def _bytes_of_all(graph: ContextGraph, bytes_of: Callable[[int], int], length: int) -> int:
    steps = graph.num_nodes["molecule"] * len(TRANSITIONS) * STREAMS * min(length, LONGEST_WALK)
    nodes = sum(map(bytes_of, range(graph.total_nodes)))
    return nodes + _BYTES_OF_EDGE * sum(graph.num_edges.values()) + _BYTES_OF_STEP * steps
