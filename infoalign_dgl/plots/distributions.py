"""How edges and features are spread: degrees and weights by edge type, coverage by feature space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.plots._axes import NODE_COLOURS, axes_or_new

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from infoalign_dgl.context import ContextGraph

_ROW_INCHES = 0.52
_TALLEST = 0.82  # of a row, what its highest bar takes
_WEIGHT_BINS = 50


@dataclass(frozen=True)
class _Row:
    """One distribution: a bar height per bin of the figure, and what is said on both sides of it."""

    label: str
    heights: np.ndarray
    note: str
    colour: str


def draw_degrees(graph: ContextGraph, axes: Axes | None = None) -> Axes:
    """Draw how many edges of each type nodes have, in bins that double: 1, 2-3, 4-7, 8-15, ...

    An edge type between two node types has two rows, one for the nodes of each end. Edges in and out count
    alike, since walks take both. Bars are nodes, scaled to each row's largest; nodes without such an edge
    have no bar, and the note says how many have one.

    Parameters
    ----------
    graph : ContextGraph
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on; bar k of a row covers degrees from 2^k to 2^(k+1) - 1.
    """
    degrees = _degrees(graph)
    bins = max((int(found.max()).bit_length() for *_, found in degrees), default=1)
    rows = []
    for kind, node_type, found in degrees:
        some = found[found > 0]
        heights = np.bincount(np.frexp(some)[1] - 1, minlength=bins)
        name = f"{kind[0]} {kind[1]}" if kind[0] == kind[2] else " ".join(kind)
        note = f"{len(some):,} of {len(found):,}\nmedian {np.median(some):,.4g}, most {some.max():,}"
        rows.append(_Row(f"{name}\nper {node_type}", heights, note, NODE_COLOURS[node_type]))
    axes = _draw_rows(axes, rows, np.arange(bins + 1.0), "no edges")
    every = 1 if bins <= 8 else 2
    axes.set_xticks(range(0, bins + 1, every), [f"{1 << k:,}" for k in range(0, bins + 1, every)])
    axes.set(xlabel="edges of a node that has any", title="Degrees by edge type")
    return axes


def draw_weights(graph: ContextGraph, axes: Axes | None = None) -> Axes:
    """Draw the weights of the edges of each type, in 50 bins from 0 to 1.

    Parameters
    ----------
    graph : ContextGraph
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on; bars are edges, scaled to each row's largest.
    """
    rows = []
    edges = np.linspace(0, 1, _WEIGHT_BINS + 1)
    for kind, count in graph.num_edges.items():
        if count:
            weight = graph.edges(kind)[2]
            note = f"{count:,} edges\nmedian {np.median(weight):.3g}"
            label = f"{kind[0]}\n{kind[1]} {kind[2]}"
            rows.append(_Row(label, np.histogram(weight, edges)[0], note, NODE_COLOURS[kind[2]]))
    axes = _draw_rows(axes, rows, edges, "no edges")
    axes.set(xlabel="weight", title="Weights by edge type")
    return axes


def draw_coverage(graph: ContextGraph, axes: Axes | None = None) -> Axes:
    """Draw the share of molecules, or of genes where genes carry it, that have each feature space.

    Where there are profiles of molecules in several spaces, one more bar has the molecules with any of them.

    Parameters
    ----------
    graph : ContextGraph
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on, one bar per feature space in the graph's order, from the top.
    """
    rows, measured = [], []
    for space in graph.spaces.values():
        carrier = "gene" if space.node_type == "gene" else "molecule"
        covered = np.flatnonzero(space.node_rows >= 0)
        if space.node_type != carrier:  # several profiles may be of one molecule
            covered = graph.nodes[space.node_type]["molecule"].iloc[covered].unique()
            measured.append(covered)
        rows.append((f"{space.name}\n{space.dim:,} columns", len(covered), carrier, space.node_type))
    if len(measured) > 1:
        several = len(np.unique(np.concatenate([np.asarray(keys, str) for keys in measured])))
        rows.append(("any profile", several, "molecule", "molecule"))
    axes = axes_or_new(axes, (8.6, 1.2 + _ROW_INCHES * max(len(rows), 1)))
    for place, (_, count, carrier, node_type) in enumerate(rows):
        total = graph.num_nodes[carrier]
        share = count / max(total, 1)
        axes.barh(place, share, 0.62, color=NODE_COLOURS[node_type])
        _note(axes, place, f"{_percent(share)}\n{count:,} of {total:,} {carrier}s")
    _label_rows(axes, [label for label, *_ in rows])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set(xlim=(0, 1), xlabel="share with a row", title="Coverage of feature spaces")
    return axes


def _degrees(graph: ContextGraph) -> list[tuple[tuple[str, str, str], str, np.ndarray]]:
    """Edges of every node by edge type and end, where there are such edges: (type, node type, counts)."""
    found = []
    for kind, count in graph.num_edges.items():
        if not count:
            continue
        src, dst, _ = graph.edges(kind)
        out = np.bincount(src, minlength=graph.num_nodes[kind[0]])
        into = np.bincount(dst, minlength=graph.num_nodes[kind[2]])
        if kind[0] == kind[2]:
            found.append((kind, kind[0], out + into))
        else:
            found += [(kind, kind[0], out), (kind, kind[2], into)]
    return found


def _draw_rows(axes: Axes | None, rows: Sequence[_Row], edges: np.ndarray, nothing: str) -> Axes:
    """Draw one row of bars above another, the first at the top, with notes on the right."""
    axes = axes_or_new(axes, (8.6, 1.2 + _ROW_INCHES * max(len(rows), 1)))
    for place, row in enumerate(rows):
        base = place + 0.5 - (1 - _TALLEST) / 2
        tall = row.heights * (-_TALLEST / max(row.heights.max(), 1))  # the axis points down
        axes.bar(edges[:-1], tall, np.diff(edges), bottom=base, align="edge", color=row.colour, alpha=0.85)
        axes.axhline(base, color="0.8", linewidth=0.8, zorder=0)
        _note(axes, place, row.note)
    if not rows:
        axes.text(0.5, 0.5, nothing, transform=axes.transAxes, ha="center", va="center", color="0.35")
    _label_rows(axes, [row.label for row in rows])
    axes.set_xlim(edges[0], edges[-1])
    return axes


def _note(axes: Axes, place: int, text: str) -> None:
    """Write on the right of a row, outside the axes."""
    axes.annotate(
        text,
        (1.0, place),
        xytext=(8, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color="0.35",
    )


def _label_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, fontsize=9, parse_math=False)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _percent(share: float) -> str:
    """Write a share so that few is not none, and nearly all not all."""
    if 0 < share < 0.001:
        return "< 0.1%"
    if 0.999 < share < 1:
        return "> 99.9%"
    return f"{share:.1%}".replace(".0%", "%")
