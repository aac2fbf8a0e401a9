"""All-pairs similarity against plain loops in exact arithmetic, ties included."""

from __future__ import annotations

import functools
import threading
import time
import tracemalloc
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rdkit import Chem, RDLogger
from rdkit.Chem import rdFingerprintGenerator

from infoalign_dgl.context import _dense_similarity, _fingerprint_similarity, _prefilter
from infoalign_dgl.context.similarity import keep_nearest, similar_pairs
from infoalign_dgl.errors import GraphError

THRESHOLDS = [0.1, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0]


@pytest.fixture(params=["native", "numpy"])
def implementation(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(_fingerprint_similarity, "load_native", lambda: None)


PRODUCTS = ["chosen", "integers", "basis", "rows", "numpy"]


def use_product(monkeypatch, product):
    """Make the dense search use one of its products whatever it would choose by speed and size."""
    if product == "chosen":
        return
    if product == "numpy":
        monkeypatch.setattr(_prefilter.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(_prefilter.Arithmetic, "integers_pay", lambda self, dim: product == "integers")
    monkeypatch.setattr(_prefilter, "_FLOAT_COST", 1e9 if product == "integers" else 3.0)
    monkeypatch.setattr(_prefilter, "_ROWS_PER_COLUMN", 1e9 if product == "rows" else 0)


@pytest.fixture(params=PRODUCTS)
def product(request, monkeypatch):
    use_product(monkeypatch, request.param)
    return request.param


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
    return _exact_dense(rows.tobytes(), rows.shape, threshold)


@functools.lru_cache(maxsize=64)
def _exact_dense(data, shape, threshold):
    rows = np.frombuffer(data, dtype=np.float32).reshape(shape)
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


def pairs_of(got):
    return list(zip(got[0].tolist(), got[1].tolist(), strict=True))


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("integers", [False, True])
def test_dense_rows_equal_exact_arithmetic(product, threshold, integers, monkeypatch):
    monkeypatch.setattr(_prefilter, "_BLOCK", 32)
    rows = dense_families(3, 90, 4 if integers else 12, integers=integers)
    check_pairs(similar_pairs(rows, threshold=threshold), exact_dense(rows, threshold), "cosine")


@pytest.mark.parametrize("num_rows", [1, 2, 15, 16, 17, 33])
@pytest.mark.parametrize("dim", [1, 7, 8, 9])
def test_dense_shapes_around_the_blocks(product, num_rows, dim, monkeypatch):
    monkeypatch.setattr(_prefilter, "_BLOCK", 16)
    rows = np.random.default_rng(num_rows * dim).integers(-3, 4, (num_rows, dim)).astype(np.float32)
    for threshold in (0.1, 0.8):
        check_pairs(similar_pairs(rows, threshold=threshold), exact_dense(rows, threshold), "cosine")


def test_dense_rows_equal_brute_force_on_two_blocks(product):
    rows = dense_families(4, 2500, 70)
    present = np.flatnonzero(np.abs(rows).sum(axis=1))
    wide = rows[present].astype(np.float64)
    cosine = wide @ wide.T / np.sqrt(np.outer((wide**2).sum(axis=1), (wide**2).sum(axis=1)))
    a, b = np.nonzero(np.triu(cosine >= 0.7, k=1))
    i, j, similarity = similar_pairs(rows, threshold=0.7, num_threads=2)
    # Copies of a row and the row itself are the only pairs near the threshold's rounding here, at 1.
    assert list(zip(i, j, strict=True)) == sorted(zip(present[a], present[b], strict=True))
    np.testing.assert_allclose(similarity, cosine[a, b], rtol=1e-12)
    assert len(i) > 1000


def test_dense_exact_ties_at_the_threshold(product):
    rows = np.float32([[1, 2, 2, 0], [2, 2, 1, 0], [3, 4, 0, 0], [4, 3, 0, 0], [5, 0, 0, 0], [0, 0, 0, 0]])
    # (0, 1): 8/9; (2, 3): 24/25; (2, 4): 3/5; (3, 4): 4/5 exactly
    got = pairs_of(similar_pairs(rows, threshold=0.8))
    assert got == sorted(exact_dense(rows, 0.8))
    assert (3, 4) in got
    assert (2, 4) in pairs_of(similar_pairs(rows, threshold=0.6))
    scaled = rows * np.float32(0.1) * np.logspace(-18, 15, 6, dtype=np.float32)[:, None]
    assert pairs_of(similar_pairs(scaled, threshold=0.8)) == sorted(exact_dense(scaled, 0.8))


def test_dense_ties_among_many_and_one_bit_below(product):
    """Pairs 4/5 apart exactly, in planes of their own, and the same pairs with one bit of one entry moved."""
    rng = np.random.default_rng(2)
    rows = []
    for k in range(24):
        x, y, z = np.eye(40)[rng.permutation(40)[:3]] * rng.choice([-1, 1], 3)[:, None]
        first, second = rng.integers(1, 2**18) * 5 * x, rng.integers(1, 2**18) * (4 * x + 3 * y)
        rows += [first, np.nextafter(second, second + y, dtype=np.float32) if k % 2 else second]
        if k % 3 == 0:
            rows.append(np.rint(2**20 * (4 * x + 1.8 * y + 2.4 * z)))
    rows = np.array(rows, dtype=np.float32)
    expected = exact_dense(rows, 0.8)
    assert pairs_of(similar_pairs(rows, threshold=0.8)) == sorted(expected)
    at_threshold = [pair for pair, value in expected.items() if value == Fraction(16, 25)]
    below = set(exact_dense(rows, 0.7999999)) - set(expected)
    assert min(len(at_threshold), len(below)) >= 8


def awkward_rows(dim):
    """Rows that a scale of 8 bits treats badly, in copies that differ a little."""
    rng = np.random.default_rng(dim)
    spike = np.full((12, dim), 1e-3) * rng.choice([-1, 1], (12, dim))
    spike[:, 0] = 1000
    spread = rng.normal(size=(12, dim)) * np.logspace(-20, 20, 12)[:, None]
    tiny = rng.integers(-3, 4, (8, dim)) * 2.0**-149
    falling = np.exp2(-np.arange(dim)) * (1 + 0.5 * rng.normal(size=(8, dim)))
    rows = np.concatenate([spike, spread, 3 * spread, tiny, falling, np.ones((4, dim)), np.eye(dim)[:4]])
    huge = np.full((2, dim), 3e38) * rng.choice([-1, 1], (2, dim))
    return np.concatenate([rows, huge, rows[::5]]).astype(np.float32)


@pytest.mark.parametrize("dim", [5, 17])
def test_rows_that_bytes_treat_badly(product, dim, monkeypatch):
    monkeypatch.setattr(_prefilter, "_BLOCK", 32)
    rows = awkward_rows(dim)
    for threshold in (0.5, 0.8, 1.0):
        check_pairs(similar_pairs(rows, threshold=threshold), exact_dense(rows, threshold), "cosine")


@settings(max_examples=40)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 5)),
        elements=st.one_of(st.integers(-5, 5).map(float), st.floats(-(2.0**127), 2.0**127, width=32)),
    ),
    st.sampled_from(THRESHOLDS),
    st.sampled_from(PRODUCTS),
)
def test_small_dense_rows(rows, threshold, product):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(_prefilter, "_BLOCK", 8)
        use_product(monkeypatch, product)
        assert pairs_of(similar_pairs(rows, threshold=threshold)) == sorted(exact_dense(rows, threshold))


