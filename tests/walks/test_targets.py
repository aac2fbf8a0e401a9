"""Collapsed targets against the explicit dense sum, natively and in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import CollapsedTargets, collapse_targets, targets

IMPLEMENTATIONS = ["native", "numpy"]


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(targets, "load_native", lambda: None)
    return request.param


def example(kind, *, dim=37, num_nodes=60, num_rows=25, num_walks=400, steps=5, seed=0):
    rng = np.random.default_rng(seed)
    row_index = np.full(num_nodes, -1)
    row_index[rng.permutation(num_nodes)[:num_rows]] = np.arange(num_rows)
    nodes = rng.integers(-1, num_nodes, (num_walks, steps))
    alpha = rng.random((num_walks, steps)).astype(np.float32)
    alpha[rng.random(alpha.shape) < 0.2] = 0
    if kind == "bits":
        dense = rng.integers(0, 2, (num_rows, dim)).astype(np.uint8)
        return nodes, alpha, row_index, np.packbits(dense, axis=1), dense.astype(np.float64), dim
    values = rng.random((num_rows, dim)).astype(kind)
    return nodes, alpha, row_index, values, values.astype(np.float64), None


def dense_sums(nodes, alpha, row_index, dense):
    """One walk at a time, in float64: {position: (sum of alpha, count, mean)}."""
    expected = {}
    for position, (path, weights) in enumerate(zip(nodes.tolist(), alpha.tolist(), strict=True)):
        visits = [
            (w, row_index[v]) for v, w in zip(path, weights, strict=True) if v >= 0 and row_index[v] >= 0
        ]
        total = sum(w for w, _ in visits)
        if total > 0:
            mean = sum(w * dense[row] for w, row in visits) / total
            expected[position] = (total, len(visits), mean)
    return expected


def assert_equal_to(expected, got: CollapsedTargets, dim):
    assert got.molecule.tolist() == sorted(expected)
    assert got.count.tolist() == [expected[k][1] for k in got.molecule.tolist()]
    np.testing.assert_allclose(got.alpha, [expected[k][0] for k in got.molecule.tolist()], rtol=1e-6)
    means = np.array([expected[k][2] for k in got.molecule.tolist()]).reshape(len(expected), dim)
    np.testing.assert_allclose(got.mean, means, rtol=0, atol=1e-6)
    assert (got.molecule.dtype, got.alpha.dtype) == (np.int64, np.float32)
    assert (got.count.dtype, got.mean.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("kind", ["float32", "bits"])
def test_every_walk_has_a_row_where_asked(implementation, kind):
    nodes, alpha, row_index, values, _, num_bits = example(kind)
    compact = collapse_targets(nodes, alpha, row_index, values, num_bits=num_bits)
    assert 0 < len(compact) < len(nodes)
    every = collapse_targets(nodes, alpha, row_index, values, num_bits=num_bits, compact=False)
    assert every.molecule.tolist() == list(range(len(nodes)))
    others = np.setdiff1d(every.molecule, compact.molecule)
    for name in ("alpha", "count", "mean"):
        one, other = getattr(every, name), getattr(compact, name)
        np.testing.assert_array_equal(one[compact.molecule], other)
        assert one.dtype == other.dtype
        assert not one[others].any()


@pytest.mark.parametrize("kind", ["float32", "float16", "bits"])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_equals_the_dense_sum(implementation, kind, num_threads):
    nodes, alpha, row_index, values, dense, num_bits = example(kind, num_walks=1500)
    got = collapse_targets(nodes, alpha, row_index, values, num_bits=num_bits, num_threads=num_threads)
    assert_equal_to(dense_sums(nodes, alpha, row_index, dense), got, 37)
    assert 0 < len(got) < 1500


@given(
    kind=st.sampled_from(["float32", "float16", "bits"]),
    dim=st.integers(1, 20),
    num_rows=st.integers(1, 5),
    num_walks=st.integers(0, 6),
    steps=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_both_implementations_agree(kind, dim, num_rows, num_walks, steps, seed):
    nodes, alpha, row_index, values, dense, num_bits = example(
        kind, dim=dim, num_nodes=8, num_rows=num_rows, num_walks=num_walks, steps=steps, seed=seed
    )
    expected = dense_sums(nodes, alpha, row_index, dense)
    assert_equal_to(expected, collapse_targets(nodes, alpha, row_index, values, num_bits=num_bits), dim)
    by_numpy = targets._collapse_numpy(nodes, alpha, row_index, values, num_bits)
    assert_equal_to(expected, by_numpy, dim)


def test_a_node_met_twice_counts_twice(implementation):
    values = np.float32([[0.0, 1.0], [1.0, 1.0]])
    got = collapse_targets([[0, 1, 0]], np.float32([[1.0, 0.5, 0.5]]), np.array([0, 1]), values)
    assert got.count.tolist() == [3]
    assert got.alpha.tolist() == [2.0]
    np.testing.assert_allclose(got.mean, [[0.25, 1.0]])


def test_memory_mapped_rows(implementation, tmp_path):
    nodes, alpha, row_index, values, dense, _ = example("float16")
    np.save(tmp_path / "rows.npy", values)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    got = collapse_targets(nodes, alpha, row_index, mapped)
    assert_equal_to(dense_sums(nodes, alpha, row_index, dense), got, 37)
    del mapped


@pytest.mark.parametrize("kind", ["float32", "float16", "bits"])
def test_tensors_in_tensors_out(implementation, kind):
    *arrays, _, num_bits = example(kind)
    expected = collapse_targets(*arrays, num_bits=num_bits)
    nodes, alpha, row_index, values = (torch.from_numpy(array) for array in arrays)
    got = collapse_targets(nodes, alpha.requires_grad_(), row_index, values, num_bits=num_bits)
    mixed = collapse_targets(nodes, alpha, *arrays[2:], num_bits=num_bits)
    back = collapse_targets(arrays[0], alpha, row_index, values, num_bits=num_bits)
    for part in ("molecule", "alpha", "count", "mean"):
        wanted = getattr(expected, part)
        for found in (got, mixed):
            assert isinstance(getattr(found, part), torch.Tensor)
            np.testing.assert_array_equal(getattr(found, part).numpy(), wanted)
        assert isinstance(getattr(back, part), np.ndarray)
        np.testing.assert_array_equal(getattr(back, part), wanted)
    assert repr(got) == repr(expected)


def test_other_types_of_numbers(implementation):
    values = np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3))
    got = collapse_targets(
        np.array([[0, 1]], "u1"), np.array([[1, 3]], ">i2"), np.array([1, 0], ">u4"), values
    )
    np.testing.assert_array_equal(got.mean, [[0.75, 1.75, 2.75]])
    halved = torch.tensor([[1, 3]], dtype=torch.bfloat16) / 2
    of_tensors = collapse_targets(
        torch.tensor([[0, 1]], dtype=torch.int16), halved, torch.tensor([1, 0]), torch.from_numpy(values)
    )
    np.testing.assert_array_equal(of_tensors.mean, [[0.75, 1.75, 2.75]])
    assert of_tensors.alpha.tolist() == [2.0]


def test_the_first_walk_with_a_fault_is_named(implementation):
    nodes = [[0, 0], [0, 1], [9, 0]]
    with pytest.raises(WalkError, match="'row_index' sends node 1 to row 5"):
        collapse_targets(nodes, np.ones((3, 2), "f4"), np.array([0, 5]), np.ones((1, 1), "f4"))


def test_no_walk_meets_the_space(implementation):
    got = collapse_targets(
        np.full((3, 2), -1), np.zeros((3, 2), np.float32), np.zeros(4, int), np.ones((1, 5), "f4")
    )
    assert len(got) == 0
    assert got.mean.shape == (0, 5)
    assert repr(got) == "CollapsedTargets(0 rows of 5)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(nodes=[[0, 4]]), "'nodes' row 0 holds node 4, but 'row_index' has 4 entries"),
        (dict(row_index=[2, -1, -1, -1]), "'row_index' sends node 0 to row 2, but 'values' has 2 rows"),
        (dict(alpha=np.ones((2, 2), "f4")), r"'nodes' \(1, 2\) and 'alpha' \(2, 2\) must have one shape"),
        (dict(nodes=[[0.5, 1]]), "'nodes' must hold integers, not float64"),
        (dict(row_index=[[0]]), "'row_index' must have one dimension"),
        (dict(values=np.ones(3, "f4")), "'values' must have two dimensions"),
        (dict(values=np.ones((2, 3))), "'values' must be float32, float16 or bit-packed uint8, not float64"),
        (dict(values=np.ones((2, 3), np.uint8)), "'values' is uint8 and 'num_bits' is None"),
        (dict(num_bits=3), "'values' is float32 and 'num_bits' is 3"),
        (dict(values=np.ones((2, 3), np.uint8), num_bits=30), "has 3 bytes a row, but 30 bits need 4"),
        (dict(values=np.ones((2, 3), np.uint8), num_bits="24"), "'num_bits' must be an integer, not '24'"),
        (dict(values=np.ones((2, 3), ">f4")), "'values' must be .*, not >f4"),
        (dict(values=torch.ones(2, 3, dtype=torch.bfloat16)), "'values' must be .*, not bfloat16"),
        (dict(alpha=np.ones((1, 2), bool)), "'alpha' must hold numbers, not bool"),
        (dict(alpha=np.array([["a", "b"]])), "'alpha' must hold numbers, not <U1"),
        (dict(alpha=torch.ones(1, 2, dtype=torch.complex64)), "'alpha' must hold numbers, not complex64"),
        (dict(nodes=torch.ones(1, 2)), "'nodes' must hold integers, not float32"),
        (dict(nodes=torch.ones(1, 2, dtype=torch.bool)), "'nodes' must hold integers, not bool"),
        (dict(nodes=np.array([[2**63, 1]], np.uint64)), "'nodes' must fit into int64"),
        (dict(row_index=np.array([2**64 - 1, 1], np.uint64)), "'row_index' must fit into int64"),
        (dict(row_index=np.array([0, None])), "'row_index' must hold integers, not object"),
        (dict(values=torch.ones(2, 3, device="meta")), "'values' is on meta but 'nodes' is on cpu: move"),
        (dict(nodes=torch.zeros(1, 2, device="meta")), "'nodes' is on meta: move it to the CPU"),
    ],
)
def test_bad_arguments(implementation, change, message):
    arguments = dict(
        nodes=[[0, 1]], alpha=np.ones((1, 2), "f4"), row_index=[0, -1, -1, 1], values=np.ones((2, 3), "f4")
    )
    with pytest.raises(WalkError, match=message):
        collapse_targets(**(arguments | change))
