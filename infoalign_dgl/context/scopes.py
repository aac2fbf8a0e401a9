"""Similarity within scopes, as the published implementation compares: within scaffolds or k-means clusters.

It compares only pairs of one scope, looks for the threshold by halving an interval until the wanted share of
the entries that are not zero lies above it, and rounds the weights to two digits. Nothing here is needed for
a graph of one's own: :mod:`infoalign_dgl.context.similarity` misses no pair and cuts at an exact rank.

References
----------
Liu et al. 2024, "Learning Molecular Representation in a Cell", section 4, and the code published with it.
"""

from __future__ import annotations

import importlib.metadata
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.context._scoped_pairs import ScopedPairs, Tile, compare, compare_each
from infoalign_dgl.context._side_by_side import Carried, SideBySide
from infoalign_dgl.context.means import Means
from infoalign_dgl.errors import GraphError, SpecError
from infoalign_dgl.sources.tables import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from infoalign_dgl.context.edges import Triple
    from infoalign_dgl.context.reuse import Similar
    from infoalign_dgl.context.spec import SimilaritySettings
    from infoalign_dgl.molecules._workers import Executor
    from infoalign_dgl.molecules.cluster import Cluster

CLUSTERS, COMPONENTS, SEED = 100, 2, 0  # of the k-means over principal components
HIGHEST_CUT, INTERVAL = 0.99, 0.001  # the threshold's upper end, and when the halving stops
_DIGITS = 2  # of a weight
_CHUNK = 1 << 22  # similarities of two tiles
_FEW_ROWS = 2000  # below this many, sending them to a cluster takes longer than comparing them
_TASK_BYTES = 4 * 2**20  # of a task's rows: schedulers take tasks up to some MB without complaint
_TASKS_PER_WORKER = 8  # that are made before the first of them is sent


