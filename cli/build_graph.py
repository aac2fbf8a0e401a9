"""``infoalign-dgl build-graph``."""

from __future__ import annotations

from pathlib import Path

import click

from infoalign_dgl.cli._build_options import BuildOptions, build_options


@click.command("build-graph")
@click.argument("spec")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the graph to."
)
@click.option("--overwrite", is_flag=True, help="Replace a graph that stands there.")
@build_options
def command(spec: str, output: Path, overwrite: bool, options: BuildOptions) -> None:
    """Build a context graph from tables.

    SPEC is a TOML file that lists the tables, or `reference:DIR` for a folder in the reference
    implementation's layout, or `simulated` (`simulated:N` for N molecules).
    """
    from infoalign_dgl.context.build import build_to_folder

    with options.means() as means:
        graph = build_to_folder(
            spec,
            output,
            data_root=options.data_root,
            overwrite=overwrite,
            exclude_tasks=options.exclude_tasks,
            means=means,
        )
    options.print_built(graph, output)
