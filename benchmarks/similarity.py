"""Similar pairs among all pairs of rows: fingerprints, and dense rows.

Fingerprints: the parseable molecules of the JUMP production compounds (Morgan, radius 2, 1,024 bits), ours
beside FPSim2's symmetric distance matrix and RDKit's `BulkTanimotoSimilarity`, timed on some rows and
scaled up. The first run computes the fingerprints and FPSim2's file, later ones find both at ``--cache``.

Dense: 128,935 x 966 rows of a fixed generator, clusters of 10 around 12,894 Gaussian centres, with such
noise that about half of the pairs within a cluster pass cosine 0.8; beside the plain blocked float32
`torch.mm` alone, which finds no pairs. Pairs among the first rows are checked against a float64 product of
all of them.

Run it with::

    python benchmarks/similarity.py --data-root ../shared/data --json similarity.json
    python benchmarks/similarity.py --only dense --rows 20000
"""

from __future__ import annotations

import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import _similarity_peers as peers
import click
import numpy as np
from _harness import Entry, Ratio, Report, Section, build_peer, common_options, data_root_option, measure
from _machine import allow_wide_vectors, limit_threads, peak_bytes, reset_peak, resident_bytes

from infoalign_dgl.context import similar_pairs

if TYPE_CHECKING:
    from pathlib import Path

RADIUS, NUM_BITS = 2, 1024
WORDS = NUM_BITS // 64
COSINE, TANIMOTO = 0.8, 0.7
EXPECTED_ROWS, EXPECTED_PAIRS = 116_667, 52_178
DENSE_ROWS, DENSE_COLUMNS, CLUSTER = 128_935, 966, 10
NOISE = 0.5  # cosine 1 / (1 + 0.5^2) = 0.8 in the mean
CHECKED_ROWS = 20_000
GIB = 2**30

OUR_COSINE, OUR_TANIMOTO = "ours, cosine >= 0.8", "ours, Tanimoto >= 0.7"
OUR_DENSE, PRODUCT = "ours, cosine >= 0.8", "torch.mm alone, pairs i <= j"


def time_fingerprints(data_root: Path, limit: int | None, cache: Path, rounds: int, threads: int) -> Section:
    """Compare ours with FPSim2 and RDKit."""
    table = peers.load_fingerprints(data_root, limit, cache, RADIUS, NUM_BITS)
    section = Section(f"{len(table.packed):,} fingerprints of {NUM_BITS:,} bits", OUR_COSINE)
    section.full_size = limit is None
    count = len(table.packed)

    def ours(metric: str, threshold: float) -> Any:
        return similar_pairs(table.packed, metric=metric, threshold=threshold, num_threads=threads)

    entries = [
        Entry(OUR_COSINE, lambda: ours("cosine", COSINE), facts=count_pairs),
        Entry(OUR_TANIMOTO, lambda: ours("tanimoto", TANIMOTO), facts=count_pairs),
    ]
    for names, build in (
        (peers.FPSIM2_NAMES, lambda: peers.fpsim2_entries(table, threads, TANIMOTO, COSINE)),
        ([peers.RDKIT], lambda: peers.rdkit_entries(table, TANIMOTO)),
    ):
        built, skipped = build_peer(names, build)
        entries += built
        section.skipped += skipped
    measure(section, entries, rounds)
    section.compare(
        [
            Ratio("FPSim2, Tanimoto / ours, cosine", peers.FPSIM2_TANIMOTO, OUR_COSINE, at_least=10),
            Ratio("FPSim2, Tanimoto / ours, Tanimoto", peers.FPSIM2_TANIMOTO, OUR_TANIMOTO),
            Ratio("FPSim2, cosine / ours, cosine", peers.FPSIM2_COSINE, OUR_COSINE),
            Ratio("RDKit, scaled up / ours, Tanimoto", peers.RDKIT, OUR_TANIMOTO),
        ]
    )
    found = {timing.name: timing.facts.get("pairs") for timing in section.timings}
    section.figures["pairs"] = found
    if limit is None:
        right = (count, found[OUR_COSINE]) == (EXPECTED_ROWS, EXPECTED_PAIRS)
        section.figures["expected_pairs"] = EXPECTED_PAIRS
        section.notes.append(
            f"pairs: {found[OUR_COSINE]:,} of {count:,} rows at cosine >= 0.8; {EXPECTED_PAIRS:,} of "
            f"{EXPECTED_ROWS:,} expected: {'met' if right else 'MISSED'}"
        )
    roofline(table.packed, section, threads)
    return section


