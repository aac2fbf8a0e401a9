"""Similarity within scopes, as the published implementation compares: within scaffolds or k-means clusters.

It compares only pairs of one scope, looks for the threshold by halving an interval until the wanted share of
the entries that are not zero lies above it, and rounds the weights to two digits. Nothing here is needed for
a graph of one's own: :mod:`infoalign_dgl.context.similarity` misses no pair and cuts at an exact rank.

References
----------
Liu et al. 2024, "Learning Molecular Representation in a Cell", section 4, and the code published with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.context.edges import centred_rows
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.tables import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from infoalign_dgl.context.edges import Triple
    from infoalign_dgl.context.spec import SimilaritySettings

CLUSTERS, COMPONENTS, SEED = 100, 2, 0  # of the k-means over principal components
HIGHEST_CUT, INTERVAL = 0.99, 0.001  # the threshold's upper end, and when the halving stops
_DIGITS = 2  # of a weight
_CHUNK = 1 << 24  # entries of a block's matrix compared at a time


@dataclass(frozen=True)
class Carried:
    """A feature space and the nodes of one type that carry it.

    Parameters
    ----------
    node_type : str
    nodes : np.ndarray
        Local ids, one per row, shape (rows,), int64.
    values : np.ndarray
        Raw values, shape (rows, d), complete; or packed fingerprints.
    """

    node_type: str
    nodes: np.ndarray
    values: np.ndarray


def similar_in_scope(
    names: str,
    spaces: Mapping[str, Carried],
    num_nodes: Mapping[str, int],
    smiles: Sequence[str],
    settings: SimilaritySettings,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[str, Triple, dict[str, Any]]:
    """Compare the nodes that carry a feature space, or several as one, within the scope that the spec gives.

    Parameters
    ----------
    names : str
        A key of ``settings.scope``: names of feature spaces joined by ``+``. Features that a node lacks are
        zeros, as in the published code.
    spaces : mapping of str to Carried
        All feature spaces.
    num_nodes : mapping of str to int
        Nodes by type.
    smiles : sequence of str
        Structures of the molecules.
    settings : SimilaritySettings
        Its threshold, sparsity and scope count here.

    Returns
    -------
    node_type : str
    edges : (i, j, weight)
        Local node ids.
    report : dict
        As of :func:`scoped_edges`, and the scope.

    Raises
    ------
    SpecError
        If a name is of no feature space, or two are on nodes of different types.
    """
    scope = settings.scope[names]
    kind = scope_node_type(names, {name: part.node_type for name, part in spaces.items()})
    parts = [spaces[name] for name in names.split("+")]
    if scope == "none":
        blocks, rows = [], np.zeros((0, 1), np.float32)
    elif scope == "scaffold":
        blocks, rows = scaffold_blocks(smiles), parts[0].values
    else:
        values = _side_by_side(parts, num_nodes[kind])
        blocks = kmeans_blocks(values) if scope == "kmeans" else [np.arange(len(values))]
        rows = centred_rows(values)
    edges, report = scoped_edges(
        rows, blocks, threshold=settings.threshold, sparsity=settings.sparsity, progress=progress
    )
    return kind, edges, {"scope": scope, **report}


def scope_node_type(names: str, node_types: Mapping[str, str]) -> str:
    """Node type of the spaces that a scope names, joined by ``+``, given that of every space.

    Raises
    ------
    SpecError
        If a name is of no feature space, or two are on nodes of different types.
    """
    for name in names.split("+"):
        if name not in node_types:
            raise SpecError(f"scope names feature space '{name}': {did_you_mean(name, node_types)}")
    kinds = sorted({node_types[name] for name in names.split("+")})
    if len(kinds) > 1:
        raise SpecError(f"scope compares '{names}' as one, but they are on {' and '.join(kinds)}: split it")
    return kinds[0]


def scaffold_blocks(smiles: Sequence[str]) -> list[np.ndarray]:
    """Rows of molecules with the same Murcko scaffold, scaffolds of a single molecule left out.

    Parameters
    ----------
    smiles : sequence of str
        Structures that RDKit reads; all without a ring have the empty scaffold.

    Returns
    -------
    list of np.ndarray
        Ascending row numbers, int64, blocks in the order of their first rows.
    """
    from rdkit import Chem
    from rdkit.Chem.Scaffolds.MurckoScaffold import GetScaffoldForMol

    rows: dict[str, list[int]] = {}
    for row, text in enumerate(smiles):
        rows.setdefault(Chem.MolToSmiles(GetScaffoldForMol(Chem.MolFromSmiles(text))), []).append(row)
    return [np.array(block, np.int64) for block in rows.values() if len(block) > 1]


def kmeans_blocks(values: np.ndarray) -> list[np.ndarray]:
    """Rows of the same k-means cluster: 100 clusters over the first two principal components.

    Parameters
    ----------
    values : np.ndarray
        Shape (rows, d), float, complete: a row of zeros for each node that was not measured.

    Returns
    -------
    list of np.ndarray
        Ascending row numbers, int64. The published code draws its principal components without a seed where
        the matrix is large, so that its clusters are others each time; here the seed is fixed.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    if min(values.shape) < COMPONENTS:
        return [np.arange(len(values))]
    reduced = PCA(COMPONENTS, random_state=SEED).fit_transform(values)
    clusters = min(CLUSTERS, len(np.unique(reduced, axis=0)))
    labels = KMeans(clusters, random_state=SEED).fit(reduced).labels_
    return [np.flatnonzero(labels == cluster) for cluster in range(clusters)]


