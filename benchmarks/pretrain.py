"""Pretraining: ours and, where a checkout of it is given, the published implementation.

Both read the same tables, simulated ones in the published raw layout over real structures (simulated
structures without a data folder): 6,000 molecules, a graph of 13,300 nodes, six feature spaces of 1024, 1111,
862, 1783, 966 and 978 columns. Each side runs in a process of its own that builds its graph once and then
trains a few steps at a time, in turn with the others, so that whatever else the machine does hits all alike.
A step is timed from the end of one optimizer step to the end of the next, on both sides from outside; its
first steps are left out of a round. The model is the published one (GIN with a virtual node, 5 layers of 300,
dropout 0.5), so are walk length and losses (`loss="reference"`); `balanced` stands beside it.

Memory is the most that was resident in a side's processes while they built the graph and trained.

Without a checkout, only our side is timed. Either way the program says what of a step is matrix products
(measured by torch's profiler; and predicted, each product timed alone on this machine), and what of it is
spent outside the network: walks, targets, the batch's molecules, and waiting for them.

The published implementation has no licence and is not part of this project: give a folder that holds it. It
needs what `requirements.txt` lists.

Run it with::

    python benchmarks/pretrain.py --reference CHECKOUT --data-root ../shared/data --json pretrain.json
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from _harness import Ratio, Report, Section, Skipped, Timing, common_options, data_root_option
from _machine import limit_threads
from _processes import Worker, WorkerError, running
from _products import as_step, matrix_units
from _reference_data import FULL_SIZE, structures, write_reference_data
from _where import BACKGROUND, NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _products import Shape, Step
    from _reference_data import Sizes

PUBLISHED = "published, fp32"
OURS, OURS_BF16 = "ours, reference loss, fp32", "ours, reference loss, bf16"
BALANCED, BALANCED_BF16 = "ours, balanced loss, fp32", "ours, balanced loss, bf16"
VARIANTS = {
    OURS: {"loss": "reference", "precision": "fp32"},
    OURS_BF16: {"loss": "reference", "precision": "bf16"},
    BALANCED: {"loss": "balanced", "precision": "fp32"},
    BALANCED_BF16: {"loss": "balanced", "precision": "bf16"},
}
A_STEP, OUTSIDE = "a step", "outside the network"
LEAVE_OUT = 3  # steps of a round that are not counted: allocations, and libraries that look for their best
LARGE = 4_096
GIB = 2**30


@dataclass(frozen=True)
class Problem:
    """What both sides train, and for how long at a time."""

    data: Path
    scratch: Path
    sizes: Sizes
    batch: int
    hidden: int
    layers: int
    steps: int
    full_size: bool

    @property
    def shape(self) -> dict[str, int]:
        """Settings that both sides take."""
        return {"batch_size": self.batch, "walk_length": 4, "hidden": self.hidden, "layers": self.layers}

    @property
    def work(self) -> dict[str, int]:
        """Steps of a round."""
        return {"count": self.steps + LEAVE_OUT + 1, "leave_out": LEAVE_OUT}

    def variant(self, name: str) -> dict[str, Any]:
        """Settings of one of ours."""
        return {**self.shape, "dropout": 0.5, "holdout": 0.0, **VARIANTS[name]}


def start_published(
    stack: ExitStack, checkout: Path | None, problem: Problem, section: Section
) -> Worker | None:
    """Let the published implementation build its graph; where that fails, say why."""
    if checkout is None:
        reason = "no checkout given: --reference"
    else:
        click.echo("  building: published", err=True)
        worker = stack.enter_context(running("_reference_worker.py", checkout))
        try:
            scratch = problem.scratch / "published"
            built = worker.ask("build", data=str(problem.data), scratch=str(scratch), **problem.shape)
            worker.ask("steps", **problem.work)
        except WorkerError as error:
            reason = f"does not work here: {error}"
        else:
            section.figures["published_graph"] = built
            return worker
    section.skipped.append(Skipped(PUBLISHED, reason))
    return None


def compare(problem: Problem, checkout: Path | None, rounds: int, ours: Worker) -> Section:
    """Time training steps of both sides in turn, and compare what they hold in memory."""
    sizes = problem.sizes
    section = Section(
        f"pretraining on {sizes.molecules:,} molecules, {sizes.nodes:,} nodes: batches of {problem.batch}, "
        f"L=4, GIN with virtual node {problem.layers} x {problem.hidden}",
        OURS, problem.batch, "molecules", problem.full_size,
    )  # fmt: skip
    peaks = {}
    with ExitStack() as stack:
        click.echo("  building: ours", err=True)
        section.figures["our_graph"] = ours.ask("build", data=str(problem.data), scratch=str(problem.scratch))
        ours.ask("steps", **problem.work, **problem.variant(OURS))
        peaks[OURS] = ours.peak_bytes
        published = start_published(stack, checkout, problem, section)
        taken: dict[str, list[list[float]]] = {name: [] for name in VARIANTS}
        if published is not None:
            peaks[PUBLISHED] = published.peak_bytes
            taken = {PUBLISHED: [], **taken}
        for number in range(rounds):
            click.echo(f"  round {number + 1} of {rounds}", err=True)
            for name in random.Random(number).sample(list(taken), len(taken)):
                if name == PUBLISHED:
                    assert published is not None
                    answer = published.ask("steps", **problem.work)
                else:
                    answer = ours.ask("steps", **problem.work, **problem.variant(name))
                taken[name].append(answer["seconds"])
    for name, found in taken.items():
        section.timings.append(steps_timing(name, found, peaks.get(name)))
    section.compare(
        [
            Ratio("published / ours, fp32", PUBLISHED, OURS, at_least=2.5),
            Ratio("published fp32 / ours, bf16", PUBLISHED, OURS_BF16, at_least=5),
            Ratio("published / ours, balanced loss, fp32", PUBLISHED, BALANCED),
            Ratio("ours, fp32 / bf16", OURS, OURS_BF16),
        ]
    )
    section.figures["peak_bytes"] = peaks
    if PUBLISHED in peaks:
        share = peaks[OURS] / peaks[PUBLISHED]
        verdict = f" (at most 0.3 asked: {'met' if share <= 0.3 else 'MISSED'})" if problem.full_size else ""
        section.notes.append(
            f"ours / published, peak memory of building and pretraining: {share:.2f}{verdict}"
        )
    built = {side: section.figures[key]["request_seconds"]
             for side, key in (("ours", "our_graph"), ("published", "published_graph"))
             if key in section.figures}  # fmt: skip
    section.notes.append(
        "graph built in: " + ", ".join(f"{seconds:.1f} s by {side}" for side, seconds in built.items())
    )
    return section


def steps_timing(name: str, rounds: list[list[float]], peak: int | None) -> Timing:
    """Put all steps of all rounds together; say how much the rounds differ."""
    medians = sorted(statistics.median(found) for found in rounds)
    facts = {"rounds' medians": f"{medians[0]:.3f} to {medians[-1]:.3f} s"}
    if peak is not None:
        facts["peak memory"] = f"{peak / GIB:.2f} GiB"
    return Timing(name, "", 0.0, [s for found in rounds for s in found], 1, 1.0, facts)


def where(problem: Problem, ours: Worker) -> Section:
    """Say where the time of our steps goes."""
    click.echo("  looking where the time goes", err=True)
    found = ours.ask("where", **problem.work, **problem.variant(OURS))
    step = found["seconds"] / found["steps"]
    cores = len(os.sched_getaffinity(0))
    section = Section(f"where a step goes: {OURS}", A_STEP, full_size=problem.full_size)

    def row(name: str, share: float, note: str = "") -> None:
        if share > 0:
            facts = {"share": f"{share:.1%}"}
            section.timings.append(Timing(name, note, 0.0, [share * step], 1, 1.0, facts))

    row(A_STEP, 1.0, f"{found['steps']} steps, {found['looks']} looks at the training thread")
    shares = dict(sorted(found["shares"].items(), key=lambda item: -item[1]))
    for name, share in shares.items():
        row(name, share)
    # Of the processors' time in a step; what they do for others, the network's products wait for.
    background = found["background_seconds"] / (found["seconds"] * cores)
    row(BACKGROUND, background, f"threads that prepare batches: share of {cores} processors' time")
    outside = background + sum(share for name, share in shares.items() if name not in NETWORK)
    row(OUTSIDE, max(outside, 1e-9), "all but forward, backward and optimizer")
    section.compare([Ratio("share of a step outside the network", OUTSIDE, A_STEP, at_most=0.05)])
    section.figures |= found
    return section


def products(problem: Problem, ours: Worker, name: str, dtype: str) -> Section:
    """Say what share of a step is matrix products, and what they would take alone on this machine."""
    click.echo(f"  matrix products: {name}", err=True)
    step = as_step(ours.ask("products", **problem.work, **problem.variant(name)))
    large = LARGE if problem.full_size else LARGE // 16
    shapes: list[Shape] = [*step.shapes, (large, large, large)]
    alone = dict(zip(shapes, ours.ask("rates", shapes=shapes, dtype=dtype)["seconds"], strict=True))
    section = Section(f"matrix products of a step: {name}", A_STEP, full_size=problem.full_size)
    section.timings.append(Timing(A_STEP, "while it was profiled", 0.0, [step.seconds], 1, 1.0, {}))
    by_time = sorted(step.shapes, key=lambda shape: -alone[shape] * step.shapes[shape])
    for shape in by_time[:8]:
        section.timings.append(product_timing(shape, alone[shape], step.shapes[shape]))
    section.timings.append(product_timing(shapes[-1], alone[shapes[-1]], 0))
    predicted = sum(alone[shape] * count for shape, count in step.shapes.items())
    section.figures |= product_figures(step, predicted, alone[shapes[-1]], large)
    figures = section.figures
    section.notes += [
        f"a step multiplies {step.flops / 1e9:,.1f} GFLOP: {predicted:.3f} s each product alone "
        f"({figures['own_rate'] / 1e9:,.0f} GFLOP/s), {figures['at_large_rate']:.3f} s at the rate of "
        f"{large} x {large}",
        f"share of the step: {step.product_seconds / step.seconds:.0%} measured, "
        f"{predicted / step.seconds:.0%} predicted",
        f"the products alone would allow {problem.batch / predicted:,.0f} molecules/s",
        "longest beside them: "
        + ", ".join(f"{key} {seconds / step.seconds:.1%}" for key, seconds in step.others.items()),
    ]
    if dtype == "bfloat16":
        units = matrix_units()
        section.notes.append(
            f"this processor's bfloat16 instructions: {', '.join(units) or 'none'}"
            + ("" if "amx_bf16" in units else "; it has no AMX, which bf16 products need to be faster")
        )
    return section


def product_timing(shape: Shape, seconds: float, count: float) -> Timing:
    """One shape's row: how fast it is alone, and how often a step has it."""
    m, k, n = shape
    facts: dict[str, Any] = {"GFLOP/s": f"{2 * m * k * n / seconds / 1e9:,.0f}"}
    if count:
        facts["in a step"] = f"{count:g} times"
    return Timing(f"{m} x {k} x {n}", "" if count else "for its rate", 0.0, [seconds], 1, 1.0, facts)


