"""The native backend: hands numpy arrays to ``infoalign_dgl._native``, and words what it reports."""

from __future__ import annotations

import importlib
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.errors import WalkError

if TYPE_CHECKING:
    from infoalign_dgl.walks.index import WalkIndex


@cache
def load_native() -> Any | None:
    """Import the extension module; None, with one warning, where it was not built or does not load."""
    try:
        return importlib.import_module("infoalign_dgl._native")
    except ImportError as error:
        warnings.warn(
            f"the native kernels are not available ({error}): walks run on numba and similarity on numpy, "
            "which is slower; install a C++ compiler and then infoalign-dgl again",
            RuntimeWarning,
            stacklevel=3,
        )
        return None


def require_native() -> Any:
    """Give the extension module.

    Raises
    ------
    WalkError
        If it is not available.
    """
    native = load_native()
    if native is None:
        raise WalkError(
            "backend 'native' is not available: install a C++ compiler and then infoalign-dgl again"
        )
    return native


def cuda_status() -> tuple[bool, str]:
    """Say whether walks can run on a CUDA device here, and why not."""
    native = load_native()
    if native is None:
        return False, "the native kernels were not built"
    available, reason = native.cuda_status()
    return bool(available), str(reason)


def as_words(records: np.ndarray) -> np.ndarray:
    """View an array of records, whose size is a multiple of 8 bytes, as 64-bit words."""
    return records.view(np.uint64) if records.size else np.zeros(0, dtype=np.uint64)


def walk(
    index: WalkIndex,
    seeds: np.ndarray,
    walk_ids: np.ndarray | None,
    outputs: tuple[np.ndarray, np.ndarray, np.ndarray | None],
    *,
    weighted: bool,
    seed: int,
    stream: int,
    num_threads: int,
) -> tuple[int, int]:
    """Fill ``outputs`` (nodes, alpha, edges or None); give (fault, position), fault 0 where all went well."""
    nodes, alpha, edges = outputs
    arcs = index.alias_arcs() if weighted else index.arcs
    return require_native().walk(
        index.offsets,
        as_words(arcs),
        None if edges is None else index.stored_edge_ids,
        index.wide,
        weighted,
        seeds,
        walk_ids,
        seed,
        stream,
        nodes,
        alpha,
        edges,
        num_threads,
    )


def walk_cuda(
    index: WalkIndex,
    seeds: Any,
    walk_ids: Any | None,
    outputs: tuple[Any, Any, Any | None],
    *,
    weighted: bool,
    seed: int,
    stream: int,
) -> None:
    """Fill ``outputs``, CUDA tensors of the device of ``seeds``, on that device's current stream.

    Parameters
    ----------
    index : WalkIndex
        Copied to the device on first use, and kept there.
    seeds, walk_ids : torch.Tensor
        (W,) int64 on the device, contiguous and checked.
    outputs : tuple of torch.Tensor
        nodes (W, L+1) int64, alpha (W, L+1) float32, and edges (W, L) int64 or None.
    weighted : bool
        Transition "weight" instead of "uniform".
    seed, stream : int
        Key and stream of the random numbers.

    Raises
    ------
    WalkError
        If this build or this machine cannot walk on CUDA.
    """
    import torch

    native = require_native()
    available, reason = cuda_status()
    if not available:
        raise WalkError(
            f"'seeds' is on {seeds.device} but CUDA walks cannot run here ({reason}): move it to the CPU"
        )
    nodes, alpha, edges = outputs
    arrays = index.on_device(seeds.device, weighted=weighted, edge_ids=edges is not None)

    def address(tensor: Any | None) -> int:
        return 0 if tensor is None else tensor.data_ptr()

    try:
        native.walk_cuda(
            address(arrays["offsets"]),
            address(arrays["arcs"]),
            address(arrays["edge_ids"]),
            index.num_nodes,
            index.offsets.dtype == np.int64,
            index.wide,
            weighted,
            address(seeds),
            address(walk_ids),
            len(seeds),
            nodes.shape[1] - 1,
            seed,
            stream,
            address(nodes),
            address(alpha),
            address(edges),
            seeds.device.index,
            torch.cuda.current_stream(seeds.device).cuda_stream,
        )
    except RuntimeError as error:
        raise WalkError(
            f"the walk failed on {seeds.device} ({error}): try the CPU, or a smaller batch"
        ) from error
