"""Whether pretraining in bf16 costs anything downstream: the demo's comparison, fp32 against bf16.

For each seed the demo's graph is pretrained on twice, from the same first weights, batches, walks and noise,
once in each precision. Both embeddings of the molecules that the graph does not contain are then asked for
mechanisms from few labels, on the same splits. The difference is paired by seed, and its 95 % interval is a
Student t interval over seeds.

Run it with::

    python benchmarks/precision.py --json precision.json
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
from _harness import Report, Section, Timing, common_options
from _machine import limit_threads

if TYPE_CHECKING:
    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.demo import DemoConfig

PRECISIONS = ("fp32", "bf16")
WITHIN = 0.01  # what the interval of the difference must stay within


@click.command()
@common_options
@click.option("--seeds", type=click.IntRange(2), default=10, show_default=True, help="Pretraining seeds.")
@click.option("--molecules", type=int, default=None, help="Molecules to simulate; the demo's by default.")
@click.option("--epochs", type=int, default=None, help="Epochs of pretraining; the demo's by default.")
def main(
    json_file: Path | None, threads: int, rounds: int, seeds: int, molecules: int | None, epochs: int | None
) -> None:
    """Pretrain in both precisions, and compare what the embeddings predict."""
    del rounds  # seeds take their place
    limit_threads(threads)
    from infoalign_dgl.context import build_from_rows
    from infoalign_dgl.demo import DemoConfig, held_out_molecules, without_molecules
    from infoalign_dgl.evaluation.fewlabel import compare_few_label
    from infoalign_dgl.evaluation.statistics import t_interval
    from infoalign_dgl.sources.simulate import simulate
    from infoalign_dgl.sources.simulated import simulation_rows

    demo = DemoConfig()
    full_size = (molecules or demo.num_molecules) == demo.num_molecules and epochs is None
    demo = dataclasses.replace(
        demo,
        num_molecules=molecules or demo.num_molecules,
        pretraining=dataclasses.replace(demo.pretraining, epochs=epochs or demo.pretraining.epochs),
    )
    report = Report("precision", {"molecules": demo.num_molecules, "seeds": seeds}, threads, json_file)
    simulation = simulate(demo.num_molecules)
    test = held_out_molecules(simulation, demo.test_share)
    seen = without_molecules(simulation, set(simulation.molecules["id"][test]))
    graph = build_from_rows(simulation_rows(seen))
    smiles = simulation.molecules["smiles"][test].tolist()
    section = Section(
        f"The demo, pretrained {seeds} times in each precision", "fp32", full_size=full_size and seeds >= 10
    )
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    auc: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for seed in range(seeds):
        methods = {}
        for precision in PRECISIONS if seed % 2 else reversed(PRECISIONS):
            methods[precision], took = _embedding(graph, demo, precision, seed, smiles)
            seconds[precision].append(took)
        table = compare_few_label(
            methods,
            simulation.labels[test],
            simulation.mechanisms,
            num_labels=demo.num_labels,
            seeds=range(demo.num_splits),
            reference="fp32",
        )
        for precision, values in zip(table.methods, table.auc.mean(axis=(1, 2)), strict=True):
            auc[precision].append(float(values))
        click.echo(f"  seed {seed}: " + ", ".join(f"{p} {auc[p][-1]:.4f}" for p in PRECISIONS), err=True)
    for precision in PRECISIONS:
        mean, half = t_interval(auc[precision])
        facts = {"ROC-AUC": f"{mean:.4f} +- {half:.4f}"}
        section.timings.append(Timing(precision, "pretraining", 0.0, seconds[precision], 1, 1.0, facts))
    mean, half = t_interval([one - other for one, other in zip(auc["bf16"], auc["fp32"], strict=True)])
    section.figures = {"auc": auc, "difference": mean, "half_width": half}
    within = abs(mean) + half <= WITHIN
    verdict = f"; within +-{WITHIN} asked: {'met' if within else 'MISSED'}" if section.full_size else ""
    section.notes.append(f"bf16 minus fp32, paired by seed: {mean:+.4f}, 95 % interval +-{half:.4f}{verdict}")
    report.add(section)


def _embedding(
    graph: ContextGraph, demo: DemoConfig, precision: str, seed: int, smiles: list[str]
) -> tuple[object, float]:
    """Pretrain, and embed molecules: vectors, and the seconds that pretraining took."""
    import numpy as np
    from rich.console import Console

    from infoalign_dgl.representation import load
    from infoalign_dgl.training.loop import pretrain

    settings = dataclasses.replace(demo.pretraining, precision=precision, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        result = pretrain(graph, Path(folder) / "run", settings, console=Console(quiet=True))
        if result.interrupted is not None:
            raise click.ClickException(f"stopped by {result.interrupted}")
        return np.asarray(load(Path(folder) / "run").embed(smiles)), result.seconds


if __name__ == "__main__":
    main()
