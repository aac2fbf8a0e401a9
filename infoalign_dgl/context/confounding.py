"""How much of the profiles' similarity comes from where they were measured, against permuted labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.context.edges import centred_rows
from infoalign_dgl.context.vocabulary import FINGERPRINT

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy.sparse import csr_array

    from infoalign_dgl.context.graph import ContextGraph
    from infoalign_dgl.context.spaces import FeatureSpace

FACTORS = ("table", "batch", "plate", "well")
MOLECULE = "molecule"  # the factor that similarity should come from
_MOSTLY = 0.5  # share of edges within one label from which on a warning is due,
_MORE_THAN_CHANCE = 2.0  # if chance gives at most this fraction of it,
_UNLIKELY = 0.01  # and chance gives as much with at most this probability
_ROUNDING = 1e-6  # relative: a permutation that gives the same groups may differ so much


@dataclass(frozen=True)
class Explained:
    """How much of one space's similarity a factor explains.

    Attributes
    ----------
    factor : str
        ``table``, ``batch``, ``plate`` or ``well``; ``molecule`` where replicates are kept as profiles.
    profiles, labels : int
        Profiles compared, and different labels among them.
    similarity : float
        Share of the sum of squares of the profiles (centred, scaled to length 1, less their mean) that lies
        between labels: R^2 of PERMANOVA on squared distance 2 (1 - cosine). A profile of several labels
        belongs to each in equal parts.
    chance : float
        Mean of the same over permuted labels.
    share : float
        (similarity - chance) / (1 - chance): 0 if the factor explains nothing, 1 if all.
    ratio : float or None
        similarity / chance; None where chance is 0.
    p : float
        (1 + permutations that explain as much) / (1 + permutations).
    """

    space: str
    factor: str
    profiles: int
    labels: int
    similarity: float
    chance: float
    share: float
    ratio: float | None
    p: float


@dataclass(frozen=True)
class WithinEdges:
    """How many similarity edges of one space connect profiles that share a label.

    Attributes
    ----------
    edges : int
        Edges between different molecules whose profiles both have a label.
    within : float
        Share of them that connect profiles with a label in common.
    chance, ratio, p
        As in :class:`Explained`, for ``within``.
    """

    edge_type: str
    space: str
    factor: str
    edges: int
    within: float
    chance: float
    ratio: float | None
    p: float


@dataclass(frozen=True)
class Confounding:
    """What :func:`confounding` found, with a sentence for each edge type that mostly connects one label."""

    permutations: int
    spaces: list[Explained]
    edges: list[WithinEdges]
    warnings: list[str]


def confounding(
    graph: ContextGraph,
    *,
    permutations: int = 200,
    max_profiles: int = 5000,
    max_edges: int = 20_000,
    seed: int = 0,
) -> Confounding:
    """Compare the similarity of profiles with where they were measured.

    Only what profiles of different molecules have in common counts against a factor: profiles of one molecule
    with the same label are averaged first, and edges within a molecule are left aside. A factor is left out
    where all profiles have one label or the same several, or each has its own.

    Parameters
    ----------
    graph : ContextGraph
        Its profile nodes may have the columns ``table``, ``batch``, ``plate`` and ``well``, several labels
        joined by ``;``.
    permutations : int
        How often labels are permuted over the profiles of a space.
    max_profiles, max_edges : int
        Compare at most so many of a space, drawn at random.
    seed : int
        Of the draws and permutations.

    Returns
    -------
    Confounding

    References
    ----------
    Anderson 2001, A new method for non-parametric multivariate analysis of variance.
    """
    explained: list[Explained] = []
    within: list[WithinEdges] = []
    for name, space in graph.spaces.items():
        nodes = graph.nodes[space.node_type]
        if name == FINGERPRINT or "molecule" not in nodes:
            continue
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(space.nodes())[:max_profiles])
        rows = unit_rows(space, chosen)
        molecules = nodes["molecule"].to_numpy(str)[chosen]
        factors = {f: nodes[f].to_numpy(str) for f in FACTORS if f in nodes}
        for factor, labels in factors.items():
            averaged, told = _without_replicates(rows, molecules, labels[chosen])
            explained += _explained(name, factor, averaged, told, permutations, rng)
            within += _within(graph, space, factor, labels, permutations, max_edges, rng)
        counts = dict(zip(*np.unique(molecules, return_counts=True), strict=True))
        again = np.array([counts[molecule] > 1 for molecule in molecules], bool)
        explained += _explained(name, MOLECULE, rows[again], molecules[again], permutations, rng)
    return Confounding(permutations, explained, within, [_warning(w) for w in within if _mostly_within(w)])


def unit_rows(space: FeatureSpace, nodes: np.ndarray) -> np.ndarray:
    """Rows of nodes as similarity sees them, centred and of length 1: shape (nodes, d), float32."""
    scaled = space.dense(space.node_rows[nodes])
    rows = centred_rows(scaled if space.scaler is None else space.inverse_transform(scaled))
    return rows / np.float32(np.sqrt(max(rows.shape[1], 1)))


def explained_share(rows: np.ndarray, members: csr_array) -> float:
    """Share of the rows' sum of squares about their mean that lies between labels.

    Parameters
    ----------
    rows : np.ndarray
        Shape (n, d), less their mean.
    members : scipy.sparse.csr_array
        Shape (n, labels): each row's part in each label; parts of a row sum to 1.
    """
    total = float(np.square(rows, dtype=np.float64).sum())
    if total == 0:
        return 0.0
    size = np.asarray(members.sum(axis=0)).ravel()
    sums = members.T @ rows
    return float((np.square(sums, dtype=np.float64).sum(axis=1) / size).sum()) / total


def memberships(labels: np.ndarray) -> csr_array:
    """Each row's part in each label, shape (rows, labels): equal parts where ``;`` joins several."""
    from scipy.sparse import csr_array

    told = [sorted(set(label.split(";"))) for label in labels.tolist()]
    counts = np.array([len(names) for names in told], np.int64)
    names, column = np.unique([name for names in told for name in names], return_inverse=True)
    start = np.concatenate([[0], np.cumsum(counts)])
    parts = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
    return csr_array((parts, column, start), shape=(len(told), len(names)))


