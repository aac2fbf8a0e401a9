"""What a training step asks the decoders to reconstruct: collapsed targets, and three ways to the same mean.

A graph like a context graph: 13,300 nodes (6,000 molecules, 4,200 genes, 1,000 gene expression and 2,100
morphology profiles), six feature spaces of 1024 bits and 1111, 862, 1783, 966 and 978 columns. Its walks,
four steps from 3,072 molecules, are drawn once by our kernel; then each way gives, for each space, the
alpha-weighted mean row of each molecule whose walk met the space:

- ours: `collapse_targets`, bits packed, everything else float32;
- NaN-padded gather, as the published training script does it: every node has a row in every space, NaN
  where it was not measured; the rows of all visited nodes are gathered for all spaces, then masks, then
  masked means;
- dense gather: a compact table per space, rows of nodes without one weighted with 0; one space after the
  other;
- embedding_bag: `torch.nn.functional.embedding_bag` with alpha as the weights, over a compact float32
  table.

All four must agree to 1e-6. Memory is what one call adds at its peak to what a process holds that has the
inputs ready, its results included: each way runs in a process of its own, because the allocators of numpy,
torch and our kernel have no common counter (tracemalloc sees numpy's alone) and keep what they freed, so
that a second call in one process shows less than it needs.

Run it with::

    python benchmarks/targets.py --json targets.json
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from _harness import Entry, Ratio, Report, Section, common_options, measure
from _machine import limit_threads, peak_bytes, release_freed, reset_peak, resident_bytes

from infoalign_dgl.walks import WalkIndex, collapse_targets, random_walks

if TYPE_CHECKING:
    from pathlib import Path

BATCH, LENGTH = 3_072, 4
NODES = {"molecule": 6_000, "gene": 4_200, "gene_expression": 1_000, "morphology": 2_100}
# Name: node type, columns, first of the type's nodes that has a row, end.
SPACES = {
    "fingerprint": ("molecule", 1024, 0, 6_000),
    "crispr": ("gene", 1111, 0, 3_000),
    "orf": ("gene", 862, 1_500, 4_200),
    "bray": ("morphology", 1783, 0, 1_200),
    "jump": ("morphology", 966, 1_200, 2_100),
    "expression": ("gene_expression", 978, 0, 1_000),
}
BITS = "fingerprint"
TOLERANCE = 1e-6
MIB = 2**20
OURS, NAN_PADDED, DENSE, BAG = "ours", "NaN-padded gather", "dense gather", "embedding_bag"

Means = dict[str, tuple[np.ndarray, np.ndarray]]
"""By space: molecules that met it, ascending, and their mean rows."""


Run = Callable[[np.ndarray, np.ndarray], Means]
"""Takes the nodes and the alpha of the walks."""


@dataclass(frozen=True)
class Space:
    """Rows of one feature space; ``row_index`` has one entry per node, -1 where it has no row."""

    row_index: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Problem:
    """Walks of a batch, and the spaces that they meet."""

    nodes: np.ndarray
    alpha: np.ndarray
    spaces: dict[str, Space]
    threads: int


def make_problem(batch: int, threads: int) -> Problem:
    """Draw the graph, its features and the walks of one batch."""
    random = np.random.default_rng(0)
    offsets = dict(zip(NODES, np.cumsum([0, *NODES.values()]), strict=False))
    total = sum(NODES.values())
    edges = []
    for one, other, count in (
        ("molecule", "molecule", 20_000),
        ("molecule", "gene", 15_000),
        ("molecule", "morphology", 2_100),
        ("molecule", "gene_expression", 1_000),
        ("gene", "gene", 60_000),
        ("morphology", "morphology", 8_000),
        ("gene_expression", "gene_expression", 4_000),
    ):
        ends = [offsets[kind] + random.integers(0, NODES[kind], count) for kind in (one, other)]
        edges.append(np.stack(ends))
    src, dst = np.concatenate(edges, axis=1)
    weight = 1 - 0.2 * random.random(len(src), dtype=np.float32)
    index = WalkIndex.from_edges(
        np.concatenate([src, dst]), np.concatenate([dst, src]), np.concatenate([weight, weight]), total
    )
    seeds = random.choice(NODES["molecule"], min(batch, NODES["molecule"]), replace=False)
    walks = random_walks(index, seeds, LENGTH, num_threads=threads)
    spaces = {}
    for name, (kind, columns, begin, end) in SPACES.items():
        row_index = np.full(total, -1, dtype=np.int64)
        row_index[offsets[kind] + np.arange(begin, end)] = random.permutation(end - begin)
        values = random.random((end - begin, columns), dtype=np.float32)
        spaces[name] = Space(row_index, np.packbits(values < 0.05, axis=1) if name == BITS else values)
    return Problem(walks.nodes, walks.alpha, spaces, threads)


def prepare_ours(problem: Problem) -> Run:
    """Give the call of our kernel."""

    def run(nodes: Any, alpha: Any) -> Means:
        means = {}
        for name, space in problem.spaces.items():
            collapsed = collapse_targets(
                nodes,
                alpha,
                space.row_index,
                space.values,
                num_bits=SPACES[name][1] if name == BITS else None,
                num_threads=problem.threads,
            )
            means[name] = (collapsed.molecule, collapsed.mean)
        return means

    return run


def _float_tables(problem: Problem) -> dict[str, Any]:
    """Give each space's rows as a float32 tensor, bits unpacked."""
    import torch

    tables = {}
    for name, space in problem.spaces.items():
        bits = name == BITS
        dense = np.unpackbits(space.values, axis=1).astype(np.float32) if bits else space.values
        tables[name] = torch.from_numpy(dense)
    return tables


