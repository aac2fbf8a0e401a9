"""What ``build-graph`` and ``update-graph`` share."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoalign_dgl.cli._output import StageProgress, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.context.means import Means


def build_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a build that do not change its result."""
    for option in (
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="Dask scheduler whose workers read molecules and compare rows, or `local` to start one.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Processes for reading molecules [default: all cores].",
        ),
        click.option(
            "--data-root",
            type=click.Path(path_type=Path, file_okay=False),
            help="Where the spec's paths start.",
        ),
    ):
        command = option(command)
    return command


@contextmanager
def build_means(scheduler: str | None, workers: int | None) -> Iterator[Means]:
    """Give what a build works with, and print a line for each of its stages."""
    from infoalign_dgl.context.means import Means
    from infoalign_dgl.molecules.cluster import open_cluster

    progress = StageProgress()
    with nullcontext() if scheduler is None else open_cluster(scheduler, num_workers=workers) as cluster:
        # The number of workers is the cluster's: all of one that was there before.
        yield Means(None if scheduler else workers, cluster, progress=progress)
    progress.close()


def print_built(graph: ContextGraph, folder: Path, *, as_json: bool) -> None:
    """Print what was built and where."""
    from infoalign_dgl.cli._graph_tables import print_build

    if as_json:
        print_json({"folder": folder, "counts": graph.schema["counts"], "report": graph.report})
    else:
        print_build(graph)
        click.echo(f"Wrote {folder}. What was left out, and why: {folder / 'build_report.json'}")
