"""``ContextGraph``: a DGL heterograph with node tables and feature spaces, and the folder that holds them."""

from __future__ import annotations

import importlib.metadata
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from infoalign_dgl import __version__, _spill
from infoalign_dgl._dgl import dgl
from infoalign_dgl._folders import atomic_folder, verify_folder
from infoalign_dgl.context.spaces import FeatureSpace, MinMaxScaler
from infoalign_dgl.errors import GraphError
from infoalign_dgl.walks import WalkIndex, Walks, random_walks

FORMAT_VERSION = 1
NODE_TYPES = ("molecule", "gene", "gene_expression", "morphology")
EDGE_TYPES: tuple[tuple[str, str, str], ...] = (
    ("molecule", "perturbs", "morphology"),
    ("molecule", "induces", "gene_expression"),
    ("molecule", "binds", "gene"),
    ("molecule", "regulates", "gene"),
    ("gene", "interacts", "gene"),
    ("gene", "covaries", "gene"),
    ("gene", "regulates", "gene"),
    ("molecule", "similar", "molecule"),
    ("gene", "similar", "gene"),
    ("gene_expression", "similar", "gene_expression"),
    ("morphology", "similar", "morphology"),
)
EdgeType = str | tuple[str, str, str]
DIRECTED = {("gene", "regulates", "gene")}  # a pair and its reverse are two edges only here
FINGERPRINT = "fingerprint"
_VERSIONED = ("dgl", "numpy", "pandas", "rdkit", "torch")

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infoalign_dgl.context.reuse import Reuse

    Edges = Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]


class ContextGraph:
    """Molecules, genes and profiles as nodes of a weighted heterograph, with the features that some carry.

    Parameters
    ----------
    heterograph : dgl.DGLGraph
        All types of ``NODE_TYPES`` and ``EDGE_TYPES`` (empty ones too); ``edata["weight"]`` float32 in [0,
        1].
    nodes : dict of str to pandas.DataFrame
        One table per node type, row = local id. ``molecule``: key, inchikey, smiles, sources; ``gene``: key,
        symbol; ``gene_expression`` and ``morphology``: key, molecule, space, replicates, and where it was
        measured: table, batch, plate, well, dose, several joined by ``;``.
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

    def __repr__(self) -> str:
        nodes = ", ".join(f"{kind}={count}" for kind, count in self.num_nodes.items())
        spaces = ", ".join(f"{s.name}: {s.num_rows} x {s.dim}" for s in self.spaces.values())
        return f"ContextGraph({nodes}; edges={sum(self.num_edges.values())}; spaces=[{spaces}])"

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
        wanted = {r for entry in edge_types for r in _relations_of(entry)}
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
        """
        if metapath is not None:
            kwargs["metapath"] = [self._step_relation(entry) for entry in metapath]
        return random_walks(self._both_ways, seeds, length, **kwargs)

    def _step_relation(self, entry: EdgeType) -> int:
        found = _relations_of(entry)
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
            _write(self, partial)

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
        if verify:
            verify_folder(folder)
        schema = _read_json(folder / "schema.json")
        if schema.get("format_version") != FORMAT_VERSION:
            raise GraphError(
                f"'{folder / 'schema.json'}' has format version {schema.get('format_version')!r} and this "
                f"program reads "
                f"version {FORMAT_VERSION}: build the graph again, or use the program version that wrote it"
            )
        report = _read_json(folder / "build_report.json")
        nodes = {kind: _read(pd.read_parquet, folder / "nodes" / f"{kind}.parquet") for kind in NODE_TYPES}
        spaces = {name: _read_space(folder, name, stored, nodes) for name, stored in schema["spaces"].items()}
        graphs, _ = _read(lambda path: dgl.load_graphs(str(path)), folder / "heterograph.bin")
        graph = cls(graphs[0], nodes, spaces, schema, report)
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


def package_versions() -> dict[str, str]:
    """Versions of this package and of those whose results a graph depends on."""
    found = {name: importlib.metadata.version(name) for name in _VERSIONED}
    return {"infoalign-dgl": __version__, **found}


