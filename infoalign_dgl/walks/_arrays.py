"""What walk functions accept as an array: numpy, torch, or a sequence; torch is never imported here."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from infoalign_dgl.errors import WalkError


def is_tensor(value: object) -> bool:
    """Whether ``value`` is a torch tensor, asked without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_numpy(value: Any, name: str) -> np.ndarray:
    """Give ``value`` as a numpy array, sharing memory where that is possible.

    Raises
    ------
    WalkError
        If it cannot be one: rows of several lengths, for instance, or a sparse tensor.
    """
    try:
        if not is_tensor(value):
            return np.asarray(value)
        tensor = value.detach().cpu()
        # The one type of numbers that numpy lacks and float32 holds exactly.
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition(".")[0].partition("\n")[0]
        raise WalkError(f"'{name}' cannot be read as an array ({reason}): pass a flat, dense one") from error


def to_ids(value: Any, name: str) -> np.ndarray:
    """Give one-dimensional integer ids as contiguous int64.

    Raises
    ------
    WalkError
        If ``value`` is not one-dimensional, or not of an integer type.
    """
    array = to_numpy(value, name)
    if array.ndim != 1:
        raise WalkError(
            f"'{name}' must have one dimension, not shape {tuple(array.shape)}: pass a flat array of ids"
        )
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise WalkError(f"'{name}' must hold integers, not {array.dtype}: convert it, to int64 say")
    if array.dtype == np.uint64 and int(array.max()) > np.iinfo(np.int64).max:
        raise WalkError(
            f"'{name}' must fit into int64, but its largest value is {int(array.max())}: check the ids"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def check_below(name: str, what: str, ids: np.ndarray, limit: int, advice: str) -> None:
    """Raise for the first id that is negative or not below a limit; ``what`` follows "must".

    Raises
    ------
    WalkError
        Naming the argument, the position and the value.
    """
    outside = (ids < 0) | (ids >= limit)
    if outside.any():
        at = int(np.argmax(outside))
        raise WalkError(f"'{name}' must {what} in [0, {limit}), but position {at} holds {ids[at]}: {advice}")


def resolve_threads(num_threads: int | None) -> int:
    """Give the number of threads to use: as asked, or one for each processor this process may run on.

    Raises
    ------
    WalkError
        If ``num_threads`` is given and below 1.
    """
    if num_threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_threads < 1:
        raise WalkError(
            f"'num_threads' must be at least 1, not {num_threads}: leave it out to use every processor"
        )
    return num_threads
