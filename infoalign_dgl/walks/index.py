"""The graph as walks see it: compressed sparse rows of weighted arcs over global node ids."""

from __future__ import annotations

import operator
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infoalign_dgl._extension import load_native
from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import _packing
from infoalign_dgl.walks._arrays import check_below, resolve_threads, to_ids, to_numpy
from infoalign_dgl.walks._shown import html_index
from infoalign_dgl.walks.native import as_words

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_NARROW_NODES = 2**31
_NARROW_ARCS = 2**32
_MOST_NODES = 2**59


class WalkIndex:
    """Arcs sorted by their start node, targets and weights packed side by side.

    Made by :meth:`from_edges` or :meth:`from_csr`; its arrays are not to be written to.

    Attributes
    ----------
    num_nodes : int
        Number of nodes N.
    num_arcs : int
        Number of arcs A.
    num_relations : int
        Number of relations, the kinds of arcs that metapaths name; 0 where none were given.
    indptr : np.ndarray
        (N+1,) int64: the arcs of node v are ``indptr[v]`` to ``indptr[v + 1] - 1``.
    indices : np.ndarray
        (A,) int32 or int64 targets, a view of ``arcs``.
    weight : np.ndarray
        (A,) float32 weights in [0, 1], a view of ``arcs``.
    edge_ids : np.ndarray
        (A,) int64 edge of each arc.
    relations : np.ndarray or None
        (A,) int32 relation of each arc.
    arcs : np.ndarray
        (A,) records (target, weight); 8 bytes each below 2^31 nodes, else 16.
    rows_per_node : int
        1; in an index by relation the number of relations, with as many rows in ``indptr`` for each node.
    offsets : np.ndarray
        ``indptr`` as uint32 where the number of arcs allows, else int64.
    wide : bool
        Whether targets take 64 bits.
    stored_edge_ids : np.ndarray or None
        ``edge_ids``, or None where an arc's position is its edge's id.
    """

    def __init__(
        self,
        indptr: np.ndarray,
        arcs: np.ndarray,
        edge_ids: np.ndarray | None,
        relations: np.ndarray | None = None,
        *,
        rows_per_node: int = 1,
    ) -> None:
        self.indptr = indptr
        self.arcs = arcs
        self.stored_edge_ids = edge_ids
        self.relations = relations
        self.rows_per_node = rows_per_node
        narrow = len(arcs) < _NARROW_ARCS
        self.offsets = indptr.astype(np.uint32) if narrow else indptr
        self._alias_arcs: np.ndarray | None = None
        self._neighbors: np.ndarray | None = None
        self._by_relation: WalkIndex | None = None
        self._devices: dict[tuple[str, str], Any] = {}

    @classmethod
    def from_edges(
        cls,
        src: ArrayLike,
        dst: ArrayLike,
        weight: ArrayLike,
        num_nodes: int,
        relations: ArrayLike | None = None,
    ) -> WalkIndex:
        """Index arcs given in any order; they are taken as they are, not made symmetric.

        Parameters
        ----------
        src, dst : array_like
            (E,) integer node ids in [0, num_nodes): arc k leads from ``src[k]`` to ``dst[k]``.
        weight : array_like
            (E,) weights in [0, 1], kept as float32.
        num_nodes : int
            Number of nodes.
        relations : array_like, optional
            (E,) integers in [0, 2^31): the kind of each arc, for `restrict` and for walks along a metapath.

        Returns
        -------
        WalkIndex
            Within a node the arcs stay in the given order; the edge id of an arc is its given position.

        Raises
        ------
        WalkError
            If shapes differ, an id is out of range, a weight is not in [0, 1], or a node has over 2^31 arcs.

        Examples
        --------
        >>> from infoalign_dgl import WalkIndex
        >>> index = WalkIndex.from_edges(src=[0, 2, 0], dst=[1, 1, 2], weight=[0.5, 1.0, 0.25], num_nodes=3)
        >>> index.indptr.tolist(), index.indices.tolist(), index.weight.tolist()
        ([0, 2, 2, 3], [1, 2, 1], [0.5, 0.25, 1.0])
        >>> index.edge_ids.tolist()
        [0, 2, 1]
        """
        count = _node_count(num_nodes)
        sources, targets = to_ids(src, "src"), to_ids(dst, "dst")
        weights = _weights(weight)
        for name, array in (("dst", targets), ("weight", weights)):
            if array.shape != sources.shape:
                raise WalkError(
                    f"'src' has {len(sources)} entries but '{name}' has {len(array)}: pass one per arc"
                )
        wide = count >= _NARROW_NODES
        indptr = np.zeros(count + 1, dtype=np.int64)
        arcs = np.empty(len(sources), dtype=_packing.arc_type(wide=wide))
        edge_ids = np.empty(len(sources), dtype=np.int64)
        native = load_native()
        if native is not None:
            fault = native.pack_edges(sources, targets, weights, indptr, as_words(arcs), edge_ids, wide)
        else:
            fault = _packing.pack_edges(sources, targets, weights, indptr, arcs, edge_ids)
        values = {"src": sources, "dst": targets, "weight": weights, "indptr": indptr, "indices": targets}
        _packing.raise_fault(fault, values, count, target_name="dst")
        kinds = None if relations is None else _relations(relations, len(sources))[edge_ids]
        return cls(indptr, arcs, edge_ids, kinds)

    @classmethod
    def from_csr(
        cls,
        indptr: ArrayLike,
        indices: ArrayLike,
        weight: ArrayLike,
        edge_ids: ArrayLike | None = None,
        relations: ArrayLike | None = None,
    ) -> WalkIndex:
        """Index arcs that are sorted by their start node already.

        Parameters
        ----------
        indptr : array_like
            (N+1,) integers from 0 to A that never fall: where each node's arcs begin.
        indices : array_like
            (A,) integer targets in [0, N).
        weight : array_like
            (A,) weights in [0, 1], kept as float32.
        edge_ids : array_like, optional
            (A,) integers >= 0, the edge of each arc, which arcs may share. Default: the arc's position.
        relations : array_like, optional
            (A,) integers in [0, 2^31): the kind of each arc, for `restrict` and for walks along a metapath.

        Raises
        ------
        WalkError
            If shapes differ, ``indptr`` is not as above, an id is out of range, a weight is not in [0, 1], or
            a node has over 2^31 arcs.
        """
        pointers, targets = to_ids(indptr, "indptr"), to_ids(indices, "indices")
        weights = _weights(weight)
        if len(pointers) == 0:
            raise WalkError(
                "'indptr' is empty: it needs one entry more than there are nodes, the first of them 0"
            )
        if weights.shape != targets.shape:
            raise WalkError(
                f"'indices' has {len(targets)} entries but 'weight' has {len(weights)}: pass one per arc"
            )
        edges = None if edge_ids is None else _edge_ids(edge_ids, len(targets))
        count = len(pointers) - 1
        wide = count >= _NARROW_NODES
        arcs = np.empty(len(targets), dtype=_packing.arc_type(wide=wide))
        native = load_native()
        if native is not None:
            fault = native.pack_csr(pointers, targets, weights, as_words(arcs), wide)
        else:
            fault = _packing.pack_csr(pointers, targets, weights, arcs)
        values = {"indptr": pointers, "indices": targets, "weight": weights}
        _packing.raise_fault(fault, values, count, target_name="indices")
        # A copy where the caller's own array came through: writing to it later must not break the index.
        own = pointers.copy() if np.may_share_memory(pointers, to_numpy(indptr, "indptr")) else pointers
        if edges is not None and np.may_share_memory(edges, to_numpy(edge_ids, "edge_ids")):
            edges = edges.copy()
        return cls(own, arcs, edges, None if relations is None else _relations(relations, len(targets)))

    def restrict(self, relations: ArrayLike) -> WalkIndex:
        """Give the index of the arcs of some relations alone; nodes and edge ids stay the same.

        Parameters
        ----------
        relations : array_like
            Integer relations to keep, each in [0, num_relations).

        Raises
        ------
        WalkError
            If this index has no relations, or one is out of range.

        Examples
        --------
        >>> from infoalign_dgl import WalkIndex
        >>> index = WalkIndex.from_edges([0, 0, 1], [1, 2, 2], [0.5, 1.0, 0.25], 3, relations=[0, 1, 1])
        >>> index.restrict([1]).indices.tolist(), index.restrict([1]).edge_ids.tolist()
        ([2, 2], [1, 2])
        """
        kinds = to_ids(relations, "relations")
        outside = (kinds < 0) | (kinds >= self.num_relations)
        if self.relations is None or outside.any():
            raise WalkError(
                f"'relations' must be in [0, {self.num_relations}), the relations of this index, but is "
                f"{kinds.tolist()}: pass those, after giving them to from_edges or from_csr"
            )
        kept = np.flatnonzero(np.isin(self.relations, kinds))
        before = np.zeros(self.num_arcs + 1, dtype=np.int64)
        np.cumsum(np.bincount(kept, minlength=self.num_arcs), out=before[1:])
        return WalkIndex(before[self.indptr], self.arcs[kept], self.edge_ids[kept], self.relations[kept])

    def by_relation(self) -> WalkIndex:
        """Give the index with one row per node and relation, for walks along metapaths; made on first use.

        Row ``node * num_relations + relation`` of its ``indptr`` holds that node's arcs of that relation, in
        the order they have here.
        """
        if self._by_relation is None:
            count = max(1, self.num_relations)
            kinds = np.zeros(self.num_arcs, dtype=np.int64) if self.relations is None else self.relations
            row = np.repeat(np.arange(self.num_nodes, dtype=np.int64), np.diff(self.indptr)) * count + kinds
            order = np.argsort(row, kind="stable")
            indptr = np.zeros(self.num_nodes * count + 1, dtype=np.int64)
            np.cumsum(np.bincount(row, minlength=self.num_nodes * count), out=indptr[1:])
            kept = None if self.relations is None else self.relations[order]
            self._by_relation = WalkIndex(
                indptr, self.arcs[order], self.edge_ids[order], kept, rows_per_node=count
            )
        return self._by_relation

    @property
    def num_nodes(self) -> int:
        """Number of nodes N."""
        return (len(self.indptr) - 1) // self.rows_per_node

    @cached_property
    def num_relations(self) -> int:
        """Number of relations: one more than the largest, 0 where there are none."""
        return 0 if self.relations is None or not len(self.relations) else int(self.relations.max()) + 1

    @property
    def num_arcs(self) -> int:
        """Number of arcs A."""
        return len(self.arcs)

    @property
    def wide(self) -> bool:
        """Whether targets take 64 bits."""
        return self.arcs.dtype.itemsize > _packing.arc_type(wide=False).itemsize

    @property
    def indices(self) -> np.ndarray:
        """(A,) targets."""
        return self.arcs["target"]

    @property
    def weight(self) -> np.ndarray:
        """(A,) float32 weights."""
        return self.arcs["weight"]

    @property
    def edge_ids(self) -> np.ndarray:
        """(A,) int64 edge of each arc."""
        if self.stored_edge_ids is None:
            return np.arange(self.num_arcs, dtype=np.int64)
        return self.stored_edge_ids

    def alias_arcs(self) -> np.ndarray:
        """Arcs with their alias tables, built on first use: (A,) records (target, weight, threshold, alias).

        Column k of a node is taken with a 32-bit random word below ``threshold``, else the node's arc number
        ``alias``; alias 2^32 - 1 marks a node whose weights sum to 0.
        """
        if self._alias_arcs is None:
            out = np.empty(self.num_arcs, dtype=_packing.alias_type(wide=self.wide))
            native = load_native()
            if native is not None:
                native.build_alias(
                    self.indptr, as_words(self.arcs), as_words(out), self.wide, resolve_threads(None)
                )
            else:
                from infoalign_dgl.walks import numba_backend

                numba_backend.build_alias(self, out)
            self._alias_arcs = out
        return self._alias_arcs

    def neighbors(self) -> np.ndarray:
        """Targets in ascending order within each row, built on first use: (A,), typed as ``indices``."""
        if self._neighbors is None:
            out = np.empty(self.num_arcs, dtype=self.indices.dtype)
            native = load_native()
            if native is not None:
                native.sort_neighbors(self.indptr, as_words(self.arcs), out, resolve_threads(None))
            else:
                row = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
                out[:] = self.indices[np.lexsort((self.indices, row))]
            self._neighbors = out
        return self._neighbors

    def on_device(
        self, device: Any, name: Literal["offsets", "arcs", "alias_arcs", "neighbors", "edge_ids"]
    ) -> Any:
        """Give one array of a walk as a tensor on a torch device, copied there once.

        Parameters
        ----------
        device : torch.device
            Where the walk runs.
        name : str
            Which array; records come as 64-bit words. Edge ids that are the arcs' positions come as None.
        """
        import torch

        if name == "edge_ids" and self.stored_edge_ids is None:
            return None
        key = (str(device), name)
        if key not in self._devices:
            array = {
                "offsets": lambda: self.offsets,
                "arcs": lambda: as_words(self.arcs),
                "alias_arcs": lambda: as_words(self.alias_arcs()),
                "neighbors": self.neighbors,
                "edge_ids": lambda: self.edge_ids,
            }[name]()
            # Signed views of the same bits: torch knows few unsigned types.
            signed = array.view(np.int32 if array.dtype.itemsize == 4 else np.int64)
            self._devices[key] = torch.from_numpy(signed).to(device)
        return self._devices[key]

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without what can be made again, device memory above all."""
        made_again: dict[str, Any] = {"_alias_arcs": None, "_neighbors": None, "_by_relation": None}
        return {**self.__dict__, **made_again, "_devices": {}}

    def __repr__(self) -> str:
        relations = f", num_relations={self.num_relations}" if self.relations is not None else ""
        return f"WalkIndex(num_nodes={self.num_nodes}, num_arcs={self.num_arcs}{relations})"

    def _repr_html_(self) -> str:
        return html_index(self)


def _node_count(num_nodes: int) -> int:
    try:
        count = operator.index(num_nodes)
    except TypeError:
        raise WalkError(
            f"'num_nodes' must be an integer, not {num_nodes!r}: pass the number of nodes"
        ) from None
    if count < 0:
        raise WalkError(f"'num_nodes' must not be negative, but is {count}: pass the number of nodes")
    if count >= _MOST_NODES:
        raise WalkError(
            f"'num_nodes' must be below 2^59, or no memory could hold an offset for each, but is {count}: "
            "check it"
        )
    return count


def _weights(weight: ArrayLike) -> np.ndarray:
    array = to_numpy(weight, "weight")
    if array.ndim != 1:
        raise WalkError(
            f"'weight' must have one dimension, not shape {tuple(array.shape)}: pass one weight per arc"
        )
    if array.dtype.kind not in "fiub":
        raise WalkError(f"'weight' must hold numbers, not {array.dtype}: pass one weight in [0, 1] per arc")
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        # Rounding to float32 would let 1 + 1e-9 pass as 1.
        _packing.raise_fault(_packing.first_bad_weight(array), {"weight": array}, 0, target_name="dst")
    return np.ascontiguousarray(array, dtype=np.float32)


def _edge_ids(edge_ids: ArrayLike, num_arcs: int) -> np.ndarray:
    array = to_ids(edge_ids, "edge_ids")
    if len(array) != num_arcs:
        raise WalkError(f"'indices' has {num_arcs} entries but 'edge_ids' has {len(array)}: pass one per arc")
    if num_arcs and int(array.min()) < 0:
        position = int(np.argmax(array < 0))
        raise WalkError(
            f"'edge_ids' must not be negative, but position {position} holds {array[position]}: check them"
        )
    return array


def _relations(relations: ArrayLike, num_arcs: int) -> np.ndarray:
    array = to_ids(relations, "relations")
    if len(array) != num_arcs:
        raise WalkError(f"'relations' has {len(array)} entries for {num_arcs} arcs: pass one per arc")
    check_below("relations", "be", array, _NARROW_NODES, "number the kinds of arcs from 0")
    return array.astype(np.int32)
