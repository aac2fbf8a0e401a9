"""The oracle: walks in plain Python, one number at a time, straight from the definitions.

Slow, and meant to be read: the other backends are tested against it, value for value.

References
----------
Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10). Vose 1991, "A linear
algorithm for generating random numbers with a given distribution" (alias tables). Liu et al. 2024, "Learning
Molecular Representation in a Cell", section 3 (walks and alpha). Grover and Leskovec 2016, "node2vec",
section 3.2 (second-order walks).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.walks._request import WalkRequest
    from infoalign_dgl.walks.index import WalkIndex

_WORD = 2**32
FULL_COLUMN = _WORD - 1


def philox4x32(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """Ten rounds of Philox4x32.

    Parameters
    ----------
    counter : sequence of int
        Four words of 32 bits.
    key : sequence of int
        Two words of 32 bits.

    Returns
    -------
    tuple of int
        Four random words of 32 bits.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0 = 0xD2511F53 * c0
        product1 = 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ k0,
            product1 % _WORD,
            (product0 >> 32) ^ c3 ^ k1,
            product0 % _WORD,
        )
        k0 = (k0 + 0x9E3779B9) % _WORD
        k1 = (k1 + 0xBB67AE85) % _WORD
    return c0, c1, c2, c3


def walk_words(
    seed: int, walk_id: int, step: int, stream: int, attempt: int = 0
) -> tuple[int, int, int, int]:
    """Random words of one step: key = seed, counter = (walk id low, high, step | attempt << 16, stream)."""
    counter = (walk_id % _WORD, walk_id >> 32, step | (attempt << 16), stream)
    return philox4x32(counter, (seed % _WORD, seed >> 32))


class AliasTable(NamedTuple):
    """Columns of one node: arc k is taken with probability threshold / 2^32, else arc ``alias[k]``."""

    threshold: list[int]
    alias: list[int]


def alias_table(weights: Sequence[float]) -> AliasTable | None:
    """Build one node's alias table; None where its weights sum to 0, which makes it a dead end.

    An arc of weight 0 that rounding leaves over gets threshold 0 and the first heaviest arc as alias.
    """
    degree = len(weights)
    total = 0.0
    for weight in weights:
        total += weight
    if not total > 0.0:
        return None
    share = [weight * degree / total for weight in weights]
    threshold, alias = [FULL_COLUMN] * degree, list(range(degree))
    small = [k for k in range(degree) if share[k] < 1.0]
    large = [k for k in range(degree) if not share[k] < 1.0]
    while small and large:
        low, high = small.pop(), large.pop()
        threshold[low], alias[low] = int(share[low] * _WORD), high
        share[high] = (share[high] + share[low]) - 1.0
        (small if share[high] < 1.0 else large).append(high)
    for k in small:
        if weights[k] == 0.0:
            threshold[k], alias[k] = 0, weights.index(max(weights))
    return AliasTable(threshold, alias)


def hop_factor(previous: int, neighbors: Sequence[int], target: int, factors: tuple[float, float]) -> float:
    """node2vec's factor of an arc: 1/p back, 1 to a neighbour of the node before, 1/q elsewhere."""
    p, q = factors
    if target == previous:
        return 1.0 / p
    return 1.0 if target in neighbors else 1.0 / q


class _Walker:
    """The rows of an index as lists, with their alias tables."""

    def __init__(self, rows: WalkIndex, request: WalkRequest) -> None:
        self.indptr, self.targets = rows.indptr.tolist(), rows.indices.tolist()
        self.weights = rows.weight.tolist()
        self._tables: dict[int, AliasTable | None] = {}
        self._request = request

    def first_order(self, row: int, r0: int, r1: int) -> int | None:
        """Position among the row's arcs that two words give; None where they have no weight."""
        first, last = self.indptr[row], self.indptr[row + 1]
        chosen = (r0 * (last - first)) >> 32
        if not self._request.weighted:
            return chosen
        if row not in self._tables:
            self._tables[row] = alias_table(self.weights[first:last])
        table = self._tables[row]
        if table is None:
            return None
        return chosen if r1 < table.threshold[chosen] else table.alias[chosen]

    def second_order(self, row: int, previous: int, walk_id: int, step: int) -> int | None:
        """Propose arcs until one is accepted; after so many, draw from the sums over all of them."""
        request = self._request
        assert request.factors is not None  # the caller's own condition
        degree = self.indptr[row + 1] - self.indptr[row]
        targets = self.targets[self.indptr[row] : self.indptr[row + 1]]
        neighbors = self.targets[self.indptr[previous] : self.indptr[previous + 1]]
        largest = max(1.0 / request.factors[0], 1.0, 1.0 / request.factors[1])
        limit = min(max(degree, 8), 65535)
        for attempt in range(limit):
            r0, r1, r2, _ = walk_words(request.seed, walk_id, step, request.stream, attempt)
            chosen = self.first_order(row, r0, r1)
            if chosen is None:
                return None
            factor = hop_factor(previous, neighbors, targets[chosen], request.factors)
            if r2 < int(factor / largest * _WORD):
                return chosen
        weights = self.weights[self.indptr[row] : self.indptr[row + 1]]
        shares = [
            (weight if request.weighted else 1.0) * hop_factor(previous, neighbors, target, request.factors)
            for weight, target in zip(weights, targets, strict=True)
        ]
        total = 0.0
        for share in shares:
            total += share
        r0, r1, _, _ = walk_words(request.seed, walk_id, step, request.stream, limit)
        aim = ((r0 * _WORD + r1) >> 11) / 2**53 * total
        reached, last = 0.0, None
        for position, share in enumerate(shares):
            if share > 0.0:
                last = position
                reached += share
                if aim < reached:
                    break
        return last


def walk(rows: WalkIndex, request: WalkRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take the walks of a request, whose ids are in range.

    Parameters
    ----------
    rows : WalkIndex
        The graph, with a row per node, or per node and relation.
    request : WalkRequest
        Numpy arrays; no walk ids stand for 0, 1, 2, ...

    Returns
    -------
    nodes, alpha, edges : np.ndarray
        (W, L+1) int64, (W, L+1) float32, (W, L) int64.
    """
    walker, edge_ids = _Walker(rows, request), rows.edge_ids.tolist()
    count, length = len(request.seeds), request.length
    names = range(count) if request.walk_ids is None else request.walk_ids.tolist()
    nodes = np.full((count, length + 1), -1, dtype=np.int64)
    alpha = np.zeros((count, length + 1), dtype=np.float32)
    edges = np.full((count, length), -1, dtype=np.int64)
    for at, (start, walk_id) in enumerate(zip(request.seeds.tolist(), names, strict=True)):
        node, product, previous = start, np.float32(1.0), -1
        nodes[at, 0], alpha[at, 0] = node, product
        for step in range(length):
            row = node * rows.rows_per_node
            row += 0 if request.relations is None else int(request.relations[step])
            if walker.indptr[row] == walker.indptr[row + 1]:
                break
            if request.factors is None or step == 0:
                r0, r1, _, _ = walk_words(request.seed, walk_id, step, request.stream)
                chosen = walker.first_order(row, r0, r1)
            else:
                chosen = walker.second_order(row, previous, walk_id, step)
            if chosen is None:
                break
            arc = walker.indptr[row] + chosen
            previous, node = node, walker.targets[arc]
            product *= np.float32(walker.weights[arc])
            nodes[at, step + 1], alpha[at, step + 1], edges[at, step] = node, product, edge_ids[arc]
    return nodes, alpha, edges