def prepare_nan_padded(problem: Problem) -> Run:
    """Give the published script's way: one row per node and space, NaN where there is none."""
    import torch

    padded = {}
    for name, table in _float_tables(problem).items():
        row_index = torch.from_numpy(problem.spaces[name].row_index)
        padded[name] = torch.full((len(row_index), table.shape[1]), torch.nan)
        padded[name][row_index >= 0] = table[row_index[row_index >= 0]]

    def run(nodes: Any, alpha: Any) -> Means:
        nodes, alpha = torch.from_numpy(nodes), torch.from_numpy(alpha)
        targets = {name: table[nodes] for name, table in padded.items()}
        missing = {name: torch.isnan(target) for name, target in targets.items()}
        means = {}
        for name, target in targets.items():
            weight = alpha.unsqueeze(2).expand_as(target).masked_fill(missing[name], 0)
            total = weight.sum(dim=1)
            mean = (weight * target.nan_to_num()).sum(dim=1) / total
            met = total[:, 0] > 0
            means[name] = (met.nonzero().squeeze(1).numpy(), mean[met].numpy())
        return means

    return run


def prepare_dense(problem: Problem) -> Run:
    """Give a gather from compact tables, where a node without a row has weight 0."""
    import torch

    tables = _float_tables(problem)
    indices = {name: torch.from_numpy(space.row_index) for name, space in problem.spaces.items()}

    def run(nodes: Any, alpha: Any) -> Means:
        nodes, alpha = torch.from_numpy(nodes), torch.from_numpy(alpha)
        means = {}
        for name, table in tables.items():
            rows = indices[name][nodes]
            weight = alpha * (rows >= 0)
            total = weight.sum(dim=1)
            mean = torch.bmm(weight.unsqueeze(1), table[rows.clamp(min=0)]).squeeze(1) / total.unsqueeze(1)
            met = total > 0
            means[name] = (met.nonzero().squeeze(1).numpy(), mean[met].numpy())
        return means

    return run


def prepare_bag(problem: Problem) -> Run:
    """Give weighted sums by embedding_bag, one bag per molecule that met the space."""
    import torch
    from torch.nn.functional import embedding_bag

    tables = _float_tables(problem)
    indices = {name: torch.from_numpy(space.row_index) for name, space in problem.spaces.items()}

    def run(nodes: Any, alpha: Any) -> Means:
        nodes, alpha = torch.from_numpy(nodes), torch.from_numpy(alpha)
        means = {}
        for name, table in tables.items():
            rows = indices[name][nodes]
            present = rows >= 0
            total = (alpha * present).sum(dim=1)
            present &= (total > 0).unsqueeze(1)
            met = (total > 0).nonzero().squeeze(1)
            ends = present.sum(dim=1)[met].cumsum(dim=0)
            starts = torch.cat([ends.new_zeros(1), ends[:-1]])
            share = (alpha / total.unsqueeze(1))[present]
            mean = embedding_bag(rows[present], table, starts, mode="sum", per_sample_weights=share)
            means[name] = (met.numpy(), mean.numpy())
        return means

    return run