def scoped_edges(
    rows: np.ndarray,
    blocks: Sequence[np.ndarray],
    *,
    threshold: float,
    sparsity: float,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Triple, dict[str, Any]]:
    """Pairs of similar rows within blocks, by the published cut.

    Parameters
    ----------
    rows : np.ndarray
        (n, ceil(bits/8)) uint8: fingerprints, packed, compared by Tanimoto; or (n, d) float32: rows that
        :func:`~infoalign_dgl.context.edges.centred_rows` made, compared by cosine. A row of zeros is similar
        to nothing.
    blocks : sequence of np.ndarray
        Row numbers; only pairs of one block are compared.
    threshold : float
        Lower end of the interval in which the cut is looked for.
    sparsity : float
        Share of the blocks' entries other than zero that should lie at or below the cut.
    progress : callable, optional
        Called with (blocks done, blocks).

    Returns
    -------
    edges : (i, j, weight)
        i < j, row numbers, sorted; weights rounded to two digits.
    report : dict
        Pairs compared, pairs other than zero, edges and the cut.
    """
    compared = stored = 0
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for done, block in enumerate(blocks):
        compared += len(block) * (len(block) - 1) // 2
        for i, j, similarity in _compare(rows, block[rows[block].any(axis=1)]):
            stored += len(similarity)
            high = similarity >= threshold
            found.append((i[high], j[high], similarity[high]))
        if progress is not None:
            progress(done + 1, len(blocks))
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    i, j, similarity = (np.concatenate(parts) for parts in zip(none, *found, strict=True))
    cut = published_cut(similarity, stored, threshold, sparsity)
    keep = np.flatnonzero(similarity >= cut)
    i, j, similarity = np.minimum(i, j)[keep], np.maximum(i, j)[keep], similarity[keep]
    order = np.lexsort((j, i))
    report = {
        "metric": "tanimoto" if rows.dtype == np.uint8 else "cosine",
        "rows": len(rows),
        "all_pairs": compared,
        "similar_pairs": stored,
        "blocks": len(blocks),
        "edges": len(keep),
        "edge_cut": cut,
    }
    weight = np.minimum(np.round(similarity[order], _DIGITS), 1.0)
    return (i[order], j[order], weight), report


def published_cut(similarity: np.ndarray, stored: int, least: float, sparsity: float) -> float:
    """Halve the interval from ``least`` to 0.99 until it is 0.001 wide, and give its middle.

    Parameters
    ----------
    similarity : np.ndarray
        The similarities from ``least`` on.
    stored : int
        How many there are in all, those below ``least`` with them.
    least, sparsity : float
        As for :func:`scoped_edges`.
    """
    ascending = np.sort(similarity)
    low, high = least, HIGHEST_CUT
    middle = (low + high) / 2
    while low < high - INTERVAL:
        above = len(ascending) - np.searchsorted(ascending, middle, side="right")
        if 1 - above / max(stored, 1) > sparsity:
            high = middle
        else:
            low = middle
        middle = (low + high) / 2
    return middle


def _side_by_side(parts: Sequence[Carried], count: int) -> np.ndarray:
    """Features of all nodes of a type, shape (count, columns of all parts), zeros where a node has none."""
    widths = [part.values.shape[1] for part in parts]
    values = _spill.empty((count, sum(widths)))
    values[:] = 0
    for part, end in zip(parts, np.cumsum(widths), strict=True):
        values[part.nodes, end - part.values.shape[1] : end] = part.values
    return values


def _compare(rows: np.ndarray, block: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Give pairs (i, j, similarity) of a block whose similarity is not zero, a few rows at a time."""
    packed = rows.dtype == np.uint8
    values = (np.unpackbits(rows[block], axis=1) if packed else rows[block]).astype(np.float64)
    sizes = values.sum(axis=1) if packed else None
    if not packed:
        values /= np.linalg.norm(values, axis=1, keepdims=True)
    step = max(1, _CHUNK // max(len(block), 1))
    for start in range(0, len(block), step):
        similarity = values[start : start + step] @ values[start:].T
        if sizes is not None:
            similarity /= sizes[start : start + step, None] + sizes[None, start:] - similarity
        first, second = np.nonzero(np.triu(similarity, 1))
        yield block[start + first], block[start + second], similarity[first, second]
