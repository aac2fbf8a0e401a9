"""A graph of the paper's size: written, read with its features on disk, and pretrained on.

129,592 molecules, 4,533 genes, 13,795 gene expression and 128,935 morphology nodes, 366,384 edges, feature
spaces of 1783, 966, 978, 1111 and 862 columns beside the fingerprints. Structures are real ones, repeated
where there are too few (some simulated ones, repeated, without a data folder); edges and features are drawn
from a seed. Features go to disk some rows at a time and are never in memory as a whole. Both halves run in
processes of their own, whose memory is watched: all that is resident, and that without the pages of files,
which the system may drop whenever it likes.

Run it with::

    python benchmarks/paper_size.py -o FOLDER --data-root ../shared/data --json paper_size.json
"""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path
from typing import Any

import click
from _harness import Report, Section, Timing, data_root_option, machine_options
from _machine import limit_threads
from _processes import running

WRITING, FIRST, STEP = "writing the graph", "until the first step", "a step"
LEAVE_OUT = 5
GIB = 2**30


def _row(name: str, seconds: list[float], peaks: tuple[int, int] | None = None, **facts: str) -> Timing:
    if peaks is not None:
        facts["peak memory"] = f"{peaks[0] / GIB:.2f} GiB, of which no file's {peaks[1] / GIB:.2f}"
    return Timing(name, "", 0.0, seconds, 1, 1.0, facts)


@click.command(context_settings={"show_default": True})
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="New folder for graph and run."
)
@data_root_option
@click.option("--scale", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Share of all sizes.")
@click.option("--float16", is_flag=True, help="Keep features in half precision.")
@click.option("--batch-size", type=click.IntRange(2), default=256, help="Molecules per step.")
@click.option("--hidden", type=click.IntRange(1), default=300, help="Width of the encoder.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", help="Of products.")
@click.option("--steps", type=click.IntRange(LEAVE_OUT + 2), default=100, help="Steps to pretrain.")
@machine_options
def main(
    output: Path, data_root: Path | None, scale: float, float16: bool, batch_size: int, hidden: int,
    precision: str, steps: int, threads: int, json_file: Path | None,
) -> None:  # fmt: skip
    """Write a graph of the paper's size and pretrain on it."""
    limit_threads(threads)
    settings: dict[str, Any] = {"scale": scale, "float16": float16, "batch": batch_size, "hidden": hidden}
    settings |= {"precision": precision, "steps": steps, "structures": "real" if data_root else "simulated"}
    report = Report("paper_size", settings, threads, json_file)
    output.mkdir(parents=True)
    with running("_paper_graph.py") as worker:
        click.echo("  writing the graph", err=True)
        written = worker.ask(
            "write", folder=str(output), data_root=data_root and str(data_root), scale=scale, float16=float16
        )
        write_peaks = (worker.peak_bytes, worker.peak_anonymous_bytes)
    with running("_pretrain_worker.py") as worker:
        click.echo("  pretraining", err=True)
        loaded = worker.ask("load", graph=str(output / "graph"), scratch=str(output))
        trained = worker.ask(
            "steps",
            count=steps,
            leave_out=LEAVE_OUT,
            batch_size=batch_size,
            hidden=hidden,
            precision=precision,
        )
        train_peaks = (worker.peak_bytes, worker.peak_anonymous_bytes)
    section = Section(
        f"a graph of {loaded['nodes']:,} nodes and {loaded['edges']:,} edges, "
        f"{written['feature_bytes'] / GIB:.2f} GiB of features on disk", STEP, full_size=scale == 1,
    )  # fmt: skip
    seconds = trained["seconds"]
    rate = f"{batch_size / statistics.median(seconds):,.0f}"
    section.timings += [
        _row(WRITING, [written["request_seconds"]], write_peaks),
        _row(FIRST, [trained["until_first_seconds"]]),
        _row(STEP, seconds, train_peaks, **{"molecules/s": rate}),
    ]
    section.figures |= {"writing": written, "loading": loaded, "pretraining": trained}
    section.figures["peak_bytes"] = {WRITING: write_peaks[0], STEP: train_peaks[0]}
    whole = trained["request_seconds"]
    section.notes += [
        f"read in {loaded['request_seconds']:.1f} s; {steps} steps, featurizing the molecules and the last "
        f"validation and checkpoint included: {whole:.0f} s, {steps * batch_size / whole:,.0f} molecules/s",
    ]
    report.add(section)
    shutil.rmtree(output / "runs")


if __name__ == "__main__":
    main()
