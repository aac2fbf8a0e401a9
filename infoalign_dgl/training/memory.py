"""Memory that a step lets go of, kept for the next one."""

from __future__ import annotations

import ctypes
import mmap
import os

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_NEVER = 2**31 - 1
_GROW_BY = 64 * 2**20
_HUGE_PAGE = 2 * 2**20
_ROOM = 2**30  # addresses, which cost nothing; memory comes as it is used
# Of the two caches that oneDNN and torch's layer above it have, the upper one per kind of product. A step
# asks for a dozen shapes of each kind, and hardly ever for those of the step before.
_KERNEL_CACHES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "32"}


def reuse_freed_memory() -> None:
    """Let the C library keep large blocks that are freed, instead of giving them back to the system.

    A step asks for the same hundreds of megabytes as the one before, and fresh pages for them take the system
    as long as a twentieth of the step, or a fifth where batches are large. What was freed before, while a
    graph was built say, goes back first. The gigabyte that comes next is asked for in huge pages, where the
    system has them for who asks. Holds for the whole process; does nothing where the C library is not glibc.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return
    library.malloc_trim(0)
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    library.mallopt(_M_TOP_PAD, _GROW_BY)
    _ask_for_huge_pages(library)


def bound_kernel_caches() -> None:
    """Let oneDNN keep the kernels of a few shapes only, where the user's environment says nothing else.

    It compiles the bf16 products of every shape that it has not seen and keeps the last thousand, megabytes
    each. No two batches have the same number of atoms, so that a run would hold gigabytes of kernels that it
    never uses again. Counts for what comes after the first call, if no such product came before.
    """
    for name, capacity in _KERNEL_CACHES.items():
        os.environ.setdefault(name, capacity)


def _ask_for_huge_pages(library: ctypes.CDLL) -> None:
    """Mark the addresses that the heap grows into next."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    library.malloc.restype = ctypes.c_void_p
    block = library.malloc(ctypes.c_size_t(_ROOM))
    if block is None:
        return
    first = -(-block // _HUGE_PAGE) * _HUGE_PAGE
    size = (block + _ROOM - first) // _HUGE_PAGE * _HUGE_PAGE
    library.madvise(
        ctypes.c_void_p(first), ctypes.c_size_t(size), mmap.MADV_HUGEPAGE
    )  # no matter if it fails
    library.free(ctypes.c_void_p(block))
