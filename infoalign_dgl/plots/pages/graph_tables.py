"""What a page says of a graph in tables: counts, what walks meet, confounding, and the build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.context.confounding import Confounding
    from infoalign_dgl.context.diagnostics import Diagnosis
    from infoalign_dgl.plots.pages.graph_sample import Sample

_LONGEST = 90  # characters of a SMILES or of a dropped row


@dataclass(frozen=True)
class PageTable:
    """A table: its caption, its columns, which of them are numbers (by position), and its rows."""

    caption: str
    columns: Sequence[str]
    numeric: Sequence[int]
    rows: Sequence[Sequence[Any]]


def count_tables(graph: ContextGraph) -> list[PageTable]:
    """Nodes by type, edges by type, and feature spaces with their similarity edges."""
    cuts = graph.schema.get("similarity", {})
    spaces: list[Sequence[Any]] = [
        (
            space.name,
            space.node_type,
            f"{space.num_rows:,}",
            f"{space.dim:,}",
            *_cut(cuts.get(space.name, {})),
        )
        for space in graph.spaces.values()
    ]
    spaces += [(names, "", "", "", *_cut(cut)) for names, cut in cuts.items() if names not in graph.spaces]
    return [
        PageTable("Nodes", ["type", "nodes"], [1], [(kind, f"{n:,}") for kind, n in graph.num_nodes.items()]),
        PageTable(
            "Edges",
            ["source", "relation", "target", "edges", "mean weight"],
            [3, 4],
            [
                (*kind, f"{count:,}", f"{float(graph.edges(kind)[2].mean()):.3g}")
                for kind, count in graph.num_edges.items()
                if count
            ],
        ),
        PageTable(
            "Feature spaces, and the edges between nodes that are similar in them",
            ["space", "on", "rows", "columns", "similarity edges", "smallest kept"],
            [2, 3, 4, 5],
            spaces,
        ),
    ]


def _cut(cut: dict[str, Any]) -> tuple[str, str]:
    edges, smallest = cut.get("edges"), cut.get("edge_cut")
    return ("" if edges is None else f"{edges:,}", "" if smallest is None else f"{smallest:.3g}")


def walk_tables(found: Diagnosis) -> list[PageTable]:
    """Say what walks meet by feature space, the hubs, and similarity edges at other thresholds."""
    at = list(found.thresholds[0].edges) if found.thresholds else []
    return [
        PageTable(
            f"What walks of {found.length} steps meet (from {found.sampled_molecules:,} molecules)",
            ["space", "on", "coverage", "nodes visited per walk", "share of alpha"],
            [2, 3, 4],
            [
                (s.name, s.node_type, f"{s.coverage:.1%}", f"{s.visits:.3g}", f"{s.alpha_share:.1%}")
                for s in found.spaces
            ],
        ),
        PageTable(
            "Hubs: the nodes with the most edges",
            ["type", "id", "name", "edges"],
            [3],
            [(h.node_type, h.key, _short(h.label), f"{h.degree:,}") for h in found.hubs],
        ),
        PageTable(
            "Similarity edges that other thresholds would keep",
            ["space", *(f"from {threshold}" for threshold in at)],
            list(range(1, 1 + len(at))),
            [
                (t.spaces, *("build again" if n is None else f"{n:,}" for n in t.edges.values()))
                for t in found.thresholds
            ],
        ),
    ]


def confounding_tables(found: Confounding) -> list[PageTable]:
    """How much of the profiles' similarity a factor explains, and how many edges stay within one label."""
    return [
        PageTable(
            f"Similarity that a factor explains (chance: the mean of {found.permutations} permutations)",
            ["space", "by", "profiles", "labels", "explained", "chance", "ratio", "p", "beyond chance"],
            list(range(2, 9)),
            [
                (
                    *(s.space, s.factor, f"{s.profiles:,}", f"{s.labels:,}", f"{s.similarity:.1%}"),
                    *(f"{s.chance:.1%}", _number(s.ratio), _number(s.p), f"{s.share:.1%}"),
                )
                for s in found.spaces
            ],
        ),
        PageTable(
            "Edges between similar profiles that share a label",
            ["space", "by", "edges", "share a label", "chance", "ratio", "p"],
            list(range(2, 7)),
            [
                (
                    *(e.space, e.factor, f"{e.edges:,}", f"{e.within:.1%}", f"{e.chance:.1%}"),
                    *(_number(e.ratio), _number(e.p)),
                )
                for e in found.edges
            ],
        ),
    ]


