"""A context graph as one page: counts, distributions, the build, and a sample to explore and to walk in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.confounding import confounding
from infoalign_dgl.context.diagnostics import diagnose
from infoalign_dgl.plots.distributions import draw_coverage, draw_degrees, draw_weights
from infoalign_dgl.plots.metagraph import draw_metagraph
from infoalign_dgl.plots.pages import graph_tables
from infoalign_dgl.plots.pages.graph_data import NodeRecords, page_data
from infoalign_dgl.plots.pages.graph_sample import LONGEST_WALK, choose_sample
from infoalign_dgl.plots.pages.shell import inline_figure, write_page

if TYPE_CHECKING:
    from markupsafe import Markup

    from infoalign_dgl.context import ContextGraph


def write_graph_page(graph: ContextGraph, path: str | Path, *, length: int = 4, seed: int = 0) -> None:
    """Write a page that shows a graph: one file below 5 MB, which asks the network for nothing.

    It has the metagraph, degrees, weights and coverage, what walks meet, what explains the profiles'
    similarity, what the build dropped and why, and nodes to search, explore and walk from. Of a graph of more
    than 5,000 nodes, or whose nodes take too many bytes, it holds a sample, and says how many of each type:
    molecules in turn of those with two kinds of profiles, one, none but genes, only similar ones, and no
    edge, each with its neighbours and the nodes of its walks, until the bytes are spent.

    Parameters
    ----------
    graph : ContextGraph
        The graph.
    path : str or Path
        The file to write; one that is there is replaced.
    length : int
        Steps L of the walks; the player keeps the first 20.
    seed : int
        Of the sample and of the walks. The same seed gives the same page.

    Raises
    ------
    InfoAlignError
        If the file cannot be written.
    """
    index = graph.walk_index()
    records = NodeRecords(graph, index)
    sample = choose_sample(graph, index, records.bytes_of, length=length, seed=seed)
    found, confounded = diagnose(graph, length=length, seed=seed), confounding(graph, seed=seed)
    write_page(
        Path(path),
        "graph.html",
        name=graph.folder.resolve().name if graph.folder else "",
        graph=graph,
        edges=sum(graph.num_edges.values()),
        diagnosis=found,
        confounded=confounded,
        figures=_figures(graph),
        counts=graph_tables.count_tables(graph),
        walked=graph_tables.walk_tables(found),
        confounding=graph_tables.confounding_tables(confounded),
        build=graph_tables.build_tables(graph.report),
        build_warnings=graph.report.get("warnings", []),
        explored=graph_tables.sample_tables(graph, sample),
        sample=sample,
        seed=seed,
        kept_steps=min(length, LONGEST_WALK),
        data=page_data(graph, records, sample),
    )


def _figures(graph: ContextGraph) -> dict[str, Markup]:
    drawn: dict[str, Any] = {
        "metagraph": (draw_metagraph, "Node types as circles and edge types as arrows, each with its count"),
        "degrees": (draw_degrees, "How many edges of each type nodes have"),
        "weights": (draw_weights, "How the weights of each edge type are spread between 0 and 1"),
        "coverage": (draw_coverage, "Share of molecules, or of genes, that have each feature space"),
    }
    return {name: inline_figure(draw(graph), alt) for name, (draw, alt) in drawn.items()}
