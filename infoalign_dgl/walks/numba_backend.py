"""The numba backend: the native backend's arithmetic, for when the extension did not build."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import uint32, uint64

if TYPE_CHECKING:
    from infoalign_dgl.walks._request import WalkRequest
    from infoalign_dgl.walks.index import WalkIndex

_NO_ARC = 2**32 - 1
_FULL_COLUMN = 2**32 - 1
_WORD = float(2**32)
_STEPS_PER_THREAD = 1 << 16


@numba.njit(inline="always")
def _draw(seed: int, stream: int, walk_id: int, step: int, attempt: int) -> tuple[int, int, int]:
    """First three words of Philox4x32-10; every variable stays a 32-bit word held in 64 bits."""
    low = uint64(0xFFFFFFFF)
    c0, c1 = uint64(walk_id) & low, uint64(walk_id) >> uint64(32)
    c2, c3 = uint64(step) | (uint64(attempt) << uint64(16)), uint64(stream)
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
    return c0, c1, c2


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


@numba.njit(inline="always")
def _first_order(
    first: int, degree: int, columns: tuple[np.ndarray, np.ndarray], r0: int, r1: int
) -> np.int64:
    """Arc that two words give, -1 where the row's weights sum to 0; empty ``columns`` mean uniform."""
    threshold, alias = columns
    arc = first + np.int64((r0 * uint64(degree)) >> uint64(32))
    if threshold.shape[0] > 0 and r1 >= uint64(threshold[arc]):
        taken = np.int64(alias[arc])
        return np.int64(-1) if taken == _NO_ARC else first + taken
    return arc


@numba.njit(inline="always")
def _hop(previous: int, neighbors: np.ndarray, target: int) -> int:
    """0: back to the node before; 1: to one of its neighbours; 2: elsewhere."""
    if target == previous:
        return 0
    at = np.searchsorted(neighbors, target)
    return 1 if at < neighbors.shape[0] and neighbors[at] == target else 2


@numba.njit(inline="always")
def _draw_from_all(
    first: int,
    degree: int,
    arcs: np.ndarray,
    columns: tuple[np.ndarray, np.ndarray],
    previous: tuple[int, np.ndarray],
    factor: np.ndarray,
    word: int,
) -> np.int64:
    weighted = columns[0].shape[0] > 0
    total = 0.0
    for arc in range(first, first + degree):
        weight = float(arcs[arc].weight) if weighted else 1.0
        total += weight * factor[_hop(previous[0], previous[1], arcs[arc].target)]
    aim = float(word >> uint64(11)) * (1.0 / 2.0**53) * total
    reached = 0.0
    last = np.int64(-1)
    for arc in range(first, first + degree):
        weight = float(arcs[arc].weight) if weighted else 1.0
        share = weight * factor[_hop(previous[0], previous[1], arcs[arc].target)]
        if share > 0.0:
            last = np.int64(arc)
            reached += share
            if aim < reached:
                break
    return last


@numba.njit(inline="always")
def _second_order(
    first: int,
    degree: int,
    arcs: np.ndarray,
    columns: tuple[np.ndarray, np.ndarray],
    previous: tuple[int, np.ndarray],
    factors: tuple[np.ndarray, np.ndarray],
    seed: int,
    stream: int,
    walk_id: int,
    step: int,
) -> np.int64:
    """Propose arcs until one is accepted; after so many, draw from the sums over all of them."""
    factor, accept = factors
    limit = min(max(degree, 8), 65535)
    for attempt in range(limit):
        r0, r1, r2 = _draw(seed, stream, walk_id, step, attempt)
        arc = _first_order(first, degree, columns, r0, r1)
        if arc < 0 or r2 < accept[_hop(previous[0], previous[1], arcs[arc].target)]:
            return arc
    r0, r1, _ = _draw(seed, stream, walk_id, step, limit)
    word = (r0 << uint64(32)) | r1
    return _draw_from_all(first, degree, arcs, columns, previous, factor, word)


