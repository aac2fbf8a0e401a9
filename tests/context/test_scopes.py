"""Similarity within scopes, each step against another way to get there."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
from sklearn.decomposition import PCA

from infoalign_dgl import _spill
from infoalign_dgl.context._scoped_pairs import compare
from infoalign_dgl.context._side_by_side import SideBySide
from infoalign_dgl.context.edges import centred_rows
from infoalign_dgl.context.scopes import (
    Carried,
    kmeans_blocks,
    published_cut,
    scaffold_blocks,
    scoped_edges,
    similar_in_scope,
)
from infoalign_dgl.context.spec import SimilaritySettings
from infoalign_dgl.errors import GraphError, SpecError
from infoalign_dgl.molecules import morgan_fingerprints

SMILES = ["CCO", "Cc1ccccc1", "Oc1ccccc1", "CCN", "c1ccncc1", "Cc1ccccc1O", "C1CC1", "CC1CC1"]


def side_by_side(values):
    """One space that all nodes carry."""
    return SideBySide([Carried("gene", np.arange(len(values)), values)], len(values))


def test_scaffolds_with_two_molecules_are_blocks():
    assert [block.tolist() for block in scaffold_blocks(SMILES)] == [[0, 3], [1, 2, 5], [6, 7]]
    for block in scaffold_blocks(SMILES):
        assert len({MurckoScaffoldSmiles(SMILES[row]) for row in block}) == 1


def test_a_structure_that_rdkit_cannot_read():
    with pytest.raises(GraphError, match=r"cannot read structure 1, 'C\(': standardize"):
        scaffold_blocks(["C", "C("])


def test_clusters_are_what_lies_together():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 40)) * 50
    member = rng.integers(0, 6, 90)
    values = centres[member] + rng.normal(size=(90, 40)) * 0.01
    blocks = kmeans_blocks(side_by_side(values))
    assert sorted(np.concatenate(blocks).tolist()) == list(range(90))
    for block in blocks:  # 90 points and up to 100 clusters: none has points of two groups
        assert len(set(member[block].tolist())) == 1
    again = kmeans_blocks(side_by_side(values))
    assert all(np.array_equal(a, b) for a, b in zip(blocks, again, strict=True))


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_what_has_no_two_components_is_one_block(shape):
    assert [block.tolist() for block in kmeans_blocks(side_by_side(np.ones(shape)))] == [
        list(range(shape[0]))
    ]


@pytest.mark.parametrize("shape", [(300, 40), (40, 300)])
def test_components_are_those_of_a_decomposition(monkeypatch, tmp_path, shape):
    """Of two spaces on different nodes, a few rows or columns at a time and from files."""
    rng = np.random.default_rng(3)
    count, columns = shape
    joined = rng.normal(size=shape) * np.linspace(1, 9, columns) + rng.normal(size=columns) * 20
    nodes = [np.flatnonzero(rng.random(count) < share) for share in (0.8, 0.5)]
    widths = [columns // 3, columns - columns // 3]
    absent = [np.setdiff1d(np.arange(count), there) for there in nodes]
    joined[absent[0], : widths[0]] = 0
    joined[absent[1], widths[0] :] = 0
    both = [joined[nodes[0], : widths[0]], joined[nodes[1], widths[0] :]]
    monkeypatch.setattr(_spill, "LARGEST_IN_MEMORY", 7 * 8 * max(shape))
    with _spill.spilling(tmp_path):
        parts = []
        for there, values in zip(nodes, both, strict=True):
            stored = _spill.empty(values.shape, by_column=True)
            stored[:] = values
            parts.append(Carried("gene", there, stored))
        side = SideBySide(parts, count)
        assert len(list(side.rows())) > 1 < len(list(side.columns()))
        np.testing.assert_array_equal(np.concatenate([block for _, block in side.rows()]), joined)
        found, centred = side.principal(2), side.centred()
    expected = PCA(2, svd_solver="full").fit_transform(joined)
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_array_equal(centred, centred_rows(joined))


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_equal_rows_are_equal_points_and_no_variance_is_zero(shape):
    values = np.tile(np.random.default_rng(4).normal(size=(2, shape[1])), (shape[0] // 2, 1))
    found = side_by_side(values).principal(2)
    assert len(np.unique(found[:, 0])) == 2
    assert not found[:, 1].any()
    assert [block.tolist() for block in kmeans_blocks(side_by_side(values))] in (
        [list(range(0, shape[0], 2)), list(range(1, shape[0], 2))],
        [list(range(1, shape[0], 2)), list(range(0, shape[0], 2))],
    )


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), st.floats(0.5, 0.95), st.floats(0, 0.99))
def test_the_cut_is_found_to_a_thousandth(values, least, sparsity):
    values = np.array(values)
    cut = published_cut(values[values >= least], len(values), least, sparsity)
    assert least < cut < 0.99
    below, above = cut - 0.001, cut + 0.001
    if below > least + 0.001:  # the share was too large somewhere below
        assert (values > below).mean() >= 1 - sparsity - 1e-12
    if above < 0.989:
        assert (values > above).mean() <= 1 - sparsity + 1e-12


def test_fingerprints_within_blocks_against_rdkit():
    bits = morgan_fingerprints(SMILES, radius=2, num_bits=1024)
    (i, j, weight), report = scoped_edges(bits, scaffold_blocks(SMILES), threshold=0.1, sparsity=0.5)
    generator = Chem.rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in SMILES]
    pairs = [pair for block in ([0, 3], [1, 2, 5], [6, 7]) for pair in itertools.combinations(block, 2)]
    similarity = {(a, b): DataStructs.TanimotoSimilarity(prints[a], prints[b]) for a, b in pairs}
    stored = {pair: value for pair, value in similarity.items() if value}
    expected = {p: round(value, 2) for p, value in stored.items() if value >= report["edge_cut"]}
    assert dict(zip(zip(i.tolist(), j.tolist(), strict=True), weight, strict=True)) == pytest.approx(expected)
    assert len(expected) == report["edges"] == 2
    assert (report["all_pairs"], report["similar_pairs"], report["blocks"]) == (5, len(stored), 3)
    assert report["metric"] == "tanimoto"


def test_rows_within_blocks_against_numpy(monkeypatch):
    rng = np.random.default_rng(1)
    values = np.repeat(rng.normal(size=(12, 30)), 5, axis=0) + rng.normal(size=(60, 30)) * 0.3
    values[[4, 17]] = 0  # nodes that were not measured
    blocks = [np.sort(part) for part in np.array_split(rng.permutation(60), 4)]
    rows = centred_rows(values)
    told = []
    (i, j, weight), report = scoped_edges(
        rows, blocks, threshold=0.5, sparsity=0.9, progress=lambda done, total: told.append((done, total))
    )
    with np.errstate(invalid="ignore"):
        correlation = np.corrcoef(values)
    pairs = [pair for block in blocks for pair in itertools.combinations(block.tolist(), 2)]
    known = [pair for pair in pairs if not {4, 17} & set(pair)]
    expected = sorted(pair for pair in known if correlation[pair] >= report["edge_cut"])
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected
    assert len(expected) > 5
    np.testing.assert_allclose(weight, [round(correlation[pair], 2) for pair in expected], atol=1e-9)
    assert (report["all_pairs"], report["similar_pairs"]) == (len(pairs), len(known))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    monkeypatch.setattr("infoalign_dgl.context.scopes._CHUNK", 40)  # a few rows at a time: the same
    (i2, j2, weight2), _ = scoped_edges(rows, blocks, threshold=0.5, sparsity=0.9)
    np.testing.assert_array_equal([i, j], [i2, j2])
    np.testing.assert_array_equal(weight, weight2)


def test_tiles_give_the_same_bits():
    """A pair's similarity does not depend on the rows beside it, as in a product of matrices."""
    rng = np.random.default_rng(5)
    dense = (rng.normal(size=(3, 1000)) + 0.5 * rng.normal(size=(90, 3, 1000))).reshape(270, 1000)
    for rows in (dense.astype(np.float32), rng.integers(0, 255, (270, 128)).astype(np.uint8)):
        numbers = np.arange(270)
        (i, j, whole), stored = compare((numbers, rows), (numbers, rows), 0.3)
        assert len(i) > 5000
        assert stored == 270 * 269 // 2
        expected = dict(zip(zip(i.tolist(), j.tolist(), strict=True), whole.tolist(), strict=True))
        cuts = [(numbers[a:b], rows[a:b]) for a, b in itertools.pairwise([0, 1, 8, 100, 231, 270])]
        found, count = {}, 0
        for left, right in itertools.combinations_with_replacement(cuts, 2):
            (i, j, similarity), more = compare(left, right, 0.3)
            found |= dict(zip(zip(i.tolist(), j.tolist(), strict=True), similarity.tolist(), strict=True))
            count += more
        assert (found, count) == (expected, stored)


