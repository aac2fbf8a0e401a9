"""Exact similarity of all pairs of rows: binary fingerprints with integers, dense rows with proven margins.

A threshold is taken as the decimal fraction it is written as: 0.8 is 4/5, and a pair whose similarity is
exactly 4/5 passes.

References
----------
Liu et al. 2024, "Learning Molecular Representation in a Cell", section 4: edges of the context graph between
similar nodes, by a threshold and a sparsity cut.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infoalign_dgl.context import _dense_similarity, _fingerprint_similarity
from infoalign_dgl.context._pair_store import PairStore
from infoalign_dgl.errors import GraphError
from infoalign_dgl.walks._arrays import resolve_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.molecules.cluster import Cluster

Metric = Literal["cosine", "tanimoto"]
_FEW_ROWS = 2000  # below this many, sending them to a cluster takes longer than comparing them
_TASK_BYTES = 4 * 2**20  # of a block: schedulers take tasks up to some MB without complaint


def similar_pairs(
    rows: np.ndarray,
    *,
    metric: Metric = "cosine",
    threshold: float,
    sparsity: float | None = None,
    num_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    helpers: Cluster | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find every pair of rows whose similarity is at least ``threshold``.

    Parameters
    ----------
    rows : np.ndarray
        (n, ceil(bits/8)) uint8: binary fingerprints, packed; or (n, d) float32: dense rows, compared as they
        are (the caller centres them). A row of zeros is similar to nothing.
    metric : {"cosine", "tanimoto"}
        c / sqrt(a b) or c / (a + b - c) of rows with a and b bits, c of them common; of dense rows only
        the cosine, ``x.y / (|x| |y|)``.
    threshold : float
        Least similarity, above 0 and at most 1.
    sparsity : float, optional
        Keep only the floor((1 - sparsity) n (n-1) / 2) most similar pairs, ties broken by (i, j); in [0, 1).
    num_threads : int, optional
        Most threads to use; by default one per processor.
    progress : callable, optional
        Called with (done, total), in units of work.
    helpers : Cluster, optional
        A cluster whose workers compare blocks of rows, each pair of blocks one task.

    Returns
    -------
    i, j : np.ndarray
        (P,) int64 row numbers, i < j, sorted by (i, j).
    similarity : np.ndarray
        (P,) float64; the smallest of them is the effective cut.

    Raises
    ------
    GraphError
        If ``rows`` is of another type or shape, is not finite, or an option is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from infoalign_dgl.context import similar_pairs
    >>> rows = np.array([[1, 0], [3, 4], [4, 3]], np.float32)
    >>> i, j, similarity = similar_pairs(rows, threshold=0.8)
    >>> list(zip(i.tolist(), j.tolist(), similarity.round(4).tolist()))
    [(0, 2, 0.8), (1, 2, 0.96)]
    """
    _check(rows, metric)
    limit = _fraction("threshold", threshold)
    if not 0 < limit <= 1:
        raise GraphError(f"'threshold' must be above 0 and at most 1, but is {threshold}: pass 0.8, say")
    most = None if sparsity is None else _most_pairs(sparsity, len(rows))
    threads = resolve_threads(num_threads)
    store = PairStore(most)
    if helpers is not None and len(rows) >= _FEW_ROWS:
        _search_on(helpers, rows, metric, limit, store, progress)
        return store.result()
    _search(rows, metric, limit, store, threads, progress)
    return store.result()


