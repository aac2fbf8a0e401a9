"""``infoalign-dgl predict``."""

from __future__ import annotations

from pathlib import Path

import click

from infoalign_dgl._html import counted
from infoalign_dgl.cli._output import StageProgress, json_option, print_json


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("input_table", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: .parquet, .csv or .tsv.",
)
@click.option(
    "--smiles-column", default="smiles", show_default=True, help="The column that holds the structures."
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=128, show_default=True, help="Molecules at a time."
)
@click.option(
    "--draws",
    type=click.IntRange(min=0),
    default=30,
    show_default=True,
    help="Draws of each molecule's latent, for what its sigma leaves open; 0 for none.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Of intervals and sets.",
)
@click.option("--device", default="auto", show_default=True, help="'auto', 'cpu', 'cuda', ...")
@json_option
def command(
    model: Path,
    input_table: Path,
    output: Path,
    smiles_column: str,
    batch_size: int,
    draws: int,
    confidence: float,
    device: str,
    as_json: bool,
) -> None:
    """Predict the molecules of a table with what `finetune` saved.

    MODEL is the folder that `finetune` wrote, INPUT a table with a column of SMILES. The output has one row
    per input row, in the same order: the SMILES, the error if the molecule could not be read, the nearest
    molecule of the training, and of each task the mean over seeds, the standard deviation between them and
    that of the latent, and an interval (binary tasks: a set of classes) of the stated confidence.
    """
    from infoalign_dgl.evaluation.prediction_table import predict_table

    shown = StageProgress()
    summary = predict_table(
        model,
        input_table,
        output,
        smiles_column=smiles_column,
        draws=draws,
        confidence=confidence,
        batch_size=batch_size,
        device=device,
        progress=lambda done, total: shown("molecules predicted", done, total),
    )
    shown.close()
    if as_json:
        print_json(vars(summary))
        return
    click.echo(f"Wrote {summary.rows:,} rows of {summary.tasks:,} tasks to {output}.")
    if summary.failed:
        click.echo(f"{counted(summary.failed, 'molecule')} could not be read; the column 'error' says why.")
    if summary.untrained:
        click.echo(f"{counted(summary.untrained, 'task')} could not be trained; their columns are empty.")
    if summary.uncalibrated:
        click.echo(
            f"{summary.uncalibrated:,} tasks have too few labels in the test rows of finetune for a "
            f"confidence of {confidence:.0%}; their intervals or sets are empty."
        )
