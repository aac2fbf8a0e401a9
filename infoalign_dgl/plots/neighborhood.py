"""One node, what it is connected to, and by how much."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patches import Circle, FancyBboxPatch

from infoalign_dgl.context import EDGE_TYPES, describe_node
from infoalign_dgl.plots._axes import NODE_COLOURS, axes_or_new
from infoalign_dgl.plots._nodes import node_label, structure_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes

    from infoalign_dgl.context import ContextGraph

# Where neighbours of a type stand, in degrees, as in the metagraph's drawing.
_DIRECTIONS = {"morphology": 90.0, "gene": 0.0, "gene_expression": -90.0, "molecule": 180.0}
_ROOM = 1.45  # along the circle, for each neighbour
_WIDER = 1.3  # the circle is an ellipse, since structures are wider than tall
_BOX, _CENTRE_BOX = (1.3, 0.9), (1.9, 1.3)
_PIXELS = 200  # of a structure's picture, per unit
_BEHIND = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


@dataclass
class _Neighbor:
    """A node at the other end of one edge or of several; edges are (relation, weight, outgoing)."""

    node_type: str
    node: int
    edges: list[tuple[str, float, bool]] = field(default_factory=list)

    @property
    def weight(self) -> float:
        return max(weight for _, weight, _ in self.edges)


def draw_neighborhood(
    graph: ContextGraph, name: str, axes: Axes | None = None, *, max_neighbors: int = 12
) -> Axes:
    """Draw one node with its neighbours: structures of molecules, and weights on the edges.

    Parameters
    ----------
    graph : ContextGraph
    name : str
        ``type:key``, for instance ``molecule:RYYVLZVUVIJVGH``, as for
        :func:`infoalign_dgl.context.describe_node`.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    max_neighbors : int
        At most so many neighbours. They are taken in turn from each edge type, the largest weights of a type
        first, so that a thousand genes don't push out the one profile. The title says how many there are.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    GraphError
        If there is no such node, with the nearest name that there is.
    ValueError
        If ``max_neighbors`` is negative.
    """
    if max_neighbors < 0:
        raise ValueError(f"'max_neighbors' must not be negative, but is {max_neighbors}")
    found = describe_node(graph, name)
    neighbors = _neighbors(graph, found.node_type, found.local_id)
    shown = _around(_in_turn(neighbors)[:max_neighbors])
    axes = axes_or_new(axes, (8.5, 7.0))
    radius = max(2.1, len(shown) * _ROOM / (2 * np.pi))
    for number, (neighbor, angle) in enumerate(zip(shown, _angles(shown), strict=True)):
        place = (_WIDER * radius * np.cos(angle), radius * np.sin(angle))
        # Labels of many edges stand at two distances in turn, where one would make them overlap.
        along = 0.6 if len(shown) <= 12 else (0.54, 0.7)[number % 2]
        _draw_edges(axes, place, neighbor, along, directed=neighbor.node_type == found.node_type)
        _draw_node(axes, graph, neighbor.node_type, neighbor.node, place, _BOX)
    _draw_node(axes, graph, found.node_type, found.local_id, (0.0, 0.0), _CENTRE_BOX)
    some = f"{len(shown)} of {len(neighbors):,}" if len(shown) < len(neighbors) else f"{len(neighbors):,}"
    axes.set_title(
        f"{found.node_type} {found.key}: {some} neighbour{'' if len(neighbors) == 1 else 's'}",
        parse_math=False,
    )
    axes.set(xlim=np.array([-1, 1]) * (_WIDER * radius + 1.0), ylim=np.array([-1, 1]) * (radius + 0.9))
    axes.set_aspect("equal")
    axes.set_axis_off()
    return axes


def _neighbors(graph: ContextGraph, node_type: str, node: int) -> list[_Neighbor]:
    """All nodes at the other end of an edge, by the first edge type that connects them."""
    found: dict[tuple[str, int], _Neighbor] = {}
    for kind in EDGE_TYPES:
        src, dst, weight = graph.edges(kind)
        for near, far, end, other, outgoing in (
            (src, dst, kind[0], kind[2], True),
            (dst, src, kind[2], kind[0], False),
        ):
            if end != node_type:
                continue
            for edge in np.flatnonzero(near == node).tolist():
                key = (other, int(far[edge]))
                neighbor = found.setdefault(key, _Neighbor(*key))
                neighbor.edges.append((kind[1], float(weight[edge]), outgoing))
    return list(found.values())


def _in_turn(neighbors: list[_Neighbor]) -> list[_Neighbor]:
    """Take neighbours in turn from each kind of edge, largest weights first."""
    groups: dict[tuple[str, str], list[_Neighbor]] = {}
    for neighbor in sorted(neighbors, key=lambda n: -n.weight):
        groups.setdefault((neighbor.edges[0][0], neighbor.node_type), []).append(neighbor)
    rank = {id(n): turn for group in groups.values() for turn, n in enumerate(group)}
    return sorted(neighbors, key=lambda n: (rank[id(n)], -n.weight))


def _around(neighbors: Iterable[_Neighbor]) -> list[_Neighbor]:
    """Sort clockwise from the top by type, then by relation and weight."""
    order = list(_DIRECTIONS)
    return sorted(neighbors, key=lambda n: (order.index(n.node_type), n.edges[0][0], -n.weight))


def _angles(neighbors: list[_Neighbor]) -> np.ndarray:
    """Spread neighbours evenly, turned so that types stand as near as can be to their directions; radians."""
    even = -2 * np.pi * np.arange(len(neighbors)) / max(len(neighbors), 1)
    wanted = np.radians([_DIRECTIONS[neighbor.node_type] for neighbor in neighbors])
    return even + np.angle(np.exp(1j * (wanted - even)).sum())


def _draw_edges(
    axes: Axes, place: tuple[float, float], neighbor: _Neighbor, along: float, *, directed: bool
) -> None:
    width = 0.6 + 2.4 * neighbor.weight
    axes.plot(*zip((0, 0), place, strict=True), color="0.55", linewidth=width, zorder=1)
    # The label says which way an edge between nodes of one type points, where that means something.
    lines = [
        f"{relation} {weight:.3g}{'' if not directed or relation != 'regulates' else ' ' + '←→'[outgoing]}"
        for relation, weight, outgoing in neighbor.edges
    ]
    axes.text(
        along * place[0],
        along * place[1],
        "\n".join(lines),
        ha="center",
        va="center",
        fontsize=7.5,
        bbox=_BEHIND,
        zorder=4,
    )


def _draw_node(
    axes: Axes,
    graph: ContextGraph,
    node_type: str,
    node: int,
    place: tuple[float, float],
    size: tuple[float, float],
) -> None:
    colour = NODE_COLOURS[node_type]
    x, y = place
    width, height = size
    if node_type == "molecule":
        axes.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle="round,pad=0,rounding_size=0.1",
                facecolor="white",
                edgecolor=colour,
                linewidth=1.5,
                zorder=2,
            )
        )
        smiles = str(graph.nodes["molecule"]["smiles"].iloc[node])
        image = structure_image(smiles, int(width * _PIXELS), int(height * _PIXELS))
        if image is not None:
            edges = (x - width / 2, x + width / 2, y - height / 2, y + height / 2)
            axes.imshow(image, extent=edges, zorder=3, aspect="equal", interpolation="antialiased")
        half = height / 2
    else:
        half = 0.22 if size == _BOX else 0.35
        axes.add_patch(Circle(place, half, facecolor=colour, edgecolor="white", linewidth=1.5, zorder=3))
    above = y > 0  # away from the edge to the centre
    axes.text(
        x,
        y + half + 0.05 if above else y - half - 0.05,
        node_label(graph, node_type, node),
        ha="center",
        va="bottom" if above else "top",
        fontsize=7.5,
        bbox=_BEHIND,
        zorder=5,
        parse_math=False,
    )