def product_figures(step: Step, predicted: float, large_seconds: float, large: int) -> Mapping[str, float]:
    """Figures of the products for the JSON file."""
    large_rate = 2 * large**3 / large_seconds
    return {
        "flops": step.flops,
        "step_seconds": step.seconds,
        "product_seconds": step.product_seconds,
        "predicted_seconds": predicted,
        "own_rate": step.flops / predicted,
        "large_rate": large_rate,
        "at_large_rate": step.flops / large_rate,
    }


@click.command(context_settings={"show_default": True})
@click.option(
    "--reference",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Checkout of the published implementation.",
)
@data_root_option
@click.option("--molecules", type=click.IntRange(min=200), default=FULL_SIZE, help="Molecules of the graph.")
@click.option("--batch-size", type=click.IntRange(2), default=256, help="Molecules per step.")
@click.option("--hidden", type=click.IntRange(1), default=300, help="Width of the encoder.")
@click.option("--layers", type=click.IntRange(2), default=5, help="Message passing layers.")
@click.option("--steps", type=click.IntRange(1), default=8, help="Steps that count in a round.")
@common_options
def main(
    reference: Path | None, data_root: Path | None, molecules: int, batch_size: int, hidden: int, layers: int,
    steps: int, rounds: int, threads: int, json_file: Path | None,
) -> None:  # fmt: skip
    """Time pretraining, and say where a step's time goes."""
    limit_threads(threads)
    if (steps + LEAVE_OUT + 1) * batch_size > molecules:
        most = molecules // batch_size - LEAVE_OUT - 1
        raise click.BadParameter(f"an epoch has full batches for {most}", param_hint="--steps")
    settings = {"molecules": molecules, "batch": batch_size, "hidden": hidden, "layers": layers}
    settings |= {"steps": steps, "rounds": rounds, "structures": "real" if data_root else "simulated"}
    report = Report("pretrain", settings, threads, json_file)
    full_size = (molecules, batch_size, hidden, layers) == (FULL_SIZE, 256, 300, 5)
    with tempfile.TemporaryDirectory() as folder, running("_pretrain_worker.py") as ours:
        scratch = Path(folder)
        sizes = write_reference_data(scratch / "data", structures(data_root, molecules))
        problem = Problem(scratch / "data", scratch, sizes, batch_size, hidden, layers, steps, full_size)
        report.add(compare(problem, reference and reference.resolve(), rounds, ours))
        report.add(where(problem, ours))
        report.add(products(problem, ours, OURS, "float32"))
        report.add(products(problem, ours, OURS_BF16, "bfloat16"))


if __name__ == "__main__":
    main()
