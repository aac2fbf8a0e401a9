"""The graph's page in a browser: search, expanding, walks with their alpha, and what a sample leaves out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import EDGE_TYPES, ContextGraph, FeatureSpace
from infoalign_dgl.plots.pages import graph_data, write_graph_page
from infoalign_dgl.plots.pages.graph_data import NodeRecords, page_data
from infoalign_dgl.plots.pages.graph_sample import choose_sample
from infoalign_dgl.plots.pages.shell import _script_json
from infoalign_dgl.plots.pages.structures import compact_structure

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "CC(=O)Nc1ccc(O)cc1",
    "c1ccccc1",
    "C[C@H](N)C(=O)O",
    "CCN(CC)CC",
    "Clc1ccccc1Cl",
    "O=S(=O)(N)c1ccc(N)cc1",
    "C1CCNCC1",
    "CCOC(=O)C",
    "OCC1OC(O)C(O)C(O)C1O",
]
HOSTILE = "</script><script>window.broken = true</script>"
GENES = ["EGFR", "TP53", "MYC", HOSTILE, *(f"GENE{i}" for i in range(16))]
HUB = "EGFR"  # which has more neighbours than are drawn at once
ISOLATED = "ID11"


def table(kind, count, **columns):
    return pd.DataFrame({"key": [f"{kind}-{i}" for i in range(count)], **columns})


@dataclass
class Case:
    """A graph, the page of it, and its edges as (relation, label, label) to weight: labels are told apart."""

    graph: ContextGraph
    page: object
    weights: dict

    def neighbours(self, label):
        ends = [(a, b) for _, a, b in self.weights if label in (a, b)]
        return {b if a == label else a for a, b in ends}


def make_graph(rng):
    molecules, genes = len(SMILES), len(GENES)
    nodes = {
        "molecule": pd.DataFrame(
            {
                "key": [f"KEY{chr(65 + i) * 11}" for i in range(molecules)],
                "inchikey": [f"KEY{chr(65 + i) * 11}-UHFFFAOYSA-N" for i in range(molecules)],
                "smiles": SMILES,
                "sources": "made up",
                "ids": [f"ID{i}" for i in range(molecules)],
            }
        ),
        "gene": table("gene", genes, symbol=GENES),
        "gene_expression": table(
            "gene_expression", 2, molecule="", space=["l1000-0", "l1000-1"], replicates=1
        ),
        "morphology": table(
            "morphology", 3, molecule="", space=[f"jump-{i}" for i in range(3)], replicates=1
        ),
    }

    def edges(pairs):
        src, dst = np.array(pairs, np.int64).reshape(-1, 2).T
        return src, dst, rng.uniform(0.2, 0.9, len(src)).astype(np.float32)

    found = {
        ("molecule", "perturbs", "morphology"): edges([(0, 0), (1, 1), (2, 2)]),
        ("molecule", "induces", "gene_expression"): edges([(0, 0), (3, 1)]),
        ("molecule", "binds", "gene"): edges([(0, 0), (0, 1), (1, 2), (4, 0), (5, 3)]),
        ("molecule", "regulates", "gene"): edges([(0, 0), (2, 1)]),  # beside binds: two ways to step
        ("gene", "interacts", "gene"): edges([(0, g) for g in range(1, 17)]),
        ("gene", "regulates", "gene"): edges([(2, 1), (3, 2)]),
        ("molecule", "similar", "molecule"): edges([(0, 1), (6, 7), (7, 8)]),
        ("morphology", "similar", "morphology"): edges([(0, 1)]),
    }
    rows = np.full(genes, -1)
    rows[[0, 2]] = [0, 1]
    spaces = {
        "fingerprint": FeatureSpace(
            "fingerprint",
            "molecule",
            [f"b{i}" for i in range(1024)],
            np.zeros((molecules, 128), np.uint8),
            np.arange(molecules),
            1024,
        ),
        "crispr": FeatureSpace("crispr", "gene", ["c"], np.zeros((2, 1), np.float32), rows),
    }
    report = {
        "tables": [
            {
                "table": "wells.csv",
                "kind": "morphology",
                "rows": 1234,
                "used": 1200,
                "merged": 3,
                "dropped": {"no finite feature": 34},
                "listed": {"no finite feature": [[17, HOSTILE]]},
            },
            {
                "table": "network.sif",
                "rows": 1000,
                "used": 10,
                "dropped": {"metaedge AdG not chosen": 960, "metaedge AeG not chosen": 30},
            },
        ],
        "warnings": ["'crispr' has one column"],
    }
    return ContextGraph.from_edges(found, nodes, spaces, {"spec": {}}, report)


def labels_of(graph):
    columns = {"molecule": "ids", "gene": "symbol", "gene_expression": "space", "morphology": "space"}
    return {kind: graph.nodes[kind][column].tolist() for kind, column in columns.items()}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    graph = make_graph(np.random.default_rng(3))
    path = tmp_path_factory.mktemp("page") / "graph.html"
    write_graph_page(graph, path)
    labels, weights = labels_of(graph), {}
    for kind in EDGE_TYPES:
        for src, dst, weight in zip(*(part.tolist() for part in graph.edges(kind)), strict=True):
            weights[kind[1], labels[kind[0]][src], labels[kind[2]][dst]] = weight
    return Case(graph, path, weights)


@pytest.fixture
def shown(case, open_page):
    page = open_page(case.page).page
    page.emulate_media(reduced_motion="reduce")
    return page


def find(page, text):
    page.locator("#query").fill(text)
    page.locator("#results button").first.click()


def drawn(page):
    return set(page.evaluate("neighbourhood.cy.nodes().map(n => graph.nodes[n.data('number')].label)"))


def title(page):
    return page.locator("#node h3").first.text_content()


def test_search(shown):
    for text, label in (
        ("ID2", "ID2"),
        ("keyccccccccccc", "ID2"),
        ("KEYCCCCCCCCCCC-UHFFFAOYSA-N", "ID2"),
        (SMILES[2], "ID2"),
        ("egfr", "EGFR"),
        ("gene-1", "TP53"),
        ("ENE15", "GENE15"),
        ("morphology-2", "jump-2"),
        (HOSTILE, HOSTILE),
    ):
        find(shown, text)
        assert title(shown) == label, text
    shown.locator("#query").fill("no such thing")
    assert "Nothing here has that name" in shown.locator("#found").text_content()
    assert shown.locator("#results button").count() == 0


def test_a_molecule_is_shown_with_its_structure_and_attributes(shown):
    find(shown, SMILES[0])
    panel = shown.locator("#node")
    assert panel.locator("dd").all_text_contents()[:2] == ["KEYAAAAAAAAAAA", "KEYAAAAAAAAAAA-UHFFFAOYSA-N"]
    assert shown.evaluate("document.querySelector('#node img').naturalWidth") == 400
    rows = panel.locator(".neighbours button span").all_text_contents()
    assert {"binds → EGFR", "regulates → EGFR", "perturbs → jump-0", "similar → ID1"} <= set(rows)


def test_expanding_draws_all_neighbours(case, shown):
    find(shown, "ID0")
    expected = {"ID0"} | case.neighbours("ID0")
    assert drawn(shown) == expected
    shown.locator("#node .neighbours button", has_text="jump-0").click()
    assert title(shown) == "jump-0"
    shown.get_by_role("button", name="Draw its neighbours").click()
    expected |= case.neighbours("jump-0")
    assert drawn(shown) == expected
    inner = [key for key in case.weights if key[1] in expected and key[2] in expected]
    assert shown.evaluate("neighbourhood.cy.edges().length") == len(inner)


def test_a_hub_is_drawn_in_parts(case, shown):
    find(shown, HUB)
    whole = case.neighbours(HUB)
    strength = {}
    for (_, a, b), weight in case.weights.items():
        if HUB in (a, b):
            other = b if a == HUB else a
            strength[other] = max(strength.get(other, 0), weight)
    strongest = sorted(whole, key=lambda label: -strength[label])[:12]
    assert drawn(shown) == {HUB, *strongest}
    assert f"12 of {len(whole)} neighbours" in shown.locator("#drawn").text_content()
    shown.locator("#drawing").press("Enter")
    assert drawn(shown) == {HUB} | whole


def test_a_tap_expands(case, shown):
    find(shown, "ID5")
    assert drawn(shown) == {"ID5", HOSTILE}
    shown.locator("#drawing").scroll_into_view_if_needed()
    other = "neighbourhood.cy.nodes().filter(n => graph.nodes[n.data('number')].label !== 'ID5')"
    at = shown.evaluate(f"{other}.renderedPosition()")
    box = shown.locator("#drawing").bounding_box()
    shown.mouse.click(box["x"] + at["x"], box["y"] + at["y"])
    shown.wait_for_function("neighbourhood.cy.nodes().length > 2")
    assert title(shown) == HOSTILE
    assert case.neighbours(HOSTILE) > {"ID5"}
    assert drawn(shown) == {HOSTILE} | case.neighbours(HOSTILE)


def steps_shown(page):
    cells = page.evaluate(
        "[...document.querySelectorAll('#steps tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    bars = page.evaluate(
        "[...document.querySelectorAll('#steps .alpha i')].map(i => parseFloat(i.style.width))"
    )
    return cells, bars


def test_alpha_is_the_product_of_the_weights_along_the_walk(case, shown):
    find(shown, "ID0")
    everything = [label for labels in labels_of(case.graph).values() for label in labels]
    for walk in range(6):
        transition = "uniform" if walk < 3 else "weight"
        own = case.graph.walks([0], 4, transition=transition, walk_ids=[0], stream=walk % 3)
        shown.locator("#walk").select_option(index=walk)
        shown.locator("#play").focus()
        at, alpha = "ID0", 1.0
        for step in range(1, 5):
            shown.keyboard.press("ArrowRight")
            assert "Step" in shown.locator("#walk-said").text_content()
            cells, bars = steps_shown(shown)
            assert len(cells) == step
            number, edge, node, weight, said = cells[-1]
            relation = edge.strip("← →")
            ends = (at, node) if edge.endswith("→") else (node, at)
            own_weight = case.weights[(relation, *ends)]
            alpha *= own_weight
            assert number == str(step)
            assert float(weight) == pytest.approx(own_weight, rel=1e-3)
            assert float(said) == pytest.approx(alpha, rel=1e-3)
            assert bars[-1] == pytest.approx(100 * alpha, rel=1e-3)
            assert f"alpha is {said}." in shown.locator("#walk-said").text_content()
            assert node == everything[own.nodes[0, step]]
            at = node
        assert shown.locator("#step").is_disabled()
    shown.keyboard.press("ArrowLeft")
    assert len(steps_shown(shown)[0]) == 3


def test_playing_takes_all_steps_and_ends(shown):
    find(shown, "ID0")
    shown.clock.install()
    shown.locator("#play").click()
    assert shown.locator("#play").text_content() == "Pause"
    shown.clock.run_for(1400)
    assert len(steps_shown(shown)[0]) == 1
    shown.clock.run_for(6000)
    assert len(steps_shown(shown)[0]) == 4
    assert shown.locator("#play").text_content() == "Play"
    assert shown.evaluate("player.cy.edges('.near').length") == 1


def test_an_isolated_molecule_takes_no_step(shown):
    find(shown, ISOLATED)
    assert drawn(shown) == {ISOLATED}
    assert "No step" in shown.locator("#walk-said").text_content()
    assert shown.locator("#play").is_disabled()


def test_everything_is_reached_by_the_tab_key(shown):
    shown.locator("#theme").focus()
    where = "e => [e.id || e.closest('[id]')?.id, getComputedStyle(e).outlineStyle]"
    reached = []
    for _ in range(80):
        shown.keyboard.press("Tab")
        reached.append(shown.evaluate(f"({where})(document.activeElement)"))
    assert {"query", "results", "zoom-in", "fit", "drawing", "node", "walk", "play", "step"} <= {
        r[0] for r in reached
    }
    assert "none" not in {outline for where, outline in reached if where in ("query", "drawing", "play")}
    shown.locator("#drawing").focus()
    before = title(shown)
    shown.keyboard.press("ArrowRight")
    assert title(shown) != before


def test_the_build_is_told_and_hostile_names_stay_text(case, shown):
    rows = [
        [cell.text_content() for cell in row.locator("td").all()]
        for row in shown.locator("#build tbody tr").all()
    ]
    assert rows == [
        ["wells.csv", "morphology", "1,234", "1,200", "3", "34"],
        ["network.sif", "", "1,000", "10", "0", "990"],
        ["wells.csv", "no finite feature", "34", f"row 17: {HOSTILE}"],
        ["network.sif", "metaedge not chosen: AdG, AeG", "990", ""],
    ]
    assert "'crispr' has one column" in shown.locator("#build").text_content()
    find(shown, HOSTILE)
    assert shown.evaluate("window.broken") is None
    assert f"All {case.graph.total_nodes} nodes can be explored" in shown.locator("#explore").text_content()


@pytest.mark.parametrize(
    ("name", "width", "height", "dark"),
    [("desktop", 1280, 900, False), ("dark", 1280, 900, True), ("phone", 390, 844, False)],
)
def test_screenshots(case, open_page, screenshots, name, width, height, dark):
    page = open_page(case.page, width=width, height=height, dark=dark).page
    page.emulate_media(reduced_motion="reduce")
    find(page, "ID0")
    page.locator("#step").click()
    page.locator("#step").click()
    ground = page.evaluate(
        "neighbourhood.cy.nodes('[type = \"molecule\"]').first().style('background-color')"
    )
    assert (ground == "rgb(255,255,255)") == (not dark)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=screenshots / f"graph-{name}.png", full_page=True, timeout=120_000)


def test_colours_change_with_the_theme(shown):
    find(shown, "ID0")
    look = "neighbourhood.cy.nodes('[type = \"molecule\"]').first().style('background-image')"
    before = shown.evaluate(look), shown.locator("#node img").get_attribute("src")
    shown.locator("#theme").click()
    after = shown.evaluate(look), shown.locator("#node img").get_attribute("src")
    assert before[0] != after[0]
    assert before[1] != after[1]


def large_graph(scale):
    """A graph of as many nodes as the paper's, times the scale; its features are a byte or a number wide."""
    rng = np.random.default_rng(0)
    sizes = {"molecule": 129_592, "gene": 4_533, "gene_expression": 13_795, "morphology": 128_935}
    sizes = {kind: round(count * scale) for kind, count in sizes.items()}
    counts = {
        ("molecule", "perturbs", "morphology"): sizes["morphology"],
        ("molecule", "induces", "gene_expression"): sizes["gene_expression"],
        ("molecule", "binds", "gene"): round(10_000 * scale),
        ("molecule", "regulates", "gene"): round(40_000 * scale),
        ("gene", "interacts", "gene"): round(60_000 * scale),
        ("molecule", "similar", "molecule"): round(60_000 * scale),
        ("gene_expression", "similar", "gene_expression"): round(13_654 * scale),
        ("morphology", "similar", "morphology"): round(30_000 * scale),
    }
    edges = {}
    for (source, relation, target), count in counts.items():
        src, dst = rng.integers(0, sizes[source] // 2, count), rng.integers(0, sizes[target], count)
        if relation in ("perturbs", "induces"):
            dst = np.arange(count)
        edges[source, relation, target] = (src, dst, rng.uniform(0.5, 1, count).astype(np.float32))
    text = [SMILES[i % len(SMILES)] + "CC" * (i % 9) for i in range(sizes["molecule"])]
    nodes = {
        "molecule": table("molecule", sizes["molecule"], inchikey="", smiles=text, sources="", ids=""),
        "gene": table("gene", sizes["gene"], symbol=""),
        "gene_expression": table("gene_expression", sizes["gene_expression"], molecule="", space="l1000"),
        "morphology": table(
            "morphology", sizes["morphology"], molecule="", space="jump", plate="P1;P2;P3;P4;P5;P6;P7"
        ),
    }
    bits = FeatureSpace(
        "fingerprint",
        "molecule",
        [f"b{i}" for i in range(8)],
        np.zeros((sizes["molecule"], 1), np.uint8),
        np.arange(sizes["molecule"]),
        8,
    )
    return ContextGraph.from_edges(edges, nodes, {"fingerprint": bits})


@pytest.fixture(scope="module")
def large():
    return large_graph(0.08)


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch):
    """Draw each structure once: the large graph has the same ones again and again."""
    monkeypatch.setattr(graph_data, "compact_structure", cache(compact_structure))