def near_pairs(seed, num_rows, dim):
    """Unit rows in pairs whose cosines lie within 1e-4 of 0.8, the others far from it."""
    rng = np.random.default_rng(seed)
    first, other = rng.normal(size=(2, num_rows // 2, dim))
    first /= np.linalg.norm(first, axis=1)[:, None]
    other -= np.einsum("ij,ij->i", first, other)[:, None] * first
    other /= np.linalg.norm(other, axis=1)[:, None]
    cosine = 0.8 + rng.uniform(-1e-4, 1e-4, (num_rows // 2, 1))
    return np.concatenate([first, cosine * first + np.sqrt(1 - cosine**2) * other]).astype(np.float32)


def candidate_pairs(rows, least, num_threads=1):
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    with _prefilter.Arithmetic(num_threads) as arithmetic:
        prefilter = _prefilter.Prefilter(rows, squares, least, arithmetic)
        parts = [part for blocks in prefilter.block_pairs for part in prefilter.candidates(*blocks, least)]
    assert all((i < j).all() for i, j in parts)
    found = [pair for part in parts for pair in pairs_of(part)]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-3, 0.05])
@pytest.mark.parametrize("width", [2, 9, 40, 80])
def test_no_basis_loses_a_pair(integers, noise, width, monkeypatch):
    """The bound holds for whatever basis: few columns, rounded, or far from orthonormal."""
    rng = np.random.default_rng(width)
    rows = near_pairs(6, 120, 80)
    basis = np.linalg.qr(rng.normal(size=(80, 80)))[0][:, :width] + noise * rng.normal(size=(80, width))
    plan = _prefilter.Plan(basis, integers=integers)
    monkeypatch.setattr(_prefilter.Prefilter, "_plan", lambda self, threshold: plan)
    monkeypatch.setattr(_prefilter, "_BLOCK", 32)
    wide = rows.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1)[:, None]
    for least in (0.8, 0.3):
        similar = set(pairs_of(np.nonzero(np.triu(wide @ wide.T >= least + 1e-12, k=1))))
        assert len(similar) > 10
        assert similar <= candidate_pairs(rows, least)


def test_a_basis_that_stretches_columns_is_accounted_for(monkeypatch):
    """Columns that agree are shrunk and the others stretched, so the product is below the cosine."""
    rng = np.random.default_rng(13)
    agreeing, a, b = np.linalg.qr(rng.normal(size=(40, 3)))[0].T
    rows = np.stack([np.append(agreeing, a), np.append(agreeing, -0.2 * a + np.sqrt(0.96) * b)])
    basis = np.diag(np.repeat([0.95, 1.05], 40))
    plan = _prefilter.Plan(basis, integers=False)
    monkeypatch.setattr(_prefilter.Prefilter, "_plan", lambda self, threshold: plan)
    assert candidate_pairs(rows.astype(np.float32), 0.3999) == {(0, 1)}


@pytest.mark.parametrize("integers", [False, True])
def test_the_bound_is_tight_where_codes_are_exact(integers, monkeypatch):
    """Rows of signs are codes times a scale, so nothing but rounding is added to their product."""
    rows = np.random.default_rng(14).choice(np.float32([-1, 1]), (1, 64)).repeat(2, axis=0)
    rows[1, :8] *= -1
    plan = _prefilter.Plan(np.eye(64), integers=integers)
    monkeypatch.setattr(_prefilter.Prefilter, "_plan", lambda self, threshold: plan)
    assert candidate_pairs(rows, 0.75) == {(0, 1)}
    assert candidate_pairs(rows, 0.75002) == set()


@pytest.mark.parametrize("product", ["integers", "basis"])
def test_without_its_margin_the_product_would_lose_pairs(product, monkeypatch):
    """What the margin is for: pairs just above the threshold whose product of codes is below it."""
    use_product(monkeypatch, product)
    rows = near_pairs(6, 2000, 80)
    cosine = np.einsum("ij,ij->i", rows[:1000], rows[1000:], dtype=np.float64)
    similar = {(k, k + 1000) for k in np.flatnonzero(cosine >= 0.8 + 1e-6).tolist()}
    assert similar <= candidate_pairs(rows, 0.8)
    monkeypatch.setattr(_prefilter.Prefilter, "_left_out", lambda self, left, right: np.zeros(len(left[0])))
    assert len(similar - candidate_pairs(rows, 0.8)) > 100


def test_all_products_and_threads_give_the_same_numbers(monkeypatch):
    rows = dense_families(11, 1500, 70)
    results = []
    for product in PRODUCTS:
        for num_threads in (1, 3):
            with monkeypatch.context() as patch:
                patch.setattr(_prefilter, "_BLOCK", 256)
                use_product(patch, product)
                results.append(similar_pairs(rows, threshold=0.6, sparsity=0.999, num_threads=num_threads))
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def plan_of(rows, threshold):
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    with _prefilter.Arithmetic(1) as arithmetic:
        return _prefilter.Prefilter(rows, squares, threshold, arithmetic)._plan(threshold)


def test_columns_are_left_out_only_where_that_helps(monkeypatch):
    use_product(monkeypatch, "integers")
    monkeypatch.setattr(_prefilter, "_ROWS_PER_COLUMN", 16)
    rng = np.random.default_rng(12)
    spread = rng.normal(size=(3000, 160)).astype(np.float32)
    low_rank = (rng.normal(size=(3000, 10)) @ rng.normal(size=(10, 160)) + 0.1 * spread).astype(np.float32)
    plans = [plan_of(rows, threshold) for rows, threshold in [(low_rank, 0.8), (spread, 0.8), (spread, 0.3)]]
    assert [plan.basis.shape[1] for plan in plans] == [32, 64, 160]
    assert all(plan.integers for plan in plans)
    np.testing.assert_array_equal(plans[0].basis, plan_of(low_rank, 0.8).basis)
    assert plan_of(spread[:2500], 0.8) == _prefilter.Plan(None, integers=False)
    use_product(monkeypatch, "basis")
    assert plan_of(spread, 0.3) == _prefilter.Plan(None, integers=False)


def saturating(left, right):
    return (left.float() @ right.float()).clamp(max=2**15 - 1).int()


def refusing(left, right):
    raise RuntimeError("no int8 here")


def slow(left, right):
    time.sleep(0.01)
    return (left.float() @ right.float()).int()


@pytest.mark.parametrize("int_mm", [None, saturating, refusing, slow])
def test_int8_products_that_do_not_serve_are_not_used(int_mm, monkeypatch):
    if int_mm is None:
        monkeypatch.delattr(torch, "_int_mm")
    else:
        monkeypatch.setattr(torch, "_int_mm", int_mm)
    with _prefilter.Arithmetic(1) as arithmetic:
        assert not arithmetic.integers_pay(40)
    rows = dense_families(4, 800, 40)
    assert pairs_of(similar_pairs(rows, threshold=0.7)) == sorted(exact_in_float64(rows, 0.7))


def test_int8_products_that_refuse_a_shape_are_not_used(monkeypatch):
    use_product(monkeypatch, "integers")
    monkeypatch.setattr(_prefilter, "_BLOCK", 256)
    whole = torch._int_mm
    monkeypatch.setattr(
        torch, "_int_mm", lambda a, b: whole(a, b) if len(a) % 16 == 0 else refusing(a, b), raising=True
    )
    rows = dense_families(4, 811, 40)
    assert not plan_of(rows, 0.7).integers
    assert pairs_of(similar_pairs(rows, threshold=0.7)) == sorted(exact_in_float64(rows, 0.7))


def exact_in_float64(rows, threshold):
    """Compare all pairs in float64, for rows with no pair near the threshold."""
    present = np.flatnonzero(np.abs(rows).sum(axis=1))
    wide = rows[present].astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1)[:, None]
    cosine = np.triu(wide @ wide.T, k=1)
    assert np.abs(cosine - threshold).min() > 1e-12
    return [(int(present[i]), int(present[j])) for i, j in zip(*np.nonzero(cosine >= threshold), strict=True)]


