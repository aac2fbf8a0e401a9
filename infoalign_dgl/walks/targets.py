"""Collapsed targets: what a batch's walks ask one decoder to reconstruct, one row per molecule.

References
----------
Liu et al. 2024, "Learning Molecular Representation in a Cell", Eq. 3: the Bernoulli log-likelihood is linear
in the target, so the alpha-weighted sum over visited nodes is the sum of alpha times that of the mean row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks._arrays import resolve_threads
from infoalign_dgl.walks.native import load_native

_FORMATS = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.uint8): 2}


@dataclass(frozen=True, repr=False)
class CollapsedTargets:
    """Targets of one feature space, for the R molecules of a batch whose walks met it.

    Attributes
    ----------
    molecule : (R,) int64
        Positions in the batch, ascending.
    alpha : (R,) float32
        Sum of alpha over the walk's nodes that have a row in the space, above 0.
    count : (R,) int64
        Number of such nodes; a node visited twice counts twice.
    mean : (R, d) float32
        Mean of their rows, weighted by alpha.
    """

    molecule: np.ndarray
    alpha: np.ndarray
    count: np.ndarray
    mean: np.ndarray

    def __len__(self) -> int:
        return len(self.molecule)

    def __repr__(self) -> str:
        return f"CollapsedTargets({len(self)} rows of {self.mean.shape[1]})"


def collapse_targets(
    nodes: np.ndarray,
    alpha: np.ndarray,
    row_index: np.ndarray,
    values: np.ndarray,
    *,
    num_bits: int | None = None,
    num_threads: int | None = None,
) -> CollapsedTargets:
    """Collapse each walk's targets in one feature space into its sum of alpha and its mean row.

    Parameters
    ----------
    nodes : np.ndarray
        (B, L+1) int64 visited nodes, -1 after a dead end.
    alpha : np.ndarray
        (B, L+1) float32.
    row_index : np.ndarray
        (num_nodes,) int64 row of each node in ``values``; -1: none.
    values : np.ndarray
        (rows, d) float32 or float16, or (rows, ceil(d/8)) uint8 from ``np.packbits``; may be memory-mapped.
    num_bits : int, optional
        d, given exactly where ``values`` is bit-packed.
    num_threads : int, optional
        Most threads to use; by default one per processor.

    Returns
    -------
    CollapsedTargets
        Molecules that met no row, or only with alpha 0, are left out.

    Raises
    ------
    WalkError
        If shapes or types do not fit together, or a node or row is out of range.
    """
    walked, weights, rows = _check_walked(nodes, alpha, row_index)
    dim = _check_values(values, num_bits)
    threads = resolve_threads(num_threads)
    native = load_native()
    if native is None:
        return _collapse_numpy(walked, weights, rows, values, num_bits)
    table = np.ascontiguousarray(values)
    # Halves travel as their bits: the kernel widens them itself.
    carried = table.view(np.uint16) if table.dtype == np.float16 else table
    bad, molecule, total, count, mean = native.collapse(
        walked, weights, rows, carried, dim, _FORMATS[table.dtype], threads
    )
    if bad >= 0:
        _raise_bad_walk(bad, walked, rows, len(values))
    return CollapsedTargets(molecule, total, count, mean)


def _check_walked(nodes: Any, alpha: Any, row_index: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    nodes, alpha, row_index = np.asarray(nodes), np.asarray(alpha), np.asarray(row_index)
    if nodes.ndim != 2 or nodes.shape != alpha.shape:
        raise WalkError(
            f"'nodes' {tuple(nodes.shape)} and 'alpha' {tuple(alpha.shape)} must have one shape: "
            "pass both as random_walks gives them"
        )
    for name, array in (("nodes", nodes), ("row_index", row_index)):
        if array.dtype.kind not in "iu":
            raise WalkError(f"'{name}' must hold integers, not {array.dtype}: convert it to int64")
    if row_index.ndim != 1:
        raise WalkError(
            f"'row_index' must have one dimension, not shape {tuple(row_index.shape)}: one entry per node"
        )
    return (
        np.ascontiguousarray(nodes, dtype=np.int64),
        np.ascontiguousarray(alpha, dtype=np.float32),
        np.ascontiguousarray(row_index, dtype=np.int64),
    )


def _check_values(values: np.ndarray, num_bits: int | None) -> int:
    """Check the table of rows and give its number of columns."""
    if values.ndim != 2:
        raise WalkError(
            f"'values' must have two dimensions, not shape {tuple(values.shape)}: one row per node"
        )
    if values.dtype not in _FORMATS:
        raise WalkError(
            f"'values' must be float32, float16 or bit-packed uint8, not {values.dtype}: convert it"
        )
    if (values.dtype == np.uint8) != (num_bits is not None):
        raise WalkError(
            f"'values' is {values.dtype} and 'num_bits' is {num_bits}: give the number of bits exactly where "
            "the rows are bit-packed uint8"
        )
    if num_bits is None:
        return values.shape[1]
    if values.shape[1] != -(-num_bits // 8):
        raise WalkError(
            f"'values' has {values.shape[1]} bytes a row, but {num_bits} bits need {-(-num_bits // 8)}"
        )
    return num_bits


def _raise_bad_walk(walk: int, nodes: np.ndarray, row_index: np.ndarray, num_rows: int) -> None:
    for node in nodes[walk].tolist():
        if node >= len(row_index):
            raise WalkError(
                f"'nodes' row {walk} holds node {node}, but 'row_index' has {len(row_index)} entries"
            )
        if node >= 0 and row_index[node] >= num_rows:
            raise WalkError(
                f"'row_index' sends node {node} to row {row_index[node]}, but 'values' has {num_rows} rows: "
                "check both"
            )


def _collapse_numpy(
    nodes: np.ndarray, alpha: np.ndarray, row_index: np.ndarray, values: np.ndarray, num_bits: int | None
) -> CollapsedTargets:
    """Do the native kernel's sums, step by step, so that no array of walks x steps x columns arises."""
    outside = (nodes >= len(row_index)).any(axis=1)
    if outside.any():
        _raise_bad_walk(int(np.argmax(outside)), nodes, row_index, len(values))
    rows = np.full(nodes.shape, -1, dtype=np.int64)
    rows[nodes >= 0] = row_index[nodes[nodes >= 0]]
    beyond = (rows >= len(values)).any(axis=1)
    if beyond.any():
        _raise_bad_walk(int(np.argmax(beyond)), nodes, row_index, len(values))
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
