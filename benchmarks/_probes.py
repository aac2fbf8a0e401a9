"""What this machine can do at most, the best of a few tries: bandwidth, random accesses, fresh pages,
popcounts.

Loops are compiled by Numba for this processor, and use as many threads as `_harness.limit_threads` left.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

_REPEATS = 5
_WORDS_PER_LINE = 8  # 64 bytes
_RESIDENT_WORDS = 2048  # 16 KiB stay in the first cache
_PASSES = 20_000


@intrinsic
def _popcount(typing_context: Any, value: Any) -> Any:
    """Give the number of set bits as one machine instruction."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@numba.njit(parallel=True)
def _read_lines(table: np.ndarray, lines: np.ndarray) -> int:
    total = 0
    for position in numba.prange(len(lines)):
        total += table[lines[position] * 8]
    return total


@numba.njit(parallel=True)
def _count_common(left: np.ndarray, right: np.ndarray, passes: int, threads: int) -> Any:
    total = np.uint64(0)
    for _ in numba.prange(threads):
        found = np.uint64(0)
        for start in range(passes):
            # Four queries for each word that is loaded, so that loads do not hold the counting up.
            first, second, third, fourth = left[start], left[start + 1], left[start + 2], left[start + 3]
            for word in range(len(right)):
                other = right[word]
                found += _popcount(first & other) + _popcount(second & other)
                found += _popcount(third & other) + _popcount(fourth & other)
        total += found
    return total


def _least_seconds(run: Callable[[], Any]) -> float:
    run()
    seconds = []
    for _ in range(_REPEATS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def copy_bandwidth(size: int) -> float:
    """Bytes per second, read and written both counted, of copying ``size`` bytes with all threads."""
    import torch

    source = torch.zeros(max(size // 8, 1), dtype=torch.int64)
    target = torch.zeros_like(source)
    return 2 * source.nbytes / _least_seconds(lambda: target.copy_(source))


def random_lines(size: int) -> float:
    """Independent reads per second of random 64-byte lines of a table of ``size`` bytes, with all threads."""
    table = np.zeros(max(size // 64, 1) * _WORDS_PER_LINE, dtype=np.int64)
    lines = np.random.default_rng(0).integers(0, len(table) // _WORDS_PER_LINE, 2_000_000)
    return len(lines) / _least_seconds(lambda: _read_lines(table, lines))


def fresh_pages(size: int) -> float:
    """Bytes per second of writing into ``size`` bytes that the system has yet to hand out, on one thread."""
    return size / _least_seconds(lambda: np.empty(size, dtype=np.uint8).fill(1))


def popcounts(threads: int) -> float:
    """Pairs of 64-bit words per second that all threads AND, count and add up, from the first cache."""
    random = np.random.default_rng(0)
    left = random.integers(0, 2**63, _PASSES + 3).astype(np.uint64)
    right = random.integers(0, 2**63, _RESIDENT_WORDS).astype(np.uint64)
    return (
        4
        * _RESIDENT_WORDS
        * _PASSES
        * threads
        / _least_seconds(lambda: _count_common(left, right, _PASSES, threads))
    )
