"""The oracle: walks in plain Python, one number at a time, straight from the definitions.

Slow, and meant to be read: the other backends are tested against it, value for value.

References
----------
Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10). Vose 1991, "A linear
algorithm for generating random numbers with a given distribution" (alias tables). Liu et al. 2024, "Learning
Molecular Representation in a Cell", section 3 (walks and alpha).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def walk(
    index: WalkIndex,
    seeds: np.ndarray,
    walk_ids: np.ndarray,
    length: int,
    *,
    weighted: bool,
    seed: int,
    stream: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Walk from each seed.

    Parameters
    ----------
    index : WalkIndex
        The graph.
    seeds, walk_ids : np.ndarray
        (W,) int64.
    length : int
        Steps L.
    weighted : bool
        Transition "weight" instead of "uniform".
    seed, stream : int
        Key and stream of the random numbers.

    Returns
    -------
    nodes, alpha, edges : np.ndarray
        (W, L+1) int64, (W, L+1) float32, (W, L) int64.
    """
    indptr, targets = index.indptr.tolist(), index.indices.tolist()
    weights, edge_ids = index.weight.tolist(), index.edge_ids.tolist()
    tables: dict[int, AliasTable | None] = {}
    nodes = np.full((len(seeds), length + 1), -1, dtype=np.int64)
    alpha = np.zeros((len(seeds), length + 1), dtype=np.float32)
    edges = np.full((len(seeds), length), -1, dtype=np.int64)
    for row, (start, walk_id) in enumerate(zip(seeds.tolist(), walk_ids.tolist(), strict=True)):
        node, product = start, np.float32(1.0)
        nodes[row, 0], alpha[row, 0] = node, product
        for step in range(length):
            first, degree = indptr[node], indptr[node + 1] - indptr[node]
            if degree == 0:
                break
            r0, r1, _, _ = walk_words(seed, walk_id, step, stream)
            chosen = (r0 * degree) >> 32
            if weighted:
                if node not in tables:
                    tables[node] = alias_table(weights[first : first + degree])
                table = tables[node]
                if table is None:
                    break
                chosen = chosen if r1 < table.threshold[chosen] else table.alias[chosen]
            arc = first + chosen
            node, product = targets[arc], product * np.float32(weights[arc])
            nodes[row, step + 1], alpha[row, step + 1], edges[row, step] = node, product, edge_ids[arc]
    return nodes, alpha, edges
