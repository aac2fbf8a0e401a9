"""Peers that walk: torch-cluster, DGL, csrgraph and ensmallen on one graph."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from _harness import Skipped, build_peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.walks import WalkIndex

LENGTH = 4
NO_ALPHA = "no alpha"
CLUSTER_RAW, CLUSTER_PUBLIC = "torch-cluster, raw op", "torch-cluster, public call"
DGL_UNIFORM, DGL_PROB = "DGL, uniform", "DGL, prob="
CSRGRAPH, CSRGRAPH_KERNEL = "csrgraph, public call", "csrgraph, its loop alone"
ENSMALLEN = "ensmallen"


@dataclass(frozen=True)
class Graph:
    """Compressed sparse rows as every entry takes them."""

    index: WalkIndex
    row: np.ndarray
    col: np.ndarray
    weight: np.ndarray
    starts: np.ndarray


@dataclass(frozen=True)
class Walker:
    """A way to walk: ``walk`` takes what ``prepare`` makes of the seeds, which is not timed."""

    name: str
    walk: Callable[[Any], Any]
    prepare: Callable[[np.ndarray], Any] = np.asarray
    note: str = ""
    peer: bool = True
    in_batch: bool = True


def peer_walkers(graph: Graph, threads: int) -> tuple[list[Walker], list[Skipped]]:
    """Every peer that is installed, and why the others are not there."""
    walkers: list[Walker] = []
    skipped: list[Skipped] = []
    for names, build in (
        ([CLUSTER_RAW, CLUSTER_PUBLIC], lambda: cluster_walkers(graph)),
        ([DGL_UNIFORM, DGL_PROB], lambda: dgl_walkers(graph)),
        ([CSRGRAPH, CSRGRAPH_KERNEL], lambda: csrgraph_walkers(graph, threads)),
        ([ENSMALLEN], lambda: ensmallen_walkers(graph)),
    ):
        click.echo(f"  preparing {names[0]}", err=True)
        built, missing = build_peer(names, build)
        walkers += built
        skipped += missing
    return walkers, skipped


def cluster_walkers(graph: Graph) -> list[Walker]:
    """torch-cluster: the compiled operator on ready rows, and the function that sorts the edges first."""
    import torch
    import torch_cluster

    indptr, row, col = (torch.from_numpy(array) for array in (graph.index.indptr, graph.row, graph.col))

    def raw(seeds: Any) -> Any:
        return torch.ops.torch_cluster.random_walk(indptr, col, seeds, LENGTH, 1.0, 1.0)

    def public(seeds: Any) -> Any:
        return torch_cluster.random_walk(row, col, seeds, LENGTH)

    return [
        Walker(CLUSTER_RAW, raw, torch.from_numpy, NO_ALPHA),
        Walker(CLUSTER_PUBLIC, public, torch.from_numpy, f"{NO_ALPHA}; sorts all edges each time"),
    ]


def dgl_walkers(graph: Graph) -> list[Walker]:
    """DGL, with and without weights."""
    import torch

    from infoalign_dgl._dgl import dgl

    indptr, col = torch.from_numpy(graph.index.indptr), torch.from_numpy(graph.col)
    network = dgl.graph(("csr", (indptr, col, torch.arange(len(col)))))
    network.edata["weight"] = torch.from_numpy(graph.weight)

    def uniform(seeds: Any) -> Any:
        return dgl.sampling.random_walk(network, seeds, length=LENGTH)

    def weighted(seeds: Any) -> Any:
        return dgl.sampling.random_walk(network, seeds, length=LENGTH, prob="weight")

    return [
        Walker(DGL_UNIFORM, uniform, torch.from_numpy, NO_ALPHA),
        Walker(DGL_PROB, weighted, torch.from_numpy, f"{NO_ALPHA}; weighted"),
    ]


def csrgraph_walkers(graph: Graph, threads: int) -> list[Walker]:
    """csrgraph: its method, which scales all weights first, and the compiled loop below it."""
    import csrgraph
    from csrgraph.random_walks import _random_walk
    from scipy import sparse

    matrix = sparse.csr_matrix(
        (graph.weight, graph.col.astype(np.int32), graph.index.indptr.astype(np.int32)),
        shape=(graph.index.num_nodes, graph.index.num_nodes),
    )
    network = csrgraph.csrgraph(matrix, copy=False, threads=threads)
    scaled = network.normalize(return_self=False)

    def public(seeds: np.ndarray) -> Any:
        return network.random_walks(walklen=LENGTH + 1, start_nodes=seeds)

    def loop(seeds: np.ndarray) -> Any:
        return _random_walk(scaled.weights, scaled.src, scaled.dst, seeds, LENGTH + 1)

    return [
        Walker(CSRGRAPH, public, note=f"{NO_ALPHA}; weighted; scales all weights each time", in_batch=False),
        Walker(CSRGRAPH_KERNEL, loop, note=f"{NO_ALPHA}; weighted", in_batch=False),
    ]


def ensmallen_walkers(graph: Graph) -> list[Walker]:
    """Ensmallen, which reads a graph from a file and chooses the seeds itself."""
    import ensmallen
    import pyarrow as pa
    from pyarrow import csv

    once = graph.row < graph.col
    columns = [graph.row[once], graph.col[once], graph.weight[once]]
    with tempfile.TemporaryDirectory() as folder:
        edges = Path(folder) / "edges.csv"
        table = pa.table(columns, names=["src", "dst", "weight"])
        csv.write_csv(table, edges, csv.WriteOptions(include_header=False))
        network = ensmallen.Graph.from_csv(
            directed=False,
            edge_path=str(edges),
            edge_list_separator=",",
            edge_list_header=False,
            sources_column_number=0,
            destinations_column_number=1,
            weights_column_number=2,
            edge_list_numeric_node_ids=True,
            numeric_node_ids=True,
            minimum_node_id=0,
            number_of_nodes=graph.index.num_nodes,
            edge_list_is_complete=False,
            edge_list_may_contain_duplicates=True,
            edge_list_is_sorted=False,
            may_have_singletons=True,
            verbose=False,
        )
    states = itertools.count()

    def walk(count: int) -> Any:
        return network.random_walks(
            walk_length=LENGTH + 1, quantity=count, random_state=next(states), max_neighbours=None
        )

    note = f"{NO_ALPHA}; weighted; seeds of its own; parallel edges merged"
    return [Walker(ENSMALLEN, walk, len, note, in_batch=False)]
