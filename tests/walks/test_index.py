"""The index: what it keeps, what it refuses, and that numpy packs as the extension does."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import WalkIndex, _packing, random_walks
from infoalign_dgl.walks.native import as_words, load_native

MIXED = st.integers(-2, 6)
ANY_WEIGHT = st.one_of(st.floats(0, 1, width=32), st.sampled_from([-0.5, 1.5, float("nan"), float("inf")]))


def test_from_edges_is_stable_and_keeps_edge_ids():
    src, dst = [2, 0, 2, 0, 2], [1, 1, 0, 0, 2]
    index = WalkIndex.from_edges(src, dst, [0.1, 0.2, 0.3, 0.4, 0.5], 4)
    assert index.indptr.tolist() == [0, 2, 2, 5, 5]
    assert index.indices.tolist() == [1, 0, 1, 0, 2]
    assert index.edge_ids.tolist() == [1, 3, 0, 2, 4]
    np.testing.assert_array_equal(index.weight, np.float32([0.2, 0.4, 0.1, 0.3, 0.5]))
    assert (index.num_nodes, index.num_arcs) == (4, 5)
    assert index.weight.dtype == np.float32
    assert index.indptr.dtype == index.edge_ids.dtype == np.int64


def test_from_csr_takes_shared_edge_ids():
    index = WalkIndex.from_csr([0, 1, 2], [1, 0], [0.5, 0.5], edge_ids=[7, 7])
    assert random_walks(index, [0], 3, return_edges=True).edges.tolist() == [[7, 7, 7]]
    default = WalkIndex.from_csr([0, 1, 2], [1, 0], [0.5, 0.5])
    assert random_walks(default, [0], 3, return_edges=True).edges.tolist() == [[0, 1, 0]]
    assert default.edge_ids.tolist() == [0, 1]


def test_the_callers_arrays_stay_their_own():
    indptr, indices = np.array([0, 1, 2]), np.array([1, 0])
    weight, edge_ids = np.float32([0.5, 0.5]), np.array([3, 4])
    index = WalkIndex.from_csr(indptr, indices, weight, edge_ids)
    for array in (indptr, indices, weight, edge_ids):
        array[:] = 99
    assert index.indptr.tolist() == [0, 1, 2]
    assert index.indices.tolist() == [1, 0]
    assert index.weight.tolist() == [0.5, 0.5]
    assert index.edge_ids.tolist() == [3, 4]


def test_tensors_and_other_types_in():
    index = WalkIndex.from_edges(
        torch.tensor([0, 1], dtype=torch.int32),
        torch.tensor([1, 0]),
        torch.tensor([0.5, 1], dtype=torch.float64),
        2,
    )
    assert index.weight.tolist() == [0.5, 1]
    assert WalkIndex.from_edges([0], [0], [True], 1).weight.tolist() == [1.0]
    assert WalkIndex.from_edges([], [], [], 0).num_nodes == 0


def test_pickle_leaves_out_what_can_be_made_again():
    index = WalkIndex.from_edges([0, 1], [1, 0], [0.5, 1], 2)
    before = random_walks(index, [0, 1], 4, transition="weight")
    copy = pickle.loads(pickle.dumps(index))
    np.testing.assert_array_equal(random_walks(copy, [0, 1], 4, transition="weight").alpha, before.alpha)


@pytest.mark.parametrize(
    ("src", "dst", "weight", "num_nodes", "message"),
    [
        ([0, 2], [0, 0], [1, 1], 2, r"'src' .*\[0, 2\).* position 1 holds 2"),
        ([0, 1], [-1, 0], [1, 1], 2, r"'dst' .* position 0 holds -1"),
        ([0, 1], [0, 0], [1, 1.25], 2, r"'weight' .* 1 of 2 .* position 1 \(1.25\)"),
        ([0, 1], [0, 0], [1, 1 + 1e-12], 2, r"'weight' .* position 1"),
        ([0, 1], [0, 0], [np.nan, 1], 2, r"'weight' .* position 0 \(nan\)"),
        ([0, 1], [0, 0], np.float32([np.inf, -1]), 2, r"'weight' .* 2 of 2 .* position 0 \(inf\)"),
        ([0, 1], [0], [1, 1], 2, "'src' has 2 entries but 'dst' has 1"),
        ([0, 1], [0, 0], [1], 2, "'src' has 2 entries but 'weight' has 1"),
        ([0.5], [0], [1], 2, "'src' must hold integers, not float64"),
        ([True], [0], [1], 2, "'src' must hold integers, not bool"),
        ([[0]], [0], [1], 2, "'src' must have one dimension"),
        ([0], [0], [[1]], 2, "'weight' must have one dimension"),
        ([0], [0], ["a"], 2, "'weight' must hold numbers"),
        ([0], [0], [1], -1, "'num_nodes' must not be negative"),
        ([0], [0], [1], 1.5, "'num_nodes' must be an integer"),
    ],
)
def test_bad_edges(src, dst, weight, num_nodes, message):
    with pytest.raises(WalkError, match=message):
        WalkIndex.from_edges(src, dst, weight, num_nodes)


@pytest.mark.parametrize(
    ("indptr", "indices", "weight", "edge_ids", "message"),
    [
        ([], [], [], None, "'indptr' is empty"),
        ([1, 2], [0, 0], [1, 1], None, "'indptr' must begin with 0, not 1"),
        ([0, 2, 1], [0], [1], None, "'indptr' must never fall, but position 2 holds 1 after 2"),
        ([0, 1], [0, 0], [1, 1], None, "'indptr' must end with the number of arcs, 2, not 1"),
        ([0, 3], [0, 0], [1, 1], None, "'indptr' must end with the number of arcs, 2, not 3"),
        ([0, 2**31 + 1], [0], [1], None, "node 0 has more than 2147483648 arcs"),
        ([0, 2**62, -(2**62), 5], [0], [1], None, "node 0 has more than"),
        ([0, 1], [1], [1], None, r"'indices' .*\[0, 1\).* position 0 holds 1"),
        ([0, 1], [0], [2], None, "'weight' must be in"),
        ([0, 1], [0], [1, 1], None, "'indices' has 1 entries but 'weight' has 2"),
        ([0, 1], [0], [1], [1, 2], "'indices' has 1 entries but 'edge_ids' has 2"),
        ([0, 1], [0], [1], [-3], "'edge_ids' must not be negative, but position 0 holds -3"),
    ],
)
def test_bad_csr(indptr, indices, weight, edge_ids, message):
    with pytest.raises(WalkError, match=message):
        WalkIndex.from_csr(indptr, indices, weight, edge_ids)


@given(st.lists(st.tuples(MIXED, MIXED, ANY_WEIGHT), max_size=12), st.integers(0, 5), st.booleans())
def test_numpy_packs_edges_as_the_extension_does(edges, num_nodes, wide):
    src, dst = (np.array([edge[k] for edge in edges], dtype=np.int64) for k in (0, 1))
    weight = np.array([edge[2] for edge in edges], dtype=np.float32)
    results = []
    for native in (True, False):
        indptr = np.zeros(num_nodes + 1, dtype=np.int64)
        arcs = np.zeros(len(edges), dtype=_packing.arc_type(wide=wide))
        ids = np.zeros(len(edges), dtype=np.int64)
        if native:
            fault = load_native().pack_edges(src, dst, weight, indptr, as_words(arcs), ids, wide)
        else:
            fault = _packing.pack_edges(src, dst, weight, indptr, arcs, ids)
        results.append((fault, [indptr, arcs["target"], arcs["weight"], ids]))
    assert results[0][0] == results[1][0]
    if results[0][0][0] == 0:
        for left, right in zip(results[0][1], results[1][1], strict=True):
            np.testing.assert_array_equal(left, right)


@given(
    st.lists(st.sampled_from([-(2**62), -1, 0, 1, 2, 3, 2**31 + 2, 2**62]), min_size=1, max_size=6),
    st.lists(st.tuples(MIXED, ANY_WEIGHT), max_size=4),
)
def test_numpy_packs_csr_as_the_extension_does(offsets, arcs_given):
    indptr = np.array(offsets, dtype=np.int64)
    indices = np.array([arc[0] for arc in arcs_given], dtype=np.int64)
    weight = np.array([arc[1] for arc in arcs_given], dtype=np.float32)
    left, right = (np.zeros(len(indices), dtype=_packing.arc_type(wide=False)) for _ in range(2))
    fault = load_native().pack_csr(indptr, indices, weight, as_words(left), False)
    assert fault == _packing.pack_csr(indptr, indices, weight, right)
    if fault[0] == 0:
        np.testing.assert_array_equal(left, right)
