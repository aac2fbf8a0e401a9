"""An updated graph is, file for file, the one that a fresh build writes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import EDGE_TYPES, ContextGraph
from infoalign_dgl.context.build import build_to_folder
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.reuse import Reuse, read_reuse
from infoalign_dgl.context.update import update_graph
from infoalign_dgl.errors import InfoAlignError

SPEC = """
[[molecules]]
name = "mine"
file = "molecules.csv"
id = "id"
smiles = "smiles"
[[morphology]]
space = "painting"
file = "painting.csv"
id = "id"
ids_of = "mine"
features = ["Cells_*"]
[[expression]]
space = "l1000"
file = "expression.csv"
smiles = "smiles"
[similarity]
threshold = 0.3
sparsity = 0.0
[graph]
regulates_top = 0.3
"""
MORE = """
[[molecules]]
name = "others"
file = "others.csv"
id = "id"
inchi = "inchi"
[[morphology]]
space = "second"
file = "second.csv"
id = "id"
ids_of = "others"
features = ["Cells_*"]
"""
SMILES = [f"{'C' * n}{end}" for n in range(1, 11) for end in ("O", "N", "(=O)O", "c1ccccc1", "[O-].[Na+]")]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    molecules = pd.DataFrame({"id": range(len(SMILES)), "smiles": SMILES})
    molecules.loc[len(molecules)] = [99, "nonsense("]
    molecules.to_csv(tmp_path / "molecules.csv", index=False)
    features = pd.DataFrame(rng.normal(size=(40, 6)), columns=[f"Cells_{i}" for i in range(6)])
    features.assign(id=rng.integers(0, 30, 40)).to_csv(tmp_path / "painting.csv", index=False)
    genes = pd.DataFrame(rng.normal(size=(20, 8)), columns=[str(100 + i) for i in range(8)])
    genes.assign(smiles=SMILES[:20]).to_csv(tmp_path / "expression.csv", index=False)
    inchi = ["InChI=1S/CH4O/c1-2/h2H,1H3", "InChI=1S/C6H6/c1-2-4-6-5-3-1/h1-6H"]
    pd.DataFrame({"id": ["a", "b"], "inchi": inchi}).to_csv(tmp_path / "others.csv", index=False)
    pd.DataFrame(rng.normal(size=(2, 3)), columns=["Cells_x", "Cells_y", "Cells_z"]).assign(
        id=["a", "b"]
    ).to_csv(tmp_path / "second.csv", index=False)
    (tmp_path / "spec.toml").write_text(SPEC)
    build_to_folder(tmp_path / "spec.toml", tmp_path / "old")
    return tmp_path


def more_rows(folder):
    """New molecules and measurements, of which one changes an old profile."""
    with (folder / "molecules.csv").open("a") as stream:
        stream.write("200,CC(C)CO\n201,c1ccncc1\n202,CC(C)C(\n")
    with (folder / "painting.csv").open("a") as stream:
        stream.write("1,2,3,4,5,6,3\n1,3,2,5,4,6,200\n")


def check_same(folder):
    """Compare the updated folder "new" with a fresh build."""
    build_to_folder(folder / "spec.toml", folder / "fresh")
    compare(folder / "new", folder / "fresh")
    assert len(json.loads((folder / "new/build_report.json").read_text())["tables"]) >= 2


def compare(one, other):
    """Every file is the same; DGL never writes a graph the same way twice, so of that one the arrays are."""
    sums = [
        [line for line in (path / "SHA256SUMS").read_text().splitlines() if "heterograph" not in line]
        for path in (one, other)
    ]
    assert sums[0] == sums[1]
    assert len(sums[0]) > 15
    graphs = [ContextGraph.load(path) for path in (one, other)]
    assert graphs[0].total_nodes > 50
    for kind in EDGE_TYPES:
        for left, right in zip(*(graph.edges(kind) for graph in graphs), strict=True):
            assert np.array_equal(left, right)


def test_the_same_tables_need_nothing_computed(folder):
    _, reuse = update_graph(folder / "old", folder / "spec.toml", folder / "new")
    assert reuse.taken == {
        "structures": (51, 51),
        "fingerprints": (40, 40),
        "feature spaces' similarity edges": (3, 3),
    }
    check_same(folder)
    compare(folder / "new", folder / "old")


def test_more_rows_are_the_only_ones_computed(folder):
    more_rows(folder)
    _, reuse = update_graph(folder / "old", folder / "spec.toml", folder / "new")
    assert reuse.taken == {
        "structures": (51, 54),
        "fingerprints": (40, 42),
        "feature spaces' similarity edges": (1, 3),  # not of the molecules nor of the painting
    }
    check_same(folder)


def test_more_tables_are_the_only_ones_computed(folder):
    (folder / "spec.toml").write_text(MORE + SPEC)  # first: their structures are the ones that stay
    _, reuse = update_graph(folder / "old", folder / "spec.toml", folder / "new")
    assert reuse.taken["structures"] == (51, 53)
    assert reuse.taken["feature spaces' similarity edges"] == (2, 4)
    check_same(folder)


def test_tables_may_go_and_settings_change(folder):
    spec = SPEC[: SPEC.index("[[expression]]")] + "[similarity]\nthreshold = 0.5\n"
    (folder / "spec.toml").write_text(spec)
    _, reuse = update_graph(folder / "old", folder / "spec.toml", folder / "new")
    assert reuse.taken["feature spaces' similarity edges"] == (0, 2)
    check_same(folder)


SCOPES = 'scope = { fingerprint = "scaffold", painting = "whole" }\n[graph]\n'
ELSEWHERE = """
[[expression]]
space = "elsewhere"
file = "elsewhere.csv"
smiles = "smiles"
"""


@pytest.fixture
def scoped(folder):
    """A folder whose molecules are compared within scaffolds, and its paintings as published."""
    (folder / "spec.toml").write_text(SPEC.replace("[graph]\n", SCOPES))
    similarity = build_to_folder(folder / "spec.toml", folder / "old", overwrite=True).report["similarity"]
    assert all(similarity[space]["edges"] > 0 for space in ("fingerprint", "painting"))
    return folder


def taken_scopes(reuse):
    """Names of the spaces whose edges within scopes were taken over."""
    made, known = reuse.made.similar, reuse.known.similar
    return {space for space in ("fingerprint", "painting") if made[space][1] is known[space][1]}


def test_a_table_elsewhere_changes_no_scope(scoped):
    values = np.random.default_rng(1).normal(size=(6, 8))
    table = pd.DataFrame(values, columns=[str(100 + i) for i in range(8)])
    table.assign(smiles=SMILES[30:36]).to_csv(scoped / "elsewhere.csv", index=False)
    (scoped / "spec.toml").write_text(ELSEWHERE + (scoped / "spec.toml").read_text())
    _, reuse = update_graph(scoped / "old", scoped / "spec.toml", scoped / "new")
    assert taken_scopes(reuse) == {"fingerprint", "painting"}
    assert reuse.taken["feature spaces' similarity edges"] == (3, 4)
    check_same(scoped)


def test_a_changed_profile_is_compared_again_in_its_scope(scoped):
    with (scoped / "painting.csv").open("a") as stream:
        stream.write("1,2,3,4,5,6,3\n")
    _, reuse = update_graph(scoped / "old", scoped / "spec.toml", scoped / "new")
    assert taken_scopes(reuse) == {"fingerprint"}
    check_same(scoped)


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        (("[[morphology]]", MORE[: MORE.index("[[morphology]]")] + "[[morphology]]"), {"painting"}),
        (('painting = "whole"', 'painting = "kmeans"'), {"fingerprint"}),
        (("threshold = 0.3", "threshold = 0.4"), set()),
        (("sparsity = 0.0", "sparsity = 0.5"), set()),
        (("sparsity = 0.0", "sparsity = 0.0\nmax_neighbors = 3"), {"fingerprint", "painting"}),
    ],
    ids=["more molecules", "another scope", "threshold", "sparsity", "a setting that does not count"],
)
def test_what_decides_edges_within_scopes(scoped, change, taken):
    (scoped / "spec.toml").write_text((scoped / "spec.toml").read_text().replace(*change, 1))
    _, reuse = update_graph(scoped / "old", scoped / "spec.toml", scoped / "new")
    assert taken_scopes(reuse) == taken
    check_same(scoped)


def test_more_nodes_of_its_type_change_a_scope(scoped):
    """Nodes that lack a space are compared with it, as rows of zeros."""
    (scoped / "spec.toml").write_text((scoped / "spec.toml").read_text() + MORE)
    _, reuse = update_graph(scoped / "old", scoped / "spec.toml", scoped / "new")
    assert taken_scopes(reuse) == set()
    check_same(scoped)


def test_an_updated_graph_can_be_updated(folder):
    more_rows(folder)
    update_graph(folder / "old", folder / "spec.toml")  # in its place
    _, reuse = update_graph(folder / "old", folder / "spec.toml", folder / "new")
    assert all(taken == of for taken, of in reuse.taken.values())
    check_same(folder)


def test_what_is_taken_over_is_what_the_folder_says(folder):
    """A changed fingerprint in the old folder's content shows: it was not computed again."""
    reuse = read_reuse(folder / "old")
    reuse.known.fingerprints[4][:] = 0
    (graph,) = [build_to_folder(folder / "spec.toml", folder / "new", means=Means(reuse=reuse))]
    assert not graph.spaces["fingerprint"].values.any()


