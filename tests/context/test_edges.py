"""Edges: merging, expression's largest values, and similar rows, each against a plain loop."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoalign_dgl.context.edges import EdgeBook, centred_rows, similarity_edges
from infoalign_dgl.context.gene_edges import regulates_from_expression
from infoalign_dgl.context.profiles import Aggregated
from infoalign_dgl.context.spaces import Settled
from infoalign_dgl.context.spec import SimilaritySettings
from infoalign_dgl.sources.rows import TableAccount

GENES = ("gene", "interacts", "gene")
DIRECTED = ("gene", "regulates", "gene")
edge_lists = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.0, 0.25, 0.5, 1.0])), max_size=20
)


@given(st.lists(edge_lists, min_size=1, max_size=3))
@pytest.mark.parametrize("kind", [GENES, DIRECTED])
def test_duplicates_merge_to_the_largest_weight(kind, tables):
    book, seen, largest = EdgeBook(), set(), {}
    accounts = []
    for rows in tables:
        account = TableAccount("t", "gene_gene", len(rows))
        columns = [np.array([row[i] for row in rows]) for i in range(3)]
        book.add(kind, (columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2]), account)
        merged = 0
        for a, b, weight in rows:
            pair = (a, b) if kind == DIRECTED else (min(a, b), max(a, b))
            merged += pair in seen
            seen.add(pair)
            largest[pair] = max(weight, largest.get(pair, 0.0))
        accounts.append((account, merged))
    src, dst, weight = book.merged()[kind]
    assert list(zip(src.tolist(), dst.tolist(), weight.tolist(), strict=True)) == [
        (a, b, w) for (a, b), w in sorted(largest.items())
    ]
    assert [account.merged for account, _ in accounts] == [merged for _, merged in accounts]


def aggregated(values):
    values = np.asarray(values, float)
    columns = [str(100 + i) for i in range(values.shape[1])]
    owners = np.arange(len(values)) * 2
    labels, ones = pd.DataFrame(index=range(len(values))), np.ones(len(values))
    return Aggregated("s", "gene_expression", Settled(values, columns), owners, ones, {}, labels)


def test_expression_ties_go_to_the_earlier_entry():
    molecules, genes, weights, cut = regulates_from_expression(
        aggregated([[1, -3, 2], [3, 0, -3], [3, 6, 0]]), 4 / 9
    )
    # |6| first, then the threes of molecules 0 and 2, and no room for that of molecule 4.
    found = list(zip(molecules.tolist(), genes.tolist(), strict=True))
    assert found == [(0, 101), (2, 100), (2, 102), (4, 101)]
    np.testing.assert_array_equal(weights, [1, 1, 1, 1])
    assert cut == 3


@given(st.integers(1, 12), st.integers(1, 8), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_expression_edges_against_a_loop(rows, columns, top, seed):
    values = np.random.default_rng(seed).normal(size=(rows, columns)) * 10
    molecules, genes, weights, cut = regulates_from_expression(aggregated(values), top)
    entries = sorted((-abs(values[r, c]), r, c) for r in range(rows) for c in range(columns))
    chosen = sorted((r, c) for _, r, c in entries[: int(np.ceil(top * values.size - 1e-9))])
    assert list(zip(molecules.tolist(), genes.tolist(), strict=True)) == [(2 * r, 100 + c) for r, c in chosen]
    expected = [abs(values[r, c]) / np.abs(values[r]).max() for r, c in chosen]
    np.testing.assert_allclose(weights, expected)
    assert np.isnan(cut) == (not chosen)


def test_no_edge_for_no_expression():
    molecules, _, _, cut = regulates_from_expression(aggregated(np.zeros((3, 3))), 1.0)
    assert len(molecules) == 0
    assert np.isnan(cut)


def test_similar_profiles_are_those_of_pearson():
    rng = np.random.default_rng(0)
    groups = np.repeat(rng.normal(size=(6, 40)), 5, axis=0)
    values = (groups + 0.3 * rng.normal(size=groups.shape)) * rng.uniform(0.5, 1e6, (30, 1)) + 7
    correlation = np.corrcoef(values)
    settings = SimilaritySettings(threshold=0.8, sparsity=0.9, max_neighbors=3)
    (i, j, weight), report = similarity_edges(centred_rows(values), "cosine", settings)
    pairs = [(correlation[a, b], a, b) for a, b in itertools.combinations(range(30), 2)]
    most = int(np.floor(0.1 * len(pairs) + 1e-9))
    similar = sorted((p for p in pairs if p[0] >= 0.8), key=lambda p: (-p[0], p[1], p[2]))[:most]
    near = set()
    for node in range(30):
        near.update([p for p in similar if node in p[1:]][:3])
    assert [(a, b) for a, b in zip(i.tolist(), j.tolist(), strict=True)] == sorted((a, b) for _, a, b in near)
    np.testing.assert_allclose(weight, correlation[i, j], atol=1e-6)
    assert report["similar_pairs"] == len(similar)
    assert report["similar_cut"] == pytest.approx(similar[-1][0], abs=1e-6)
    assert report["edges"] == len(near)
    assert report["edge_cut"] == pytest.approx(min(near)[0], abs=1e-6)
    assert 0 < len(near) < len(similar) <= most < len(pairs)


def test_constant_and_huge_rows():
    rows = centred_rows(np.array([[5.0, 5, 5], [1e308, -1e308, 0], [1, -1, 0], [0, 0, 0]]))
    assert np.isfinite(rows).all()
    assert (rows[[0, 3]] == 0).all()
    np.testing.assert_allclose(rows[1], rows[2])
    (i, j, weight), _ = similarity_edges(rows, "cosine", SimilaritySettings(sparsity=0.0))
    assert (i.tolist(), j.tolist()) == ([1], [2])
    assert weight == pytest.approx(1)
