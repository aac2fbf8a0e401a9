"""Random walks with alpha, the running product of the edge weights.

References
----------
Liu et al. 2024, "Learning Molecular Representation in a Cell", section 3: walks on the context graph, and the
cumulative product alpha that says how similar each visited node is to the start.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import native
from infoalign_dgl.walks._arrays import is_tensor, resolve_threads, to_ids

if TYPE_CHECKING:
    from infoalign_dgl.walks.index import WalkIndex

Transition = Literal["uniform", "weight"]
Backend = Literal["native", "numba", "reference"]

TRANSITIONS = ("uniform", "weight")
BACKENDS = ("native", "numba", "reference")
MAX_LENGTH = 2**16 - 1


@dataclass(frozen=True, repr=False)
class Walks:
    """Walks of W seeds and L steps, as numpy arrays or torch tensors.

    Attributes
    ----------
    nodes : (W, L+1) int64
        Visited nodes, the start first; -1 after a dead end.
    alpha : (W, L+1) float32
        ``alpha[:, i]`` is the product of the first i weights, so 1 at the start; 0 after a dead end.
    edges : (W, L) int64 or None
        Edge of each step; -1 after a dead end.
    """

    nodes: Any
    alpha: Any
    edges: Any | None = None

    def __len__(self) -> int:
        return int(self.nodes.shape[0])

    def __repr__(self) -> str:
        kind = "torch" if is_tensor(self.nodes) else "numpy"
        edges = "with" if self.edges is not None else "without"
        return f"Walks({len(self)} walks of {self.nodes.shape[1] - 1} steps, {edges} edges, {kind})"


def random_walks(
    index: WalkIndex,
    seeds: Any,
    length: int,
    *,
    transition: Transition = "uniform",
    seed: int = 0,
    walk_ids: Any | None = None,
    stream: int = 0,
    backend: Backend | None = None,
    num_threads: int | None = None,
    return_edges: bool = False,
) -> Walks:
    """Walk at random from each seed node.

    The walk of (``seed``, walk id, ``stream``) on a graph is always the same: whatever the number of threads,
    the backend, the device, and whichever other walks are asked for with it.

    Parameters
    ----------
    index : WalkIndex
        The graph.
    seeds : array_like
        (W,) integer start nodes; a numpy array, a torch tensor (on the CPU or a CUDA device) or a sequence.
    length : int
        Steps L of each walk, 0 to 65535.
    transition : {"uniform", "weight"}
        Take each arc of a node with the same probability, or in proportion to its weight.
    seed : int
        Key of the random numbers, 64 bits, unsigned.
    walk_ids : array_like, optional
        (W,) integers >= 0 that name the walks; by default 0, 1, 2, ... Walks of one id draw the same numbers.
    stream : int
        A further counter of 32 bits, such as the epoch.
    backend : {"native", "numba", "reference"}, optional
        By default native, or numba where the extension was not built.
    num_threads : int, optional
        Most threads to use; by default one per processor. Small calls start none.
    return_edges : bool
        Give the edge ids too.

    Returns
    -------
    Walks
        Numpy arrays, or tensors on the device of ``seeds`` where that is a tensor.

    Raises
    ------
    WalkError
        If an argument is out of range; its message names the argument and the position.
    """
    _check_choice("transition", transition, TRANSITIONS)
    steps = _integer("length", length, MAX_LENGTH)
    key = _integer("seed", seed, 2**64 - 1)
    counter = _integer("stream", stream, 2**32 - 1)
    chosen = _choose_backend(backend)
    if is_tensor(seeds) and seeds.device.type == "cuda":
        return _cuda_walks(
            index, seeds, steps, transition, key, walk_ids, counter, chosen, edges=return_edges
        )
    starts = to_ids(seeds, "seeds")
    names = None if walk_ids is None else to_ids(walk_ids, "walk_ids")
    if names is not None and names.shape != starts.shape:
        raise WalkError(
            f"'seeds' has {len(starts)} entries but 'walk_ids' has {len(names)}: pass one id per seed"
        )
    threads = resolve_threads(num_threads)
    shared: dict[str, Any] = {"weighted": transition == "weight", "seed": key, "stream": counter}
    nodes = np.empty((len(starts), steps + 1), dtype=np.int64)
    alpha = np.empty((len(starts), steps + 1), dtype=np.float32)
    edges = np.empty((len(starts), steps), dtype=np.int64) if return_edges else None
    if chosen == "native":
        fault, _ = native.walk(index, starts, names, (nodes, alpha, edges), num_threads=threads, **shared)
        if fault:
            _check_walks(index, starts, names)
    else:
        _check_walks(index, starts, names)
        given = np.arange(len(starts), dtype=np.int64) if names is None else names
        if chosen == "numba":
            from infoalign_dgl.walks import numba_backend

            numba_backend.walk(index, starts, given, (nodes, alpha, edges), num_threads=threads, **shared)
        else:
            from infoalign_dgl.walks import reference

            nodes, alpha, edges = reference.walk(index, starts, given, steps, **shared)
    result = Walks(nodes, alpha, edges if return_edges else None)
    return _as_tensors(result) if is_tensor(seeds) else result


def _check_walks(index: WalkIndex, seeds: np.ndarray, walk_ids: np.ndarray | None) -> None:
    outside = (seeds < 0) | (seeds >= index.num_nodes)
    if outside.any():
        at = int(np.argmax(outside))
        raise WalkError(
            f"'seeds' must hold node ids in [0, {index.num_nodes}), but position {at} holds {seeds[at]}: "
            "check the ids"
        )
    if walk_ids is not None and (walk_ids < 0).any():
        at = int(np.argmax(walk_ids < 0))
        raise WalkError(
            f"'walk_ids' must not be negative, but position {at} holds {walk_ids[at]}: check the ids"
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise WalkError(f"'{name}' is {value!r}: choose one of {', '.join(choices)}")


def _integer(name: str, value: int, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise WalkError(f"'{name}' must be an integer, not {value!r}: pass one in [0, {most}]") from None
    if not 0 <= number <= most:
        raise WalkError(f"'{name}' must be in [0, {most}], but is {number}: pass one in that range")
    return number


def _choose_backend(backend: Backend | None) -> Backend:
    if backend is None:
        return "native" if native.load_native() is not None else "numba"
    _check_choice("backend", backend, BACKENDS)
    if backend == "native":
        native.require_native()
    return backend


def _as_tensors(walks: Walks) -> Walks:
    import torch

    edges = None if walks.edges is None else torch.from_numpy(walks.edges)
    return Walks(torch.from_numpy(walks.nodes), torch.from_numpy(walks.alpha), edges)


def _cuda_walks(
    index: WalkIndex,
    seeds: Any,
    length: int,
    transition: Transition,
    seed: int,
    walk_ids: Any | None,
    stream: int,
    backend: Backend,
    *,
    edges: bool,
) -> Walks:
    import torch

    if backend != "native":
        raise WalkError(
            f"'seeds' is on {seeds.device}, where backend '{backend}' cannot run: use native, or move it"
        )
    starts = _device_ids(seeds, "seeds", seeds.device)
    names = None if walk_ids is None else _device_ids(walk_ids, "walk_ids", seeds.device)
    if names is not None and names.shape != starts.shape:
        raise WalkError(
            f"'seeds' has {len(starts)} entries but 'walk_ids' has {len(names)}: pass one id per seed"
        )
    if ((starts < 0) | (starts >= index.num_nodes)).any() or (names is not None and (names < 0).any()):
        _check_walks(index, starts.cpu().numpy(), None if names is None else names.cpu().numpy())
    nodes = torch.empty((len(starts), length + 1), dtype=torch.int64, device=seeds.device)
    alpha = torch.empty((len(starts), length + 1), dtype=torch.float32, device=seeds.device)
    taken = torch.empty((len(starts), length), dtype=torch.int64, device=seeds.device) if edges else None
    weighted = transition == "weight"
    native.walk_cuda(index, starts, names, (nodes, alpha, taken), weighted=weighted, seed=seed, stream=stream)
    return Walks(nodes, alpha, taken)


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
