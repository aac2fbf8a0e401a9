"""``infoalign-dgl finetune``."""

from __future__ import annotations

from pathlib import Path

import click

from infoalign_dgl.cli._output import StageProgress, json_option, print_json

_SEEDS = {"frozen": 10, "finetune": 3}


@click.command("finetune")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--task",
    required=True,
    help="A table with SMILES and labels, a folder with one, or a task set that fetch brought.",
)
@click.option(
    "--protocol",
    type=click.Choice(list(_SEEDS)),
    default="frozen",
    show_default=True,
    help="Leave the encoder as it is, or train it too.",
)
@click.option(
    "--split",
    "split_name",
    default="scaffold",
    show_default=True,
    help="reference, ogb, scaffold, random, group, or a table with a column 'split'.",
)
@click.option(
    "--split-seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the split."
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=None,
    help="How many times to train, with seeds 0, 1, ...  [default: 10; 3 if the encoder is trained too]",
)
@click.option(
    "--smiles-column", default=None, help="The column of structures; found by its name if not given."
)
@click.option(
    "--column", "columns", multiple=True, help="A task's column; all that hold numbers if not given."
)
@click.option("--device", default="auto", show_default=True, help="'auto', 'cpu', 'cuda', ...")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option("--overwrite", is_flag=True, help="Replace a predictor that stands there.")
@json_option
def command(
    run: Path,
    task: str,
    protocol: str,
    split_name: str,
    split_seed: int,
    seeds: int | None,
    smiles_column: str | None,
    columns: tuple[str, ...],
    device: str,
    output: Path,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train heads on a run's representation for a task set, and save a predictor.

    RUN is the folder that `pretrain` wrote. The output folder is all that `predict` needs.
    """
    from typing import cast

    from infoalign_dgl.errors import EvaluationError
    from infoalign_dgl.evaluation.finetune import Protocol, train_predictor
    from infoalign_dgl.evaluation.splits import read_split, split_molecules, stereo_leakage
    from infoalign_dgl.evaluation.tasks import read_task_set
    from infoalign_dgl.representation import load

    if output.exists() and not overwrite:  # said before the training, not after it
        raise EvaluationError(f"'{output}' already exists: choose another folder, or pass --overwrite")
    representation = load(run, device=device)
    task_set = read_task_set(task, smiles_column=smiles_column, columns=columns or None)
    if Path(split_name).is_file():
        split = read_split(split_name, len(task_set.smiles))
    else:
        split = split_molecules(task_set.smiles, split_name, split_seed)
    shown = StageProgress()
    predictor = train_predictor(
        representation,
        task_set,
        split,
        range(_SEEDS[protocol] if seeds is None else seeds),
        cast("Protocol", protocol),
        progress=lambda done, total: shown("epochs of all seeds", done, total),
    )
    shown.close()
    predictor.save(output, overwrite=overwrite)
    metric, scores = predictor.test_scores()
    leaked = stereo_leakage(task_set.keys, split).test
    if as_json:
        print_json(
            {
                "tasks": len(task_set.tasks),
                "kind": task_set.kind,
                "seeds": predictor.seeds,
                "split": predictor.about["split"],
                "test_rows_with_a_train_structure": leaked,
                "metric": metric,
                "test": scores,
                "notes": [*task_set.notes, *predictor.heads.notes],
            }
        )
        return
    for note in (*task_set.notes, *predictor.heads.notes):
        click.echo(note)
    parts = ", ".join(f"{count:,} {part}" for part, count in predictor.about["split"].items())
    click.echo(f"{len(task_set.tasks):,} {task_set.kind} tasks; rows of {parts}.")
    if leaked:
        click.echo(f"{leaked:,} test rows have the structure of a train row, stereochemistry aside.")
    if scores.size:
        spread = f", standard deviation {scores.std(ddof=1):.4f}" if len(scores) > 1 else ""
        click.echo(f"On test: {metric} {scores.mean():.4f}, the mean over {len(scores)} seeds{spread}.")
    click.echo(f"Wrote {output}.")
