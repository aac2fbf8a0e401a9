"""Confounding on made data: batches that explain all, nothing and half, and p values under the null."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from infoalign_dgl.context import ContextGraph
from infoalign_dgl.context.confounding import confounding, explained_share, memberships, unit_rows
from infoalign_dgl.context.edges import centred_rows, similarity_edges
from infoalign_dgl.context.spaces import scaled_space, settle_missing
from infoalign_dgl.context.spec import SimilaritySettings

DIM = 60


def graph_of(values, molecules=None, *, edges=None, **labels):
    """A graph of one morphology space with the given rows and labels."""
    count = len(values)
    molecules = np.array([f"M{i:04d}" for i in range(count)] if molecules is None else molecules, object)
    keys = np.unique(molecules)
    settled = settle_missing(values, [f"c{i}" for i in range(values.shape[1])])
    space, _ = scaled_space("painting", "morphology", settled, np.arange(count))
    bits = np.zeros((len(keys), 128), np.uint8)
    fingerprint = type(space)(
        "fingerprint", "molecule", [f"b{i}" for i in range(1024)], bits, np.arange(len(keys)), 1024
    )
    profiles = {"key": [f"p{i}" for i in range(count)], "molecule": molecules, "space": "painting"}
    nodes = {
        "molecule": pd.DataFrame({"key": keys, "inchikey": keys, "smiles": "C", "sources": "t"}),
        "gene": pd.DataFrame({"key": [], "symbol": []}, dtype=object),
        "gene_expression": pd.DataFrame({"key": [], "molecule": [], "space": [], "replicates": []}),
        "morphology": pd.DataFrame(profiles | {"replicates": 1} | labels),
    }
    if edges is None:
        settings = SimilaritySettings(threshold=0.3, sparsity=0.9)
        edges, _ = similarity_edges(centred_rows(values), "cosine", settings)
    return ContextGraph.from_edges(
        {("morphology", "similar", "morphology"): edges},
        nodes,
        {"fingerprint": fingerprint, "painting": space},
    )


def batches(rng, count, per_batch=25):
    return np.array([f"b{i // per_batch}" for i in range(count)]), rng.normal(
        size=(count // per_batch + 1, DIM)
    )[np.arange(count) // per_batch]


@pytest.mark.parametrize(
    ("of_batch", "low", "high"), [(1.0, 0.999, 1.0), (0.5, 0.45, 0.55), (0.0, -0.02, 0.02)]
)
def test_the_share_of_the_batch(of_batch, low, high):
    rng = np.random.default_rng(0)
    labels, effect = batches(rng, 500)
    values = np.sqrt(of_batch) * effect + np.sqrt(1 - of_batch) * rng.normal(size=(500, DIM))
    found = confounding(graph_of(values, plate=labels, table="t"))
    (plate,) = found.spaces  # one table says nothing
    assert (plate.space, plate.factor, plate.profiles, plate.labels) == ("painting", "plate", 500, 20)
    assert low <= plate.share <= high
    assert plate.chance == pytest.approx(19 / 499, rel=0.05)  # its expectation under permutation
    assert plate.ratio == pytest.approx(plate.similarity / plate.chance)
    (edges,) = found.edges
    if of_batch:
        assert plate.p == edges.p == 1 / 201
        assert edges.within > 0.95
        assert "connect profiles of one plate, where chance gives" in found.warnings[0]
    else:
        assert plate.p > 0.05
        assert edges.p > 0.05
        assert edges.within == pytest.approx(edges.chance, abs=0.02)
        assert found.warnings == []


def test_the_share_is_that_of_an_analysis_of_variance():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(30, 4))
    rows -= rows.mean(axis=0)
    labels = rng.choice(["a", "b", "c"], 30)
    between = sum((labels == k).sum() * np.square(rows[labels == k].mean(axis=0)).sum() for k in "abc")
    assert explained_share(rows, memberships(labels)) == pytest.approx(
        between / np.square(rows).sum(), rel=1e-6
    )
    # The same from pairwise distances (Anderson 2001).
    squared = np.square(rows[:, None] - rows[None]).sum(axis=2)
    inside = sum(squared[np.ix_(labels == k, labels == k)].sum() / (2 * (labels == k).sum()) for k in "abc")
    assert explained_share(rows, memberships(labels)) == pytest.approx(
        1 - inside / (squared.sum() / 60), rel=1e-6
    )


def test_rows_are_those_that_similarity_compares():
    values = np.random.default_rng(0).normal(size=(20, DIM)) * np.linspace(1, 1000, DIM)
    graph = graph_of(values, plate="p")
    rows = unit_rows(graph.spaces["painting"], np.array([3, 7, 8]))
    expected = np.corrcoef(values[[3, 7, 8]])
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-5)


def test_several_labels_are_parts():
    members = memberships(np.array(["a;b", "b", "c;a;b", "a;a"])).toarray()
    np.testing.assert_allclose(members, [[0.5, 0.5, 0], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3], [1, 0, 0]])


def test_p_values_are_uniform_without_an_effect():
    rng = np.random.default_rng(5)
    explained, edges = [], []
    for seed in range(200):
        values = rng.normal(size=(40, 6))
        left, right = np.triu_indices(40, 1)
        picked = rng.choice(len(left), 150, replace=False)
        graph = graph_of(
            values,
            edges=(left[picked], right[picked], np.ones(150)),
            plate=rng.choice(["a", "b", "c;a", "d"], 40),
        )
        found = confounding(graph, permutations=99, seed=seed)
        explained.append(found.spaces[0].p)
        edges.append(found.edges[0].p)
    assert (
        stats.kstest(explained, "uniform").pvalue > 0.05
    )  # p has steps of 0.01, far below what 200 can tell
    for p in (explained, edges):  # shares of edges have ties, which make p larger, never smaller
        for level in (0.05, 0.2, 0.5):
            assert stats.binomtest(int((np.array(p) <= level).sum()), 200, level, "greater").pvalue > 0.01


def test_replicates_on_one_plate_do_not_count_against_it():
    """Five replicates of each molecule, all on its plate: alike for what they are, not for where."""
    rng = np.random.default_rng(2)
    molecules = np.repeat([f"M{i:03d}" for i in range(80)], 5)
    values = np.repeat(rng.normal(size=(80, DIM)), 5, axis=0) + 0.3 * rng.normal(size=(400, DIM))
    plates = np.repeat([f"p{i // 8}" for i in range(80)], 5)
    found = confounding(graph_of(values, molecules, plate=plates))
    plate, molecule = found.spaces
    assert (plate.factor, plate.profiles, plate.labels) == ("plate", 80, 10)
    assert plate.p > 0.05
    assert (molecule.factor, molecule.profiles, molecule.labels) == ("molecule", 400, 80)
    assert molecule.share > 0.85
    assert molecule.p == 1 / 201
    assert found.warnings == []


def test_what_tells_nothing_is_left_out():
    values = np.random.default_rng(0).normal(size=(30, DIM))
    own = [f"w{i}" for i in range(30)]
    found = confounding(graph_of(values, table="t", plate="", well=own))
    assert found.spaces == []
    assert found.edges == []
    assert found.warnings == []
    assert confounding(graph_of(values)).spaces == []  # no labels at all
    everywhere = ["p1;p2", "p2;p1", "p1;p2;p1"] * 10  # each on all plates
    found = confounding(graph_of(values, plate=everywhere))
    assert (found.spaces, found.edges) == ([], [])
    told = confounding(graph_of(values, plate=["p1", *everywhere[1:]]))
    assert [one.factor for one in told.spaces] == [one.factor for one in told.edges] == ["plate"]


def test_a_large_space_is_sampled_and_the_same_seed_gives_the_same():
    rng = np.random.default_rng(0)
    labels, effect = batches(rng, 300)
    graph = graph_of(effect + rng.normal(size=(300, DIM)), plate=labels)
    first = confounding(graph, max_profiles=100, max_edges=50, permutations=20)
    assert first == confounding(graph, max_profiles=100, max_edges=50, permutations=20)
    assert first.spaces[0].profiles == 100
    assert 0.4 < first.spaces[0].share < 0.6
