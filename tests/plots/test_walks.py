"""Walks are drawn with their own alpha; visits are shares counted one by one."""

from __future__ import annotations

from collections import Counter, defaultdict

import matplotlib as mpl
import numpy as np
import pytest
import torch

from infoalign_dgl.context import EDGE_TYPES, NODE_TYPES
from infoalign_dgl.plots import draw_visits, draw_walks
from infoalign_dgl.plots._axes import NODE_COLOURS
from infoalign_dgl.walks import Walks

mpl.use("Agg")


def type_of(graph, node):
    return next(kind for kind in reversed(NODE_TYPES) if node >= graph.node_offsets[kind])


def areas(axes):
    """Area of the marker at each place, by (step, row), and its colour; without the rings."""
    found = {}
    for markers in axes.collections[1:]:
        for place, size in zip(markers.get_offsets().tolist(), markers.get_sizes(), strict=True):
            found[tuple(place)] = (size, mpl.colors.to_hex(markers.get_facecolor()[0]))
    return found


def test_areas_and_widths_are_alpha(graph):
    walks = graph.walks(np.arange(4), 3, seed=5, return_edges=True)
    axes = draw_walks(graph, walks)
    drawn = areas(axes)
    (largest,) = set(axes.collections[0].get_sizes())
    assert len(drawn) == (walks.nodes >= 0).sum() > 4
    for (step, row), (size, colour) in drawn.items():
        np.testing.assert_allclose(size / largest, walks.alpha[int(row), int(step)], rtol=1e-6)
        assert colour.upper() == NODE_COLOURS[type_of(graph, walks.nodes[int(row), int(step)])]
    for line in axes.lines:
        alpha = walks.alpha[int(line.get_ydata()[0]), int(line.get_xdata()[1])]
        np.testing.assert_allclose(line.get_linewidth(), 0.5 + 5.5 * alpha, rtol=1e-6)


def test_steps_have_the_relation_and_weight_of_their_edge(graph):
    walks = graph.walks(np.arange(6), 4, seed=1, return_edges=True)
    edges = [(kind[1], weight) for kind in EDGE_TYPES for weight in graph.edges(kind)[2].tolist()]
    expected = [edges[edge] for row in walks.edges for edge in row if edge >= 0]
    texts = Counter(text.get_text() for text in draw_walks(graph, walks).texts)
    assert len(expected) > 10
    for relation, count in Counter(relation for relation, _ in expected).items():
        assert texts[relation] == count
    for text, count in Counter(f"\u00d7 {weight:.3g}" for _, weight in expected).items():
        assert texts[text] == count


def test_weights_without_edges_are_the_ratios_of_alpha(graph):
    with_edges = graph.walks(np.arange(6), 4, seed=1, return_edges=True)
    without = Walks(torch.from_numpy(with_edges.nodes), torch.from_numpy(with_edges.alpha))
    weights = [
        sorted(text.get_text() for text in draw_walks(graph, walks).texts if "\u00d7" in text.get_text())
        for walks in (with_edges, without)
    ]
    assert weights[0] == weights[1]


def test_dead_ends_are_said_once_a_walk(graph):
    nodes = np.array([[0, -1, -1], [0, graph.node_offsets["gene"], -1]])
    alpha = np.array([[1, 0, 0], [1, 0.5, 0]], np.float32)
    axes = draw_walks(graph, Walks(nodes, alpha))
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("dead end") == 2
    assert len(areas(axes)) == 3


def test_the_title_says_how_many_walks_there_are(graph):
    walks = graph.walks(np.arange(9), 2)
    axes = draw_walks(graph, walks, max_walks=2)
    assert axes.get_title().startswith("2 of 9 walks")
    assert {row for _, row in areas(axes)} == {0.0, 1.0}
    assert draw_walks(graph, Walks(walks.nodes[:1], walks.alpha[:1])).get_title().startswith("1 walk:")
    assert draw_walks(graph, Walks(walks.nodes[:0], walks.alpha[:0])).get_title().startswith("0 walks:")


@pytest.mark.parametrize("by", ["node type", "feature space"])
def test_visits_are_shares_counted_one_by_one(graph, by):
    walks = {name: graph.walks(np.arange(200), 4, transition=name) for name in ("uniform", "weight")}
    axes = draw_visits(graph, walks, by=by)
    names = [label.get_text() for label in axes.get_yticklabels()]
    rows = {name: graph.row_index(name) for name in graph.spaces}
    for number, found in enumerate(walks.values()):
        visits, mass, steps, total = defaultdict(int), defaultdict(float), 0, 0.0
        for nodes, alphas in zip(found.nodes[:, 1:].tolist(), found.alpha[:, 1:].tolist(), strict=True):
            for node, alpha in zip(nodes, alphas, strict=True):
                if node < 0:
                    continue
                steps, total = steps + 1, total + alpha
                groups = [type_of(graph, node)]
                if by == "feature space":
                    groups = [name for name in rows if rows[name][node] >= 0] or ["no features"]
                for group in groups:
                    visits[group] += 1
                    mass[group] += alpha
        widths = [bar.get_width() for bar in axes.containers[number]]
        np.testing.assert_allclose(widths, [mass[name] / total for name in names], rtol=1e-9)
        np.testing.assert_allclose(axes.lines[number].get_xdata(), [visits[name] / steps for name in names])


def test_visits_of_isolated_molecules_are_none(graph):
    dead = Walks(np.array([[0, -1]]), np.array([[1.0, 0.0]], np.float32))
    axes = draw_visits(graph, {"dead": dead})
    assert [bar.get_width() for bar in axes.patches] == [0, 0, 0, 0]


def test_an_unknown_grouping_is_named(graph):
    with pytest.raises(ValueError, match="'by' must be 'node type' or 'feature space', not 'space'"):
        draw_visits(graph, {}, by="space")