def _relations_of(entry: EdgeType) -> list[int]:
    """Positions in ``EDGE_TYPES`` of a canonical type, or of all types of a name."""
    given = entry if isinstance(entry, str) else tuple(entry)
    found = [r for r, kind in enumerate(EDGE_TYPES) if given in (kind, kind[1])]
    if not found:
        raise GraphError(f"unknown edge type {entry!r}: use one of {list(EDGE_TYPES)}, or a name in them")
    return found


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


def _write(graph: ContextGraph, folder: Path) -> None:
    (folder / "nodes").mkdir()
    (folder / "features").mkdir()
    _write_heterograph(graph, folder / "heterograph.bin")
    for kind, table in graph.nodes.items():
        table.to_parquet(folder / "nodes" / f"{kind}.parquet", index=False)
    for name, space in graph.spaces.items():
        np.save(folder / "features" / f"{name}.npy", space.values)
        _spill.release(space.values)
        np.save(folder / "features" / f"{name}.nodes.npy", space.nodes())
    if graph.reuse is not None:
        graph.reuse.write(folder / "reuse")
    schema = {**graph.schema, "package_versions": package_versions()}
    (folder / "schema.json").write_text(json.dumps(schema, indent=1) + "\n")
    (folder / "build_report.json").write_text(json.dumps(graph.report, indent=1) + "\n")


def _write_heterograph(graph: ContextGraph, path: Path) -> None:
    """Write and read back: DGL reports a full disk as its own error, and not at all for a file's last bytes.

    Raises
    ------
    OSError
        If the file did not become what it should be.
    """
    try:
        dgl.save_graphs(str(path), [graph.heterograph])
        written = dgl.load_graphs(str(path))[0][0]
        whole = all(
            torch.equal(written.edges[kind].data["weight"], graph.heterograph.edges[kind].data["weight"])
            and all(map(torch.equal, written.edges(etype=kind), graph.heterograph.edges(etype=kind)))
            for kind in EDGE_TYPES
        )
    except dgl.DGLError as error:
        raise OSError(f"{path.name} could not be written whole, the disk may be full") from error
    if not whole:
        raise OSError(f"{path.name} could not be written whole, the disk may be full")


def _read(reader: Any, path: Path) -> Any:
    """Call a reader and turn whatever a damaged file makes it say into a sentence that names the file."""
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise GraphError(f"'{path}' is missing: restore it from a copy, or build the graph again") from error
    except (
        OSError,
        ValueError,
        EOFError,
        dgl.DGLError,
    ) as error:  # pyarrow's and json's errors are ValueErrors
        raise GraphError(
            f"'{path}' cannot be read, it seems damaged: restore it from a copy, or build again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    found = _read(lambda p: json.loads(p.read_text()), path)
    if not isinstance(found, dict):
        raise GraphError(f"'{path}' should hold a JSON object: restore it from a copy, or build again")
    return found


def _read_space(
    folder: Path, name: str, stored: dict[str, Any], nodes: dict[str, pd.DataFrame]
) -> FeatureSpace:
    path = folder / "features" / f"{name}.npy"
    values = _read(lambda p: np.load(p, mmap_mode="r"), path)
    ids = _read(np.load, folder / "features" / f"{name}.nodes.npy")
    if len(values) != stored["rows"] or len(ids) != stored["rows"]:
        raise GraphError(
            f"'{path}' has {len(values)} rows where schema.json says {stored['rows']}: restore it from a "
            f"copy, "
            f"or build the graph again"
        )
    node_rows = np.full(len(nodes[stored["node_type"]]), -1, np.int64)
    node_rows[ids] = np.arange(len(ids))
    scaler = None if stored["scaler"] is None else MinMaxScaler.from_json(stored["scaler"])
    return FeatureSpace(
        name, stored["node_type"], stored["columns"], values, node_rows, stored["num_bits"], scaler
    )
