"""``infoalign-dgl sweep``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoalign_dgl.cli import pretrain
from infoalign_dgl.cli._output import StageProgress, can_draw, json_option, print_json, print_table
from infoalign_dgl.errors import EvaluationError, RunError
from infoalign_dgl.training.config import PretrainConfig

if TYPE_CHECKING:
    from infoalign_dgl.evaluation.sweep_rows import Sweep

# Seeds are counted by --seeds; a run of a sweep is one process, and goes on to its end.
_OF_ONE_RUN = ("seed", "max_minutes", "stop_after", "sync_batchnorm")
_SETTINGS = {
    str(option.name): option
    for option in pretrain.command.params
    if option.name in PretrainConfig.__dataclass_fields__ and option.name not in _OF_ONE_RUN
}


@click.command("sweep")
@click.argument("graph", type=click.Path(path_type=Path))
@click.option(
    "--task",
    "tasks",
    multiple=True,
    required=True,
    metavar="TASK",
    help="Task set: a folder, a table, or a name for fetch.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the sweep.")
@click.option(
    "--vary",
    multiple=True,
    metavar="NAME=VALUE,...",
    help="A setting of pretrain, by its option below, and values besides the base's (repeatable).",
)
@click.option(
    "--without",
    multiple=True,
    metavar="TYPE,...",
    help="Leave nodes out of the graph: gene, expression, morphology, or several at once (gene+expression).",
)
@click.option(
    "--without-targets",
    multiple=True,
    metavar="TYPE,...",
    help="Leave the decoders of a type's features out, but not its nodes; molecule is one too.",
)
@click.option("--grid", is_flag=True, help="All combinations, instead of one change of the base at a time.")
@click.option(
    "--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of each setting."
)
@click.option(
    "--split",
    default="scaffold",
    show_default=True,
    help="reference, ogb, scaffold, random, group, or a table with a column `split`.",
)
@click.option("--split-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the split.")
@click.option(
    "--head-seeds",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How often the MLP is trained on each run's embedding.",
)
@click.option("--smiles-column", help="The column of structures [default: found by its name].")
@click.option(
    "--column", "columns", multiple=True, help="A column that is a task [default: columns of numbers]."
)
@json_option
def command(
    graph: Path,
    tasks: tuple[str, ...],
    output: Path,
    vary: tuple[str, ...],
    without: tuple[str, ...],
    without_targets: tuple[str, ...],
    grid: bool,
    seeds: int,
    split: str,
    split_seed: int,
    head_seeds: int,
    smiles_column: str | None,
    columns: tuple[str, ...],
    as_json: bool,
    **base: Any,
) -> None:
    """Pretrain on GRAPH and evaluate, once for each of many settings.

    The options of pretrain (below) are the base; what is varied starts from there, one change at a time.
    Writes sweep.csv (a row for each finished run), figures (PNG, SVG), the runs and their predictions. The
    same call goes on where one was stopped, and one with more values or seeds adds rows.
    """
    try:
        config = PretrainConfig(**base)
    except RunError as error:  # an option's value: wrong use
        raise click.UsageError(str(error)) from error
    varied = _varied(vary)
    from infoalign_dgl.evaluation.schedule import Schedule
    from infoalign_dgl.evaluation.sweep import WITHOUT, WITHOUT_TARGETS, SweepPlan, sweep

    for name, given in ((WITHOUT, without), (WITHOUT_TARGETS, without_targets)):
        if given:
            varied[name] = [word for words in given for word in words.split(",")]
    schedule = Schedule(unit="runs")
    progress = StageProgress(schedule.line)

    def say(sentence: str) -> None:
        progress.close()
        click.echo(sentence, err=True)

    found = sweep(
        graph,
        tasks,
        output,
        SweepPlan(config, varied, grid, seeds, split, split_seed, head_seeds),
        smiles_column=smiles_column,
        columns=columns or None,
        progress=progress,
        schedule=schedule,
        say=say,
    )
    if can_draw():
        from infoalign_dgl.plots.sweep import save_sweep_figures

        save_sweep_figures(found, output / "figures")
    if as_json:
        print_json({"rows": [dataclasses.asdict(row) for row in found.rows], "failed": found.failed})
    else:
        _print(found)
        click.echo(f"Wrote {output}: sweep.csv, figures/, runs/, results/.")
    if found.failed:
        name, reason = next(iter(found.failed.items()))
        raise EvaluationError(
            f"{len(found.failed)} of the runs could not be trained, '{name}' first: {reason}"
        )


command.params.extend(_SETTINGS.values())


def _varied(given: tuple[str, ...]) -> dict[str, list[Any]]:
    """Values by the names of settings, of words NAME=VALUE,..., each read as pretrain reads its option."""
    found: dict[str, list[Any]] = {}
    for words in given:
        option, _, values = words.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        if name not in _SETTINGS:
            from infoalign_dgl.sources.tables import did_you_mean

            hint = did_you_mean(option, (known.replace("_", "-") for known in _SETTINGS))
            raise click.UsageError(f"--vary {words}: there is no setting '{option}' to vary, {hint}")
        if not values:
            raise click.UsageError(f"--vary {words}: give values too, as in --vary beta=1e-9,1e-6")
        setting = _SETTINGS[name]
        read = found.setdefault(name, [])
        for value in values.split(","):
            is_none = value == "none" and getattr(PretrainConfig, name) is None
            read.append(None if is_none else setting.type.convert(value, setting, None))
    return found


def _print(found: Sweep) -> None:
    from infoalign_dgl.evaluation.sweep_rows import estimate, setting_name

    def score(rows: list[Any], task: str) -> str:
        over = estimate(rows, task)
        return f"{over.mean:.4f}" if over.sd is None else f"{over.mean:.4f} ± {over.sd:.4f}"

    print_table(
        "Mean ROC-AUC or absolute error ± deviation over runs, or over the heads of a single run",
        ["setting", "runs", *found.kinds],
        [
            (setting_name(changes), len(rows), *(score(rows, task) for task in found.kinds))
            for changes, rows in found.by_setting()
        ],
    )