def test_a_large_graph_is_kept_in_part_and_says_so(large, tmp_path, open_page):
    page = tmp_path / "large.html"
    write_graph_page(large, page, seed=4)
    assert page.stat().st_size < 5e6
    shown = open_page(page).page
    here = shown.evaluate("graph.types.map(({ name }) => graph.nodes.filter((n) => n.type === name).length)")
    shown.locator("summary").click()
    rows = shown.locator("#explore table").first.locator("tbody tr").all()
    said = [[cell.text_content() for cell in row.locator("td").all()] for row in rows]
    assert said == [
        [kind, f"{count:,}", f"{n:,}"] for (kind, count), n in zip(large.num_nodes.items(), here, strict=True)
    ]
    assert 1_000 < sum(here) < large.total_nodes
    assert "4" in re.findall(r"drawn with seed (\d+)", shown.locator("#explore").text_content())
    # Of every node the page says how many neighbours it has in the whole graph.
    index = large.walk_index()
    degree = {
        f"gene-{i}": len(set(index.indices[slice(*index.indptr[n : n + 2])].tolist()))
        for i in range(20)
        for n in [large.node_offsets["gene"] + i]
    }
    told = shown.evaluate("Object.fromEntries(graph.nodes.map((n) => [n.attributes.key, n.neighbours]))")
    assert {key: told[key] for key in degree if key in told} == {k: v for k, v in degree.items() if k in told}
    again = tmp_path / "again.html"
    write_graph_page(large, again, seed=4)
    assert again.read_bytes() == page.read_bytes()