@pytest.mark.parametrize(("threshold", "sparsity"), [(0.5, 0.9), (0.5, 0.3), (0.0, 0.999), (0.97, 0.0)])
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_pairs_that_cannot_stay_are_let_go(monkeypatch, threshold, sparsity, noise):
    """The cut and the edges are those of all pairs, sorted once; a part of the pairs is held."""
    rng = np.random.default_rng(6)
    rows = centred_rows(
        rng.normal(size=(3, 200))[rng.integers(0, 3, 300)] + noise * rng.normal(size=(300, 200))
    )
    blocks = list(np.array_split(rng.permutation(300), 3))
    monkeypatch.setattr("infoalign_dgl.context._scoped_pairs._SCORED", 16)
    monkeypatch.setattr("infoalign_dgl.context.scopes._CHUNK", 400)
    (i, j, weight), report = scoped_edges(rows, blocks, threshold=threshold, sparsity=sparsity)
    unit = rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True)
    pairs = [np.sort(pair) for block in blocks for pair in itertools.combinations(block, 2)]
    first, second = np.array(sorted(map(tuple, pairs))).T
    similarity = (unit @ unit.T)[first, second]
    cut = published_cut(similarity[similarity >= threshold], len(similarity), threshold, sparsity)
    stay = (similarity >= threshold) & (similarity >= cut)
    assert report["edge_cut"] == cut
    assert report["similar_pairs"] == len(similarity)
    np.testing.assert_array_equal([i, j], [first[stay], second[stay]])
    np.testing.assert_allclose(weight, similarity[stay], atol=0.0051)


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
import scipy.linalg, sklearn.cluster
from infoalign_dgl import _spill
from infoalign_dgl.context.scopes import Carried, similar_in_scope
from infoalign_dgl.context.spec import SimilaritySettings
_spill.LARGEST_IN_MEMORY = 8 * 2**20
rows, columns = 20_000, 600
rng = np.random.default_rng(0)
groups = rng.integers(0, 200, rows)
with _spill.spilling(Path(sys.argv[1])):
    values = _spill.empty((rows, columns), by_column=True)
    for part in _spill.column_parts(values):
        values[:, part] = rng.normal(size=(200, part.stop - part.start))[groups]
        values[:, part] += rng.normal(size=values[:, part].shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spaces = {"painting": Carried("morphology", np.arange(rows), values)}
    settings = SimilaritySettings(scope={"painting": "kmeans"}, threshold=0.4)
    _, (i, _, _), _ = similar_in_scope("painting", spaces, {"morphology": rows + 10}, [], settings)
assert len(i) > 1000
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_holds_parts_only(tmp_path):
    """The matrix has 92 MiB in float64 and twice that with a copy; float64 parts have 8 MiB each."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 90


def test_no_block_no_edge():
    (i, _, _), report = scoped_edges(np.ones((3, 2), np.float32), [], threshold=0.8, sparsity=0.9)
    assert len(i) == report["edges"] == 0


def test_spaces_side_by_side_with_zeros():
    """Two spaces as one: a node's missing features are zeros, and edges are between nodes, not rows."""
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(4, 20)), rng.normal(size=(3, 10))
    left[3] = left[0] + 0.01
    spaces = {
        "a": Carried("gene", np.array([1, 2, 4, 5]), left),
        "b": Carried("gene", np.array([0, 2, 6]), right),
    }
    settings = SimilaritySettings(scope={"a+b": "whole"}, sparsity=0.0, threshold=0.5)
    kind, (i, j, weight), report = similar_in_scope("a+b", spaces, {"gene": 8}, [], settings)
    joined = np.zeros((8, 30))
    joined[[1, 2, 4, 5], :20] = left
    joined[[0, 2, 6], 20:] = right
    with np.errstate(invalid="ignore"):
        correlation = np.corrcoef(joined)
    expected = [p for p in itertools.combinations(range(8), 2) if correlation[p] >= report["edge_cut"]]
    assert (kind, list(zip(i, j, strict=True)), report["scope"]) == ("gene", expected, "whole")
    assert (1, 5) in expected
    assert weight[expected.index((1, 5))] == 1


