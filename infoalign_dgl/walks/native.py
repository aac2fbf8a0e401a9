"""The native backend: hands numpy arrays to ``infoalign_dgl._native``, and words what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl._extension import load_native, require_native
from infoalign_dgl.errors import WalkError

if TYPE_CHECKING:
    from infoalign_dgl.walks._request import WalkRequest
    from infoalign_dgl.walks.index import WalkIndex


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
    rows: WalkIndex, request: WalkRequest, *, num_threads: int, edges: bool
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray | None]:
    """Take the walks of a request.

    Returns
    -------
    fault : int
        0 where all went well; else an id is out of range and the arrays hold nothing of use.
    nodes, alpha : np.ndarray
        (W, L+1) int64 and float32, in memory of earlier results that nothing refers to any more.
    edges : np.ndarray or None
        (W, L) int64, where asked for.
    """
    native = require_native()
    count, steps = len(request.seeds), request.length
    nodes, alpha = native.empty_nodes(count, steps + 1), native.empty_alphas(count, steps + 1)
    taken = native.empty_nodes(count, steps) if edges else None
    fault, _ = native.walk(
        rows.offsets,
        as_words(rows.alias_arcs() if request.weighted else rows.arcs),
        rows.stored_edge_ids if edges else None,
        None if request.factors is None else rows.neighbors(),
        rows.wide,
        request.weighted,
        request.factors,
        request.relations,
        rows.rows_per_node,
        request.seeds,
        request.walk_ids,
        request.seed,
        request.stream,
        nodes,
        alpha,
        taken,
        num_threads,
    )
    return fault, nodes, alpha, taken


def walk_cuda(rows: WalkIndex, request: WalkRequest, outputs: tuple[Any, Any, Any | None]) -> None:
    """Fill ``outputs``, CUDA tensors of the device of the request's seeds, on that device's current stream.

    Parameters
    ----------
    rows : WalkIndex
        Copied to the device on first use, and kept there.
    request : WalkRequest
        Its seeds and walk ids are contiguous tensors of the device, and checked.
    outputs : tuple of torch.Tensor
        nodes (W, L+1) int64, alpha (W, L+1) float32, and edges (W, L) int64 or None.

    Raises
    ------
    WalkError
        If this build or this machine cannot walk on CUDA.
    """
    import torch

    native = require_native()
    available, reason = cuda_status()
    device = request.seeds.device
    if not available:
        raise WalkError(
            f"'seeds' is on {device} but CUDA walks cannot run here ({reason}): move it to the CPU"
        )
    nodes, alpha, edges = outputs
    arcs = rows.on_device(device, "alias_arcs" if request.weighted else "arcs")
    edge_ids = None if edges is None else rows.on_device(device, "edge_ids")
    neighbors = None if request.factors is None else rows.on_device(device, "neighbors")
    relations = None if request.relations is None else torch.from_numpy(request.relations).to(device)

    def address(tensor: Any | None) -> int:
        return 0 if tensor is None else tensor.data_ptr()

    try:
        native.walk_cuda(
            address(rows.on_device(device, "offsets")),
            address(arcs),
            address(edge_ids),
            address(neighbors),
            rows.num_nodes,
            rows.offsets.dtype == np.int64,
            rows.wide,
            request.weighted,
            request.factors,
            address(relations),
            rows.rows_per_node,
            address(request.seeds),
            address(request.walk_ids),
            len(request.seeds),
            request.length,
            request.seed,
            request.stream,
            address(nodes),
            address(alpha),
            address(edges),
            device.index,
            torch.cuda.current_stream(device).cuda_stream,
        )
    except RuntimeError as error:
        raise WalkError(f"the walk failed on {device} ({error}): try the CPU, or a smaller batch") from error