def similar_in_scope(
    names: str,
    spaces: Mapping[str, Carried],
    num_nodes: Mapping[str, int],
    smiles: Sequence[str],
    settings: SimilaritySettings,
    means: Means | None = None,
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
    means : Means, optional
        Processes or a cluster, progress and what an earlier build left.

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
    means = Means() if means is None else means
    scope = settings.scope[names]
    kind = scope_node_type(names, {name: part.node_type for name, part in spaces.items()})
    if scope == "none":
        edges, report = scoped_edges(
            np.zeros((0, 1), np.float32), [], threshold=settings.threshold, sparsity=settings.sparsity
        )
        return kind, edges, {"scope": scope, **report}
    parts = [spaces[name] for name in names.split("+")]
    decides = {
        "scope": scope,
        "nodes": num_nodes[kind],
        "structures": list(smiles) if scope == "scaffold" else [],
        "threshold": settings.threshold,
        "sparsity": settings.sparsity,
        "scikit-learn": importlib.metadata.version("scikit-learn") if scope == "kmeans" else "",
    }
    arrays = [array for part in parts for array in (part.nodes[:, None], part.values)]
    work = partial(_compare_in_scope, names, parts, num_nodes[kind], smiles, settings, means)
    edges, report = means.reuse.similar(names, arrays, decides, work)
    return kind, edges, report


def _compare_in_scope(
    names: str,
    parts: Sequence[Carried],
    count: int,
    smiles: Sequence[str],
    settings: SimilaritySettings,
    means: Means,
) -> Similar:
    scope = settings.scope[names]
    if scope == "scaffold":
        rows = parts[0].values
        tell = partial(means.progress, "scaffolds of molecules")
        blocks = scaffold_blocks(smiles, num_workers=means.num_workers, progress=tell, helpers=means.helpers)
    else:
        values = SideBySide(parts, count)
        blocks = kmeans_blocks(values) if scope == "kmeans" else [np.arange(count)]
        rows = values.centred()
    edges, report = scoped_edges(
        rows,
        blocks,
        threshold=settings.threshold,
        sparsity=settings.sparsity,
        progress=partial(means.progress, f"similarity in {names}"),
        helpers=means.helpers,
    )
    return edges, {"scope": scope, **report}


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


def scaffold_blocks(
    smiles: Sequence[str],
    *,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    helpers: Executor | None = None,
) -> list[np.ndarray]:
    """Rows of molecules with the same Murcko scaffold, scaffolds of a single molecule left out.

    Parameters
    ----------
    smiles : sequence of str
        Structures that RDKit reads; all without a ring have the empty scaffold.
    num_workers, progress, helpers
        As of `standardize`.

    Returns
    -------
    list of np.ndarray
        Ascending row numbers, int64, blocks in the order of their first rows.

    Raises
    ------
    GraphError
        If RDKit cannot read a structure.
    """
    from infoalign_dgl.molecules.scaffolds import murcko_scaffolds

    found = murcko_scaffolds(smiles, num_workers=num_workers, progress=progress, helpers=helpers)
    rows: dict[str, list[int]] = {}
    for row, scaffold in enumerate(found):
        if scaffold is None:
            raise GraphError(f"RDKit cannot read structure {row}, {smiles[row]!r}: standardize or drop it")
        rows.setdefault(scaffold, []).append(row)
    return [np.array(block, np.int64) for block in rows.values() if len(block) > 1]


def kmeans_blocks(values: SideBySide) -> list[np.ndarray]:
    """Rows of the same k-means cluster: 100 clusters over the first two principal components.

    Parameters
    ----------
    values : SideBySide
        A row for each node of the type, zeros where it was not measured.

    Returns
    -------
    list of np.ndarray
        Ascending row numbers, int64. The published code draws its principal components without a seed where
        the matrix is large, so that its clusters are others each time; here they are exact.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    if min(values.shape) < COMPONENTS:
        return [np.arange(values.count)]
    reduced = values.principal(COMPONENTS)
    clusters = min(CLUSTERS, len(np.unique(reduced, axis=0)))
    with threadpool_limits(1):  # threads add up their parts of a centre in the order in which they end
        labels = KMeans(clusters, random_state=SEED).fit(reduced).labels_
    return [np.flatnonzero(labels == cluster) for cluster in range(clusters)]


def scoped_edges(
    rows: np.ndarray,
    blocks: Sequence[np.ndarray],
    *,
    threshold: float,
    sparsity: float,
    progress: Callable[[int, int], None] | None = None,
    helpers: Cluster | None = None,
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
    helpers : Cluster, optional
        Workers of a cluster that compare the rows; by default this process does.

    Returns
    -------
    edges : (i, j, weight)
        i < j, row numbers, sorted; weights rounded to two digits.
    report : dict
        Pairs compared, pairs other than zero, edges and the cut.
    """
    compared = sum(len(block) * (len(block) - 1) // 2 for block in blocks)
    # With so many pairs above it, a value is below the cut: the share is of no more pairs than these.
    most = math.floor((1 - sparsity) * compared) + 1
    found = ScopedPairs(threshold, most, HIGHEST_CUT, 2 * INTERVAL)
    known = _known(rows)
    if helpers is not None and len(rows) >= _FEW_ROWS:
        _search_on(helpers, rows, known, blocks, found, progress)
    else:
        _search(rows, known, blocks, found, progress)
    i, j, similarity = found.all()
    cut = published_cut(similarity, found.stored, threshold, sparsity)
    keep = np.flatnonzero(similarity >= cut)
    i, j, similarity = np.minimum(i, j)[keep], np.maximum(i, j)[keep], similarity[keep]
    order = np.lexsort((j, i))
    report = {
        "metric": "tanimoto" if rows.dtype == np.uint8 else "cosine",
        "rows": len(rows),
        "all_pairs": compared,
        "similar_pairs": found.stored,
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


def _known(rows: np.ndarray) -> np.ndarray:
    """Mark the rows that are not zero."""
    known = np.empty(len(rows), bool)
    for part in _spill.row_parts(rows):
        known[part] = rows[part].any(axis=1)
    return known


def _tile(rows: np.ndarray, block: np.ndarray) -> Tile:
    taken = np.asarray(rows)[block]  # no memmap of its own, which would not travel
    _spill.release(rows)
    return block, taken


def _search(
    rows: np.ndarray,
    known: np.ndarray,
    blocks: Sequence[np.ndarray],
    found: ScopedPairs,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Compare the rows of each block, a tile with another at a time."""
    size = max(1, min(math.isqrt(_CHUNK), _spill.LARGEST_IN_MEMORY // (8 * _columns(rows))))
    for done, block in enumerate(blocks, start=1):
        whole = block[known[block]]
        for first in range(0, len(whole), size):
            left = _tile(rows, whole[first : first + size])
            found.add(*compare(left, left, found.least))
            for second in range(first + size, len(whole), size):
                found.add(*compare(left, _tile(rows, whole[second : second + size]), found.least))
        if progress is not None:
            progress(done, len(blocks))


def _search_on(
    cluster: Cluster,
    rows: np.ndarray,
    known: np.ndarray,
    blocks: Sequence[np.ndarray],
    found: ScopedPairs,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Let a cluster compare: many small blocks at once, and the tiles of each large one."""
    size = max(1, min(math.isqrt(_CHUNK), _TASK_BYTES // (rows.shape[1] * rows.itemsize)))
    compared = [whole for block in blocks if len(whole := block[known[block]]) > 1]
    done = len(blocks) - len(compared)
    if progress is not None:
        progress(done, len(blocks))
    for group in _groups(compared, size, size * cluster.most() * _TASKS_PER_WORKER):
        if len(group[0]) > size:
            tiles = [_tile(rows, group[0][start : start + size]) for start in range(0, len(group[0]), size)]
            for part in cluster.map_pairs(partial(compare, least=found.least), tiles, None):
                found.add(*part)
        else:
            tasks = [[_tile(rows, block) for block in task] for task in _groups(group, size, size)]
            work = partial(compare_each, least=found.least)
            for part in cluster.map(work, tasks, cluster.most(), None):
                found.add(*part)
        done += len(group)
        if progress is not None:
            progress(done, len(blocks))


def _groups(blocks: Sequence[np.ndarray], size: int, most: int) -> Iterator[list[np.ndarray]]:
    """Give blocks together while they have no more than ``most`` rows; those above ``size`` alone."""
    group: list[np.ndarray] = []
    held = 0
    for block in blocks:
        if group and (held + len(block) > most or max(len(block), len(group[0])) > size):
            yield group
            group, held = [], 0
        group.append(block)
        held += len(block)
    if group:
        yield group


def _columns(rows: np.ndarray) -> int:
    """Columns of the rows once they are not packed."""
    return rows.shape[1] * (8 if rows.dtype == np.uint8 else 1)
