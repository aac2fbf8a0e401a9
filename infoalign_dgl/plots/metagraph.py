"""The context graph from above: node types as circles, edge types as arrows, both with their counts."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from matplotlib.patches import Circle, FancyArrowPatch

from infoalign_dgl.plots._axes import NODE_COLOURS, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from infoalign_dgl.context import ContextGraph

_PLACES = {
    "molecule": (0.0, 0.0),
    "gene": (3.2, 0.0),
    "gene_expression": (0.0, -2.2),
    "morphology": (0.0, 2.2),
}
_RADIUS = 0.62


def draw_metagraph(graph: ContextGraph, axes: Axes | None = None) -> Axes:
    """Draw node types and edge types with how many there are of each.

    Parameters
    ----------
    graph : ContextGraph
        The graph; only its counts are read.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    axes = axes_or_new(axes, (8.4, 6.5))
    heterograph = graph.heterograph
    relations: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source, relation, target in heterograph.canonical_etypes:
        count = heterograph.num_edges((source, relation, target))
        if count:
            relations[source, target].append(f"{relation} {count:,}")
    for (source, target), labels in relations.items():
        _draw_relation(axes, source, target, "\n".join(labels))
    for node_type, place in _PLACES.items():
        axes.add_patch(Circle(place, _RADIUS, color=NODE_COLOURS[node_type], zorder=2))
        text = f"{node_type.replace('_', chr(10))}\n{heterograph.num_nodes(node_type):,}"
        ink = "white" if node_type == "molecule" else "black"  # read on the type's colour
        axes.text(*place, text, ha="center", va="center", color=ink, weight="bold", zorder=3)
    axes.set(xlim=(-2.4, 5.4), ylim=(-3.2, 3.2), aspect="equal")
    axes.set_axis_off()
    return axes


def _draw_relation(axes: Axes, source: str, target: str, label: str) -> None:
    (x0, y0), (x1, y1) = _PLACES[source], _PLACES[target]
    if source == target:
        side = 1 if x0 > 0 else -1
        start, end = (x0 + side * 0.45, y0 + 0.45), (x0 + side * 0.45, y0 - 0.45)
        style, bend, at = "arc3", -1.3 * side, (x0 + side * 1.25, y0)
    else:
        start, end, style, bend = (x0, y0), (x1, y1), "arc3", 0.0
        at = ((x0 + x1) / 2, (y0 + y1) / 2)
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=14,
            connectionstyle=f"{style},rad={bend}",
            shrinkA=0 if source == target else 46,
            shrinkB=0 if source == target else 46,
            color="0.45",
            zorder=1,
        )
    )
    box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
    axes.text(*at, label, ha="center", va="center", fontsize=8.5, bbox=box, zorder=4)