def test_a_sample_has_all_kinds_of_molecules_and_all_nodes_of_its_walks_within_its_bytes(large):
    index = large.walk_index()
    records = NodeRecords(large, index)
    sample = choose_sample(large, index, records.bytes_of, length=4, seed=0, budget=400_000)
    assert not sample.whole
    assert all(group.starts for group in sample.groups if group.molecules)
    kept = set(sample.nodes.tolist())
    for stream in range(3):
        for transition, first in (("uniform", 0), ("weight", 3)):
            own = large.walks(sample.starts, 4, transition=transition, walk_ids=sample.starts, stream=stream)
            assert kept >= set(own.nodes[own.nodes >= 0].tolist())
            np.testing.assert_array_equal(own.alpha[:, 1:], sample.alpha[:, first + stream])
    data = page_data(large, records, sample)
    assert 0.7 * 400_000 < len(_script_json(data).encode()) < 400_000 + 2_000
    # The page's numbers for a walk's edges are those of the graph's edges.
    flat = []
    for edges in data["edges"]:
        sources = np.cumsum(edges["steps"])
        flat += (
            [{a, b} for a, b in zip(sample.nodes[sources], sample.nodes[edges["target"]], strict=True)]
            if len(sources)
            else []
        )
    for start, walks in zip(sample.starts.tolist(), data["walks"]["of"], strict=True):
        for edges, _ in walks:
            at = start
            for edge in edges:
                (at,) = flat[edge] - {at} or {at}
    other = choose_sample(large, index, records.bytes_of, length=4, seed=1, budget=400_000)
    assert set(other.starts.tolist()) != set(sample.starts.tolist())


