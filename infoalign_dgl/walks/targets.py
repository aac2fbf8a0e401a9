"""Collapsed targets: what a batch's walks ask one decoder to reconstruct, one row per molecule.

References
----------
Liu et al. 2024, "Learning Molecular Representation in a Cell", Eq. 3: the Bernoulli log-likelihood is linear
in the target, so the alpha-weighted sum over visited nodes is the sum of alpha times that of the mean row.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from infoalign_dgl._extension import load_native, require_native
from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks._arrays import is_tensor, resolve_threads, to_numpy
from infoalign_dgl.walks.native import cuda_status

# The numbers of csrc/include/infoalign/targets.h, RowFormat.
_FORMATS = {"float32": 0, "float16": 1, "uint8": 2}


@dataclass(frozen=True, repr=False)
class CollapsedTargets:
    """Targets of one feature space, for the R molecules of a batch whose walks met it.

    Numpy arrays, or torch tensors on one device. Not compact, it has all molecules, of which those that met
    no row, or only with alpha 0, are all 0.

    Attributes
    ----------
    molecule : (R,) int64
        Positions in the batch, ascending.
    alpha : (R,) float32
        Sum of alpha over the walk's nodes that have a row in the space, above 0 where compact.
    count : (R,) int64
        Number of such nodes; a node visited twice counts twice.
    mean : (R, d) float32
        Mean of their rows, weighted by alpha.
    """

    molecule: Any
    alpha: Any
    count: Any
    mean: Any

    def __len__(self) -> int:
        return len(self.molecule)

    def __repr__(self) -> str:
        return f"CollapsedTargets({len(self)} rows of {self.mean.shape[1]})"


def collapse_targets(
    nodes: Any,
    alpha: Any,
    row_index: Any,
    values: Any,
    *,
    num_bits: int | None = None,
    num_threads: int | None = None,
    compact: bool = True,
) -> CollapsedTargets:
    """Collapse each walk's targets in one feature space into its sum of alpha and its mean row.

    Parameters
    ----------
    nodes : np.ndarray or torch.Tensor
        (B, L+1) int64 visited nodes, -1 after a dead end.
    alpha : np.ndarray or torch.Tensor
        (B, L+1) float32.
    row_index : np.ndarray or torch.Tensor
        (num_nodes,) int64 row of each node in ``values``; -1: none.
    values : np.ndarray or torch.Tensor
        (rows, d) float32 or float16, or (rows, ceil(d/8)) uint8 from ``np.packbits``; may be memory-mapped.
    num_bits : int, optional
        d, given exactly where ``values`` is bit-packed.
    num_threads : int, optional
        Most threads to use on the CPU; by default one per processor.
    compact : bool
        Leave out molecules that met no row, or only with alpha 0. Without it every molecule has a row, and
        on a CUDA device nothing is waited for: ids out of range then count as none.

    Returns
    -------
    CollapsedTargets
        Numpy arrays, or tensors on the device of ``nodes`` where that is a tensor, the same numbers on every
        device. On a CUDA device, where all arguments must be tensors already, the kernels run on its current
        stream; compact, the number of molecules and whether all ids are in range have to be waited for.

    Raises
    ------
    WalkError
        If shapes, types or devices do not fit together, or a node or row is out of range.

    Examples
    --------
    A walk that visits the nodes 0 and 1, whose rows are averaged by alpha, and one that meets no row:

    >>> import numpy as np
    >>> from infoalign_dgl.walks import collapse_targets
    >>> nodes, alpha = np.array([[2, 0, 1], [2, -1, -1]]), np.array([[1, 1, 0.5], [1, 0, 0]], np.float32)
    >>> values = np.array([[0.0, 1.0], [0.75, 1.0]], np.float32)
    >>> targets = collapse_targets(nodes, alpha, row_index=np.array([0, 1, -1]), values=values)
    >>> targets.molecule.tolist(), targets.alpha.tolist(), targets.mean.tolist()
    ([0], [1.5], [[0.25, 1.0]])
    """
    arguments = {"nodes": nodes, "alpha": alpha, "row_index": row_index, "values": values}
    device = _common_device(arguments)
    on_device = device is not None and device.type == "cuda"
    given = {name: value if is_tensor(value) else to_numpy(value, name) for name, value in arguments.items()}
    _check_walked(given["nodes"], given["alpha"], given["row_index"])
    dim = _check_values(given["values"], num_bits)
    threads = resolve_threads(num_threads)
    if on_device:
        return _collapse_cuda(*_cuda_arguments(given), dim, compact=compact)
    walked, weights, rows, table = _host_arguments(given)
    native = load_native()
    if native is None:
        found = _collapse_numpy(walked, weights, rows, table, num_bits)
    else:
        # Halves travel as their bits: the kernel widens them itself.
        carried = table.view(np.uint16) if table.dtype == np.float16 else table
        kind = _FORMATS[str(table.dtype)]
        bad, *parts = native.collapse(walked, weights, rows, carried, dim, kind, threads)
        if bad >= 0:
            _raise_bad_walk(bad, walked[bad].tolist(), rows, len(table))
        found = CollapsedTargets(*parts)
    if not compact:
        found = _spread_out(found, len(walked))
    return found if device is None else _as_tensors(found)


def _spread_out(found: CollapsedTargets, num_walks: int) -> CollapsedTargets:
    """Give every walk a row."""
    alpha, count = np.zeros(num_walks, np.float32), np.zeros(num_walks, np.int64)
    mean = np.zeros((num_walks, found.mean.shape[1]), np.float32)
    alpha[found.molecule], count[found.molecule] = found.alpha, found.count
    mean[found.molecule] = found.mean
    return CollapsedTargets(np.arange(num_walks), alpha, count, mean)


def _common_device(arguments: dict[str, Any]) -> Any | None:
    """Give the device of ``nodes``, None where it is no tensor, once all arguments are known to be there."""
    nodes = arguments["nodes"]
    device = nodes.device if is_tensor(nodes) else None
    if device is not None and device.type not in {"cpu", "cuda"}:
        raise WalkError(f"'nodes' is on {device}: move it to the CPU or to a CUDA device")
    at = "cpu" if device is None else str(device)
    for name, value in arguments.items():
        other = str(value.device) if is_tensor(value) else "cpu"
        if other != at:
            raise WalkError(f"'{name}' is on {other} but 'nodes' is on {at}: move all of them to one device")
    return device


def _type_name(array: Any) -> str:
    return str(array.dtype).removeprefix("torch.")


def _kind(array: Any) -> str:
    """Give numpy's letter for the kind of numbers in an array or a tensor."""
    if not is_tensor(array):
        return str(array.dtype.kind)
    if array.dtype.is_complex:
        return "c"
    if array.dtype.is_floating_point:
        return "f"
    return "b" if _type_name(array) == "bool" else "i"


