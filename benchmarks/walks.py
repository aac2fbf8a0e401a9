"""Random walks of four steps: ours with alpha, and what a user would otherwise install.

Two graphs of a fixed generator (undirected pairs, both ways, a skew in degree, weights in (0, 1]): 277,000
nodes with 733,000 arcs, and 3,000,000 nodes with 60,000,000. From each, 500,000 seeds at once and batches
of 3,072; a call takes other seeds and other random numbers than the one before it. Seeds have at least one
arc, so that every walk makes all its steps. Peers walk without alpha, which none of them has.

Run it with::

    python benchmarks/walks.py --graph both --json walks.json

The large graph wants about 9 GiB with all peers installed.
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from _harness import Entry, Ratio, Report, Section, Skipped, common_options, measure
from _machine import limit_threads
from _walk_peers import (
    CLUSTER_PUBLIC,
    CLUSTER_RAW,
    CSRGRAPH_KERNEL,
    DGL_PROB,
    DGL_UNIFORM,
    ENSMALLEN,
    LENGTH,
    Graph,
    Walker,
    peer_walkers,
)

from infoalign_dgl.walks import WalkIndex, random_walks

if TYPE_CHECKING:
    from pathlib import Path

SEEDS, BATCH = 500_000, 3_072
SIZES = {"small": (277_000, 733_000), "large": (3_000_000, 60_000_000)}
SKEW = 3.5
LINE_BYTES = 64
UNIFORM, WEIGHTED = "ours, uniform", "ours, weighted"
ONE_THREAD, NUMBA = "ours, uniform, 1 thread", "ours, uniform, numba"


def make_graph(num_nodes: int, num_arcs: int) -> Graph:
    """Draw pairs of one uniform and one skewed end; node numbers say nothing of the degree.

    The skew gives the small graph a largest degree of about 10,000 and arcs whose start has 170 in the mean,
    much as a context graph of public tables (8,612 and 257): a gene is bound by thousands of molecules.
    """
    random = np.random.default_rng(0)
    pairs = num_arcs // 2
    one = random.integers(0, num_nodes, pairs)
    other = (num_nodes * random.random(pairs) ** SKEW).astype(np.int64)
    other = random.permutation(num_nodes)[other]
    other[other == one] = (other[other == one] + 1) % num_nodes
    weight = 1 - random.random(pairs, dtype=np.float32)
    src, dst = np.concatenate([one, other]), np.concatenate([other, one])
    index = WalkIndex.from_edges(src, dst, np.concatenate([weight, weight]), num_nodes)
    degrees = np.diff(index.indptr)
    return Graph(
        index=index,
        row=np.repeat(np.arange(num_nodes), degrees),
        col=index.indices.astype(np.int64),
        weight=np.ascontiguousarray(index.weight),
        starts=np.flatnonzero(degrees),
    )


def own_walkers(graph: Graph, threads: int) -> list[Walker]:
    """Ours: uniform, weighted, on one thread, and the fallback."""
    streams = itertools.count()

    def walker(name: str, *, in_batch: bool = False, num_threads: int = threads, **options: Any) -> Walker:
        def walk(seeds: np.ndarray) -> Any:
            return random_walks(
                graph.index, seeds, LENGTH, num_threads=num_threads, stream=next(streams), **options
            )

        return Walker(name, walk, peer=False, in_batch=in_batch)

    return [
        walker(UNIFORM, in_batch=True),
        walker(WEIGHTED, in_batch=True, transition="weight"),
        walker(ONE_THREAD, num_threads=1),
        walker(NUMBA, backend="numba"),
    ]


def make_entry(walker: Walker, seed_sets: list[np.ndarray]) -> Entry:
    """Walk from one set of seeds after the other."""
    prepared = itertools.cycle([walker.prepare(seeds) for seeds in seed_sets])
    return Entry(walker.name, lambda: walker.walk(next(prepared)), walker.note, peer=walker.peer)


def floor(graph: Graph, num_seeds: int, section: Section) -> None:
    """Say what the walks need at least: cache lines read at random, and bytes written."""
    import _probes

    size = 8 * (graph.index.num_arcs + graph.index.num_nodes)
    lines, copied = _probes.random_lines(size), _probes.copy_bandwidth(size)
    output = num_seeds * (LENGTH + 1) * 12
    written = _probes.fresh_pages(output)
    steps = num_seeds * LENGTH
    read_seconds = 2 * steps / lines
    moved_seconds = (2 * steps * LINE_BYTES + output) / copied
    section.figures |= {
        "graph_bytes": size,
        "lines_per_second": lines,
        "copy_bytes_per_second": copied,
        "fresh_bytes_per_second": written,
        "floor_lines_seconds": read_seconds,
        "floor_bandwidth_seconds": moved_seconds,
        "output_seconds": output / written,
    }
    section.notes += [
        f"floor: a step reads 2 lines of 64 bytes (offsets 8 B, arc 8 B) at random from "
        f"{size / 2**20:.1f} MiB, and writes 12 B (a node 8 B, an alpha 4 B)",
        f"floor: this machine reads {lines / 1e6:.0f} M such lines/s: {read_seconds * 1e3:.2f} ms; it copies "
        f"{copied / 1e9:.1f} GB/s: {moved_seconds * 1e3:.2f} ms; fresh pages for the output take "
        f"{output / written * 1e3:.2f} ms on one thread",
    ]
    ours = section.median(UNIFORM)
    if ours is not None:
        share = max(read_seconds, moved_seconds) / ours
        section.notes.append(f"floor: ours, uniform, runs at {share:.0%} of the slower of the first two")


def shared_ratios() -> list[Ratio]:
    """Ratios that hold for a large call and for a batch."""
    return [
        Ratio("torch-cluster raw / ours uniform", CLUSTER_RAW, UNIFORM, at_least=5),
        Ratio("DGL prob / ours weighted", DGL_PROB, WEIGHTED, at_least=80),
        Ratio("ours weighted / ours uniform", WEIGHTED, UNIFORM, at_most=2),
        Ratio("DGL uniform / ours uniform", DGL_UNIFORM, UNIFORM),
    ]


def time_call(
    graph: Graph, walkers: list[Walker], skipped: list[Skipped], seeds: int, rounds: int, *, full_size: bool
) -> Section:
    """Time many seeds in one call."""
    section = Section(f"{describe(graph)}: {seeds:,} seeds, L={LENGTH}", UNIFORM, seeds, "walks", full_size)
    section.skipped += skipped
    random = np.random.default_rng(1)
    sets = [random.choice(graph.starts, seeds) for _ in range(4)]
    measure(section, [make_entry(walker, sets) for walker in walkers], rounds)
    section.compare(
        [
            *shared_ratios(),
            Ratio("ours on 1 thread / ours uniform", ONE_THREAD, UNIFORM),
            Ratio("csrgraph's loop / ours weighted", CSRGRAPH_KERNEL, WEIGHTED),
            Ratio("ensmallen / ours weighted", ENSMALLEN, WEIGHTED),
        ]
    )
    floor(graph, seeds, section)
    return section


def time_batch(
    graph: Graph, walkers: list[Walker], skipped: list[Skipped], batch: int, rounds: int, *, full_size: bool
) -> Section:
    """Time the few seeds of one training step."""
    section = Section(
        f"{describe(graph)}: a batch of {batch:,} seeds, L={LENGTH}", UNIFORM, batch, "walks", full_size
    )
    section.skipped += [entry for entry in skipped if entry.name in (CLUSTER_RAW, CLUSTER_PUBLIC)]
    random = np.random.default_rng(2)
    sets = [random.choice(graph.starts, batch) for _ in range(64)]
    measure(section, [make_entry(walker, sets) for walker in walkers if walker.in_batch], rounds)
    public = Ratio("torch-cluster public / ours uniform", CLUSTER_PUBLIC, UNIFORM, at_least=500)
    section.compare([*shared_ratios(), public])
    floor(graph, batch, section)
    return section


def describe(graph: Graph) -> str:
    """Give the graph's size in words."""
    return f"{graph.index.num_nodes:,} nodes, {graph.index.num_arcs:,} arcs"


