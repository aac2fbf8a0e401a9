"""A context graph as tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from infoalign_dgl.cli._output import print_table

if TYPE_CHECKING:
    from infoalign_dgl.context import ContextGraph


def print_counts(graph: ContextGraph) -> None:
    """Print how many nodes, edges and features there are of each kind."""
    molecules_by_type: dict[str, Any] = {
        kind: graph.nodes[kind]["molecule"].nunique() for kind in ("gene_expression", "morphology")
    }
    print_table(
        "Nodes",
        ["type", "nodes", "of molecules"],
        [(kind, count, molecules_by_type.get(kind, "")) for kind, count in graph.num_nodes.items()],
    )
    print_table(
        "Edges",
        ["source", "relation", "target", "edges", "mean weight"],
        [
            (*kind, count, float(graph.edges(kind)[2].mean()))
            for kind, count in graph.num_edges.items()
            if count
        ],
    )
    _print_expected(graph)
    cuts = graph.schema.get("similarity", {})
    rows = []
    for space in graph.spaces.values():
        cut = cuts.get(space.name, {})
        rows.append(
            (
                space.name,
                space.node_type,
                space.num_rows,
                space.dim,
                *_cuts(cut),
            )
        )
    rows += [(names, "", "", "", *_cuts(cut)) for names, cut in cuts.items() if names not in graph.spaces]
    print_table(
        "Feature spaces",
        ["space", "on", "rows", "columns", "similar pairs", "from", "edges", "kept from"],
        rows,
    )


def _reasons(dropped: dict[str, int]) -> str:
    """Say why rows were dropped; metaedges that the spec does not choose are many, and one reason."""
    unchosen = {reason: n for reason, n in dropped.items() if reason.startswith("metaedge ")}
    said = [f"{count:,} {reason}" for reason, count in dropped.items() if reason not in unchosen]
    if unchosen:
        said.append(f"{sum(unchosen.values()):,} of {len(unchosen)} metaedges not chosen")
    return "; ".join(said)


def _print_expected(graph: ContextGraph) -> None:
    """Print the counts that the spec expects beside those of the graph."""
    from infoalign_dgl.context.expected import compare_expected

    source, counts = compare_expected(graph)
    if counts:
        print_table(
            f"Beside {source}; edges are connected pairs of nodes, of whatever type",
            ["", "here", "expected", "difference"],
            [(count.what, count.here, count.expected, count.here - count.expected) for count in counts],
        )


def _cuts(cut: dict[str, Any]) -> tuple[Any, ...]:
    """Pairs and edges of a space's similarity, each with the smallest similarity that was kept."""
    return tuple(cut.get(key, "") for key in ("similar_pairs", "similar_cut", "edges", "edge_cut"))


def print_build(graph: ContextGraph) -> None:
    """Print the counts, what became of every table's rows, and the build's warnings."""
    print_counts(graph)
    print_table(
        "Tables",
        ["table", "rows", "used", "dropped", "why"],
        [
            (
                table["table"],
                table["rows"],
                table["used"],
                sum(table["dropped"].values()),
                _reasons(table["dropped"]),
            )
            for table in graph.report.get("tables", [])
        ],
    )
    for warning in graph.report.get("warnings", []):
        click.echo(f"Warning: {warning}.")