def test_another_version_of_a_package_means_a_fresh_build(folder, monkeypatch):
    monkeypatch.setattr(
        "infoalign_dgl.context.reuse.package_versions", lambda: {"rdkit": "1999.1", "numpy": np.__version__}
    )
    _, reuse = update_graph(folder / "old", folder / "spec.toml", folder / "new")
    assert "was built with rdkit" in reuse.why_not
    assert all(taken == 0 for taken, _ in reuse.taken.values())


def test_a_graph_saved_again_has_nothing_to_take_over(folder):
    ContextGraph.load(folder / "old").save(folder / "copy")
    _, reuse = update_graph(folder / "copy", folder / "spec.toml", folder / "new")
    assert "without what a later build could take over" in reuse.why_not
    check_same(folder)


@pytest.mark.parametrize("name", ["structures.parquet", "morgan2.npy", "similar.json"])
def test_damage_is_found_before_anything_is_built(folder, name):
    path = folder / "old/reuse" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InfoAlignError, match=rf"{name}' is damaged"):
        update_graph(folder / "old", folder / "spec.toml", folder / "new")
    assert not (folder / "new").exists()


def test_the_old_graph_stays_if_the_new_one_fails(folder):
    before = (folder / "old/SHA256SUMS").read_text()
    (folder / "painting.csv").write_text("id,Cells_0\n1\n")
    with pytest.raises(InfoAlignError, match=r"painting\.csv"):
        update_graph(folder / "old", folder / "spec.toml")
    assert (folder / "old/SHA256SUMS").read_text() == before
    assert sorted(p.name for p in folder.iterdir() if p.name.startswith(".")) == []


def test_a_spec_without_all_tables_does_not_take_the_old_graphs_place(folder):
    """Else who lists only what is new would lose the rest."""
    (folder / "more.toml").write_text(MORE)
    before = (folder / "old/SHA256SUMS").read_text()
    sentence = r"'expression.csv' and 2 more of '.*old' is not in '.*more.toml'.*: add it, .*--overwrite"
    with pytest.raises(InfoAlignError, match=sentence):
        update_graph(folder / "old", folder / "more.toml")
    assert (folder / "old/SHA256SUMS").read_text() == before
    built, _ = update_graph(folder / "old", folder / "more.toml", folder / "new")
    assert built.num_nodes["molecule"] == 2
    built, _ = update_graph(folder / "old", folder / "more.toml", overwrite=True)
    assert built.num_nodes["molecule"] == 2


def test_without_an_earlier_build_nothing_is_known():
    assert Reuse().structures("smiles", ["C"], lambda new: [("C", "K", None)] * len(new)) == [
        ("C", "K", None)
    ]
