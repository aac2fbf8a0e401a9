"""What notebooks show of an object: small HTML that takes its colours from the notebook, all text escaped.

It needs neither matplotlib nor a template library, so that any layer can use it.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Of Okabe and Ito's palette: told apart by colour-blind readers, and seen on light and on dark.
NODE_COLOURS = {
    "molecule": "#0072B2",
    "gene": "#009E73",
    "gene_expression": "#E69F00",
    "morphology": "#CC79A7",
}
_OTHER_COLOUR = "#999999"

# Centre of each node type in the drawing; loops and their labels are on the outer side.
_PLACES = {"morphology": (165, 42), "molecule": (165, 144), "gene_expression": (165, 246), "gene": (375, 144)}
_RADIUS = 36
_SIZE = (560, 288)
_SPREAD = 20  # half of a loop's opening
_REACH = 70  # from a node's centre to where the labels of its loop begin


class Html(str):
    """Text that is HTML already: everything else is escaped."""

    __slots__ = ()


def panel(title: str, summary: str, *parts: str) -> Html:
    """Put parts, which are HTML, under a bold title and a line of text."""
    head = f"<div><strong>{escape(title)}</strong> {escape(summary)}</div>"
    return Html(f'<div class="infoalign-dgl" style="color:inherit">{head}{"".join(parts)}</div>')


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, caption: str = "") -> Html:
    """Make a table.

    Parameters
    ----------
    columns : sequence of str
        Headers; empty ones make a table without them.
    rows : iterable of sequences
        Cells: integers get thousands separators, numbers stand on the right, :class:`Html` stays as it is,
        and everything else is escaped text.
    caption : str
        What stands above it.
    """
    lines = [list(row) for row in rows]
    sides = [
        "right" if lines and all(map(_is_number, column)) else "left" for column in zip(*lines, strict=True)
    ]
    sides = sides or ["left"] * len(columns)
    head = zip(columns, sides, strict=True)
    top = "".join(f'<th style="text-align:{side}">{escape(name)}</th>' for name, side in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in lines)
    above = f'<caption style="text-align:left;color:inherit">{escape(caption)}</caption>' if caption else ""
    above += f"<thead><tr>{top}</tr></thead>" if any(columns) else ""
    return Html(f"<table>{above}<tbody>{body}</tbody></table>")


def note(text: str) -> Html:
    """Make a line of smaller text."""
    return Html(f'<div style="opacity:0.75;font-size:90%">{escape(text)}</div>')


def dot(node_type: str) -> Html:
    """Make a dot in a node type's colour, to stand before its name."""
    colour = NODE_COLOURS.get(node_type, _OTHER_COLOUR)
    return Html(f'<span style="color:{colour}">&#9679;</span>&nbsp;')


def counted(count: int, what: str) -> str:
    """Write a count with its noun: 1 walk, 2,000 walks."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def typed(node_type: str) -> Html:
    """Write a node type with its dot."""
    return Html(dot(node_type) + escape(node_type))


def metagraph(nodes: Mapping[str, int], edges: Mapping[tuple[str, str, str], int]) -> Html:
    """Draw node types and edge types with their counts as SVG; edge types without edges are left out.

    Parameters
    ----------
    nodes : mapping of str to int
        By node type.
    edges : mapping of (source type, relation, target type) to int
    """
    relations: dict[tuple[str, str], list[str]] = {}
    for (source, relation, target), count in edges.items():
        if count:
            relations.setdefault((source, target), []).append(f"{relation} {count:,}")
    arrows = "".join(_relation(source, target, labels) for (source, target), labels in relations.items())
    circles = "".join(_node(node_type, nodes.get(node_type, 0)) for node_type in _PLACES)
    width, height = _SIZE
    return Html(
        f'<svg role="img" aria-label="Metagraph" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" style="max-width:100%;height:auto;color:inherit" font-family="sans-serif" '
        f'font-size="11">{arrows}{circles}</svg>'
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if isinstance(value, Html):
        return f'<td style="text-align:left">{value}</td>'
    if _is_number(value):
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
        return f'<td style="text-align:right">{text}</td>'
    return f'<td style="text-align:left">{escape(str(value))}</td>'


def _node(node_type: str, count: int) -> str:
    x, y = _PLACES[node_type]
    ink = "#fff" if node_type == "molecule" else "#000"  # read on the type's colour
    lines = [*node_type.split("_"), f"{count:,}"]
    first = y + 4 - 6.5 * (len(lines) - 1)
    text = "".join(
        f'<text x="{x}" y="{first + 13 * number:g}" text-anchor="middle" fill="{ink}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    return f'<circle cx="{x}" cy="{y}" r="{_RADIUS}" fill="{NODE_COLOURS[node_type]}"/>{text}'


def _relation(source: str, target: str, labels: list[str]) -> str:
    """Draw the arrow of one or more relations between two node types, and their labels beside it."""
    (x0, y0), (x1, y1) = _PLACES[source], _PLACES[target]
    gap, middle = _RADIUS + 3, 4 - 6.5 * (len(labels) - 1)
    if source == target:
        side = 1 if source == "gene" else -1
        edge, out = x0 + side * 29, x0 + side * 74
        end = (edge + side * 2, y0 + _SPREAD)
        path = f"M{edge} {y0 - _SPREAD}C{out} {y0 - 36} {out} {y0 + 36} {end[0]} {end[1]}"
        angle = math.atan2(end[1] - y0 - 36, end[0] - out)
        at, anchor, top = x0 + side * _REACH, "start" if side > 0 else "end", y0 + middle
    elif y0 == y1:
        step = 1 if x1 > x0 else -1
        end = (x1 - step * gap, y1)
        path, angle = f"M{x0 + step * gap} {y0}L{end[0]} {end[1]}", math.atan2(0, step)
        at, anchor, top = (x0 + x1) // 2, "middle", y0 - 6 - 13 * (len(labels) - 1)
    else:
        step = 1 if y1 > y0 else -1
        end = (x1, y1 - step * gap)
        path, angle = f"M{x0} {y0 + step * gap}L{end[0]} {end[1]}", math.atan2(step, 0)
        at, anchor, top = x0 + 8, "start", (y0 + y1) / 2 + middle
    text = "".join(
        f'<text x="{at}" y="{top + 13 * number:g}" text-anchor="{anchor}" fill="currentColor">'
        f"{escape(label)}</text>"
        for number, label in enumerate(labels)
    )
    line = f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity="0.6"/>'
    turn = f"translate({end[0]} {end[1]}) rotate({math.degrees(angle):.0f})"
    head = f'<path d="M1 0L-7 4L-7 -4z" fill="currentColor" transform="{turn}"/>'
    return line + head + text
