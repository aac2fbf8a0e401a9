"""What notebooks show is well-formed, escaped, small, and counts what there is."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from infoalign_dgl._html import Html, metagraph, panel, table
from infoalign_dgl.context import EDGE_TYPES, NODE_TYPES, ContextGraph
from infoalign_dgl.models import InfoAlign
from infoalign_dgl.models.config import ModelConfig
from infoalign_dgl.representation import Representation
from infoalign_dgl.walks import WalkIndex, random_walks

HOSTILE = "<script>alert('&amp;')</script><img src=x onerror=\"alert(1)\">"
VOID = {"br"}


class Parsed(HTMLParser):
    """Tags, texts and attributes of a piece of HTML; fails where tags are not closed as they were opened."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.styles, self._open = [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.styles += [value for name, value in attrs if name in {"style", "fill", "stroke"}]
        assert not [name for name, _ in attrs if name.startswith("on") or name in {"src", "href"}]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "\n".join(self.texts)


@pytest.fixture
def graph(simulated):
    return simulated


@pytest.fixture
def model():
    spaces = {"fingerprint": 64, HOSTILE.replace(".", ""): 7}
    return InfoAlign(
        ModelConfig(
            hidden=8,
            layers=2,
            spaces=spaces,
            modality=dict(zip(spaces, ("molecule", "morphology"), strict=True)),
        )
    )


def test_cells_are_escaped_and_numbers_are_readable():
    found = Parsed(table([HOSTILE, "n"], [[HOSTILE, 1234567], ["x", 2]], caption=HOSTILE))
    assert set(found.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert found.texts.count(HOSTILE) == 3
    assert "1,234,567" in found.texts
    assert Parsed(table(["a"], [])).texts == ["a"]
    assert "<b>" in table(["a"], [[Html("<b></b>")]])
    assert Parsed(panel(HOSTILE, HOSTILE)).text.count("<script>") == 2


def test_a_metagraph_has_every_count_and_no_colour_of_its_own_for_text():
    nodes = {kind: 1000 * number for number, kind in enumerate(NODE_TYPES, 1)}
    edges = {kind: 7000 + number for number, kind in enumerate(EDGE_TYPES)}
    edges["gene", "covaries", "gene"] = 0
    found = Parsed(metagraph(nodes, edges))
    for count in nodes.values():
        assert f"{count:,}" in found.texts
    for (_, relation, _), count in edges.items():
        assert (f"{relation} {count:,}" in found.texts) == (count > 0)
    # Labels and arrows take the notebook's colour; only nodes, and the ink on them, have their own.
    assert found.tags.count("circle") == 4
    assert found.styles.count("currentColor") > 2 * 10


def test_a_graph_shows_its_counts(graph):
    for shown in (repr(graph), Parsed(graph._repr_html_()).text):
        for count in (*graph.num_nodes.values(), *graph.num_edges.values(), graph.total_nodes):
            assert count == 0 or f"{count:,}" in shown
        for space in graph.spaces.values():
            assert space.name in shown
            assert f"{space.num_rows:,}" in shown
            assert f"{space.dim:,}" in shown
    assert len(graph._repr_html_()) < 10_000


def test_names_of_spaces_are_escaped(graph):
    spaces = {**graph.spaces}
    first = next(iter(spaces))
    space = spaces.pop(first)
    object.__setattr__(space, "name", HOSTILE)
    try:
        shown = Parsed(ContextGraph(graph.heterograph, graph.nodes, {HOSTILE: space, **spaces})._repr_html_())
    finally:
        object.__setattr__(space, "name", first)
    assert HOSTILE in shown.texts
    assert not {"script", "img"} & set(shown.tags)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_walks_show_the_first_with_types_and_alpha(graph, kind):
    walks = graph.walks(kind(np.arange(200)), 12, seed=3)
    nodes, alpha = np.asarray(walks.nodes), np.asarray(walks.alpha)
    lines = repr(walks).splitlines()
    assert lines[0].startswith("Walks(200 walks of 12 steps, without edges, ")
    assert lines[-1] == "  ... and 195 more"
    shown = Parsed(walks._repr_html_())
    assert shown.tags.count("tr") == 1 + 5
    for row in range(5):
        expected = []
        for node, value in zip(nodes[row, :9].tolist(), alpha[row, :9].tolist(), strict=True):
            if node < 0:
                expected.append("dead end")
                break
            of = next(name for name in reversed(NODE_TYPES) if node >= graph.node_offsets[name])
            expected.append(f"{of} {node - graph.node_offsets[of]} ({value:.3g})")
        assert re.sub(r" > \.\.\.$", "", lines[row + 1].strip()) == " > ".join(expected)
        for text in expected:
            assert text.split(" (")[0] in shown.text
    assert "195 more walks, 4 more steps" in shown.text
    assert len(walks._repr_html_()) < 10_000


def test_walks_on_a_bare_index_show_global_ids():
    index = WalkIndex.from_edges([0, 1], [1, 0], [0.5, 0.5], 3)
    walks = random_walks(index, [0, 2], 2, return_edges=True)
    assert repr(walks) == (
        "Walks(2 walks of 2 steps, with edges, numpy)\n  0 (1) > 1 (0.5) > 0 (0.25)\n  2 (1) > dead end"
    )
    assert "more" not in Parsed(walks._repr_html_()).text
    assert repr(random_walks(index, np.zeros(0, int), 1)) == "Walks(0 walks of 1 step, without edges, numpy)"
    Parsed(random_walks(index, np.zeros(0, int), 0)._repr_html_())


def test_an_index_shows_arcs_by_relation(graph):
    index = graph.walk_index()
    assert f"num_relations={index.num_relations}" in repr(index)
    for shown in (index, index.by_relation()):
        text = Parsed(shown._repr_html_()).texts
        assert f"{index.num_arcs:,}" in text
        degrees = [int(index.indptr[node + 1] - index.indptr[node]) for node in range(index.num_nodes)]
        assert f"{degrees.count(0):,}" in text
        assert f"{max(degrees):,}" in text
        for relation, kind in enumerate(EDGE_TYPES):
            if graph.num_edges[kind]:
                assert (
                    text[text.index(str(relation), text.index("relation")) + 1]
                    == f"{2 * graph.num_edges[kind]:,}"
                )
    empty = WalkIndex.from_edges([], [], [], 0)
    assert repr(empty) == "WalkIndex(num_nodes=0, num_arcs=0)"
    Parsed(empty._repr_html_())


def test_a_model_shows_its_decoders_and_no_layers(model, tmp_path):
    parameters = sum(np.prod(parameter.shape) for parameter in model.parameters())
    loaded = Representation(model, tmp_path / HOSTILE.replace("/", "") / "checkpoints" / "step-12")
    for shown in (model, loaded):
        assert len(repr(shown)) < 600
        assert f"{parameters:,} parameters" in repr(shown)
        assert "Linear" not in repr(shown)
        parsed = Parsed(shown._repr_html_())
        assert not {"script", "img"} & set(parsed.tags)
        assert f"{parameters:,} parameters" in parsed.text
        assert HOSTILE.replace(".", "") in parsed.texts
    assert "step 12" in Parsed(loaded._repr_html_()).text
    assert str(tmp_path) not in repr(loaded) + loaded._repr_html_()
    assert "Linear" in repr(model.bottleneck)