def count_pairs(result: Any) -> dict[str, int]:
    """Give the number of pairs of ours."""
    return {"pairs": len(result[0])}


def roofline(packed: np.ndarray, section: Section, threads: int) -> None:
    """Say how many words there are to compare, and how many this machine compares per second."""
    import _probes

    rate = _probes.popcounts(threads)
    count = len(packed)
    every, bounded = count * (count - 1) // 2, pairs_within_bound(packed)
    ours = section.median(OUR_COSINE) or float("nan")
    section.figures |= {
        "words_per_second": rate,
        "pairs_in_all": every,
        "pairs_within_bound": bounded,
        "floor_without_pruning_seconds": WORDS * every / rate,
        "floor_with_bound_seconds": WORDS * bounded / rate,
    }
    section.notes += [
        f"roofline: {threads} threads AND and count {rate / 1e9:.1f} G words/s; all {every:,} pairs are "
        f"{WORDS * every:,} words: {WORDS * every / rate:.2f} s",
        f"roofline: the numbers of set bits let {bounded:,} pairs ({bounded / every:.0%}) reach cosine 0.8: "
        f"{WORDS * bounded / rate:.2f} s in full; ours, cosine, takes {ours:.2f} s, time for "
        f"{ours * rate / max(bounded, 1):.1f} of the {WORDS} words of each",
    ]


def pairs_within_bound(packed: np.ndarray) -> int:
    """Count the pairs with a <= b set bits where even a common bits are enough: a / sqrt(a b) >= 0.8."""
    bits = np.bincount(np.bitwise_count(packed).sum(axis=1, dtype=np.int64), minlength=NUM_BITS + 1)
    least = Fraction(4, 5) ** 2
    total = 0
    for few in (np.flatnonzero(bits[1:]) + 1).tolist():
        most = min(int(few / least), NUM_BITS)
        same = int(bits[few])
        total += same * (same - 1) // 2 + same * int(bits[few + 1 : most + 1].sum())
    return total


