"""A graph built again from more tables, with whatever did not change taken over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.build import build_to_folder
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.reuse import Reuse, read_reuse
from infoalign_dgl.context.spec import read_spec
from infoalign_dgl.errors import GraphError
from infoalign_dgl.sources.task_tables import locate_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.graph import ContextGraph


def update_graph(
    graph: Path,
    spec: str | Path,
    folder: Path | None = None,
    *,
    data_root: str | Path | None = None,
    overwrite: bool = False,
    exclude_tasks: Sequence[str | Path] = (),
    means: Means | None = None,
) -> tuple[ContextGraph, Reuse]:
    """Build a context graph as if from nothing, but only compute what an earlier graph's folder has not.

    Standardized structures and fingerprints are taken over, and the similarity edges of feature spaces whose
    profiles did not change. The rest (reading, joining, scaling) takes seconds.

    Parameters
    ----------
    graph : Path
        Folder of the earlier graph.
    spec : str or Path
        All tables of the new graph, the old ones too: see :func:`build_context_graph`.
    folder : Path, optional
        Where to write the new graph; by default it takes the place of the earlier one.
    data_root, exclude_tasks, means
        As for :func:`build_context_graph`.
    overwrite : bool
        Replace a graph that stands at ``folder``; or the earlier one by a graph that lacks some of its
        tables.

    Returns
    -------
    graph : ContextGraph
        Every file of its folder is what a fresh build from ``spec`` writes.
    reuse : Reuse
        Says how much was taken over.

    Raises
    ------
    SpecError, SourceError, GraphError
        As for :func:`build_context_graph`.
    InfoAlignError
        If the earlier folder is damaged, or the new one exists already or cannot be written; or if the new
        graph would take the earlier one's place without all of its tables.
    """
    reuse = read_reuse(graph)
    before = json.loads((graph / "schema.json").read_text())
    if folder is None and not overwrite:
        _check_tables_stay(graph, before, spec)
    _check_tasks_stay_out(graph, before, exclude_tasks)
    means = replace(Means() if means is None else means, reuse=reuse)
    target = graph if folder is None else folder
    built = build_to_folder(
        spec,
        target,
        data_root=data_root,
        overwrite=overwrite or folder is None,
        exclude_tasks=exclude_tasks,
        means=means,
    )
    return built, reuse


def _check_tasks_stay_out(graph: Path, before: dict[str, Any], exclude_tasks: Sequence[str | Path]) -> None:
    """Check that an update leaves out the molecules that the earlier graph leaves out.

    Raises
    ------
    GraphError
        Naming the first task set whose molecules would come back.
    """
    left_out = set(before.get("excluded", {}).get("tasks", []))
    back = sorted(left_out - {locate_task(source)[0] for source in exclude_tasks})
    if back:
        raise GraphError(
            f"'{graph}' was built without the molecules of the task set '{back[0]}': pass --exclude-tasks "
            "with its path again, or build another graph with build-graph"
        )


def _check_tables_stay(graph: Path, before: dict[str, Any], spec: str | Path) -> None:
    """Check that a spec has all tables of an earlier graph, which would else be lost with it.

    Raises
    ------
    GraphError
        Naming the first table that it lacks.
    """
    now = read_spec(spec).model_dump() if Path(spec).suffix == ".toml" else {}
    gone = sorted(_files(before.get("spec", {})) - _files(now))
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise GraphError(
            f"'{gone[0]}'{more} of '{graph}' is not in '{spec}', which should list all tables of the new "
            "graph: add it, write the new graph to another folder, or pass --overwrite to lose it"
        )


def _files(spec: dict[str, Any]) -> set[str]:
    """Tables that a spec lists."""
    return {table["file"] for tables in spec.values() if isinstance(tables, list) for table in tables}
