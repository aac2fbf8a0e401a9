"""``infoalign-dgl embed``."""

from __future__ import annotations

from pathlib import Path

import click

from infoalign_dgl._html import counted
from infoalign_dgl.cli._output import json_option, print_json


@click.command("embed")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("input_table", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Parquet file to write.")
@click.option(
    "--smiles-column", default="smiles", show_default=True, help="The column that holds the structures."
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=128, show_default=True, help="Molecules at a time."
)
@json_option
def command(
    run: Path, input_table: Path, output: Path, smiles_column: str, batch_size: int, as_json: bool
) -> None:
    """Turn the molecules of a table into vectors.

    INPUT is a CSV, TSV or Parquet table, gzipped or not. The output has one row per input row, in the
    same order: the SMILES, the error if the molecule could not be read (its vector is then NaN), and
    the vector.
    """
    from infoalign_dgl.representation import embed_table

    summary = embed_table(run, input_table, output, smiles_column=smiles_column, batch_size=batch_size)
    if as_json:
        print_json(vars(summary))
        return
    click.echo(f"Wrote {summary.rows:,} rows of {summary.dimensions} numbers to {output}.")
    if summary.failed:
        click.echo(f"{counted(summary.failed, 'molecule')} could not be read; the column 'error' says why.")