def make_rows(count: int) -> np.ndarray:
    """Draw (count, 966) float32 rows: clusters of ten neighbours around Gaussian centres."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((-(-count // CLUSTER), DENSE_COLUMNS), dtype=np.float32)
    rows = np.empty((count, DENSE_COLUMNS), dtype=np.float32)
    for begin in range(0, count, 10_000):
        block = rows[begin : begin + 10_000]
        random.standard_normal(dtype=np.float32, out=block)
        block *= NOISE
        block += centres[(begin + np.arange(len(block))) // CLUSTER]
    return rows


def time_dense(count: int, rounds: int, threads: int) -> Section:
    """Compare ours with the matrix products that a plain search could not do without."""
    rows = make_rows(count)
    section = Section(f"{count:,} x {DENSE_COLUMNS} dense rows", OUR_DENSE, full_size=count == DENSE_ROWS)
    kept: dict[str, Any] = {}
    few = rows[: min(count, 4096)]

    def ours() -> Any:
        reset_peak()
        kept["before"] = resident_bytes()
        kept["pairs"] = similar_pairs(rows, metric="cosine", threshold=COSINE, num_threads=threads)
        kept["peak"] = peak_bytes()
        return kept["pairs"]

    product = peers.BlockedProduct(rows)
    entries = [
        Entry(
            OUR_DENSE,
            ours,
            warm_up=lambda: similar_pairs(few, metric="cosine", threshold=COSINE, num_threads=threads),
            facts=count_pairs,
        ),
        Entry(
            PRODUCT,
            product.run,
            f"blocks of {product.block:,} on and above the diagonal; keeps nothing",
            warm_up=lambda: peers.BlockedProduct(few).run(),
        ),
    ]
    measure(section, entries, rounds)
    section.compare([Ratio("torch.mm alone / ours", PRODUCT, OUR_DENSE, at_least=1)])
    alone = section.median(PRODUCT) or float("nan")
    section.figures |= {
        "full_product_scaled_seconds": alone * product.full_share,
        "gflops": product.flops / alone / 1e9,
        "peak_bytes": kept["peak"],
        "resident_before_bytes": kept["before"],
        "rows_bytes": rows.nbytes,
    }
    section.notes += [
        f"torch.mm: {product.flops / alone / 1e9:.0f} GFLOP/s; the full square, scaled up: "
        f"{alone * product.full_share:.1f} s",
        f"memory: the process peaks at {kept['peak'] / GIB:.2f} GiB during ours; before it, it has "
        f"{kept['before'] / GIB:.2f} GiB, the rows alone {rows.nbytes / GIB:.2f} GiB; under 4 GiB asked: "
        f"{'met' if kept['peak'] < 4 * GIB else 'MISSED'}",
    ]
    check_dense(rows[:CHECKED_ROWS], kept["pairs"], section)
    return section


def check_dense(rows: np.ndarray, pairs: tuple[np.ndarray, ...], section: Section) -> None:
    """Compare with the float64 product of the first rows; within the clusters, say how many pairs pass."""
    begin = time.perf_counter()
    i, j, _ = pairs
    among = (i < len(rows)) & (j < len(rows))
    expected = peers.brute_force(rows, COSINE)
    same = np.array_equal(expected, i[among] * len(rows) + j[among])
    whole = len(rows) // CLUSTER * CLUSTER
    inside = whole * (CLUSTER - 1) // 2
    passing = int(((expected // len(rows) < whole) & (expected % len(rows) < whole)).sum())
    section.figures |= {"checked_rows": len(rows), "checked_pairs": len(expected), "check_equal": same}
    section.notes.append(
        f"check: among the first {len(rows):,} rows the float64 product finds {len(expected):,} pairs "
        f"({passing / max(inside, 1):.0%} of those within clusters), ours {int(among.sum()):,}: "
        f"{'the same' if same else 'NOT THE SAME'} ({time.perf_counter() - begin:.0f} s)"
    )
    if not same:
        raise SystemExit("the pairs of the first rows differ from the float64 product's")


@click.command(context_settings={"show_default": True})
@click.option("--only", type=click.Choice(["fingerprints", "dense"]), help="Leave the other one out.")
@data_root_option
@click.option("--cache", type=click.Path(), help="Fingerprints, .npy; by default a temporary file.")
@click.option("--limit", type=click.IntRange(2), help="First molecules of the table only, for a try.")
@click.option("--rows", type=click.IntRange(2), default=DENSE_ROWS, help="Dense rows.")
@common_options
def main(
    only: str | None,
    data_root: Path | None,
    cache: str | None,
    limit: int | None,
    rows: int,
    rounds: int,
    threads: int,
    json_file: Path | None,
) -> None:
    """Time the search for similar pairs: ours and every peer that is installed."""
    limit_threads(threads)
    allow_wide_vectors()
    import torch

    torch.set_num_threads(threads)
    settings = {"only": only or "both", "limit": limit or "none", "dense rows": rows, "rounds": rounds}
    report = Report("similarity", settings, threads, json_file)
    if only != "dense":
        if data_root is None:
            raise click.UsageError("--data-root, or INFOALIGN_DATA, must name the folder that holds context/")
        place = peers.cache_file(cache, limit)
        report.add(time_fingerprints(data_root, limit, place, rounds, threads))
    if only != "fingerprints":
        report.add(time_dense(rows, rounds, threads))


if __name__ == "__main__":
    sys.exit(main())
