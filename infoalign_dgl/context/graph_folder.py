"""The files of a graph's folder: written whole, and read with a sentence for whatever is damaged."""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from infoalign_dgl import __version__, _spill
from infoalign_dgl._dgl import dgl
from infoalign_dgl.context.spaces import FeatureSpace, MinMaxScaler
from infoalign_dgl.context.vocabulary import EDGE_TYPES, NODE_TYPES
from infoalign_dgl.errors import GraphError

if TYPE_CHECKING:
    from pathlib import Path

    from infoalign_dgl.context.graph import ContextGraph

    Nodes = dict[str, pd.DataFrame]
    Stored = tuple[dgl.DGLGraph, Nodes, dict[str, FeatureSpace], dict[str, Any], dict[str, Any]]

FORMAT_VERSION = 1
_VERSIONED = ("dgl", "numpy", "pandas", "rdkit", "torch")


def package_versions() -> dict[str, str]:
    """Versions of this package and of those whose results a graph depends on."""
    found = {name: importlib.metadata.version(name) for name in _VERSIONED}
    return {"infoalign-dgl": __version__, **found}


def write_graph(graph: ContextGraph, folder: Path) -> None:
    """Write a graph's files into an empty folder."""
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


def read_graph(folder: Path) -> Stored:
    """Read a graph's folder: the heterograph, node tables, feature spaces, schema and report.

    Raises
    ------
    GraphError
        Naming the file that is missing or damaged, or the format version that this program does not know.
    """
    schema = _read_json(folder / "schema.json")
    if schema.get("format_version") != FORMAT_VERSION:
        raise GraphError(
            f"'{folder / 'schema.json'}' has format version {schema.get('format_version')!r} and this "
            f"program reads version {FORMAT_VERSION}: build the graph again, or use the program version that "
            f"wrote it"
        )
    report = _read_json(folder / "build_report.json")
    nodes = {kind: _read(pd.read_parquet, folder / "nodes" / f"{kind}.parquet") for kind in NODE_TYPES}
    spaces = {name: _read_space(folder, name, stored, nodes) for name, stored in schema["spaces"].items()}
    graphs, _ = _read(lambda path: dgl.load_graphs(str(path)), folder / "heterograph.bin")
    return graphs[0], nodes, spaces, schema, report


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
            f"copy, or build the graph again"
        )
    node_rows = np.full(len(nodes[stored["node_type"]]), -1, np.int64)
    node_rows[ids] = np.arange(len(ids))
    scaler = None if stored["scaler"] is None else MinMaxScaler.from_json(stored["scaler"])
    return FeatureSpace(
        name, stored["node_type"], stored["columns"], values, node_rows, stored["num_bits"], scaler
    )
