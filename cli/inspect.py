"""``infoalign-dgl inspect``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infoalign_dgl.cli._output import json_option, print_json, print_table, require_pages

if TYPE_CHECKING:
    from infoalign_dgl.context.confounding import Confounding
    from infoalign_dgl.context.diagnostics import Diagnosis, NodeDescription


@click.command("inspect")
@click.argument("graph", type=click.Path(path_type=Path))
@click.option("--node", help="One node and its neighbourhood, as TYPE:ID, for instance gene:1017.")
@click.option(
    "--walk-length", type=click.IntRange(min=0), default=4, show_default=True, help="Steps of a walk."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all this as one page instead, with nodes to search, explore and walk from.",
)
@json_option
def command(graph: Path, node: str | None, walk_length: int, html: Path | None, as_json: bool) -> None:
    """Say what is in a context graph and what training will see of it.

    Counts, coverage, isolated molecules, the share of a molecule's alpha mass that each feature space
    gets, hubs, how many similarity edges other thresholds would keep, and how much of the profiles'
    similarity comes from the table, batch, plate or well they were measured in.
    """
    if html is not None:
        for given, option in ((node is not None, "--node"), (as_json, "--json")):
            if given:
                raise click.UsageError(f"--html writes a page of the whole graph: leave out {option}")
        _write_page(graph, html, walk_length)
        return
    from infoalign_dgl.cli._graph_tables import print_counts
    from infoalign_dgl.context import ContextGraph, describe_node, diagnose
    from infoalign_dgl.context.confounding import confounding

    loaded = ContextGraph.load(graph)
    if node is not None:
        described = describe_node(loaded, node)
        if as_json:
            print_json(dataclasses.asdict(described))
        else:
            _print_node(described)
        return
    found, confounded = diagnose(loaded, length=walk_length), confounding(loaded)
    if as_json:
        print_json({**dataclasses.asdict(found), "confounding": dataclasses.asdict(confounded)})
        return
    print_counts(loaded)
    _print_diagnosis(found)
    _print_confounding(confounded)


def _write_page(graph: Path, html: Path, walk_length: int) -> None:
    require_pages()
    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.plots.pages import write_graph_page

    write_graph_page(ContextGraph.load(graph), html, length=walk_length)
    click.echo(f"Wrote {html} ({html.stat().st_size / 1e6:.1f} MB).")


def _print_diagnosis(found: Diagnosis) -> None:
    molecules = found.num_nodes["molecule"]
    reach = f"{found.within_reach:.1%} have a measured node within {found.length} steps"
    click.echo(f"{found.isolated_molecules:,} of {molecules:,} molecules are isolated; {reach}.\n")
    print_table(
        f"What walks of {found.length} steps meet (from {found.sampled_molecules:,} molecules)",
        ["space", "coverage", "nodes visited per walk", "share of alpha"],
        [(s.name, f"{s.coverage:.1%}", s.visits, f"{s.alpha_share:.1%}") for s in found.spaces],
    )
    print_table(
        "Hubs", ["type", "id", "name", "edges"], [(h.node_type, h.key, h.label, h.degree) for h in found.hubs]
    )
    thresholds = list(found.thresholds[0].edges) if found.thresholds else []
    print_table(
        "Similarity edges kept at other thresholds",
        ["space", *(f">= {threshold}" for threshold in thresholds)],
        [
            (t.spaces, *("build again" if n is None else n for n in t.edges.values()))
            for t in found.thresholds
        ],
    )


def _print_confounding(found: Confounding) -> None:
    chance = f"chance: the mean of {found.permutations} permutations"
    print_table(
        f"Similarity that a factor explains ({chance})",
        ["space", "by", "profiles", "labels", "explained", "chance", "ratio", "p", "beyond chance"],
        [
            (
                *(s.space, s.factor, s.profiles, s.labels, f"{s.similarity:.1%}", f"{s.chance:.1%}"),
                *(s.ratio, s.p, f"{s.share:.1%}"),
            )
            for s in found.spaces
        ],
    )
    print_table(
        f"Edges between similar profiles that share a label ({chance})",
        ["space", "by", "edges", "share a label", "chance", "ratio", "p"],
        [
            (e.space, e.factor, e.edges, f"{e.within:.1%}", f"{e.chance:.1%}", e.ratio, e.p)
            for e in found.edges
        ],
    )
    for warning in found.warnings:
        click.echo(f"Warning: {warning}.")


def _print_node(found: NodeDescription) -> None:
    attributes = [*found.attributes.items(), ("feature spaces", ", ".join(found.spaces) or "none")]
    print_table(f"{found.node_type} {found.key} (node {found.global_id})", ["", ""], attributes)
    print_table("Edges", ["type", "edges"], found.degrees.items())
    print_table(
        f"Neighbours (the {len(found.neighbors)} of largest weight)",
        ["relation", "type", "id", "name", "weight"],
        [
            (f"{n.relation} ->" if n.outgoing else f"<- {n.relation}", n.node_type, n.key, n.label, n.weight)
            for n in found.neighbors
        ],
    )
