"""What is shown of walks and of walk indexes: counts and a few examples, never whole arrays."""

from __future__ import annotations

from bisect import bisect_right
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl._html import Html, counted, dot, note, panel, table
from infoalign_dgl.walks._arrays import is_tensor, to_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infoalign_dgl.walks.index import WalkIndex
    from infoalign_dgl.walks.walk import Walks

_MOST_WALKS = 5
_MOST_STEPS = 8
_MOST_RELATIONS = 20


def repr_walks(walks: Walks) -> str:
    """Write how many walks there are, and the first of them as nodes with alpha in brackets."""
    lines = [f"Walks({_summary(walks)})"]
    for steps in _first(walks):
        shown = [
            "dead end" if alpha is None else f"{name} ({alpha:.3g})"
            for _, name, alpha in steps[: _MOST_STEPS + 1]
        ]
        lines.append("  " + " > ".join(shown + ["..."] * (len(steps) > len(shown))))
    if len(walks) > _MOST_WALKS:
        lines.append(f"  ... and {len(walks) - _MOST_WALKS:,} more")
    return "\n".join(lines)


def html_walks(walks: Walks) -> str:
    """Show how many walks there are, and the first of them as a table of nodes with alpha below."""
    length = walks.nodes.shape[1] - 1
    steps = min(length, _MOST_STEPS)
    rows = []
    for walk in _first(walks):
        cells = [
            Html("dead end")
            if alpha is None
            else Html(f"{dot(kind) if kind else ''}{escape(name)}<br>{alpha:.3g}")
            for kind, name, alpha in walk[: steps + 1]
        ]
        rows.append(cells + [Html("")] * (steps + 1 - len(cells)))
    headers = ["start", *(f"step {step}" for step in range(1, steps + 1))]
    unseen = []
    if len(walks) > _MOST_WALKS:
        unseen.append(counted(len(walks) - _MOST_WALKS, "more walk"))
    if length > steps:
        unseen.append(counted(length - steps, "more step"))
    below = f"Below each node stands alpha{'; not shown: ' + ', '.join(unseen) if unseen else ''}."
    return panel("Walks", _summary(walks), table(headers, rows), note(below))


def html_index(index: WalkIndex) -> str:
    """Show the size of an index, how many arcs nodes have, and how many arcs each relation."""
    degrees = np.diff(index.indptr[:: index.rows_per_node])
    size = (
        index.indptr.nbytes + index.arcs.nbytes + index.offsets.nbytes * (index.offsets is not index.indptr)
    )
    facts: list[tuple[str, Any]] = [
        ("nodes", index.num_nodes),
        ("arcs", index.num_arcs),
        ("nodes without an arc", int((degrees == 0).sum())),
        ("most arcs of a node", int(degrees.max(initial=0))),
        ("arcs of a node, on average", index.num_arcs / max(index.num_nodes, 1)),
        ("MiB of rows and arcs", size / 2**20),
    ]
    parts = [table(["", ""], facts)]
    if index.relations is not None:
        counts = np.bincount(index.relations).tolist()
        some = [(str(relation), count) for relation, count in enumerate(counts) if count]
        parts.append(table(["relation", "arcs"], some[:_MOST_RELATIONS]))
        if len(some) > _MOST_RELATIONS:
            parts.append(note(f"{len(some) - _MOST_RELATIONS:,} more relations are not shown."))
    return panel("WalkIndex", "arcs of a graph, sorted by their start", *parts)


def _summary(walks: Walks) -> str:
    kind = "torch" if is_tensor(walks.nodes) else "numpy"
    edges = "with" if walks.edges is not None else "without"
    steps = walks.nodes.shape[1] - 1
    return f"{counted(len(walks), 'walk')} of {counted(steps, 'step')}, {edges} edges, {kind}"


def _first(walks: Walks) -> Iterator[list[tuple[str, str, float | None]]]:
    """Give each node of the first walks as (type, name, alpha); alpha is None where one came to its end."""
    shape = (slice(_MOST_WALKS), slice(_MOST_STEPS + 2))
    nodes, alphas = (to_numpy(array[shape], "walks").tolist() for array in (walks.nodes, walks.alpha))
    types = list(walks.first_nodes or {})
    starts = list((walks.first_nodes or {}).values())
    for row, alpha in zip(nodes, alphas, strict=True):
        found: list[tuple[str, str, float | None]] = []
        for node, value in zip(row, alpha, strict=True):
            if node < 0:
                found.append(("", "", None))
                break
            place = bisect_right(starts, node) - 1
            name = f"{types[place]} {node - starts[place]}" if types else str(node)
            found.append((types[place] if types else "", name, value))
        yield found