def test_none_compares_nothing():
    spaces = {"a": Carried("gene", np.arange(3), np.ones((3, 4)))}
    settings = SimilaritySettings(scope={"a": "none"})
    kind, (i, _, _), report = similar_in_scope("a", spaces, {"gene": 3}, [], settings)
    assert (kind, len(i), report["all_pairs"]) == ("gene", 0, 0)


def test_names_must_fit():
    spaces = {
        "jump": Carried("morphology", np.arange(3), np.ones((3, 4))),
        "orf": Carried("gene", np.arange(3), np.ones((3, 4))),
    }
    with pytest.raises(SpecError, match=r"names feature space 'jmp': did you mean 'jump'\?"):
        similar_in_scope("jmp", spaces, {}, [], SimilaritySettings(scope={"jmp": "kmeans"}))
    with pytest.raises(SpecError, match="on gene and morphology: split it"):
        similar_in_scope("jump+orf", spaces, {}, [], SimilaritySettings(scope={"jump+orf": "kmeans"}))
    for scope, complaint in (
        ({"fingerprint": "kmeans"}, "are compared within 'scaffold' or 'none'"),
        ({"jump": "scaffold"}, "feature spaces within 'kmeans', 'whole' or 'none'"),
        ({"jump": "kmeans", "orf+jump": "kmeans"}, "scope names 'jump' where it cannot"),
        ({"fingerprint+jump": "kmeans"}, "scope names 'fingerprint.jump' where it cannot"),
    ):
        with pytest.raises(ValueError, match=complaint):
            SimilaritySettings(scope=scope)
