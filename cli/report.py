"""``infoalign-dgl report``."""

from __future__ import annotations

from pathlib import Path

import click

from infoalign_dgl.cli._output import require_pages


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--html", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The page to write."
)
@click.option(
    "--molecules",
    type=click.Path(path_type=Path),
    metavar="TABLE",
    help="Table with SMILES, to draw on the map of the latent [default: molecules of the run's graph].",
)
@click.option("--label", metavar="COLUMN", help="Column of --molecules that the map is coloured by.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="What evaluate or retrieve wrote for this run (repeatable).",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the draw of molecules, where they are too many for a map.",
)
def command(
    run: Path, html: Path, molecules: Path | None, label: str | None, results: tuple[Path, ...], seed: int
) -> None:
    """Write a run as one page: settings, losses, throughput, latent map, evaluations.

    The page is a single HTML file that needs no network. A run that is still training can be reported on.
    """
    if label is not None and molecules is None:
        raise click.UsageError("--label is a column of --molecules: pass both, or neither")
    require_pages()
    from infoalign_dgl.plots.pages.run_page import write_run_page

    write_run_page(run, html, molecules=molecules, label=label, results=results, seed=seed)
    click.echo(f"Wrote {html} ({html.stat().st_size / 1e6:.1f} MB).")