@pytest.mark.slow
def test_a_graph_of_the_papers_size_gives_a_page_below_5_mb(tmp_path, open_page):
    graph = large_graph(1.0)
    assert graph.total_nodes == 276_855
    write_graph_page(graph, tmp_path / "paper.html")
    assert (tmp_path / "paper.html").stat().st_size < 5e6
    shown = open_page(tmp_path / "paper.html").page
    shown.locator("#step").click()
    assert len(steps_shown(shown)[0]) == 1


def test_a_graph_without_edges_or_profiles_has_a_page(tmp_path, open_page):
    count = 3
    nodes = {
        "molecule": table("molecule", count, inchikey="", smiles=["C", "not a structure", ""], sources=""),
        "gene": table("gene", 0, symbol=[]),
        "gene_expression": table("gene_expression", 0, molecule=[], space=[]),
        "morphology": table("morphology", 0, molecule=[], space=[]),
    }
    bits = FeatureSpace(
        "fingerprint", "molecule", ["b"] * 8, np.zeros((count, 1), np.uint8), np.arange(count), 8
    )
    write_graph_page(
        ContextGraph.from_edges({}, nodes, {"fingerprint": bits}), tmp_path / "page.html", length=0
    )
    shown = open_page(tmp_path / "page.html").page
    find(shown, "molecule-1")
    assert drawn(shown) == {"molecule-1"}
    assert "no build report" in shown.locator("#build").text_content()


