"""``infoalign-dgl update-graph``."""

from __future__ import annotations

from pathlib import Path

import click

from infoalign_dgl.cli._build_options import BuildOptions, build_options


@click.command("update-graph")
@click.argument("graph", type=click.Path(path_type=Path))
@click.argument("spec")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to write the new graph to [default: in the place of GRAPH].",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace a graph at the output, or GRAPH by one without all of its tables.",
)
@build_options
def command(graph: Path, spec: str, output: Path | None, overwrite: bool, options: BuildOptions) -> None:
    """Build GRAPH again from more tables, computing only what changed.

    SPEC lists all tables, those that GRAPH was built from too. The result is what build-graph gives.
    """
    from infoalign_dgl.context.update import update_graph

    with options.means() as means:
        built, reuse = update_graph(
            graph,
            spec,
            output,
            data_root=options.data_root,
            overwrite=overwrite,
            exclude_tasks=options.exclude_tasks,
            means=means,
        )
    options.print_built(built, output or graph)
    if reuse.why_not:
        click.echo(f"Nothing was taken over: {reuse.why_not}.", err=True)
    else:
        parts = [f"{taken:,} of {of:,} {what}" for what, (taken, of) in reuse.taken.items()]
        click.echo(f"Taken over: {'; '.join(parts)}.", err=True)