def _check_walked(nodes: Any, alpha: Any, row_index: Any) -> None:
    if nodes.ndim != 2 or nodes.shape != alpha.shape:
        raise WalkError(
            f"'nodes' {tuple(nodes.shape)} and 'alpha' {tuple(alpha.shape)} must have one shape: "
            "pass both as random_walks gives them"
        )
    for name, array in (("nodes", nodes), ("row_index", row_index)):
        if _kind(array) not in "iu":
            raise WalkError(f"'{name}' must hold integers, not {_type_name(array)}: convert it to int64")
    if _kind(alpha) not in "fiu":
        raise WalkError(f"'alpha' must hold numbers, not {_type_name(alpha)}: convert it to float32")
    if row_index.ndim != 1:
        raise WalkError(
            f"'row_index' must have one dimension, not shape {tuple(row_index.shape)}: one entry per node"
        )


def _check_values(values: Any, num_bits: int | None) -> int:
    """Check the table of rows and give its number of columns."""
    if values.ndim != 2:
        raise WalkError(
            f"'values' must have two dimensions, not shape {tuple(values.shape)}: one row per node"
        )
    name = _type_name(values)
    if name not in _FORMATS:
        raise WalkError(f"'values' must be float32, float16 or bit-packed uint8, not {name}: convert it")
    if (name == "uint8") != (num_bits is not None):
        raise WalkError(
            f"'values' is {name} and 'num_bits' is {num_bits}: give the number of bits exactly where "
            "the rows are bit-packed uint8"
        )
    if num_bits is None:
        return int(values.shape[1])
    try:
        dim = operator.index(num_bits)
    except TypeError:
        raise WalkError(f"'num_bits' must be an integer, not {num_bits!r}: pass the number of bits") from None
    if values.shape[1] != -(-dim // 8):
        raise WalkError(f"'values' has {values.shape[1]} bytes a row, but {dim} bits need {-(-dim // 8)}")
    return dim


def _host_arguments(given: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    types = {"nodes": np.int64, "alpha": np.float32, "row_index": np.int64, "values": None}
    nodes, weights, row_index, values = (
        np.ascontiguousarray(to_numpy(given[name], name), dtype=dtype) for name, dtype in types.items()
    )
    _check_fits(given, {"nodes": nodes, "row_index": row_index})
    return nodes, weights, row_index, values


def _cuda_arguments(given: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    import torch

    types = {"nodes": torch.int64, "alpha": torch.float32, "row_index": torch.int64, "values": None}
    nodes, weights, row_index, values = (
        given[name].detach().to(dtype or given[name].dtype).contiguous() for name, dtype in types.items()
    )
    _check_fits(given, {"nodes": nodes, "row_index": row_index})
    return nodes, weights, row_index, values


def _check_fits(given: dict[str, Any], converted: dict[str, Any]) -> None:
    """Refuse unsigned ids that int64 turned negative: they would pass for "none"."""
    for name, array in converted.items():
        if _type_name(given[name]) == "uint64" and (array < 0).any():
            raise WalkError(f"'{name}' must fit into int64, but some values do not: check the ids")


def _raise_bad_walk(walk: int, path: list[int], row_index: Any, num_rows: int) -> None:
    for node in path:
        if node >= len(row_index):
            raise WalkError(
                f"'nodes' row {walk} holds node {node}, but 'row_index' has {len(row_index)} entries"
            )
        if node >= 0 and row_index[node] >= num_rows:
            raise WalkError(
                f"'row_index' sends node {node} to row {int(row_index[node])}, but 'values' has {num_rows} "
                "rows: check both"
            )


def _as_tensors(found: CollapsedTargets) -> CollapsedTargets:
    import torch

    parts = (found.molecule, found.alpha, found.count, found.mean)
    return CollapsedTargets(*(torch.from_numpy(part) for part in parts))


def _collapse_cuda(
    nodes: Any, alpha: Any, row_index: Any, values: Any, dim: int, *, compact: bool
) -> CollapsedTargets:
    """Sum the walks on their device, keep those that met the space, and average their rows."""
    import torch

    native = require_native()
    device = nodes.device
    available, reason = cuda_status()
    if not available:
        raise WalkError(
            f"'nodes' is on {device} but targets cannot be collapsed there ({reason}): move it to the CPU"
        )
    shared = {
        "nodes": nodes.data_ptr(),
        "alpha": alpha.data_ptr(),
        "num_walks": nodes.shape[0],
        "num_steps": nodes.shape[1],
        "row_index": row_index.data_ptr(),
        "num_nodes": len(row_index),
        "num_rows": len(values),
        "device": device.index,
        "queue": torch.cuda.current_stream(device).cuda_stream,
    }
    total = torch.empty(len(nodes), dtype=torch.float32, device=device)
    count = torch.empty(len(nodes), dtype=torch.int64, device=device)
    try:
        native.sum_walks_cuda(total=total.data_ptr(), count=count.data_ptr(), **shared)
        if compact:
            bad = count < 0
            if bad.any():
                walk = int(bad.nonzero()[0])
                _raise_bad_walk(walk, nodes[walk].tolist(), row_index, len(values))
            molecule = torch.nonzero(total > 0).squeeze(1)
            total, count = total[molecule], count[molecule]
        else:
            molecule = torch.arange(len(nodes), device=device)
            count = torch.where(total > 0, count, 0)
        mean = torch.empty((len(molecule), dim), dtype=torch.float32, device=device)
        found = CollapsedTargets(molecule, total, count, mean)
        native.average_targets_cuda(
            values=values.data_ptr(),
            num_columns=dim,
            format=_FORMATS[_type_name(values)],
            molecule=molecule.data_ptr(),
            total=found.alpha.data_ptr(),
            num_targets=len(molecule),
            mean=found.mean.data_ptr(),
            **shared,
        )
    except RuntimeError as error:
        raise WalkError(
            f"collapsing targets failed on {device} ({error}): try the CPU, or a smaller batch"
        ) from error
    return found


def _collapse_numpy(
    nodes: np.ndarray, alpha: np.ndarray, row_index: np.ndarray, values: np.ndarray, num_bits: int | None
) -> CollapsedTargets:
    """Do the native kernel's sums, step by step, so that no array of walks x steps x columns arises."""
    known = (nodes >= 0) & (nodes < len(row_index))
    rows = np.full(nodes.shape, -1, dtype=np.int64)
    rows[known] = row_index[nodes[known]]
    bad = ((nodes >= len(row_index)) | (rows >= len(values))).any(axis=1)
    if bad.any():
        walk = int(np.argmax(bad))
        _raise_bad_walk(walk, nodes[walk].tolist(), row_index, len(values))
    present = rows >= 0
    total = np.zeros(len(nodes), dtype=np.float32)
    for step in range(nodes.shape[1]):
        total += np.where(present[:, step], alpha[:, step], np.float32(0))
    molecule = np.flatnonzero(total > 0)
    dim = values.shape[1] if num_bits is None else num_bits
    mean = np.zeros((len(molecule), dim), dtype=np.float32)
    for step in range(nodes.shape[1]):
        at = np.flatnonzero(present[molecule, step] & (alpha[molecule, step] != 0))
        gathered = values[rows[molecule[at], step]]
        if num_bits is not None:
            gathered = np.unpackbits(gathered, axis=1, count=num_bits)
        share = alpha[molecule[at], step] / total[molecule[at]]
        mean[at] += share[:, None] * gathered.astype(np.float32)
    return CollapsedTargets(molecule, total[molecule], present.sum(axis=1)[molecule], mean)