PREPARE = {OURS: prepare_ours, NAN_PADDED: prepare_nan_padded, DENSE: prepare_dense, BAG: prepare_bag}


def measure_memory(name: str, batch: int, threads: int) -> int:
    """Give the bytes that one call adds at its peak; to be run in a process of its own."""
    limit_threads(threads)
    problem = make_problem(batch, threads)
    run = PREPARE[name](problem)
    run(problem.nodes[:8], problem.alpha[:8])  # what is loaded once: libraries, threads, code
    release_freed()
    reset_peak()
    before = resident_bytes()
    result = run(problem.nodes, problem.alpha)
    peak = peak_bytes()
    del result
    return peak - before


def check_equal(results: dict[str, Means]) -> float:
    """Compare all with ours; give the largest difference of two entries."""
    worst = 0.0
    for name, means in results.items():
        for space, (molecule, mean) in means.items():
            own_molecule, own_mean = results[OURS][space]
            if not np.array_equal(molecule, own_molecule):
                raise SystemExit(f"{name} gives other molecules than ours in space {space}")
            worst = max(worst, float(np.abs(mean - own_mean).max(initial=0)))
            if worst > TOLERANCE:
                raise SystemExit(f"{name} differs from ours by {worst:.2g} in space {space}")
    return worst


@click.command(context_settings={"show_default": True})
@click.option("--batch", type=click.IntRange(1), default=BATCH, help="Molecules of the batch.")
@common_options
def main(batch: int, rounds: int, threads: int, json_file: Path | None) -> None:
    """Time four ways to a batch's targets, and measure the memory that each takes."""
    limit_threads(threads)
    import torch

    torch.set_num_threads(threads)
    report = Report("targets", {"batch": batch, "length": LENGTH, "rounds": rounds}, threads, json_file)
    problem = make_problem(batch, threads)
    runs = {name: prepare(problem) for name, prepare in PREPARE.items()}
    results = {name: run(problem.nodes, problem.alpha) for name, run in runs.items()}
    worst = check_equal(results)
    rows = {space: len(molecule) for space, (molecule, _) in results[OURS].items()}
    del results
    added = {}
    for name in PREPARE:
        with multiprocessing.get_context("spawn").Pool(1) as child:
            added[name] = child.apply(measure_memory, (name, batch, threads))

    def make_entry(name: str) -> Entry:
        return Entry(
            name,
            lambda: runs[name](problem.nodes, problem.alpha),
            facts=lambda _: {"memory": f"{added[name] / MIB:.1f} MiB"},
        )

    section = Section(f"a batch of {batch:,} walks of {LENGTH + 1} nodes, {len(SPACES)} spaces", OURS)
    section.full_size = batch == BATCH
    measure(section, [make_entry(name) for name in PREPARE], rounds)
    section.compare(
        [
            Ratio("NaN-padded gather / ours, time", NAN_PADDED, OURS, at_least=10),
            Ratio("dense gather / ours, time", DENSE, OURS),
            Ratio("embedding_bag / ours, time", BAG, OURS),
        ]
    )
    section.figures |= {"memory_bytes": added, "largest_difference": worst, "rows": rows}
    held = added[NAN_PADDED] / added[OURS]
    asked = f" (at least 10 asked: {'met' if held >= 10 else 'MISSED'})" if section.full_size else ""
    section.notes += [
        f"NaN-padded gather / ours, memory: {held:.2f}{asked}",
        f"rows, by space: {', '.join(f'{space} {count:,}' for space, count in rows.items())}",
        f"all equal: the largest difference is {worst:.1e}, {TOLERANCE:g} allowed",
    ]
    report.add(section)


if __name__ == "__main__":
    sys.exit(main())