def test_codes_cannot_overflow_sixteen_bits():
    assert 2 * (_prefilter._CODE + 128) * _prefilter._CODE < 2**15


def test_the_state_of_torch_comes_back(monkeypatch):
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    rows = dense_families(1, 100, 8)

    def stop(done, total):
        raise KeyError("stop")

    try:
        torch.set_num_threads(3)
        torch.set_float32_matmul_precision("medium")
        similar_pairs(rows, threshold=0.9, num_threads=2)
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (3, "medium")
        with pytest.raises(KeyError, match="stop"):
            similar_pairs(rows, threshold=0.9, num_threads=2, progress=stop)
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (3, "medium")
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


def test_no_more_threads_than_asked_for():
    seen = set()
    decide = _dense_similarity._decide
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(_prefilter, "_BLOCK", 16)
        monkeypatch.setattr(
            _dense_similarity,
            "_decide",
            lambda *given: seen.add((threading.get_ident(), torch.get_num_threads())) or decide(*given),
        )
        similar_pairs(dense_families(1, 400, 8), threshold=0.3, num_threads=2)
    assert len(seen) <= 2
    assert {threads for _, threads in seen} == {1}


@pytest.mark.parametrize("dim", [5, 966, 9000])
def test_copies_tie_wherever_they_stand(dim):
    rows = np.repeat(np.random.default_rng(dim).normal(size=(1, dim)), 60, axis=0).astype(np.float32)
    i, j, similarity = similar_pairs(rows, threshold=0.8, sparsity=0.9)
    assert len(set(similarity.tolist())) == 1
    assert pairs_of((i, j)) == [(a, b) for a in range(60) for b in range(a + 1, 60)][: 59 * 60 // 2 // 10]


def test_copies_stay_within_the_memory_of_the_cut():
    rows = np.repeat(np.random.default_rng(1).normal(size=(2, 16)), 1100, axis=0).astype(np.float32)
    tracemalloc.start()
    try:
        i, _, _ = similar_pairs(rows, threshold=0.8, sparsity=0.999, num_threads=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(i) == 2200 * 2199 // 2 // 1000
    assert peak < 110e6


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


def test_dense_sparsity(product, monkeypatch):
    monkeypatch.setattr(_prefilter, "_BLOCK", 32)
    monkeypatch.setattr("infoalign_dgl.context._pair_store._SLACK", 5)
    rows = dense_families(5, 100, 12)
    expected = exact_dense(rows, 0.2)
    most = int(Fraction("0.01") * (100 * 99 // 2))
    best = sorted(expected, key=lambda pair: (-expected[pair], pair))[:most]
    check_pairs(
        similar_pairs(rows, threshold=0.2, sparsity=0.99), {pair: expected[pair] for pair in best}, "cosine"
    )


def test_progress_ends_with_the_total(implementation, product):
    for rows in (np.packbits(families(1, 300, 64), axis=1), dense_families(1, 50, 4)):
        calls = []
        similar_pairs(rows, threshold=0.9, progress=lambda *call, calls=calls: calls.append(call))
        assert calls[-1][0] == calls[-1][1] > 0
        assert calls == sorted(calls)


@pytest.mark.parametrize("shape", [(0, 8), (1, 8), (5, 0)])
def test_nothing_to_compare(implementation, product, shape):
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
