"""Bars of degrees, weights and coverage are counts made another way."""

from __future__ import annotations

from collections import Counter

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from infoalign_dgl.context import EDGE_TYPES, NODE_TYPES, ContextGraph
from infoalign_dgl.plots import draw_coverage, draw_degrees, draw_weights

mpl.use("Agg")


def rows_of(axes):
    """Bar heights of each row, as shares of the row's largest, and the label and note beside them."""
    labels = [label.get_text() for label in axes.get_yticklabels()]
    notes = [text.get_text() for text in axes.texts]
    heights = [np.array([bar.get_height() for bar in row]) for row in axes.containers]
    shares = [row / row[np.argmax(np.abs(row))] for row in heights]
    return {label: (share, note) for label, share, note in zip(labels, shares, notes, strict=True)}


def counted(graph, kind, node_type):
    """Edges of each node of one end, counted one by one."""
    src, dst, _ = graph.edges(kind)
    degrees = Counter()
    for end, ids in ((kind[0], src), (kind[2], dst)):
        if end == node_type:
            degrees.update(ids.tolist())
    return degrees


def test_degrees_are_counted_at_both_ends(graph):
    rows = rows_of(draw_degrees(graph))
    expected = 0
    for kind in EDGE_TYPES:
        for node_type in dict.fromkeys((kind[0], kind[2])):
            degrees = counted(graph, kind, node_type)
            if not degrees:
                continue
            name = " ".join(kind[:2] if kind[0] == kind[2] else kind)
            shares, note = rows[f"{name}\nper {node_type}"]
            bins = Counter(len(f"{degree:b}") - 1 for degree in degrees.values())
            heights = np.array([bins[place] for place in range(len(shares))])
            assert heights.sum() == len(degrees)
            np.testing.assert_allclose(shares, heights / heights.max())
            assert f"{len(degrees):,} of {graph.num_nodes[node_type]:,}" in note
            assert f"most {max(degrees.values()):,}" in note
            expected += 1
    assert len(rows) == expected > len(NODE_TYPES)


def test_degree_bars_stand_at_powers_of_two(graph):
    axes = draw_degrees(graph)
    for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
        assert int(label.get_text().replace(",", "")) == 2**place
    assert [bar.get_x() for bar in axes.containers[0]] == list(range(len(axes.containers[0])))


def test_weights_are_in_the_bins_they_belong_to(graph):
    rows = rows_of(draw_weights(graph))
    kinds = [kind for kind in EDGE_TYPES if graph.num_edges[kind]]
    assert list(rows) == [f"{source}\n{relation} {target}" for source, relation, target in kinds]
    for (shares, note), kind in zip(rows.values(), kinds, strict=True):
        weights = graph.edges(kind)[2]
        bins = np.bincount(np.minimum((weights.astype(float) * 50).astype(int), 49), minlength=50)
        np.testing.assert_allclose(shares, bins / bins.max())
        assert note.startswith(f"{len(weights):,} edges")


def test_coverage_is_of_molecules_or_genes(graph):
    axes = draw_coverage(graph)
    labels = [label.get_text().split("\n")[0] for label in axes.get_yticklabels()]
    widths = [bar.get_width() for bar in axes.patches]
    assert labels == [*graph.spaces, "any profile"]
    any_profile = set()
    for name, width in zip(labels[:-1], widths[:-1], strict=True):
        space = graph.spaces[name]
        rows = np.flatnonzero(space.node_rows >= 0)
        if space.node_type in {"molecule", "gene"}:
            assert width == len(rows) / graph.num_nodes[space.node_type]
        else:
            found = set(graph.nodes[space.node_type]["molecule"].iloc[rows])
            any_profile |= found
            assert width == len(found) / graph.num_nodes["molecule"]
    assert widths[-1] == len(any_profile) / graph.num_nodes["molecule"]


def test_replicates_that_were_kept_count_as_one_molecule(graph):
    tables = dict(graph.nodes)
    tables["gene_expression"] = tables["gene_expression"].assign(molecule=graph.nodes["molecule"]["key"][0])
    axes = draw_coverage(ContextGraph(graph.heterograph, tables, graph.spaces))
    labels = [label.get_text().split("\n")[0] for label in axes.get_yticklabels()]
    assert axes.patches[labels.index("expression")].get_width() == 1 / graph.num_nodes["molecule"]


def test_figures_of_a_graph_without_edges_say_so(graph):
    empty = ContextGraph.from_edges({}, graph.nodes, graph.spaces)
    for draw in (draw_degrees, draw_weights):
        assert [text.get_text() for text in draw(empty).texts] == ["no edges"]


def test_given_axes_are_drawn_on(graph):
    _, places = plt.subplots(3)
    for draw, axes in zip((draw_degrees, draw_weights, draw_coverage), places, strict=True):
        assert draw(graph, axes) is axes
