"""The explanation's page: in a browser it says what was found, and nothing that was not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.explanation import (
    AlphaMass,
    Explanation,
    Feature,
    Group,
    Similar,
    SpacePrediction,
    Subject,
)
from infoalign_dgl.explanation.results import Validation
from infoalign_dgl.explanation.walked import Path, SpaceMass, VisitedNode
from infoalign_dgl.plots.explanation import draw_alpha_mass, draw_features, draw_groups
from infoalign_dgl.plots.pages import write_explanation_page

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
NASTY = "<img src=x onerror=alert(1)>"


def feature(column, predicted, measured=None, *, mean=0.1, reference=0.0, label=None, channels=()):
    compartment = column.split("_")[0] if "_" in column else ""
    return Feature(
        column, label or column, predicted, 0.05, reference, (predicted - reference) / 2, mean,
        (predicted - mean) / 3, measured, compartment, list(channels),
    )  # fmt: skip


def prediction(name="cells", *, measured=True, node_type="morphology", reference="median"):
    own = 1.25 if measured else None
    ups = [feature(f"Cells_Texture_Contrast_RNA_{i}_00", 3.0 - i / 10, own) for i in range(12)]
    downs = [feature(f"Nuclei_Intensity_MeanIntensity_DNA_{i}", -3.0 + i / 10, own) for i in range(12)]
    return SpacePrediction(
        space=name, node_type=node_type, columns=40, rows=33, reference=reference, said=f"Said of {name}.",
        up=ups, down=downs,
        groups=[
            Group("Cells", "RNA", 12, 1.5, 0.5 if measured else None), Group("Nuclei", "DNA", 9, 0.7, None),
        ],
        ungrouped=3, departure=0.42, validation=Validation(7, 0.5, 0.4, 0.1, 21),
        profiles=["cells:BSYNRYMUTXBXSQ"] if measured else [], correlation=0.61 if measured else None,
        beyond_means=0.25 if measured else None, rank=4 if measured else None,
        ranked=33 if measured else None,
    )  # fmt: skip


def visited(node_type, key, label, mass, spaces=()):
    return VisitedNode(node_type, key, label, list(spaces), mass, mass / 10, mass / 2, 0.3, 1)


@pytest.fixture
def known():
    """A molecule of the graph."""
    own = visited("molecule", "BSYNRYMUTXBXSQ", ASPIRIN, 1.2, ["fingerprint"])
    gene, profile = (
        visited("gene", "5743", "PTGS2", 0.5),
        visited("morphology", "cells:B", "cells", 0.25, ["cells"]),
    )
    mass = AlphaMass(
        walks=1000, length=4, transition="uniform", seed=0, isolated=False, total=2.0, without_features=0.25,
        own=own, nodes={"molecule": [], "gene": [gene], "gene_expression": [], "morphology": [profile]},
        visited={"molecule": 0, "gene": 9, "gene_expression": 0, "morphology": 1},
        spaces=[
            SpaceMass("fingerprint", "molecule", 1.2, 0.8, 1), SpaceMass("cells", "morphology", 0.25, 0.2, 1),
        ],
        paths=[Path([gene], ["binds"], [0.5], 0.5, 0.4, 0.2)],
    )  # fmt: skip
    subject = Subject(
        "ASPIRIN", ASPIRIN, "BSYNRYMUTXBXSQ-UHFFFAOYSA-N", 3, "BSYNRYMUTXBXSQ", ["DB00945"], "training",
        "Its targets were trained on.",
    )  # fmt: skip
    genes = prediction("l1000", node_type="gene_expression", reference="zero")
    genes = replace(genes, groups=[], ungrouped=0, up=[feature("5743", 2.0, 1.0, label="PTGS2")])
    return Explanation(
        "runs/mine", "step-7", "graph", subject, mass, [prediction(), genes], 30, 0.2, [], ["Mind the gap."]
    )


@pytest.fixture
def new(known):
    """One that is not."""
    subject = replace(
        known.subject, given=NASTY, node=None, key=None, ids=[], status="new", said="It is new."
    )
    similar = [Similar("KEY", "CCO", ["ID1"], 0.5, ["cells"]), Similar("KEYTWO", "CCN", [], 0.4, [])]
    return replace(
        known, subject=subject, alpha_mass=None, predictions=[prediction(measured=False)], similar=similar
    )


def text_of(shown):
    return " ".join(shown.locator("main").inner_text().split())


def test_a_known_molecule_in_a_browser(known, tmp_path, open_page, screenshots):
    path = tmp_path / "page.html"
    write_explanation_page(known, path)
    for name, width, dark in (("desktop", 1280, False), ("phone", 390, False), ("dark", 1280, True)):
        shown = open_page(path, width=width, dark=dark).page
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        shown.screenshot(path=screenshots / f"explanation-{name}.png", full_page=True)
    assert shown.title() == "Why this prediction? DB00945"
    said = text_of(shown)
    for sentence in (
        "Mind the gap.",
        "1,000 walks of 4 steps from the molecule, transition uniform, seed 0",
        "the molecule itself has 1.2 of 2 in all",
        "Over the columns, prediction and measurement correlate by 0.61, beyond the means by 0.25.",
        "Of the space's 33 profiles its own is number 4 in likeness to the prediction.",
        "On 21 molecules held out the decoder is 0.1000 nats per column worse than the column means.",
        "The names of 3 of the 40 columns say no compartment",
        "Said of cells.",
    ):
        assert sentence in said
    assert shown.locator("img.figure").count() == 1 + 1 + 2 + 1  # structure, alpha, cells, l1000
    assert shown.locator("img:not([alt])").count() == 0
    sizes = shown.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert all(sizes)
    shown.locator("#space-2 summary").press("Enter")
    table = shown.locator("#space-2 table").first
    assert table.locator("tbody tr").first.inner_text().split() == [
        "PTGS2", "(5743)", "2", "0.05", "0.1", "0.633", "1",
    ]  # fmt: skip
    shown.locator("#space-1 summary").press("Enter")
    assert "distance" in shown.locator("#space-1 thead").first.inner_text()
    shown.locator("summary", has_text="gene nodes: 1 of 9").click()
    assert "none: a way through" in text_of(shown)


def test_a_new_molecule_in_a_browser(new, tmp_path, open_page, screenshots):
    path = tmp_path / "page.html"
    write_explanation_page(new, path)
    shown = open_page(path, width=390).page
    shown.screenshot(path=screenshots / "explanation-new-phone.png", full_page=True)
    said = text_of(shown)
    assert NASTY in said
    assert "0.50 KEY ID1 measured in cells" in said
    assert "0.40 KEYTWO not measured" in said
    assert "No measured profile of the molecule is known here." in said
    assert "What shaped its targets" not in said
    head = shown.locator("#trust thead").inner_text()
    assert "departure" in head
    assert "rank" not in head
    assert shown.locator("#similar img").count() == 2


def test_an_isolated_molecule_and_a_space_without_names(known, tmp_path, open_page):
    nothing = {kind: [] for kind in known.alpha_mass.nodes}
    lone = replace(known.alpha_mass, isolated=True, nodes=nothing, paths=[])
    bare = replace(prediction(), up=[], down=[], groups=[], validation=None, departure=None)
    write_explanation_page(replace(known, alpha_mass=lone, predictions=[bare]), tmp_path / "page.html")
    shown = open_page(tmp_path / "page.html").page
    assert "its own fingerprint is its only target" in text_of(shown)
    assert shown.locator("img.figure").count() == 1


def test_a_page_that_cannot_be_written_is_one_sentence(known, tmp_path):
    with pytest.raises(InfoAlignError, match="nowhere"):
        write_explanation_page(known, tmp_path / "nowhere" / "page.html")


def test_bars_have_the_values_that_were_found(known):
    axes = draw_alpha_mass(known.alpha_mass)
    widths = [bar.get_width() for bar in axes.patches if bar.get_width() > 0]
    assert widths == [0.5, 0.25]
    assert [bool(bar.get_hatch()) for bar in axes.patches[:2]] == [True, False]
    cells, genes = known.predictions
    axes = draw_features(cells, top=3)
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([1.5, 1.45, 1.4, -1.4, -1.45, -1.5])
    diamonds = next(line for line in axes.lines if line.get_label() == "measured")
    np.testing.assert_allclose(diamonds.get_xdata(), 1.25 / 2)
    axes = draw_features(genes, top=1)
    assert axes.patches[0].get_width() == 2
    assert axes.get_yticklabels()[0].get_text() == "PTGS2"
    assert {text.get_text() for text in draw_groups(cells).texts} == {"1.50\n(0.50)", "0.70"}
