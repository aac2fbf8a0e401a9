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

if TYPE_CHECKING:
    from infoalign_dgl.context.graph import ContextGraph


def update_graph(
    graph: Path,
    spec: str | Path,
    folder: Path | None = None,
    *,
    data_root: str | Path | None = None,
    overwrite: bool = False,
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
    data_root, means
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
    if folder is None and not overwrite:
        _check_tables_stay(graph, spec)
    means = replace(Means() if means is None else means, reuse=reuse)
    target = graph if folder is None else folder
    built = build_to_folder(
        spec, target, data_root=data_root, overwrite=overwrite or folder is None, means=means
    )
    return built, reuse


def _check_tables_stay(graph: Path, spec: str | Path) -> None:
    """Check that a spec has all tables of an earlier graph, which would else be lost with it.

    Raises
    ------
    GraphError
        Naming the first table that it lacks.
    """
    before = json.loads((graph / "schema.json").read_text()).get("spec", {})
    now = read_spec(spec).model_dump() if Path(spec).suffix == ".toml" else {}
    gone = sorted(_files(before) - _files(now))
    if gone:
        more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
        raise GraphError(
            f"'{gone[0]}'{more} of '{graph}' is not in '{spec}', which should list all tables of the new "
            "graph: add it, write the new graph to another folder, or pass --overwrite to lose it"
        )


def _files(spec: dict[str, Any]) -> set[str]:
    """Tables that a spec lists."""
    return {table["file"] for tables in spec.values() if isinstance(tables, list) for table in tables}
