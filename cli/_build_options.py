"""What ``build-graph`` and ``update-graph`` share."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infoalign_dgl.cli._output import StageProgress, json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.context.means import Means


@dataclass(frozen=True)
class BuildOptions:
    """What a build is given besides its spec."""

    data_root: Path | None
    exclude_tasks: tuple[str, ...]
    workers: int | None
    scheduler: str | None
    as_json: bool

    @contextmanager
    def means(self) -> Iterator[Means]:
        """Give what a build works with, and print a line for each of its stages."""
        from infoalign_dgl.context.means import Means
        from infoalign_dgl.molecules.cluster import open_cluster

        progress = StageProgress()
        address, workers = self.scheduler, self.workers
        with nullcontext() if address is None else open_cluster(address, num_workers=workers) as cluster:
            # The number of workers is the cluster's: all of one that was there before.
            yield Means(None if address else workers, cluster, progress=progress)
        progress.close()

    def print_built(self, graph: ContextGraph, folder: Path) -> None:
        """Print what was built and where."""
        from infoalign_dgl.cli._graph_tables import print_build

        if self.as_json:
            print_json({"folder": folder, "counts": graph.schema["counts"], "report": graph.report})
        else:
            print_build(graph)
            click.echo(f"Wrote {folder}. What was left out, and why: {folder / 'build_report.json'}")


def build_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add these options to a command, which gets them as ``options``."""

    @click.option(
        "--data-root",
        type=click.Path(path_type=Path, file_okay=False),
        help="Where the spec's paths start [default: the spec's folder].",
    )
    @click.option(
        "--exclude-tasks",
        multiple=True,
        metavar="TASK",
        help="Task set (folder, table, or name for fetch) whose molecules and their profiles are left out.",
    )
    @click.option(
        "--workers", type=click.IntRange(min=1), help="Processes for reading molecules [default: all cores]."
    )
    @click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler whose workers read molecules and compare rows, or `local` to start one.",
    )
    @json_option
    @wraps(command)
    def with_options(
        *,
        data_root: Path | None,
        exclude_tasks: tuple[str, ...],
        workers: int | None,
        scheduler: str | None,
        as_json: bool,
        **more: Any,
    ) -> Any:
        return command(options=BuildOptions(data_root, exclude_tasks, workers, scheduler, as_json), **more)

    return with_options
