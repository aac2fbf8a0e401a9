"""Where walks go, and how alpha shrinks on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from infoalign_dgl.context import EDGE_TYPES, NODE_TYPES
from infoalign_dgl.plots._axes import COLOURS, NODE_COLOURS, axes_or_new
from infoalign_dgl.plots._nodes import locate, node_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.walks import Walks

_LARGEST = 620.0  # of a node's marker, in square points: the one of alpha 1
_NO_FEATURES = "no features"
_TIMES = "\u00d7"


def draw_walks(graph: ContextGraph, walks: Walks, axes: Axes | None = None, *, max_walks: int = 6) -> Axes:
    """Draw walks as rows of nodes, whose area, and the width of the line to them, is alpha.

    A thin ring has the area of alpha 1. Over each step stand its relation, where the walks have their edges
    (``return_edges=True``), and the weight that alpha is multiplied by.

    Parameters
    ----------
    graph : ContextGraph
        The graph of the walks.
    walks : Walks
        Numpy arrays or tensors.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    max_walks : int
        Draw the first so many.

    Returns
    -------
    matplotlib Axes
        The axes drawn on: x is the step, y the row, from the top.
    """
    nodes, alpha = _array(walks.nodes)[:max_walks], _array(walks.alpha)[:max_walks]
    edges = None if walks.edges is None else _array(walks.edges)[:max_walks]
    count, steps = nodes.shape[0], nodes.shape[1] - 1
    axes = axes_or_new(axes, (max(4.0, 2.1 * (steps + 1)), 0.9 + 1.15 * max(count, 1)))
    kinds, local = locate(graph, nodes)
    for row in range(count):
        for step in range(1, steps + 1):
            if nodes[row, step] < 0:
                text = "dead end" if nodes[row, step - 1] >= 0 else ""
                axes.text(step - 0.5, row, text, ha="center", va="center", fontsize=8, color="0.35")
                continue
            width = 0.5 + 5.5 * alpha[row, step]
            axes.plot([step - 1, step], [row, row], color="0.6", linewidth=width, zorder=1)
            relation, weight = _step(graph, alpha[row], step, None if edges is None else edges[row])
            axes.text(step - 0.5, row - 0.13, relation, ha="center", va="bottom", fontsize=7.5, color="0.3")
            axes.text(step - 0.5, row + 0.13, weight, ha="center", va="top", fontsize=7.5, color="0.3")
        for step in np.flatnonzero(nodes[row] >= 0).tolist():
            kind = NODE_TYPES[kinds[row, step]]
            label = node_label(graph, kind, int(local[row, step]))
            axes.text(step, row + 0.25, label, ha="center", va="top", fontsize=7.5, parse_math=False)
            text = f"{alpha[row, step]:.3g}"
            axes.text(step, row - 0.24, text, ha="center", va="bottom", fontsize=8, weight="bold")
    _draw_markers(axes, kinds, alpha)
    total = len(walks)
    shown = f"{count} of {total:,} walks" if count < total else f"{total:,} walk{'' if total == 1 else 's'}"
    axes.set(xlim=(-0.5, steps + 0.5), ylim=(max(count, 1) - 0.4, -0.6), yticks=[])
    axes.set_xticks(range(steps + 1), ["start", *(f"step {step}" for step in range(1, steps + 1))])
    axes.set_title(f"{shown}: alpha above each node, its area and the line to it", fontsize=11)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    return axes


def draw_visits(
    graph: ContextGraph, walks: Mapping[str, Walks], axes: Axes | None = None, *, by: str = "node type"
) -> Axes:
    """Draw what walks visit after their start: bars are shares of alpha, marks shares of visits.

    Parameters
    ----------
    graph : ContextGraph
        The graph of the walks.
    walks : mapping of str to Walks
        By what the legend calls them, for instance ``{"uniform": ..., "weight": ...}``.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    by : {"node type", "feature space"}
        What to group by. A gene may have several feature spaces and counts in each, so that shares by space
        may sum to more than 1; nodes that have none are a group of their own.

    Returns
    -------
    matplotlib Axes
        The axes drawn on: one group of bars per type or space, from the top.

    Raises
    ------
    ValueError
        If ``by`` is neither.
    """
    groups = _groups(graph, by)
    axes = axes_or_new(axes, (7.5, 1.3 + (0.25 + 0.26 * max(len(walks), 1)) * len(groups)))
    height = 0.8 / max(len(walks), 1)
    for number, (name, found) in enumerate(walks.items()):
        nodes, alpha = _array(found.nodes)[:, 1:], _array(found.alpha)[:, 1:].astype(np.float64)
        there = nodes >= 0
        nodes, alpha = nodes[there], alpha[there]
        mass, visits = alpha.sum() or 1.0, max(len(nodes), 1)
        shares = [
            (alpha[member[nodes]].sum() / mass, member[nodes].sum() / visits) for member in groups.values()
        ]
        places = np.arange(len(groups)) + (number - (len(walks) - 1) / 2) * height
        colour = COLOURS[number % len(COLOURS)]
        axes.barh(places, [share for share, _ in shares], height * 0.9, color=colour, label=f"{name}: alpha")
        axes.plot(
            [share for _, share in shares],
            places,
            linestyle="none",
            marker="D",
            markersize=5,
            markerfacecolor="white",
            markeredgecolor="black",
            clip_on=False,
            label="visits" if number == len(walks) - 1 else None,
        )
    axes.set_yticks(range(len(groups)), list(groups), parse_math=False)
    axes.set_ylim(len(groups) - 0.45, -0.55)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set(xlabel="share after the start", title=f"What walks meet, by {by}")
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    handles, labels = axes.get_legend_handles_labels()  # marks come first in it
    axes.legend(
        handles[1:] + handles[:1],
        labels[1:] + labels[:1],
        frameon=False,
        fontsize=9,
        loc="center left",
        bbox_to_anchor=(1.02, 0.5),
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    return axes


def _array(values: Any) -> np.ndarray:
    """Give an array or a tensor, wherever it is, as numpy."""
    return np.asarray(values) if isinstance(values, np.ndarray) else values.detach().cpu().numpy()


def _step(graph: ContextGraph, alpha: np.ndarray, step: int, edges: np.ndarray | None) -> tuple[str, str]:
    """Relation and weight of a step, each empty where it cannot be told."""
    if edges is None:
        return "", "" if alpha[step - 1] == 0 else f"{_TIMES} {alpha[step] / alpha[step - 1]:.3g}"
    ends = np.cumsum([graph.num_edges[kind] for kind in EDGE_TYPES])
    kind = EDGE_TYPES[int(np.searchsorted(ends, edges[step - 1], side="right"))]
    local = edges[step - 1] - (ends[EDGE_TYPES.index(kind)] - graph.num_edges[kind])
    return kind[1], f"{_TIMES} {graph.edges(kind)[2][local]:.3g}"


def _draw_markers(axes: Axes, kinds: np.ndarray, alpha: np.ndarray) -> None:
    """Draw a ring of alpha 1 around every node, and the node in its type's colour."""
    rows, steps = np.nonzero(kinds >= 0)
    handles, labels = [], []
    axes.scatter(steps, rows, _LARGEST, facecolors="white", edgecolors="0.75", linewidths=0.8, zorder=2)
    for number, node_type in enumerate(NODE_TYPES):
        mine = kinds[rows, steps] == number
        if mine.any():
            axes.scatter(
                steps[mine],
                rows[mine],
                _LARGEST * alpha[rows[mine], steps[mine]],
                color=NODE_COLOURS[node_type],
                linewidths=0,
                zorder=3,
            )
            handles.append(Line2D([], [], linestyle="none", marker="o", color=NODE_COLOURS[node_type]))
            labels.append(node_type)
    if handles:
        axes.legend(
            handles,
            labels,
            frameon=False,
            fontsize=8,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.06),
            ncols=len(NODE_TYPES),
        )


def _groups(graph: ContextGraph, by: str) -> dict[str, np.ndarray]:
    """Which nodes are of each group, (total nodes,) bool."""
    if by == "node type":
        kinds, _ = locate(graph, np.arange(graph.total_nodes))
        return {node_type: kinds == number for number, node_type in enumerate(NODE_TYPES)}
    if by != "feature space":
        raise ValueError(f"'by' must be 'node type' or 'feature space', not {by!r}")
    groups = {name: graph.row_index(name) >= 0 for name in graph.spaces}
    covered = np.zeros(graph.total_nodes, bool)
    for member in groups.values():
        covered |= member
    return {**groups, _NO_FEATURES: ~covered}
