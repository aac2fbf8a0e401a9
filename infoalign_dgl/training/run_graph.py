"""The graph that a run was pretrained on, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infoalign_dgl.errors import RunError
from infoalign_dgl.training.run_folder import read_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infoalign_dgl.context import ContextGraph

_IDENTITY = ("sums_sha256", "molecules_sha256", "nodes", "edges")


def differs(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether two descriptions of graphs, as ``config.json`` keeps them, are of different graphs."""
    return any(one[name] != other[name] for name in _IDENTITY if name in one and name in other)


def graph_folder_of(run: Path) -> Path | None:
    """Say where a run's graph was when it was pretrained; None where the run does not say."""
    was = read_config(run).graph.get("folder")
    return None if was is None else Path(str(was))


def load_graph_of(run: Path, given: Path | None = None) -> ContextGraph:
    """Load the graph that a run was pretrained on, from where it was or is said to be.

    Parameters
    ----------
    run : Path
        The run folder.
    given : Path, optional
        Where the graph is now; by default where it was when the run was pretrained.

    Raises
    ------
    InfoAlignError
        If nothing says where it is, it is not there, or what is there is damaged or another graph.
    """
    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.setup import describe_graph

    path = given or graph_folder_of(run)
    if path is None:
        raise RunError(
            f"'{run}' does not say which graph it was pretrained on: name the graph's folder with --graph"
        )
    if not path.is_dir():
        which = "that the run was pretrained on" if given is None else "given by --graph"
        raise RunError(f"the graph {which} is not in '{path}': say where it is now with --graph")
    graph = ContextGraph.load(path)
    if differs(describe_graph(graph), read_config(run).graph):
        raise RunError(
            f"'{path}' is not the graph that '{run}' was pretrained on: name that one with --graph"
        )
    return graph