def build_tables(report: dict[str, Any]) -> list[PageTable]:
    """Say what became of the rows of each table that the graph was built of, and why rows were dropped."""
    tables = report.get("tables", [])
    reasons = [row for table in tables for row in _dropped(table)]
    return [
        PageTable(
            "Tables",
            ["table", "kind", "rows read", "used", "merged with others", "dropped"],
            [2, 3, 4, 5],
            [
                (
                    *(table["table"], table.get("kind", ""), f"{table['rows']:,}", f"{table['used']:,}"),
                    *(f"{table.get('merged', 0):,}", f"{sum(table['dropped'].values()):,}"),
                )
                for table in tables
            ],
        ),
        PageTable("Why rows were dropped", ["table", "reason", "rows", "for instance"], [2], reasons),
        PageTable(
            "What became of feature spaces",
            ["space", "profiles", "columns", "columns dropped", "near-constant columns (kept)"],
            [1, 2, 3, 4],
            [
                (
                    *(name, f"{space.get('profiles', 0):,}", f"{space.get('columns', 0):,}"),
                    *(f"{len(space.get(key, [])):,}" for key in ("dropped_columns", "near_constant_columns")),
                )
                for name, space in report.get("spaces", {}).items()
            ],
        ),
    ]


def sample_tables(graph: ContextGraph, sample: Sample) -> list[PageTable]:
    """Count the nodes of each type that can be explored, and the molecules of each kind with walks."""
    offsets = [*graph.node_offsets.values(), graph.total_nodes]
    kept = [int(n) for n in (sample.nodes[:, None] < offsets[1:]).sum(axis=0)]
    here = [n - before for n, before in zip(kept, [0, *kept], strict=False)]
    return [
        PageTable(
            "What can be explored here",
            ["type", "in the graph", "here"],
            [1, 2],
            [
                (kind, f"{total:,}", f"{count:,}")
                for (kind, total), count in zip(graph.num_nodes.items(), here, strict=True)
            ],
        ),
        PageTable(
            "Molecules with walks here",
            ["molecules", "in the graph", "with walks here"],
            [1, 2],
            [(group.name, f"{group.molecules:,}", f"{group.starts:,}") for group in sample.groups],
        ),
    ]


def _dropped(table: dict[str, Any]) -> list[Sequence[Any]]:
    """List why rows of a table were dropped, most rows first; metaedges that were not chosen are one."""
    asked: dict[str, int] = {}
    unchosen: dict[str, int] = {}
    for reason, count in table["dropped"].items():
        (unchosen if reason.startswith("metaedge ") else asked)[reason] = count
    rows: list[Sequence[Any]] = [
        (table["table"], reason, f"{count:,}", _example(table, reason))
        for reason, count in sorted(asked.items(), key=lambda item: (-item[1], item[0]))
    ]
    if unchosen:
        names = ", ".join(sorted(reason.split()[1] for reason in unchosen))
        rows.append((table["table"], f"metaedge not chosen: {names}", f"{sum(unchosen.values()):,}", ""))
    return rows


def _example(table: dict[str, Any], reason: str) -> str:
    """One row that was dropped for a reason: its number, and what it said."""
    listed = table.get("listed", {}).get(reason) or []
    if not listed:
        return ""
    row, said = listed[0]
    return f"row {row}" + (f": {_short(str(said))}" if said else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