def _tell_apart(labels: np.ndarray) -> bool:
    """Whether labels tell rows apart: not if all have the same one, or the same several."""
    return len({frozenset(label.split(";")) for label in np.unique(labels).tolist()}) > 1


def _without_replicates(
    rows: np.ndarray, molecules: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Average the rows of one molecule with the same labels; rows without a label are left out."""
    known = labels != ""
    rows, labels = rows[known], labels[known]
    pairs = np.char.add(np.char.add(molecules[known], "\0"), labels)
    _, first, place, counts = np.unique(pairs, return_index=True, return_inverse=True, return_counts=True)
    if len(first) == len(rows):
        return rows, labels
    averaged = np.zeros((len(first), rows.shape[1]), np.float32)
    np.add.at(averaged, place, rows)
    return averaged / counts[:, None].astype(np.float32), labels[first]


def _explained(
    space: str, factor: str, rows: np.ndarray, labels: np.ndarray, permutations: int, rng: np.random.Generator
) -> list[Explained]:
    if not _tell_apart(labels):
        return []
    members = memberships(labels)
    rows = rows - rows.mean(axis=0)
    observed, chance, p = _against_chance(
        lambda order: explained_share(rows, members[order]), len(rows), permutations, rng
    )
    if chance >= 1 - _ROUNDING:  # permuted labels explain all as well: there is nothing to be told
        return []
    share = (observed - chance) / (1 - chance)
    ratio = observed / chance if chance > 0 else None
    return [Explained(space, factor, len(rows), members.shape[1], observed, chance, share, ratio, p)]


def _within(
    graph: ContextGraph,
    space: FeatureSpace,
    factor: str,
    labels: np.ndarray,
    permutations: int,
    max_edges: int,
    rng: np.random.Generator,
) -> list[WithinEdges]:
    kind = (space.node_type, "similar", space.node_type)
    known = (space.node_rows >= 0) & (labels != "")
    if not _tell_apart(labels[known]):
        return []
    members = memberships(labels[known])
    place = np.cumsum(known) - 1
    molecules = graph.nodes[space.node_type]["molecule"].to_numpy(str)
    src, dst, _ = graph.edges(kind)
    mine = known[src] & known[dst]
    mine[mine] = molecules[src[mine]] != molecules[dst[mine]]
    chosen = np.sort(rng.permutation(np.flatnonzero(mine))[:max_edges])
    if not len(chosen):
        return []
    left, right = place[src[chosen]], place[dst[chosen]]

    def share(order: np.ndarray) -> float:
        common = members[order[left]].multiply(members[order[right]]).sum(axis=1)
        return float((np.asarray(common).ravel() > 0).mean())

    observed, chance, p = _against_chance(share, members.shape[0], permutations, rng)
    if not observed and not chance:  # no label is anywhere twice
        return []
    ratio = observed / chance if chance > 0 else None
    return [WithinEdges(" ".join(kind), space.name, factor, int(mine.sum()), observed, chance, ratio, p)]


def _against_chance(
    statistic: Callable[[np.ndarray], float], count: int, permutations: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Give a statistic of an order of labels, its mean over random orders, and the p value."""
    observed = statistic(np.arange(count))
    permuted = np.array([statistic(rng.permutation(count)) for _ in range(permutations)])
    as_much = int((permuted >= observed * (1 - _ROUNDING)).sum())
    return observed, float(permuted.mean()), (1 + as_much) / (1 + permutations)


def _mostly_within(edges: WithinEdges) -> bool:
    more = edges.within >= _MORE_THAN_CHANCE * edges.chance
    return edges.within >= _MOSTLY and more and edges.p <= _UNLIKELY


def _warning(edges: WithinEdges) -> str:
    return (
        f"{edges.within:.0%} of the {edges.edges:,} edges '{edges.edge_type}' between different molecules in "
        f"feature space '{edges.space}' connect profiles of one {edges.factor}, where chance gives "
        f"{edges.chance:.0%}: normalize it by plate or correct its batches before the build"
    )
