"""Packing arcs with numpy, for when the extension was not built; and the words for what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import WalkError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DEGREE = 2**31

# The numbers of csrc/include/infoalign/csr.h, CsrFault.
(
    _NONE,
    _FIRST_OFFSET,
    _DECREASING_OFFSET,
    _LAST_OFFSET,
    _SOURCE_RANGE,
    _TARGET_RANGE,
    _WEIGHT_RANGE,
    _DEGREE,
) = range(8)

Fault = tuple[int, int]
_FINE: Fault = (_NONE, -1)


def arc_type(*, wide: bool) -> np.dtype:
    """Record of one arc: target and weight, as the native kernels lay it out."""
    return np.dtype([("target", np.int64 if wide else np.int32), ("weight", np.float32)], align=True)


def alias_type(*, wide: bool) -> np.dtype:
    """Record of one arc with its alias column, as the native kernels lay it out."""
    target = np.int64 if wide else np.int32
    columns = [("target", target), ("weight", np.float32), ("threshold", np.uint32), ("alias", np.uint32)]
    return np.dtype(columns, align=True)


def first_bad_weight(weight: np.ndarray) -> Fault:
    """Find the first weight that is not a number in [0, 1]."""
    bad = ~((weight >= 0) & (weight <= 1))
    return (_WEIGHT_RANGE, int(np.argmax(bad))) if bad.any() else _FINE


def _first_outside(ids: np.ndarray, num_nodes: int, fault: int) -> Fault:
    bad = (ids < 0) | (ids >= num_nodes)
    return (fault, int(np.argmax(bad))) if bad.any() else _FINE


def _first(*faults: Fault) -> Fault:
    """Give the fault that comes first; the order of the arguments settles ties."""
    found = [fault for fault in faults if fault[0] != _NONE]
    return min(found, key=lambda fault: fault[1]) if found else _FINE


def _check_arcs(targets: np.ndarray, weight: np.ndarray, num_nodes: int) -> Fault:
    return _first(_first_outside(targets, num_nodes, _TARGET_RANGE), first_bad_weight(weight))


def pack_edges(
    src: np.ndarray,
    dst: np.ndarray,
    weight: np.ndarray,
    indptr: np.ndarray,
    arcs: np.ndarray,
    edge_ids: np.ndarray,
) -> Fault:
    """Check edges and sort them by source, stably, into the last three arrays; give (fault, position)."""
    num_nodes = len(indptr) - 1
    fault = _first(_first_outside(src, num_nodes, _SOURCE_RANGE), _check_arcs(dst, weight, num_nodes))
    if fault[0] != _NONE:
        return fault
    degrees = np.bincount(src, minlength=num_nodes)
    if (degrees > MAX_DEGREE).any():
        return (_DEGREE, int(np.argmax(degrees > MAX_DEGREE)))
    np.cumsum(degrees, out=indptr[1:])
    edge_ids[:] = np.argsort(src, kind="stable")
    arcs["target"] = dst[edge_ids]
    arcs["weight"] = weight[edge_ids] + np.float32(0)
    return _FINE


def pack_csr(indptr: np.ndarray, indices: np.ndarray, weight: np.ndarray, arcs: np.ndarray) -> Fault:
    """Check rows given as CSR and pack them into ``arcs``; give (fault, position)."""
    if indptr[0] != 0:
        return (_FIRST_OFFSET, 0)
    falls = indptr[1:] < indptr[:-1]
    falls_at = int(np.argmax(falls)) if falls.any() else len(falls)
    # Up to there the offsets rise from 0, so that their differences cannot overflow.
    wide = np.diff(indptr[: falls_at + 1]) > MAX_DEGREE
    if wide.any():
        return (_DEGREE, int(np.argmax(wide)))
    if falls.any():
        return (_DECREASING_OFFSET, falls_at)
    if indptr[-1] != len(indices):
        return (_LAST_OFFSET, len(indptr) - 1)
    fault = _check_arcs(indices, weight, len(indptr) - 1)
    if fault[0] == _NONE:
        arcs["target"] = indices
        arcs["weight"] = weight + np.float32(0)  # -0 becomes 0
    return fault


def raise_fault(fault: Fault, values: Mapping[str, np.ndarray], num_nodes: int, *, target_name: str) -> None:
    """Raise what a fault means.

    Parameters
    ----------
    fault : tuple of int
        (fault, position); nothing happens where the fault is 0.
    values : mapping
        The arrays that were checked, by argument name.
    num_nodes : int
        Number of nodes.
    target_name : str
        What the caller calls the array of targets.

    Raises
    ------
    WalkError
        Naming the argument, the position and the value.
    """
    kind, at = fault
    if kind == _NONE:
        return
    if kind == _FIRST_OFFSET:
        raise WalkError(f"'indptr' must begin with 0, not {values['indptr'][0]}: check how the rows were cut")
    if kind == _DECREASING_OFFSET:
        low, high = values["indptr"][at + 1], values["indptr"][at]
        raise WalkError(
            f"'indptr' must never fall, but position {at + 1} holds {low} after {high}: sort arcs by source"
        )
    if kind == _LAST_OFFSET:
        last, count = values["indptr"][at], len(values["indices"])
        raise WalkError(
            f"'indptr' must end with the number of arcs, {count}, not {last}: check how the rows were cut"
        )
    if kind == _DEGREE:
        raise WalkError(
            f"node {at} has more than {MAX_DEGREE} arcs, which is the most a walk can choose from: drop some"
        )
    if kind == _WEIGHT_RANGE:
        weight = values["weight"]
        count = int((~((weight >= 0) & (weight <= 1))).sum())
        raise WalkError(
            f"'weight' must be in [0, 1], but {count} of {len(weight)} values are not, first at position "
            f"{at} ({weight[at]}): scale the weights, or drop those arcs"
        )
    name = "src" if kind == _SOURCE_RANGE else target_name
    raise WalkError(
        f"'{name}' must hold node ids in [0, {num_nodes}), but position {at} holds {values[name][at]}: "
        "check the ids, or the number of nodes"
    )
