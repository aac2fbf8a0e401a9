"""``infoalign-dgl init-spec``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from infoalign_dgl.errors import SpecError


@click.command("init-spec")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the spec's paths start [default: the output's folder].",
)
@click.option("--overwrite", is_flag=True, help="Replace a file that stands there.")
def command(files: tuple[Path, ...], output: Path | None, data_root: Path | None, overwrite: bool) -> None:
    """Look at tables and write a spec with what is recognized, and why.

    A table is recognized by what its cells hold. What is not recognized stands in the spec commented out,
    with the reason.
    """
    from infoalign_dgl.context.recognition.recognize import recognize
    from infoalign_dgl.context.recognition.spec_text import spec_text

    files = tuple({file.resolve(): file for file in files}.values())
    if output is not None:
        _require_writable(output, files, overwrite=overwrite)
    root = data_root or (output.absolute().parent if output is not None else Path.cwd())
    found = recognize(files, [Path(os.path.relpath(file, root)).as_posix() for file in files])
    text = spec_text(found)
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    for one in found:
        why = f" (commented out: {'; '.join(one.reasons)})" if one.off else ""
        click.echo(f"{one.file}: {one.section}{why}" if one.section else f"{one.file}: {one.reasons[0]}")
    given = f" --data-root {data_root}" if data_root is not None else ""
    click.echo(f"Wrote {output}. Look it over, then: infoalign-dgl check {output}{given}")


def _require_writable(output: Path, files: tuple[Path, ...], *, overwrite: bool) -> None:
    """Raise a SpecError if the spec cannot or should not be written there."""
    if not output.absolute().parent.is_dir():
        raise SpecError(f"'{output}' is in a folder that does not exist: create it, or choose another file")
    if output.exists() and any(output.samefile(file) for file in files):
        raise SpecError(f"'{output}' is one of the tables to look at: choose another file for the spec")
    if output.exists() and not overwrite:
        raise SpecError(f"'{output}' already exists: choose another file, or pass --overwrite to replace it")
