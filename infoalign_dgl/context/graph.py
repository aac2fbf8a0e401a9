"""``ContextGraph``: a DGL heterograph with node tables and feature spaces."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from infoalign_dgl._dgl import dgl
from infoalign_dgl._folders import atomic_folder, verify_folder
from infoalign_dgl._html import counted, metagraph, panel, table, typed
from infoalign_dgl.context.graph_folder import FORMAT_VERSION, read_graph, write_graph
from infoalign_dgl.context.vocabulary import EDGE_TYPES, NODE_TYPES, EdgeType, relations_of
from infoalign_dgl.errors import GraphError
from infoalign_dgl.walks import WalkIndex, Walks, random_walks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from infoalign_dgl.context.reuse import Reuse
    from infoalign_dgl.context.spaces import FeatureSpace

    Edges = Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]


class ContextGraph:
    """Molecules, genes and profiles as nodes of a weighted heterograph, with the features that some carry.

    Parameters
    ----------
    heterograph : dgl.DGLGraph
        All types of ``NODE_TYPES`` and ``EDGE_TYPES`` (empty ones too); ``edata["weight"]`` float32 in [0,
        1].
    nodes : dict of str to pandas.DataFrame
        One table per node type, row = local id. ``molecule``: key, inchikey, smiles, sources, ids; ``gene``:
        key, symbol; ``gene_expression`` and ``morphology``: key, molecule, space, replicates, and where it
        was measured: table, batch, plate, well, dose. Several are joined by ``;``.
    spaces : dict of str to FeatureSpace
        By name. ``"fingerprint"`` is the molecules' own.
    schema : dict
        What ``schema.json`` says: format version, spec, counts, similarity cuts, package versions.
    report : dict
        What ``build_report.json`` says: per input table, rows read, used and dropped by reason.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 3.1 (cellular context graph).
    """

    def __init__(
        self,
        heterograph: dgl.DGLGraph,
        nodes: dict[str, pd.DataFrame],
        spaces: dict[str, FeatureSpace],
        schema: dict[str, Any] | None = None,
        report: dict[str, Any] | None = None,
    ) -> None:
        self.heterograph = heterograph
        self.nodes = nodes
        self.spaces = spaces
        self.schema: dict[str, Any] = dict(schema or {})
        self.report: dict[str, Any] = dict(report or {})
        self.folder: Path | None = None  # where it was loaded from: caches may stand beside it
        self.reuse: Reuse | None = None  # what a later build can take over, where this one was just built
        self._check()
        self.schema.update(self._description())

    @classmethod
    def from_edges(
        cls,
        edges: Edges,
        nodes: dict[str, pd.DataFrame],
        spaces: dict[str, FeatureSpace],
        schema: dict[str, Any] | None = None,
        report: dict[str, Any] | None = None,
    ) -> ContextGraph:
        """Make a graph of edge arrays.

        Parameters
        ----------
        edges : mapping of (source type, relation, target type) to (src, dst, weight)
            Local ids, int64, and float32 weights. Types that are left out have no edges.
        nodes, spaces, schema, report
            As for the class.

        Raises
        ------
        GraphError
            If a type is unknown, an id is out of range, or a weight is not in [0, 1].
        """
        unknown = set(edges) - set(EDGE_TYPES)
        if unknown:
            raise GraphError(f"unknown edge type {sorted(unknown)[0]}: use one of {list(EDGE_TYPES)}")
        none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        tables = {kind: edges.get(kind, none) for kind in EDGE_TYPES}
        counts = {kind: len(nodes[kind]) for kind in NODE_TYPES}
        for kind, (src, dst, weight) in tables.items():
            _check_edges(kind, src, dst, weight, counts)
        heterograph = dgl.heterograph(
            {k: (_int64(s), _int64(d)) for k, (s, d, _) in tables.items()}, num_nodes_dict=counts
        )
        for kind, (_, _, weight) in tables.items():
            values = torch.from_numpy(np.array(weight, dtype=np.float32))
            heterograph.edges[kind].data["weight"] = values
        return cls(heterograph, nodes, spaces, schema, report)

    @property
    def num_nodes(self) -> dict[str, int]:
        """Nodes per type."""
        return {kind: len(self.nodes[kind]) for kind in NODE_TYPES}

    @property
    def num_edges(self) -> dict[tuple[str, str, str], int]:
        """Edges per canonical type, in the order of their global ids."""
        return {kind: self.heterograph.num_edges(kind) for kind in EDGE_TYPES}

    @property
    def node_offsets(self) -> dict[str, int]:
        """Global id of each type's first node: molecules start at 0."""
        sizes = [len(self.nodes[kind]) for kind in NODE_TYPES]
        return dict(zip(NODE_TYPES, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))

    @property
    def total_nodes(self) -> int:
        """Nodes of all types."""
        return sum(self.num_nodes.values())

    @property
    def tautomer(self) -> bool:
        """Whether molecules are RDKit's canonical tautomers of what tables say."""
        return bool(self.schema.get("spec", {}).get("graph", {}).get("tautomer", False))

    def __repr__(self) -> str:
        nodes = ", ".join(f"{kind}={count:,}" for kind, count in self.num_nodes.items())
        edges = ", ".join(f"{' '.join(kind)}={count:,}" for kind, count in self.num_edges.items() if count)
        spaces = ", ".join(f"{s.name}: {s.num_rows:,} x {s.dim:,}" for s in self.spaces.values())
        return (
            f"ContextGraph({self._summary()})\n"
            f"  nodes: {nodes}\n  edges: {edges or 'none'}\n  spaces: {spaces or 'none'}"
        )

    def _repr_html_(self) -> str:
        spaces = [
            (space.name, typed(space.node_type), space.num_rows, space.dim) for space in self.spaces.values()
        ]
        return panel(
            "ContextGraph",
            self._summary(),
            metagraph(self.num_nodes, self.num_edges),
            table(["feature space", "carried by", "rows", "columns"], spaces),
        )

    def _summary(self) -> str:
        nodes, edges = counted(self.total_nodes, "node"), counted(sum(self.num_edges.values()), "edge")
        return f"{nodes}, {edges}, {counted(len(self.spaces), 'feature space')}"

    def edges(self, kind: tuple[str, str, str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return one type's edges as (src, dst, weight): local ids int64 and float32, in edge order."""
        src, dst = self.heterograph.edges(etype=kind, order="eid")
        return src.numpy(), dst.numpy(), self.heterograph.edges[kind].data["weight"].numpy()

    def walk_index(
        self,
        *,
        respect_direction: bool = False,
        exclude_nodes: np.ndarray | None = None,
        edge_types: Sequence[EdgeType] | None = None,
    ) -> WalkIndex:
        """Compress the union of edge types over global node ids into a walk index.

        Parameters
        ----------
        respect_direction : bool
            Leave out the arcs against an edge's direction.
        exclude_nodes : np.ndarray or None
            Global ids; arcs that touch them are left out.
        edge_types : sequence or None
            Which types to walk along: canonical ones, or names that stand for all types so called. Default:
            all.

        Returns
        -------
        WalkIndex
            Forward arcs of all edges in global edge order, then their reverses, which carry the same edge id.
            Relation r of an arc is ``EDGE_TYPES[r]``.

        Raises
        ------
        GraphError
            If an edge type is unknown.
        """
        offsets = self.node_offsets
        parts = [(self.edges(kind), offsets[kind[0]], offsets[kind[2]]) for kind in EDGE_TYPES]
        src = np.concatenate([edges[0] + first for edges, first, _ in parts])
        dst = np.concatenate([edges[1] + second for edges, _, second in parts])
        weight = np.concatenate([edges[2] for edges, _, _ in parts])
        relation = np.repeat(np.arange(len(parts)), [len(edges[0]) for edges, _, _ in parts])
        ids = np.arange(len(src), dtype=np.int64)
        if not respect_direction:
            src, dst = np.concatenate([src, dst]), np.concatenate([dst, src])
            weight, relation, ids = np.tile(weight, 2), np.tile(relation, 2), np.tile(ids, 2)
        if exclude_nodes is not None:
            out = np.zeros(self.total_nodes, bool)
            out[np.asarray(exclude_nodes, np.int64)] = True
            keep = ~(out[src] | out[dst])
            src, dst, weight = src[keep], dst[keep], weight[keep]
            relation, ids = relation[keep], ids[keep]
        order = np.argsort(src, kind="stable")
        indptr = np.zeros(self.total_nodes + 1, np.int64)
        np.cumsum(np.bincount(src, minlength=self.total_nodes), out=indptr[1:])
        index = WalkIndex.from_csr(indptr, dst[order], weight[order], ids[order], relation[order])
        if edge_types is None:
            return index
        wanted = {r for entry in edge_types for r in relations_of(entry)}
        return index.restrict(
            [r for r in wanted if r < index.num_relations]
        )  # beyond are types without edges

    @cached_property
    def _both_ways(self) -> WalkIndex:
        return self.walk_index()

    def walks(
        self,
        seeds: np.ndarray | torch.Tensor,
        length: int = 4,
        *,
        metapath: Sequence[EdgeType] | None = None,
        **kwargs: Any,
    ) -> Walks:
        """Walk from the seeds, both ways along every edge.

        Parameters
        ----------
        seeds : np.ndarray or torch.Tensor
            Shape (S,), int64 global ids; a molecule's local id is its global id.
        length : int
            Steps L per walk.
        metapath : sequence or None
            Edge type of each step, over and over: canonical ones, or names that only one type has. To walk
            along some types in any order, take ``random_walks`` on ``walk_index(edge_types=...)``.
        **kwargs
            As for :func:`infoalign_dgl.walks.random_walks`.

        Returns
        -------
        Walks
            ``nodes`` (W, L+1) int64 and ``alpha`` (W, L+1) float32.

        Raises
        ------
        GraphError
            If an edge type is unknown or has no edges, or a name is that of several.

        Examples
        --------
        >>> from infoalign_dgl.context import build_context_graph
        >>> graph = build_context_graph("simulated:500")
        >>> walks = graph.walks([0, 1], length=4, seed=7)
        >>> walks.nodes.shape, walks.nodes[:, 0].tolist(), walks.alpha[:, 0].tolist()
        ((2, 5), [0, 1], [1.0, 1.0])
        """
        if metapath is not None:
            kwargs["metapath"] = [self._step_relation(entry) for entry in metapath]
        walks = random_walks(self._both_ways, seeds, length, **kwargs)
        return replace(walks, first_nodes=self.node_offsets)

    def _step_relation(self, entry: EdgeType) -> int:
        found = relations_of(entry)
        if len(found) > 1:
            raise GraphError(
                f"'metapath' names '{entry}', which several edge types are called: say which of "
                f"{[EDGE_TYPES[r] for r in found]}"
            )
        if self.heterograph.num_edges(EDGE_TYPES[found[0]]) == 0:
            raise GraphError(f"'metapath' names {EDGE_TYPES[found[0]]}, of which this graph has no edges")
        return found[0]

    def row_index(self, space: str) -> np.ndarray:
        """Row in a feature space by global node id, shape (total nodes,), int64, -1 where a node has none.

        Raises
        ------
        GraphError
            If there is no such space.
        """
        if space not in self.spaces:
            raise GraphError(f"no feature space '{space}' in this graph: it has {sorted(self.spaces)}")
        found = self.spaces[space]
        index = np.full(self.total_nodes, -1, np.int64)
        start = self.node_offsets[found.node_type]
        index[start : start + len(found.node_rows)] = found.node_rows
        return index

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the graph as a folder with checksums: all of it, or nothing.

        Parameters
        ----------
        folder : str or Path
            Gets ``heterograph.bin``, ``nodes/<type>.parquet``, ``features/<space>.npy`` with the node ids of
            its rows in ``features/<space>.nodes.npy``, ``schema.json``, ``build_report.json``,
            ``SHA256SUMS``, and from a graph just built ``reuse/``, which only a later build reads.
        overwrite : bool
            Replace a folder that stands there; until the new one is whole, the old one stays.

        Raises
        ------
        InfoAlignError
            If the folder exists already, or cannot be written.
        """
        with atomic_folder(Path(folder), overwrite=overwrite) as partial:
            write_graph(self, partial)

    @classmethod
    def load(cls, folder: str | Path, *, verify: bool = True) -> ContextGraph:
        """Read a folder that :meth:`save` wrote; features stay on disk, memory-mapped.

        Parameters
        ----------
        folder : str or Path
            The graph's folder.
        verify : bool
            Check every file against its checksum first.

        Raises
        ------
        InfoAlignError
            Naming the file that is missing or damaged, or the format version that this program does not know.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise GraphError(f"no context graph at '{folder}': give the folder that build-graph wrote")
        if verify:
            verify_folder(folder)
        graph = cls(*read_graph(folder))
        graph.folder = folder
        return graph

    def _check(self) -> None:
        for kind, count in self.num_nodes.items():
            if self.heterograph.num_nodes(kind) != count:
                raise GraphError(
                    f"the heterograph has {self.heterograph.num_nodes(kind)} {kind} nodes and their table "
                    f"{count} rows: "
                    f"the graph and its tables must be of one build"
                )
        for space in self.spaces.values():
            if len(space.node_rows) != self.num_nodes[space.node_type]:
                raise GraphError(
                    f"feature space '{space.name}' indexes {len(space.node_rows)} {space.node_type} nodes, "
                    f"the graph has {self.num_nodes[space.node_type]}: give one row index per node, -1 "
                    f"for none"
                )

    def _description(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "node_types": list(NODE_TYPES),
            "edge_types": [list(kind) for kind in EDGE_TYPES],
            "counts": {
                "nodes": self.num_nodes,
                "edges": {" ".join(kind): count for kind, count in self.num_edges.items()},
                "spaces": {space.name: [space.num_rows, space.dim] for space in self.spaces.values()},
            },
            "spaces": {space.name: space.describe() for space in self.spaces.values()},
        }


def _int64(ids: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(ids, dtype=np.int64))


def _check_edges(
    kind: tuple[str, str, str], src: np.ndarray, dst: np.ndarray, weight: np.ndarray, counts: dict[str, int]
) -> None:
    label = f"({', '.join(kind)})"
    if not len(src) == len(dst) == len(weight):
        raise GraphError(
            f"{label} has {len(src)} sources, {len(dst)} targets and {len(weight)} weights: give one each"
        )
    for ids, end in ((src, kind[0]), (dst, kind[2])):
        outside = np.flatnonzero((np.asarray(ids) < 0) | (np.asarray(ids) >= counts[end]))
        if len(outside):
            raise GraphError(
                f"{label} names {end} {ids[outside[0]]} at edge {outside[0]}, but there are {counts[end]} "
                f"{end} nodes: "
                f"use local ids from 0"
            )
    bad = np.flatnonzero(
        ~((np.asarray(weight) >= 0) & (np.asarray(weight) <= 1))
    )  # NaN fails both comparisons
    if len(bad):
        raise GraphError(
            f"'weight' must be in [0, 1]: {label} has {len(bad)} values that are not, first at edge {bad[0]} "
            f"({weight[bad[0]]})"
        )