@numba.njit(cache=True, nogil=True)
def _walk_rows(
    begin: int,
    end: int,
    indptr: np.ndarray,
    arcs: np.ndarray,
    columns: tuple[np.ndarray, np.ndarray],
    neighbors: np.ndarray,
    factors: tuple[np.ndarray, np.ndarray],
    relations: np.ndarray,
    rows_per_node: int,
    edge_ids: np.ndarray,
    seeds: np.ndarray,
    walk_ids: np.ndarray,
    seed: int,
    stream: int,
    nodes: np.ndarray,
    alpha: np.ndarray,
    edges: np.ndarray,
) -> None:
    """Walk rows ``begin`` to ``end``; empty ``factors`` mean first-order, empty ``relations`` no metapath."""
    for row in range(begin, end):
        node = seeds[row]
        product = np.float32(1.0)
        previous, previous_first, previous_last = np.int64(-1), np.int64(0), np.int64(0)
        nodes[row, 0], alpha[row, 0] = node, product
        for step in range(nodes.shape[1] - 1):
            arc = np.int64(-1)
            if node >= 0:
                at = node * rows_per_node
                if relations.shape[0] > 0:
                    at += relations[step]
                first, degree = indptr[at], indptr[at + 1] - indptr[at]
                if degree > 0 and (step == 0 or factors[0].shape[0] == 0):
                    r0, r1, _ = _draw(seed, stream, walk_ids[row], step, 0)
                    arc = _first_order(first, degree, columns, r0, r1)
                elif degree > 0:
                    came_from = (previous, neighbors[previous_first:previous_last])
                    arc = _second_order(
                        first, degree, arcs, columns, came_from, factors, seed, stream, walk_ids[row], step
                    )
                previous, previous_first, previous_last = node, first, first + degree
            if arc < 0:
                node, product = np.int64(-1), np.float32(0.0)
            else:
                node, product = np.int64(arcs[arc].target), product * arcs[arc].weight
            nodes[row, step + 1], alpha[row, step + 1] = node, product
            if edges.shape[0] > 0:
                edges[row, step] = edge_ids[arc] if arc >= 0 else -1


def _factors(request: WalkRequest) -> tuple[np.ndarray, np.ndarray]:
    """Factor of each hop, and the word below which it is accepted; empty for a first-order walk."""
    if request.factors is None:
        return np.zeros(0), np.zeros(0, dtype=np.uint64)
    p, q = request.factors
    factor = np.array([1.0 / p, 1.0, 1.0 / q])
    return factor, (factor / factor.max() * _WORD).astype(np.uint64)


def walk(
    rows: WalkIndex, request: WalkRequest, *, num_threads: int, edges: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Take the walks of a request whose ids are in range: nodes, alpha, and edges where asked for."""
    shape = (len(request.seeds), request.length + 1)
    nodes, alpha = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.float32)
    taken = np.empty_like(nodes[:, 1:], order="C") if edges else None
    seeds, walk_ids = request.seeds, request.walk_ids
    nothing = np.zeros(0, dtype=np.uint32)
    table = rows.alias_arcs() if request.weighted else None
    arguments: tuple[Any, ...] = (
        rows.indptr,
        rows.arcs,
        (nothing, nothing) if table is None else (table["threshold"], table["alias"]),
        np.zeros(0, dtype=rows.indices.dtype) if request.factors is None else rows.neighbors(),
        _factors(request),
        np.zeros(0, dtype=np.int32) if request.relations is None else request.relations,
        rows.rows_per_node,
        np.zeros(0, dtype=np.int64) if taken is None else rows.edge_ids,
        seeds,
        np.arange(len(seeds), dtype=np.int64) if walk_ids is None else walk_ids,
        np.uint64(request.seed),
        np.uint32(request.stream),
        nodes,
        alpha,
        np.zeros((0, 0), dtype=np.int64) if taken is None else taken,
    )
    shares = max(1, min(num_threads, nodes.size // _STEPS_PER_THREAD))
    bounds = [len(seeds) * k // shares for k in range(shares + 1)]
    # Plain threads, since numba's own thread pools may not be entered by two threads at once.
    with ThreadPoolExecutor(shares) as pool:
        for done in [pool.submit(_walk_rows, a, b, *arguments) for a, b in itertools.pairwise(bounds)]:
            done.result()
    return nodes, alpha, taken
