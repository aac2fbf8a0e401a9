"""``infoalign-dgl build-graph``."""

from __future__ import annotations

from pathlib import Path

import click

from infoalign_dgl.cli._output import StageProgress, json_option, print_json


@click.command("build-graph")
@click.argument("spec")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write the graph to."
)
@click.option(
    "--data-root", type=click.Path(path_type=Path, file_okay=False), help="Where the spec's paths start."
)
@click.option("--overwrite", is_flag=True, help="Replace a graph that stands there.")
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes for reading molecules [default: all cores]."
)
@json_option
def command(
    spec: str, output: Path, data_root: Path | None, overwrite: bool, workers: int | None, as_json: bool
) -> None:
    """Build a context graph from tables.

    SPEC is a TOML file that lists the tables, or `reference:DIR` for a folder in the reference
    implementation's layout, or `simulated` (`simulated:N` for N molecules).
    """
    from infoalign_dgl.cli._graph_tables import print_build
    from infoalign_dgl.context import build_context_graph
    from infoalign_dgl.errors import GraphError

    if output.exists() and not overwrite:  # said before the work, not after
        raise GraphError(
            f"'{output}' already exists: choose another folder, or pass --overwrite to replace it"
        )
    progress = StageProgress()
    graph = build_context_graph(spec, data_root=data_root, num_workers=workers, progress=progress)
    progress.close()
    graph.save(output, overwrite=overwrite)
    if as_json:
        print_json({"folder": output, "counts": graph.schema["counts"], "report": graph.report})
    else:
        print_build(graph)
        click.echo(f"Wrote {output}. What was left out, and why: {output / 'build_report.json'}")