@click.command(context_settings={"show_default": True})
@click.option("--graph", "which", type=click.Choice(["small", "large", "both"]), default="both")
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, help="Seeds of the large call.")
@click.option("--batch", type=click.IntRange(1), default=BATCH, help="Seeds of a batch.")
@click.option("--scale", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Shrink the graphs.")
@common_options
def main(
    which: str, seeds: int, batch: int, scale: float, rounds: int, threads: int, json_file: Path | None
) -> None:
    """Time random walks: ours and every peer that is installed."""
    limit_threads(threads)
    import torch

    torch.set_num_threads(threads)
    settings = {"graph": which, "seeds": seeds, "batch": batch, "length": LENGTH, "scale": scale}
    report = Report("walks", {**settings, "rounds": rounds}, threads, json_file)
    for name in SIZES if which == "both" else [which]:
        begin = time.perf_counter()
        graph = make_graph(*(int(scale * size) for size in SIZES[name]))
        indexed = time.perf_counter() - begin
        begin = time.perf_counter()
        random_walks(graph.index, graph.starts[:1], 1, transition="weight", num_threads=threads)
        aliased = time.perf_counter() - begin
        peers, skipped = peer_walkers(graph, threads)
        walkers = [*own_walkers(graph, threads), *peers]
        full_size = (scale, seeds, batch) == (1, SEEDS, BATCH)
        whole = time_call(graph, walkers, skipped, seeds, rounds, full_size=full_size)
        degrees = np.diff(graph.index.indptr)
        whole.notes.append(
            f"graph: degree {degrees.mean():.1f} in the mean, {degrees.max():,} at most; drawn and indexed "
            f"in {indexed:.1f} s; alias tables, which the first weighted call builds, took {aliased:.2f} s"
        )
        report.add(whole)
        report.add(time_batch(graph, walkers, skipped, batch, rounds, full_size=full_size))
        del graph, peers, walkers


if __name__ == "__main__":
    sys.exit(main())
