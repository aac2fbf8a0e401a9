"""``infoalign-dgl import-reference``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from infoalign_dgl.cli._output import json_option, print_json


@click.command("import-reference")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Run folder.")
@json_option
def command(file: Path, output: Path, as_json: bool) -> None:
    """Make a run of weights that the published implementation trained.

    FILE is the pretrain.pt that it wrote, or the same tensors as .safetensors. Every tensor's name and
    shape is checked, and nothing that the file might hold is run. The run embeds molecules like any other;
    it cannot be resumed, and nothing says which molecules its weights have seen.
    """
    from infoalign_dgl.training.imported import import_reference

    imported = import_reference(file, output)
    if as_json:
        print_json(dataclasses.asdict(imported))
        return
    spaces = ", ".join(f"{name} {columns:,}" for name, columns in imported.spaces.items())
    click.echo(f"{imported.layers} layers of {imported.hidden}; decoders (columns): {spaces}.")
    click.echo(
        f"{imported.shortened:,} embedding rows were longer than 1 and are shortened, as the published model "
        f"reads them; {imported.unused} tensors that it never reads are left out."
    )
    click.echo(f"Wrote {output}. Embed molecules with: infoalign-dgl embed {output} TABLE -o OUT.parquet")