def _search(
    rows: np.ndarray,
    metric: str,
    limit: Fraction,
    store: PairStore,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    if rows.dtype == np.uint8:
        _fingerprint_similarity.search(rows, metric, limit, store, num_threads=threads, progress=progress)
    else:
        _dense_similarity.search(rows, limit, store, num_threads=threads, progress=progress)


def _search_on(
    cluster: Cluster,
    rows: np.ndarray,
    metric: str,
    limit: Fraction,
    store: PairStore,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Let a cluster search: a pair's similarity does not depend on what else a block has."""
    most = max(_TASK_BYTES // max(rows.shape[1] * rows.itemsize, 1), 1)
    size = min(most, -(-len(rows) // (2 * cluster.most())))
    blocks = [(start, rows[start : start + size]) for start in range(0, len(rows), size)]
    task = partial(_search_pair, metric=metric, limit=limit, most=store.most)
    for found in cluster.map_pairs(task, blocks, progress):
        store.add(*found)


def _search_pair(
    left: tuple[int, np.ndarray],
    right: tuple[int, np.ndarray],
    *,
    metric: str,
    limit: Fraction,
    most: int | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the similar pairs of rows of two blocks, one row in each; or within a block, given twice."""
    (first, rows), (second, others) = left, right
    alone = first == second
    count = len(rows)
    store = PairStore(most)
    _search(rows if alone else np.concatenate([rows, others]), metric, limit, store, 1, None)
    i, j, similarity = store.result()
    if alone:
        return i + first, j + first, similarity
    across = (i < count) & (j >= count)
    return i[across] + first, j[across] - count + second, similarity[across]


def keep_nearest(
    i: np.ndarray, j: np.ndarray, similarity: np.ndarray, num_rows: int, max_neighbors: int
) -> np.ndarray:
    """Mark the pairs that are among the nearest of at least one of their ends.

    Parameters
    ----------
    i, j : np.ndarray
        (P,) row numbers.
    similarity : np.ndarray
        (P,) similarity of each pair.
    num_rows : int
        Number of rows n; row numbers are below it.
    max_neighbors : int
        Nearest pairs to keep per row; ties go to the smaller number of the other row.

    Returns
    -------
    np.ndarray
        (P,) bool.

    Raises
    ------
    GraphError
        If the arrays differ in length, a row number is out of range, or ``max_neighbors`` is negative.
    """
    if not len(i) == len(j) == len(similarity):
        raise GraphError(
            f"'i', 'j' and 'similarity' have {len(i)}, {len(j)} and {len(similarity)} entries: pass one each"
        )
    if max_neighbors < 0:
        raise GraphError(f"'max_neighbors' must not be negative, but is {max_neighbors}: pass 10, say")
    own, other = np.concatenate([i, j]), np.concatenate([j, i])
    if len(own) and (int(own.min()) < 0 or int(own.max()) >= num_rows):
        raise GraphError(
            f"'i' and 'j' must be in [0, {num_rows}), but reach from {own.min()} to {own.max()}: check them"
        )
    order = np.lexsort((other, -np.concatenate([similarity, similarity]), own))
    starts = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(own, minlength=num_rows), out=starts[1:])
    kept = np.zeros(len(own), dtype=bool)
    kept[order] = np.arange(len(own)) - starts[own[order]] < max_neighbors
    return kept[: len(i)] | kept[len(i) :]


def _check(rows: Any, metric: str) -> None:
    if metric not in ("cosine", "tanimoto"):
        raise GraphError(f"'metric' is {metric!r}: choose cosine or tanimoto")
    if not isinstance(rows, np.ndarray) or rows.ndim != 2:
        raise GraphError(
            f"'rows' must be a numpy array of two dimensions, not {getattr(rows, 'shape', type(rows))}"
        )
    if rows.dtype not in (np.uint8, np.float32):
        raise GraphError(f"'rows' must be bit-packed uint8 or float32, not {rows.dtype}: convert them")
    if rows.dtype == np.float32 and metric == "tanimoto":
        raise GraphError(
            "'metric' tanimoto compares fingerprints, but 'rows' is float32: use cosine, or pack bits"
        )


def _fraction(name: str, value: float) -> Fraction:
    """Give a number as the decimal fraction that it prints as."""
    try:
        return Fraction(repr(float(value)))
    except (TypeError, ValueError):
        raise GraphError(f"'{name}' must be a number, not {value!r}: pass a decimal fraction") from None


def _most_pairs(sparsity: float, num_rows: int) -> int:
    cut = _fraction("sparsity", sparsity)
    if not 0 <= cut < 1:
        raise GraphError(f"'sparsity' must be at least 0 and below 1, but is {sparsity}: pass 0.995, say")
    return int((1 - cut) * (num_rows * (num_rows - 1) // 2))
