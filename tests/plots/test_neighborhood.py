"""A neighbourhood shows the nodes at the other end of edges, with the weights of these edges."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.patches import Circle

from infoalign_dgl.context import EDGE_TYPES, ContextGraph
from infoalign_dgl.errors import GraphError
from infoalign_dgl.plots import draw_neighborhood
from infoalign_dgl.plots._nodes import structure_image

mpl.use("Agg")


def neighbors_of(graph, node_type, node):
    """Neighbour to its edges (relation, weight), found by walking through all edges one by one."""
    found = {}
    for kind in EDGE_TYPES:
        for src, dst, weight in zip(*(array.tolist() for array in graph.edges(kind)), strict=True):
            if (kind[0], src) == (node_type, node):
                found.setdefault((kind[2], dst), []).append((kind[1], weight))
            if (kind[2], dst) == (node_type, node):
                found.setdefault((kind[0], src), []).append((kind[1], weight))
    return found


def busiest(graph, node_type="molecule"):
    degrees = np.diff(graph.walk_index().indptr)
    start = graph.node_offsets[node_type]
    return int(np.argmax(degrees[start : start + graph.num_nodes[node_type]]))


def test_every_neighbor_and_weight_is_there(graph):
    node = busiest(graph)
    key = graph.nodes["molecule"]["key"][node]
    axes = draw_neighborhood(graph, f"molecule:{key}", max_neighbors=1000)
    found = neighbors_of(graph, "molecule", node)
    texts = [text.get_text() for text in axes.texts]
    for (kind, local), edges in found.items():
        row = graph.nodes[kind].iloc[local]
        name = row["symbol"] if kind == "gene" else "\n".join(row["key"].split(":", 1))
        assert name in texts
        assert "\n".join(f"{relation} {weight:.3g}" for relation, weight in edges) in texts
    assert len(texts) == 2 * len(found) + 1  # a name and a label for each, and the name in the middle
    molecules = 1 + sum(kind == "molecule" for kind, _ in found)
    assert len(axes.images) == molecules
    assert sum(isinstance(patch, Circle) for patch in axes.patches) == 1 + len(found) - molecules
    assert axes.get_title() == f"molecule {key}: {len(found)} neighbours"


def test_edges_are_as_wide_as_their_weight_says(graph):
    axes = draw_neighborhood(
        graph, f"molecule:{graph.nodes['molecule']['key'][busiest(graph)]}", max_neighbors=1000
    )
    weights = [float(re.findall(r"\d\S*", text.get_text())[0]) for text in axes.texts[0:-1:2]]
    np.testing.assert_allclose(
        [line.get_linewidth() for line in axes.lines], 0.6 + 2.4 * np.array(weights), atol=0.002
    )


def test_few_neighbors_are_of_every_kind(graph):
    node = next(
        node
        for node in range(graph.num_nodes["molecule"])
        if len(found := neighbors_of(graph, "molecule", node)) > 6 and len({kind for kind, _ in found}) >= 3
    )
    found = neighbors_of(graph, "molecule", node)
    key = graph.nodes["molecule"]["key"][node]
    axes = draw_neighborhood(graph, f"molecule:{key}", max_neighbors=5)
    assert axes.get_title() == f"molecule {key}: 5 of {len(found)} neighbours"
    shown = {text.get_text().split(" ")[0] for text in axes.texts[0:-1:2]}
    groups = {(kind, edges[0][0]) for (kind, _), edges in found.items()}
    assert len(shown) == min(5, len({relation for _, relation in groups}))


def test_the_largest_weights_of_a_kind_are_kept(graph):
    node = busiest(graph, "gene")
    found = neighbors_of(graph, "gene", node)
    groups = {}
    for (kind, _), edges in found.items():
        groups.setdefault((edges[0][0], kind), []).append(max(weight for _, weight in edges))
    axes = draw_neighborhood(graph, f"gene:{graph.nodes['gene']['key'][node]}", max_neighbors=len(groups))
    shown = sorted(line.get_linewidth() for line in axes.lines)
    np.testing.assert_allclose(
        shown, sorted(0.6 + 2.4 * max(weights) for weights in groups.values()), atol=1e-5
    )


def test_a_molecule_without_edges_stands_alone(graph):
    empty = ContextGraph.from_edges({}, graph.nodes, graph.spaces)
    axes = draw_neighborhood(empty, f"molecule:{graph.nodes['molecule']['key'][0]}")
    assert axes.get_title().endswith(": 0 neighbours")
    assert not axes.lines
    assert len(axes.images) == 1


def test_a_wrong_name_is_answered_with_the_nearest(graph):
    symbol = graph.nodes["gene"]["symbol"][3]
    with pytest.raises(GraphError, match=symbol):
        draw_neighborhood(graph, f"gene:{symbol}x")
    with pytest.raises(ValueError, match="'max_neighbors' must not be negative, but is -1"):
        draw_neighborhood(graph, f"gene:{symbol}", max_neighbors=-1)


def test_names_with_dollars_and_long_ones_are_text(graph):
    tables = dict(graph.nodes)
    tables["gene"] = tables["gene"].assign(
        symbol=[rf"$\frac{i}{{$" + "x" * 99 for i in range(len(tables["gene"]))]
    )
    hostile = ContextGraph(graph.heterograph, tables, graph.spaces)
    axes = draw_neighborhood(hostile, f"gene:{tables['gene']['key'][busiest(graph, 'gene')]}")
    axes.figure.draw_without_rendering()  # what would fail on mathematics that is none
    assert max(len(text.get_text()) for text in axes.texts) <= 2 * 24 + 1


def test_a_structure_has_its_size_and_a_broken_one_no_picture(capfd):
    image = structure_image("c1ccccc1O", 130, 90)
    assert image.shape == (90, 130, 4)
    assert 0 < (image[..., 3] > 0).mean() < 0.5  # lines on a transparent ground
    assert structure_image("not a molecule", 130, 90) is None
    assert structure_image("", 130, 90) is None
    assert capfd.readouterr().err == ""
