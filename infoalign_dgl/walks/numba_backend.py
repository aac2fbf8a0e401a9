"""The numba backend: the native backend's arithmetic, for when the extension did not build."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import uint32, uint64

if TYPE_CHECKING:
    from infoalign_dgl.walks.index import WalkIndex

_NO_ARC = 2**32 - 1
_FULL_COLUMN = 2**32 - 1
_WORD = float(2**32)
_STEPS_PER_THREAD = 1 << 16


@numba.njit(inline="always")
def _draw(seed: int, stream: int, walk_id: int, step: int) -> tuple[int, int]:
    """First two words of Philox4x32-10 for one step; every variable stays a 32-bit word held in 64 bits."""
    low = uint64(0xFFFFFFFF)
    c0, c1 = uint64(walk_id) & low, uint64(walk_id) >> uint64(32)
    c2, c3 = uint64(step), uint64(stream)
    k0, k1 = uint64(seed) & low, uint64(seed) >> uint64(32)
    for _ in range(10):
        product0 = uint64(0xD2511F53) * c0
        product1 = uint64(0xCD9E8D57) * c2
        c0 = (product1 >> uint64(32)) ^ c1 ^ k0
        c1 = product1 & low
        c2 = (product0 >> uint64(32)) ^ c3 ^ k1
        c3 = product0 & low
        k0 = (k0 + uint64(0x9E3779B9)) & low
        k1 = (k1 + uint64(0xBB67AE85)) & low
    return c0, c1


@numba.njit(cache=True)
def _build_node(weight: np.ndarray, threshold: np.ndarray, alias: np.ndarray) -> None:
    degree = weight.shape[0]
    total = 0.0
    heaviest = 0
    for k in range(degree):
        total += float(weight[k])
        if weight[k] > weight[heaviest]:
            heaviest = k
    if not total > 0.0:
        threshold[:] = 0
        alias[:] = uint32(_NO_ARC)
        return
    share = np.empty(degree, dtype=np.float64)
    small, large = np.empty(degree, dtype=np.int64), np.empty(degree, dtype=np.int64)
    num_small = num_large = 0
    for k in range(degree):
        share[k] = float(weight[k]) * float(degree) / total
        threshold[k], alias[k] = uint32(_FULL_COLUMN), uint32(k)
        if share[k] < 1.0:
            small[num_small] = k
            num_small += 1
        else:
            large[num_large] = k
            num_large += 1
    while num_small > 0 and num_large > 0:
        num_small -= 1
        num_large -= 1
        lower, higher = small[num_small], large[num_large]
        threshold[lower], alias[lower] = uint32(share[lower] * _WORD), uint32(higher)
        share[higher] = (share[higher] + share[lower]) - 1.0
        if share[higher] < 1.0:
            small[num_small] = higher
            num_small += 1
        else:
            large[num_large] = higher
            num_large += 1
    for position in range(num_small):
        k = small[position]
        if weight[k] == 0.0:
            threshold[k], alias[k] = uint32(0), uint32(heaviest)


@numba.njit(cache=True)
def _build_all(indptr: np.ndarray, weight: np.ndarray, threshold: np.ndarray, alias: np.ndarray) -> None:
    for node in range(indptr.shape[0] - 1):
        first, last = indptr[node], indptr[node + 1]
        _build_node(weight[first:last], threshold[first:last], alias[first:last])


def build_alias(index: WalkIndex, out: np.ndarray) -> None:
    """Fill ``out``, records (target, weight, threshold, alias) of every arc."""
    threshold, alias = np.empty(index.num_arcs, dtype=np.uint32), np.empty(index.num_arcs, dtype=np.uint32)
    _build_all(index.indptr, np.ascontiguousarray(index.weight), threshold, alias)
    out["target"], out["weight"] = index.indices, index.weight
    out["threshold"], out["alias"] = threshold, alias


@numba.njit(cache=True, nogil=True)
def _walk_rows(
    begin: int,
    end: int,
    indptr: np.ndarray,
    arcs: np.ndarray,
    columns: tuple[np.ndarray, np.ndarray],
    edge_ids: np.ndarray,
    seeds: np.ndarray,
    walk_ids: np.ndarray,
    seed: int,
    stream: int,
    nodes: np.ndarray,
    alpha: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Walk rows ``begin`` to ``end``; empty ``columns`` (threshold, alias) mean uniform."""
    threshold, alias = columns
    for row in range(begin, end):
        node = seeds[row]
        product = np.float32(1.0)
        nodes[row, 0], alpha[row, 0] = node, product
        for step in range(nodes.shape[1] - 1):
            arc = np.int64(-1)
            degree = np.int64(0)
            if node >= 0:
                degree = indptr[node + 1] - indptr[node]
            if degree > 0:
                r0, r1 = _draw(seed, stream, walk_ids[row], step)
                arc = indptr[node] + np.int64((r0 * uint64(degree)) >> uint64(32))
                if threshold.shape[0] > 0 and r1 >= uint64(threshold[arc]):
                    taken = np.int64(alias[arc])
                    arc = np.int64(-1) if taken == _NO_ARC else indptr[node] + taken
            if arc < 0:
                node, product = np.int64(-1), np.float32(0.0)
            else:
                node, product = np.int64(arcs[arc].target), product * arcs[arc].weight
            nodes[row, step + 1], alpha[row, step + 1] = node, product
            if edges.shape[0] > 0:
                edges[row, step] = edge_ids[arc] if arc >= 0 else -1


def walk(
    index: WalkIndex,
    seeds: np.ndarray,
    walk_ids: np.ndarray,
    outputs: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    *,
    weighted: bool,
    seed: int,
    stream: int,
    num_threads: int,
) -> None:
    """Fill ``outputs`` (nodes, alpha, edges or None) with the walks of ``seeds``, all checked before."""
    nodes, alpha, edges = outputs
    nothing = np.zeros(0, dtype=np.uint32)
    table = index.alias_arcs() if weighted else None
    arguments: tuple[Any, ...] = (
        index.indptr,
        index.arcs,
        (nothing, nothing) if table is None else (table["threshold"], table["alias"]),
        np.zeros(0, dtype=np.int64) if edges is None else index.edge_ids,
        seeds,
        walk_ids,
        np.uint64(seed),
        np.uint32(stream),
        nodes,
        alpha,
        np.zeros((0, 0), dtype=np.int64) if edges is None else edges,
    )
    shares = max(1, min(num_threads, nodes.size // _STEPS_PER_THREAD))
    bounds = [len(seeds) * k // shares for k in range(shares + 1)]
    # Plain threads, since numba's own thread pools may not be entered by two threads at once.
    with ThreadPoolExecutor(shares) as pool:
        for done in [pool.submit(_walk_rows, a, b, *arguments) for a, b in itertools.pairwise(bounds)]:
            done.result()
