"""Building the graph of the public data, stage by stage, against what its stages cannot do without.

``examples/public.toml``: the 116,753 JUMP production compounds with all of the public context. Floors are
measured in the same run, with as many processes: unpacking the tables; reading every structure with RDKit
and doing nothing with it; reading every standardized SMILES; and the checksums of the folder's files.

Then some of the compounds are taken away and come back: an update, which must give the folder that the build
gave. Where a file differs, the exit status is 1.

Run it with::

    python benchmarks/build.py --data-root ../shared/data --json build.json
"""

from __future__ import annotations

import gzip
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from _build_floors import floors, timed
from _harness import Ratio, Report, Section, Timing, data_root_option, machine_options
from _machine import limit_threads

SPEC = Path(__file__).resolve().parents[1] / "examples" / "public.toml"
COMPOUNDS = "molecules/jump_compounds.csv.gz"
MOST_SECONDS = 180.0
BUILD, FLOORS, LIMIT, UPDATE = "all stages", "all floors", "3 minutes", "update"


class Stages:
    """A progress callback that keeps the seconds from each stage's first call to the next one's."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = "", 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self._stage:
            self.close()
            self._stage, self._since = stage, time.perf_counter()

    def close(self) -> None:
        if self._stage:
            now = time.perf_counter()
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
            self._stage = ""


def without_some(data: Path, target: Path, count: int) -> Path:
    """A data root like ``data``, without the last compounds of the JUMP table."""
    shutil.copytree(data, target, copy_function=lambda source, name: Path(name).symlink_to(source))
    lines = gzip.decompress((data / COMPOUNDS).read_bytes()).splitlines(keepends=True)
    (target / COMPOUNDS).unlink()
    (target / COMPOUNDS).write_bytes(gzip.compress(b"".join(lines[:-count]), 1))
    return target


def first_difference(one: Path, other: Path) -> str | None:
    """Name a file in which two graph folders differ; DGL never has the same bytes, so its edges count."""
    from infoalign_dgl.context import EDGE_TYPES, ContextGraph

    sums = [dict(reversed(line.split("  ")) for line in (p / "SHA256SUMS").read_text().splitlines())
            for p in (one, other)]  # fmt: skip
    for name in sorted(sums[0].keys() | sums[1].keys()):
        if name != "heterograph.bin" and sums[0].get(name) != sums[1].get(name):
            return name
    graphs = [ContextGraph.load(path, verify=False) for path in (one, other)]
    for kind in EDGE_TYPES:
        for left, right in zip(*(graph.edges(kind) for graph in graphs), strict=True):
            if not np.array_equal(left, right):
                return f"heterograph.bin, edges {kind}"
    return None


def timing(name: str, seconds: float, note: str = "") -> Timing:
    return Timing(name, note, 0.0, [seconds], 1, 1.0, {})


@click.command(context_settings={"show_default": True})
@data_root_option
@click.option("--new", type=click.IntRange(1), default=1_000, help="Compounds that the update brings.")
@machine_options
def main(data_root: Path | None, new: int, threads: int, json_file: Path | None) -> None:
    """Time a build of the public graph and its floors, and an update."""
    if data_root is None:
        raise click.UsageError("--data-root, or INFOALIGN_DATA, must name the folder that holds context/")
    limit_threads(threads)
    from infoalign_dgl.context.build import build_to_folder
    from infoalign_dgl.context.means import Means
    from infoalign_dgl.context.update import update_graph

    data = data_root.absolute() / "context"
    report = Report("build", {"spec": SPEC.name, "new": new}, threads, json_file)
    with tempfile.TemporaryDirectory(prefix="infoalign-build-") as made:
        folder = Path(made)
        stages = Stages()
        means = Means(num_workers=threads, progress=stages)
        total = timed(lambda: build_to_folder(SPEC, folder / "all", data_root=data, means=means))
        stages.close()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        least = floors(SPEC, data, folder / "all", threads)

        section = Section("Stages of a build of the public graph, with their floors", BUILD)
        section.full_size = threads == 2
        for name, seconds in stages.seconds.items():
            note = f"floor {least[name]:.1f} s" if name in least else ""
            section.timings.append(timing(name, seconds, note))
        section.timings += [
            timing(BUILD, total), timing(FLOORS, sum(least.values())), timing(LIMIT, MOST_SECONDS)
        ]  # fmt: skip
        section.compare(
            [
                Ratio("stages / their floors", BUILD, FLOORS),
                Ratio("build / 3 minutes", BUILD, LIMIT, at_most=1),
            ]
        )
        section.figures |= {"floors": least, "peak_gib": peak}
        section.notes.append(f"peak memory {peak:.2f} GiB, that of worker processes not counted")
        report.add(section)

        fewer = without_some(data, folder / "fewer", new)
        update_graph(folder / "all", SPEC, folder / "old", data_root=fewer, means=Means(num_workers=threads))
        stages = Stages()
        means = Means(num_workers=threads, progress=stages)
        begin = time.perf_counter()
        _, reuse = update_graph(folder / "old", SPEC, folder / "new", data_root=data, means=means)
        seconds = time.perf_counter() - begin
        stages.close()
        section = Section(f"Update by {new:,} compounds", UPDATE)
        section.timings += [timing(name, value) for name, value in stages.seconds.items()]
        section.timings += [timing(UPDATE, seconds), timing(BUILD, total)]
        section.compare([Ratio("build / update", BUILD, UPDATE)])
        section.figures["taken"] = reuse.taken
        section.notes += [
            f"{taken:,} of {of:,} {what} taken over" for what, (taken, of) in reuse.taken.items()
        ]
        difference = first_difference(folder / "all", folder / "new")
        section.notes.append(
            f"the folders differ in {difference}" if difference else "every file as a fresh build writes it"
        )
        report.add(section)
    if difference is not None:
        sys.exit(1)


if __name__ == "__main__":
    main()