def segments(path):
    """Every straight line of a path of M and l commands, as pairs of points."""
    lines = []
    for x, y, steps in re.findall(r"M(-?\d+) ?(-?\d+)l([-\d ]*)", path):
        numbers = [int(n) for n in re.findall(r"-?\d+", steps)]
        at = (int(x), int(y))
        for dx, dy in zip(numbers[::2], numbers[1::2], strict=True):
            to = (at[0] + dx, at[1] + dy)
            lines.append((at, to))
            at = to
    return lines


def test_structures_have_their_bonds_and_letters():
    lines, wedges, _, letters = compact_structure("c1ccccc1")
    assert (len(segments(lines)), wedges, letters) == (6 + 3, "", [])  # a second line for double bonds
    # A regular hexagon: the outer lines have one length.
    lengths = sorted(np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in segments(lines))
    assert lengths[-6:] == pytest.approx([lengths[-1]] * 6, abs=1.5)
    _, _, _, letters = compact_structure("Cl[C@H](F)N")
    assert sorted(letters[2::4]) == sorted("ClFNH2")
    assert [small for text, small in zip(letters[2::4], letters[3::4], strict=True) if text == "2"] == [1]
    assert compact_structure("C[C@H](N)C(=O)O")[1] or len(segments(lines)) > 3  # a wedge, or hatches
    for smiles in SMILES:
        lines, _, _, letters = compact_structure(smiles)
        points = [point for line in segments(lines) for point in line]
        points += list(zip(letters[::4], letters[1::4], strict=True))
        assert all(0 <= x <= 400 and 0 <= y <= 300 for x, y in points)
    assert compact_structure("not a structure") is None
    assert len(json.dumps(compact_structure(SMILES[0]))) < 800
