"""Random walks with alpha, the running product of the edge weights.

References
----------
Liu et al. 2024, "Learning Molecular Representation in a Cell", section 3: walks on the context graph, and the
cumulative product alpha that says how similar each visited node is to the start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from infoalign_dgl._extension import load_native, require_native
from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import native
from infoalign_dgl.walks._arrays import is_tensor, resolve_threads
from infoalign_dgl.walks._request import WalkRequest, check_ids, make_request
from infoalign_dgl.walks._shown import html_walks, repr_walks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infoalign_dgl.walks.index import WalkIndex

Transition = Literal["uniform", "weight"]
Backend = Literal["native", "numba", "reference"]

BACKENDS = ("native", "numba", "reference")


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
    first_nodes : mapping of str to int, or None
        Global id of the first node of each type, in ascending order, if a graph with types was walked on:
        what is shown of the walks then says of which type nodes are.
    """

    nodes: Any
    alpha: Any
    edges: Any | None = None
    first_nodes: Mapping[str, int] | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return int(self.nodes.shape[0])

    def __repr__(self) -> str:
        return repr_walks(self)

    def _repr_html_(self) -> str:
        return html_walks(self)


def random_walks(
    index: WalkIndex,
    seeds: Any,
    length: int,
    *,
    transition: Transition = "uniform",
    p: float = 1.0,
    q: float = 1.0,
    metapath: Any | None = None,
    walks_per_seed: int = 1,
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
        (S,) integer start nodes; a numpy array, a torch tensor (on the CPU or a CUDA device) or a sequence.
    length : int
        Steps L of each walk, 0 to 65535.
    transition : {"uniform", "weight"}
        Take each arc of a node with the same probability, or in proportion to its weight.
    p, q : float
        node2vec's return and in-out parameters, 1e-6 to 1e6: from the second step on, an arc's probability is
        multiplied by 1/p where it leads back to the node before, by 1 where an arc leads from the node before
        to where it leads, and by 1/q otherwise, and then normalized. Parallel arcs count each.
    metapath : array_like, optional
        Integer relations, at least one: step i takes only arcs of relation ``metapath[i % len(metapath)]``,
        and a node without one is a dead end. The index must have relations, and p and q be 1.
    walks_per_seed : int
        Walks from each seed, side by side in the result: W = S * walks_per_seed.
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

    References
    ----------
    Liu et al. 2024, "Learning Molecular Representation in a Cell", section 3 (walks and alpha). Grover and
    Leskovec 2016, "node2vec: Scalable Feature Learning for Networks", section 3.2 (p and q). Dong et al.
    2017, "metapath2vec: Scalable Representation Learning for Heterogeneous Networks", section 3.2.

    Examples
    --------
    A path of three nodes has one walk, and alpha is the product of its weights:

    >>> from infoalign_dgl import WalkIndex, random_walks
    >>> index = WalkIndex.from_edges(src=[0, 1], dst=[1, 2], weight=[0.5, 0.25], num_nodes=3)
    >>> walks = random_walks(index, seeds=[0, 1], length=2, return_edges=True)
    >>> walks.nodes.tolist()
    [[0, 1, 2], [1, 2, -1]]
    >>> walks.alpha.tolist()
    [[1.0, 0.5, 0.125], [1.0, 0.25, 0.0]]
    >>> walks.edges.tolist()
    [[0, 1], [1, -1]]
    """
    chosen = _choose_backend(backend)
    request = make_request(
        index,
        seeds,
        length,
        transition=transition,
        p=p,
        q=q,
        metapath=metapath,
        walks_per_seed=walks_per_seed,
        walk_ids=walk_ids,
        seed=seed,
        stream=stream,
    )
    if is_tensor(seeds) and seeds.device.type == "cuda":
        if chosen != "native":
            raise WalkError(
                f"'seeds' is on {seeds.device}, where backend '{chosen}' cannot run: use native, or move it"
            )
        return _cuda_walks(index, request, edges=return_edges)
    walks = _cpu_walks(index, request, chosen, num_threads=resolve_threads(num_threads), edges=return_edges)
    return _as_tensors(walks) if is_tensor(seeds) else walks


def _choose_backend(backend: Backend | None) -> Backend:
    if backend is None:
        return "native" if load_native() is not None else "numba"
    if backend not in BACKENDS:
        raise WalkError(f"'backend' is {backend!r}: choose one of {', '.join(BACKENDS)}")
    if backend == "native":
        require_native()
    return backend


def _rows(index: WalkIndex, request: WalkRequest) -> WalkIndex:
    """Give the index whose rows the request walks on: one per node, or per node and relation."""
    return index if request.relations is None else index.by_relation()


def _cpu_walks(
    index: WalkIndex, request: WalkRequest, backend: Backend, *, num_threads: int, edges: bool
) -> Walks:
    rows = _rows(index, request)
    if backend == "native":
        fault, nodes, alpha, taken = native.walk(rows, request, num_threads=num_threads, edges=edges)
        if fault:
            check_ids(index.num_nodes, request.seeds, request.walk_ids)
        return Walks(nodes, alpha, taken)
    check_ids(index.num_nodes, request.seeds, request.walk_ids)
    if backend == "numba":
        from infoalign_dgl.walks import numba_backend

        return Walks(*numba_backend.walk(rows, request, num_threads=num_threads, edges=edges))
    from infoalign_dgl.walks import reference

    nodes, alpha, every_edge = reference.walk(rows, request)
    return Walks(nodes, alpha, every_edge if edges else None)


def _cuda_walks(index: WalkIndex, request: WalkRequest, *, edges: bool) -> Walks:
    import torch

    starts, names = request.seeds, request.walk_ids
    if ((starts < 0) | (starts >= index.num_nodes)).any() or (names is not None and (names < 0).any()):
        check_ids(index.num_nodes, starts.cpu().numpy(), None if names is None else names.cpu().numpy())
    shape = (len(starts), request.length + 1)
    nodes = torch.empty(shape, dtype=torch.int64, device=starts.device)
    alpha = torch.empty(shape, dtype=torch.float32, device=starts.device)
    taken = (
        torch.empty((shape[0], request.length), dtype=torch.int64, device=starts.device) if edges else None
    )
    native.walk_cuda(_rows(index, request), request, (nodes, alpha, taken))
    return Walks(nodes, alpha, taken)


def _as_tensors(walks: Walks) -> Walks:
    import torch

    edges = None if walks.edges is None else torch.from_numpy(walks.edges)
    return Walks(torch.from_numpy(walks.nodes), torch.from_numpy(walks.alpha), edges)
