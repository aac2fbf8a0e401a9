"""All-pairs similarity against plain loops in exact arithmetic, ties included."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, RDLogger
from rdkit.Chem import rdFingerprintGenerator

from infoalign_dgl.context import _dense_similarity, _fingerprint_similarity
from infoalign_dgl.context.similarity import keep_nearest, similar_pairs
from infoalign_dgl.errors import GraphError

THRESHOLDS = [0.1, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0]


@pytest.fixture(params=["native", "numpy"])
def implementation(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(_fingerprint_similarity, "load_native", lambda: None)
        monkeypatch.setattr(_dense_similarity.importlib.util, "find_spec", lambda name: None)


def families(seed, num_rows, num_bits, *, flips=0.02, density=0.1):
    """Fingerprints in families of five, with rows of zeros and exact duplicates among them."""
    rng = np.random.default_rng(seed)
    parents = rng.random((num_rows // 5 + 1, num_bits)) < density
    bits = parents[np.arange(num_rows) // 5] ^ (
        rng.random((num_rows, num_bits)) < flips * rng.random((num_rows, 1))
    )
    bits[rng.random(num_rows) < 0.05] = False
    bits[1::20] = bits[0::20][: len(bits[1::20])]
    return bits[rng.permutation(num_rows)]


def exact_pairs(bits, metric, threshold):
    """Compare every pair in integers: {(i, j): exact similarity, squared for the cosine}."""
    limit = Fraction(str(threshold))
    ints = bits.astype(np.int64)
    common, own = ints @ ints.T, ints.sum(axis=1)
    found = {}
    for i in range(len(bits)):
        for j in range(i + 1, len(bits)):
            a, b, c = int(own[i]), int(own[j]), int(common[i, j])
            if a == 0 or b == 0:
                continue
            value = Fraction(c * c, a * b) if metric == "cosine" else Fraction(c, a + b - c)
            if value >= (limit**2 if metric == "cosine" else limit):
                found[i, j] = value
    return found


def check_pairs(got, expected, metric):
    i, j, similarity = got
    assert (i.dtype, j.dtype) == (np.int64, np.int64)
    pairs = list(zip(i.tolist(), j.tolist(), strict=True))
    assert pairs == sorted(expected)
    values = np.array([float(expected[pair]) for pair in pairs])
    np.testing.assert_allclose(similarity, np.sqrt(values) if metric == "cosine" else values, rtol=1e-14)


@pytest.mark.parametrize("metric", ["cosine", "tanimoto"])
@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("num_bits", [166, 1024])
def test_fingerprints_equal_brute_force(implementation, metric, threshold, num_bits):
    bits = families(num_bits, 260, num_bits)
    rows = np.packbits(bits, axis=1)
    expected = exact_pairs(bits, metric, threshold)
    for num_threads in (1, 2):
        got = similar_pairs(rows, metric=metric, threshold=threshold, num_threads=num_threads)
        check_pairs(got, expected, metric)
    assert len(expected) > 5


@given(
    st.lists(st.integers(0, 2**12 - 1), max_size=14),
    st.sampled_from(["cosine", "tanimoto"]),
    st.sampled_from([*THRESHOLDS, 1 / 3, 0.3333333333333333, 1e-9]),
)
def test_small_fingerprints(rows, metric, threshold):
    bits = np.array([[(row >> k) & 1 for k in range(12)] for row in rows], dtype=bool).reshape(len(rows), 12)
    got = similar_pairs(np.packbits(bits, axis=1), metric=metric, threshold=threshold)
    check_pairs(got, exact_pairs(bits, metric, threshold), metric)


def test_exactly_the_threshold_counts(implementation):
    bits = np.zeros((2, 64), dtype=bool)
    bits[0, :5] = bits[1, 1:6] = True  # 4 of 5 and 5: cosine 4/5 exactly, tanimoto 4/6
    rows = np.packbits(bits, axis=1)
    assert len(similar_pairs(rows, threshold=0.8)[0]) == 1
    assert len(similar_pairs(rows, threshold=0.8000000000000002)[0]) == 0
    assert len(similar_pairs(rows, metric="tanimoto", threshold=0.6666)[0]) == 1
    assert len(similar_pairs(rows, metric="tanimoto", threshold=0.6667)[0]) == 0


@pytest.mark.parametrize("sparsity", [0.0, 0.9, 0.99, 0.995, 0.9999])
@pytest.mark.parametrize("metric", ["cosine", "tanimoto"])
def test_sparsity_keeps_the_best_with_ties_by_position(implementation, sparsity, metric):
    bits = families(7, 120, 64, density=0.2)
    n = len(bits)
    expected = exact_pairs(bits, metric, 0.3)
    most = int((1 - Fraction(str(sparsity))) * (n * (n - 1) // 2))
    best = sorted(expected, key=lambda pair: (-expected[pair], pair))[:most]
    got = similar_pairs(np.packbits(bits, axis=1), metric=metric, threshold=0.3, sparsity=sparsity)
    check_pairs(got, {pair: expected[pair] for pair in best}, metric)
    if sparsity == 0.99:
        assert expected[best[-1]] in [
            expected[pair] for pair in expected if pair not in best
        ]  # a tie was cut


def test_the_store_trims_as_it_goes(monkeypatch):
    monkeypatch.setattr("infoalign_dgl.context._pair_store._SLACK", 10)
    bits = families(8, 400, 128, density=0.2)
    expected = exact_pairs(bits, "cosine", 0.2)
    best = sorted(expected, key=lambda pair: (-expected[pair], pair))[
        : int(Fraction("0.01") * (400 * 399 // 2))
    ]
    got = similar_pairs(np.packbits(bits, axis=1), threshold=0.2, sparsity=0.99)
    check_pairs(got, {pair: expected[pair] for pair in best}, "cosine")


def dense_families(seed, num_rows, dim, *, integers=False):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(num_rows // 6 + 1, dim))[np.arange(num_rows) // 6]
    rows = rows + 0.5 * rng.normal(size=(num_rows, dim))
    if integers:
        rows = np.rint(rows)
    rows[::17] = 0
    rows[1::23] = rows[2::23][: len(rows[1::23])]
    return rows.astype(np.float32)


def exact_dense(rows, threshold):
    """Decide every pair in exact rational arithmetic."""
    limit = Fraction(str(threshold))
    exact = [[Fraction(float(value)) for value in row] for row in rows]
    squares = [sum(value * value for value in row) for row in exact]
    found = {}
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            dot = sum(a * b for a, b in zip(exact[i], exact[j], strict=True))
            if dot > 0 and dot * dot >= limit**2 * squares[i] * squares[j]:
                found[i, j] = dot * dot / (squares[i] * squares[j])
    return found


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("integers", [False, True])
def test_dense_rows_equal_exact_arithmetic(implementation, threshold, integers, monkeypatch):
    monkeypatch.setattr(_dense_similarity, "_BLOCK", 32)
    rows = dense_families(3, 90, 4 if integers else 12, integers=integers)
    check_pairs(similar_pairs(rows, threshold=threshold), exact_dense(rows, threshold), "cosine")


def test_dense_rows_equal_brute_force_on_two_blocks():
    rows = dense_families(4, 2500, 40)
    present = np.flatnonzero(np.abs(rows).sum(axis=1))
    wide = rows[present].astype(np.float64)
    cosine = wide @ wide.T / np.sqrt(np.outer((wide**2).sum(axis=1), (wide**2).sum(axis=1)))
    a, b = np.nonzero(np.triu(cosine >= 0.7, k=1))
    i, j, similarity = similar_pairs(rows, threshold=0.7, num_threads=2)
    # Copies of a row and the row itself are the only pairs near the threshold's rounding here, at 1.
    assert list(zip(i, j, strict=True)) == sorted(zip(present[a], present[b], strict=True))
    np.testing.assert_allclose(similarity, cosine[a, b], rtol=1e-12)
    assert len(i) > 1000


def test_dense_exact_ties_at_the_threshold(implementation):
    rows = np.float32([[1, 2, 2, 0], [2, 2, 1, 0], [3, 4, 0, 0], [4, 3, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]])
    # (0, 1): 8/9; (2, 3): 24/25; (2, 4): 3/5; (3, 4): 4/5 exactly
    i, j, _ = similar_pairs(rows, threshold=0.8)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == sorted(exact_dense(rows, 0.8))
    assert (3, 4) in set(zip(i.tolist(), j.tolist(), strict=True))
    assert (2, 4) in set(zip(*(at.tolist() for at in similar_pairs(rows, threshold=0.6)[:2]), strict=True))
    scaled = rows * np.float32(0.1) * np.logspace(-18, 15, 6, dtype=np.float32)[:, None]
    i, j, _ = similar_pairs(scaled, threshold=0.8)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == sorted(exact_dense(scaled, 0.8))


def test_what_float64_rounds_away_is_decided_exactly():
    """Rows three times another have cosine 1, whatever float64 makes of it; one bit off, they have not."""
    rng = np.random.default_rng(9)
    base = rng.integers(1, 2**21, (60, 24)) * np.exp2(rng.integers(-12, 12, (60, 24)))
    rows = np.concatenate([base, 3 * base, 3 * base]).astype(np.float32)
    assert (rows[60:120] == 3 * rows[:60].astype(np.float64)).all()
    at = np.argmax(rows[120:], axis=1)
    rows[120 + np.arange(60), at] = np.nextafter(rows[120 + np.arange(60), at], np.float32(np.inf))
    i, j, similarity = similar_pairs(rows, threshold=1.0)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(k, k + 60) for k in range(60)]
    assert (similarity <= 1).all()


def test_dense_sparsity(implementation, monkeypatch):
    monkeypatch.setattr(_dense_similarity, "_BLOCK", 32)
    monkeypatch.setattr("infoalign_dgl.context._pair_store._SLACK", 5)
    rows = dense_families(5, 100, 12)
    expected = exact_dense(rows, 0.2)
    most = int(Fraction("0.01") * (100 * 99 // 2))
    best = sorted(expected, key=lambda pair: (-expected[pair], pair))[:most]
    check_pairs(
        similar_pairs(rows, threshold=0.2, sparsity=0.99), {pair: expected[pair] for pair in best}, "cosine"
    )


def test_progress_ends_with_the_total(implementation):
    for rows in (np.packbits(families(1, 300, 64), axis=1), dense_families(1, 50, 4)):
        calls = []
        similar_pairs(rows, threshold=0.9, progress=lambda *call, calls=calls: calls.append(call))
        assert calls[-1][0] == calls[-1][1] > 0
        assert calls == sorted(calls)


@pytest.mark.parametrize("shape", [(0, 8), (1, 8), (5, 0)])
def test_nothing_to_compare(implementation, shape):
    for dtype in (np.uint8, np.float32):
        i, j, similarity = similar_pairs(np.zeros(shape, dtype), threshold=0.8, sparsity=0.5)
        assert len(i) == len(j) == len(similarity) == 0


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (np.ones((2, 2)), {}, "'rows' must be bit-packed uint8 or float32, not float64"),
        (np.ones(3, np.uint8), {}, r"'rows' must be a numpy array of two dimensions, not \(3,\)"),
        (np.ones((2, 2), "f4"), dict(metric="tanimoto"), "'metric' tanimoto compares fingerprints"),
        (np.ones((2, 2), "f4"), dict(metric="dice"), "'metric' is 'dice'"),
        (np.ones((2, 2), "f4"), dict(threshold=0.0), "'threshold' must be above 0 and at most 1, but is 0.0"),
        (np.ones((2, 2), "f4"), dict(threshold=1.1), "'threshold' must be above 0"),
        (np.ones((2, 2), "f4"), dict(threshold=float("nan")), "'threshold' must be a number, not nan"),
        (np.ones((2, 2), "f4"), dict(sparsity=1.0), "'sparsity' must be at least 0 and below 1"),
        (np.float32([[1, 2], [np.nan, 1]]), {}, "'rows' must be finite, but row 1 is not"),
        (np.float32([[np.inf, 2], [2, 1]]), {}, "'rows' must be finite, but row 0 is not"),
    ],
)
def test_bad_arguments(rows, options, message):
    with pytest.raises(GraphError, match=message):
        similar_pairs(rows, **(dict(threshold=0.8) | options))


def nearest_by_loop(i, j, similarity, num_rows, max_neighbors):
    kept = set()
    pairs = list(zip(i, j, similarity, strict=True))
    for row in range(num_rows):
        near = [(-s, b if a == row else a, k) for k, (a, b, s) in enumerate(pairs) if row in (a, b)]
        kept |= {k for _, _, k in sorted(near)[:max_neighbors]}
    return [k in kept for k in range(len(i))]


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 8), st.sampled_from([0.8, 0.9, 0.95, 1.0])), max_size=40
    ),
    st.integers(0, 4),
)
def test_keep_nearest_equals_a_loop(pairs, max_neighbors):
    distinct = {(min(a, b), max(a, b)): s for a, b, s in pairs if a != b}
    i = np.array([pair[0] for pair in distinct], dtype=np.int64)
    j = np.array([pair[1] for pair in distinct], dtype=np.int64)
    similarity = np.array(list(distinct.values()), dtype=np.float64)
    mask = keep_nearest(i, j, similarity, 9, max_neighbors)
    assert mask.dtype == bool
    assert mask.tolist() == nearest_by_loop(i, j, similarity, 9, max_neighbors)


def test_keep_nearest_bad_arguments():
    with pytest.raises(GraphError, match="have 1, 2 and 1 entries"):
        keep_nearest(np.array([0]), np.array([1, 2]), np.array([0.9]), 3, 1)
    with pytest.raises(GraphError, match=r"must be in \[0, 2\)"):
        keep_nearest(np.array([0]), np.array([2]), np.array([0.9]), 2, 1)
    with pytest.raises(GraphError, match="'max_neighbors' must not be negative"):
        keep_nearest(np.array([0]), np.array([1]), np.array([0.9]), 2, -1)


@pytest.mark.slow
def test_the_molecules_of_jump(data_root):
    """The pairs at cosine >= 0.8 among all JUMP compounds, counted before by a program of another make."""
    RDLogger.DisableLog("rdApp.*")
    table = pd.read_csv(data_root / "context" / "molecules" / "jump_compounds.csv.gz")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    molecules = (Chem.MolFromSmiles(smiles) for smiles in table["smiles"] if isinstance(smiles, str))
    rows = np.array(
        [np.packbits(generator.GetFingerprintAsNumPy(mol)) for mol in molecules if mol is not None]
    )
    assert len(rows) == 116_667
    assert len(similar_pairs(rows, threshold=0.8)[0]) == 52_178
