"""``infoalign-dgl evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from infoalign_dgl.cli._output import StageProgress, can_draw, json_option, print_json
from infoalign_dgl.errors import EvaluationError

if TYPE_CHECKING:
    from infoalign_dgl.evaluation.experiment import Judged


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--task", "tasks", multiple=True, metavar="TASK", help="Task set: a folder, a table, or a name for fetch."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder of the results.")
@click.option(
    "--split",
    default="scaffold",
    show_default=True,
    help="reference, ogb, scaffold, random, group, or a table with a column `split`.",
)
@click.option(
    "--split-seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of scaffold, random, group.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=10, show_default=True, help="How often MLPs are trained."
)
@click.option(
    "--baseline-seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How often random forests are grown.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="METHOD",
    help="SOURCE-HEAD with SOURCE infoalign, untrained, no-bottleneck, morgan, morphology, expression or the "
    "name of an embedding file, and HEAD mlp, linear, rf or gp; the first is compared with the others "
    "[default: the run and all baselines].",
)
@click.option(
    "--profiles",
    type=click.Path(path_type=Path),
    help="Context graph with the measured profiles of the task sets' molecules.",
)
@click.option(
    "--embedding",
    "files",
    multiple=True,
    metavar="NAME=FILE",
    help="Vectors of your own, row for row as in the task set (.npy, .parquet, .csv).",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="NAME=RUN",
    help="Another run to compare, as the source NAME (its MLP is NAME-mlp).",
)
@click.option(
    "--controls",
    is_flag=True,
    help="Pretrain and compare two controls of RUN: responses permuted, and fingerprint targets only.",
)
@click.option(
    "--graph",
    type=click.Path(path_type=Path),
    help="Where the graph of RUN is now, for --controls [default: where it was].",
)
@click.option("--smiles-column", help="The column of structures [default: found by its name].")
@click.option(
    "--column", "columns", multiple=True, help="A column that is a task [default: columns of numbers]."
)
@click.option(
    "--verify",
    type=click.Path(path_type=Path),
    metavar="MANIFEST",
    help="Check that the files of an earlier evaluation, and RUN, are what its manifest says.",
)
@json_option
def command(
    run: Path,
    tasks: tuple[str, ...],
    output: Path | None,
    split: str,
    split_seed: int,
    seeds: int,
    baseline_seeds: int,
    methods: tuple[str, ...],
    profiles: Path | None,
    files: tuple[str, ...],
    runs: tuple[str, ...],
    controls: bool,
    graph: Path | None,
    smiles_column: str | None,
    columns: tuple[str, ...],
    verify: Path | None,
    as_json: bool,
) -> None:
    """Predict properties from a run's embedding, and compare it with baselines.

    Writes predictions, tables (Markdown, LaTeX, CSV), figures (PNG, SVG) and a manifest. What a call that
    was stopped has predicted is not predicted again, and a control that was stopped goes on.
    """
    others, embeddings = _named("--run", runs), _named("--embedding", files)
    if verify is not None:
        _verify(verify, run, others)
        return
    if not tasks or output is None:
        raise click.UsageError("give a --task, and a folder for the results with -o")
    if graph is not None and not controls:
        raise click.UsageError("--graph is where --controls are pretrained: pass both, or neither")
    from infoalign_dgl.evaluation.controls import headings
    from infoalign_dgl.evaluation.experiment import Plan, evaluate
    from infoalign_dgl.evaluation.methods import choose_methods
    from infoalign_dgl.evaluation.schedule import Schedule

    if embeddings and len(tasks) > 1:
        raise EvaluationError("--embedding has the rows of one task set: give one --task with it")
    schedule = Schedule()
    chosen = choose_methods(methods, list(embeddings), headings(others, controls=controls))
    plan = Plan(chosen, split, split_seed, seeds, baseline_seeds)
    progress = StageProgress(schedule.line)
    judged = evaluate(
        run,
        tasks,
        output,
        plan,
        profiles=profiles,
        files=embeddings,
        runs=others,
        controls=controls,
        graph=graph,
        smiles_column=smiles_column,
        columns=columns or None,
        progress=progress,
        schedule=schedule,
        say=lambda sentence: click.echo(sentence, err=True),
    )
    progress.close()
    _draw(judged, output, plan.methods[0].name)
    if as_json:
        print_json(_scores(judged))
    else:
        click.echo((output / "tables" / "main.md").read_text())
        click.echo(f"Wrote {output}: tables/, figures/, per_task.csv of each task set, manifest.json.")


def _named(option: str, given: tuple[str, ...]) -> dict[str, Path]:
    """Paths by their names, of words NAME=PATH."""
    found: dict[str, Path] = {}
    for word in given:
        name, _, path = word.partition("=")
        if not name or not path or name in found or "/" in name:
            raise click.UsageError(
                f"{option} {word}: give NAME=PATH, each with a NAME of its own without '/'"
            )
        found[name] = Path(path)
    return found


def _verify(manifest: Path, run: Path, others: dict[str, Path]) -> None:
    from infoalign_dgl.evaluation.manifest import verify_manifest

    found = verify_manifest(manifest, run, others)
    if found:
        more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
        raise EvaluationError(f"the evaluation is not what '{manifest}' says: {found[0]}{more}")
    click.echo("Everything is as the manifest says.")


def _draw(judged: list[Judged], output: Path, method: str) -> None:
    if not can_draw():
        return
    from infoalign_dgl.plots.evaluation import save_figures

    save_figures(judged, output / "figures", method)


def _scores(judged: list[Judged]) -> dict[str, dict[str, float | None]]:
    return {
        one.task_set.name: {
            result.method: None if result.scores is None else float(result.scores.mean().mean())
            for result in one.results
        }
        for one in judged
    }
