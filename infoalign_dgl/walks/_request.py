"""What one call of `random_walks` asks for, checked: the backends take it as it is."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks._arrays import check_below, is_tensor, to_ids

if TYPE_CHECKING:
    from infoalign_dgl.walks.index import WalkIndex

TRANSITIONS = ("uniform", "weight")
MAX_LENGTH = 2**16 - 1
_SMALLEST_FACTOR, _LARGEST_FACTOR = 1e-6, 1e6


@dataclass(frozen=True)
class WalkRequest:
    """Walks to take; arrays are numpy's, or tensors of one CUDA device.

    Attributes
    ----------
    seeds : (W,) int64
        Start nodes.
    walk_ids : (W,) int64 or None
        Names of the walks; None: 0, 1, 2, ...
    length : int
        Steps L.
    weighted : bool
        Transition "weight" instead of "uniform".
    factors : tuple of float or None
        node2vec's (p, q); None: a first-order walk.
    relations : (L,) int32 or None
        Relation of each step's arcs, for a walk along a metapath on an index by relation.
    seed, stream : int
        Key and counter of the random numbers.
    """

    seeds: Any
    walk_ids: Any | None
    length: int
    weighted: bool
    factors: tuple[float, float] | None
    relations: np.ndarray | None
    seed: int
    stream: int


def make_request(
    index: WalkIndex,
    seeds: Any,
    length: int,
    *,
    transition: str,
    p: float,
    q: float,
    metapath: Any | None,
    walks_per_seed: int,
    walk_ids: Any | None,
    seed: int,
    stream: int,
) -> WalkRequest:
    """Check the arguments of `random_walks`; the ids' ranges are left to `check_ids`, or to the kernel."""
    if transition not in TRANSITIONS:
        raise WalkError(f"'transition' is {transition!r}: choose one of {', '.join(TRANSITIONS)}")
    steps = _integer("length", length, 0, MAX_LENGTH)
    key = _integer("seed", seed, 0, 2**64 - 1)
    counter = _integer("stream", stream, 0, 2**32 - 1)
    repeats = _integer("walks_per_seed", walks_per_seed, 1, 2**31 - 1)
    factors = (_factor("p", p), _factor("q", q))
    if metapath is not None and factors != (1.0, 1.0):
        raise WalkError("'metapath' fixes where each step may go, so 'p' and 'q' must be 1: leave them out")
    relations = None if metapath is None else _relations(metapath, steps, index.num_relations)
    if is_tensor(seeds) and seeds.device.type == "cuda":
        starts = _device_ids(seeds, "seeds", seeds.device).repeat_interleave(repeats)
        names = None if walk_ids is None else _device_ids(walk_ids, "walk_ids", seeds.device)
    else:
        starts = to_ids(seeds, "seeds")
        starts = starts if repeats == 1 else np.repeat(starts, repeats)
        names = None if walk_ids is None else to_ids(walk_ids, "walk_ids")
    if names is not None and len(names) != len(starts):
        raise WalkError(f"'walk_ids' has {len(names)} entries for {len(starts)} walks: pass one id per walk")
    second_order = None if factors == (1.0, 1.0) else factors
    return WalkRequest(starts, names, steps, transition == "weight", second_order, relations, key, counter)


def check_ids(num_nodes: int, seeds: np.ndarray, walk_ids: np.ndarray | None) -> None:
    """Raise for the first start node or walk id out of range."""
    check_below("seeds", "hold node ids", seeds, num_nodes, "check the ids")
    if walk_ids is not None and (walk_ids < 0).any():
        at = int(np.argmax(walk_ids < 0))
        raise WalkError(
            f"'walk_ids' must not be negative, but position {at} holds {walk_ids[at]}: check the ids"
        )


def _integer(name: str, value: int, least: int, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise WalkError(
            f"'{name}' must be an integer, not {value!r}: pass one in [{least}, {most}]"
        ) from None
    if not least <= number <= most:
        raise WalkError(f"'{name}' must be in [{least}, {most}], but is {number}: pass one in that range")
    return number


def _factor(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise WalkError(f"'{name}' must be a number, not {value!r}: 1 leaves the walk first-order") from None
    if not _SMALLEST_FACTOR <= number <= _LARGEST_FACTOR:
        raise WalkError(
            f"'{name}' must be in [{_SMALLEST_FACTOR:g}, {_LARGEST_FACTOR:g}], but is {value}: "
            "1 leaves the walk first-order"
        )
    return number


def _relations(metapath: Any, length: int, num_relations: int) -> np.ndarray:
    """Give the relation of each step: the metapath, over and over."""
    given = to_ids(metapath, "metapath")
    if num_relations == 0:
        raise WalkError(
            "'metapath' needs an index with relations: pass 'relations' to WalkIndex.from_edges or from_csr"
        )
    if len(given) == 0:
        raise WalkError("'metapath' is empty: name at least one relation, or leave it out")
    check_below("metapath", "hold relations", given, num_relations, "check them")
    return np.resize(given, length).astype(np.int32)


def _device_ids(value: Any, name: str, device: Any) -> Any:
    """Give ids as a contiguous int64 tensor on ``device``, with the same demands as on the CPU."""
    import torch

    tensor = value if is_tensor(value) else torch.from_numpy(to_ids(value, name))
    if tensor.ndim != 1:
        raise WalkError(
            f"'{name}' must have one dimension, not shape {tuple(tensor.shape)}: pass a flat array of ids"
        )
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise WalkError(f"'{name}' must hold integers, not {tensor.dtype}: convert it, to int64 say")
    return tensor.to(device=device, dtype=torch.int64).contiguous()
