"""The index: what it keeps, what it refuses, and that numpy packs as the extension does."""

from __future__ import annotations

import pickle
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infoalign_dgl._extension import load_native
from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import WalkIndex, _packing, index, random_walks
from infoalign_dgl.walks.native import as_words

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
        ([0], [0], [1], 2**59, r"'num_nodes' must be below 2\^59"),
        ([0], [0], [1], 2**70, r"'num_nodes' must be below 2\^59"),
        ([[0], [1, 2]], [0], [1], 3, r"'src' cannot be read as an array \(setting an array element"),
        ([0], [0], [[1], [1, 1]], 1, r"'weight' cannot be read as an array \("),
        ([0], torch.zeros(1, dtype=torch.int64, device="meta"), [1], 1, "'dst' cannot be read as an array"),
        ([0], [0], np.array([1 + 1e-12], ">f8"), 1, "'weight' .* position 0"),
        ([0], [0], np.array([1], np.longdouble) + np.finfo(np.longdouble).eps, 1, "'weight' .* position 0"),
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


# Arguments as (what is passed, the plain numbers it stands for); None where no index can be made of it.

INT64 = np.iinfo(np.int64)
ID_TYPES = [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64, ">i4", ">u8"]
TORCH_ID_TYPES = [torch.uint8, torch.int16, torch.int32, torch.int64]
WEIGHT_TYPES = [np.float16, np.float32, np.float64, np.longdouble, ">f4", ">f8"]
TORCH_WEIGHT_TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def broken(values):
    """No flat array of numbers."""
    return st.sampled_from(
        [
            None,
            object(),
            np.array(values, dtype=object),
            np.array(values, dtype=object).reshape(-1, 1),
            [[0], [0, 1]],
            [str(value) for value in values] or ["0"],
            {0: 1},
            np.zeros(len(values), complex) if values else np.zeros((0, 2)),
            torch.zeros(2, 2, dtype=torch.int64),
        ]
    )


@st.composite
def ids(draw, usual, size):
    """Ids that are mostly in range, in any type that holds them, or in one that does not do."""
    odd = st.sampled_from([-1, -7, 2**31 - 1, 2**31, 2**32, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**70])
    likely = st.one_of(*[usual] * 15, odd) if draw(st.booleans()) else usual
    values = draw(st.lists(likely, min_size=size, max_size=size))
    kind = draw(st.integers(0, 9))
    if kind == 9:
        passed = draw(broken(values))
        empty = isinstance(passed, np.ndarray) and passed.shape == (0,)
        return passed, [] if empty else None
    if kind == 8 and values:
        return np.array(values, dtype=draw(st.sampled_from([np.float32, np.float64, bool]))), None
    fitting = all(INT64.min <= value <= INT64.max for value in values)
    plain = values if fitting else None
    if kind < 4:
        dtype = np.dtype(draw(st.sampled_from(ID_TYPES)))
        if all(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max for value in values):
            return np.array(values, dtype=dtype), plain
    if kind in (4, 5) and fitting:
        dtype = draw(st.sampled_from(TORCH_ID_TYPES))
        if all(torch.iinfo(dtype).min <= value <= torch.iinfo(dtype).max for value in values):
            return torch.tensor(values, dtype=dtype), plain
    if kind == 6 and fitting:
        return np.repeat(np.array(values, dtype=np.int64), 2)[::2], plain
    return values, plain


@st.composite
def weights(draw, size):
    """Weights that are mostly in [0, 1], in any type of numbers, or in one that does not do."""
    odd = [np.nan, np.inf, -np.inf, -1e-45, -0.5, 1 + 1e-12, 2.0, 1e30, 1e300, -1e300]
    fine = st.one_of(st.floats(0, 1, width=16), st.sampled_from([0.0, -0.0, 1.0, 1e-300, 1e-45]))
    likely = st.one_of(*[fine] * 15, st.sampled_from(odd)) if draw(st.booleans()) else fine
    values = draw(st.lists(likely, min_size=size, max_size=size))
    kind = draw(st.integers(0, 9))
    if kind == 9:
        return draw(broken(values)), None
    if kind == 8:
        whole = draw(st.lists(st.sampled_from([0, 1, 1, 0, 1, 2, -1]), min_size=size, max_size=size))
        dtype = draw(st.sampled_from([bool, np.int8, np.int64]))
        passed = np.array(whole, dtype=dtype)
        return passed, passed.tolist()
    with np.errstate(over="ignore"):
        if kind in (6, 7):
            tensor = torch.tensor(values, dtype=torch.float64).to(draw(st.sampled_from(TORCH_WEIGHT_TYPES)))
            return tensor, tensor.tolist()
        if kind < 6:
            passed = np.array(values, dtype=np.float64).astype(draw(st.sampled_from(WEIGHT_TYPES)))
            return passed, list(passed)
    return values, values


NODE_COUNTS = st.one_of(
    *[st.integers(1, 6)] * 8,
    st.sampled_from([0, -1, 2**59, 2**63, 2**70, 1.5, None, "3", np.int16(3), np.uint64(4), True]),
)


def is_count(value):
    return isinstance(value, (int, np.integer)) and 0 <= value < 2**59


def outside(values, num_nodes):
    return values is None or any(not 0 <= value < num_nodes for value in values)


def not_shares(values):
    return values is None or any(not 0 <= value <= 1 for value in values)


def check_index(build, bad, expected, *, native):
    """What is bad is named, and what is not makes the index of the expected arrays."""
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(index, "load_native", lambda: None)
        if bad:
            with pytest.raises(WalkError) as raised:
                build()
            named = re.match(r"'(\w+)'", str(raised.value))
            assert (named.group(1) if named else "indptr") in bad
            return
        made = build()
    for name, values in expected().items():
        got = getattr(made, name)
        assert got.tolist() == np.array(values, dtype=got.dtype).tolist()


@settings(max_examples=250)
@given(st.data(), NODE_COUNTS, st.integers(0, 6), st.booleans())
def test_any_edges(data, num_nodes, size, native):
    usual = st.integers(0, max(0, num_nodes - 1)) if is_count(num_nodes) and num_nodes < 100 else st.just(0)
    sizes = [size + data.draw(st.sampled_from([0] * 30 + [1])) for _ in range(3)]
    (src, sources), (dst, targets) = (data.draw(ids(usual, length)) for length in sizes[:2])
    weight, shares = data.draw(weights(sizes[2]))
    count = num_nodes if is_count(num_nodes) else 0
    wrong = {
        "num_nodes": not is_count(num_nodes),
        "src": outside(sources, count),
        "dst": outside(targets, count),
        "weight": not_shares(shares),
    }
    lengths = {len(values) for values in (sources, targets, shares) if values is not None}
    bad = {name for name, is_wrong in wrong.items() if is_wrong} | ({"src"} if len(lengths) > 1 else set())

    def expected():
        rows = [[edge for edge, source in enumerate(sources) if source == node] for node in range(count)]
        edges = [edge for row in rows for edge in row]
        return {
            "indptr": [sum(map(len, rows[:node])) for node in range(count + 1)],
            "indices": [targets[edge] for edge in edges],
            "weight": [np.float32(shares[edge]) for edge in edges],
            "edge_ids": edges,
        }

    check_index(lambda: WalkIndex.from_edges(src, dst, weight, num_nodes), bad, expected, native=native)


@settings(max_examples=250)
@given(st.data(), st.integers(0, 5), st.booleans())
def test_any_csr(data, num_nodes, native):
    degrees = data.draw(st.lists(st.integers(0, 3), min_size=num_nodes, max_size=num_nodes))
    offsets = np.concatenate([[0], np.cumsum(degrees, dtype=np.int64)]).tolist()
    leap = st.sampled_from([-1, 1, 2**31, 2**31 + 1, 2**62, -(2**62)])
    if data.draw(st.integers(0, 4)) == 0:
        offsets[data.draw(st.integers(0, num_nodes))] += data.draw(leap)
    indptr, pointers = (
        data.draw(ids(st.just(0), 0)) if data.draw(st.integers(0, 9)) == 0 else (offsets, offsets)
    )
    sizes = [sum(degrees) + data.draw(st.sampled_from([0] * 30 + [1])) for _ in range(3)]
    indices, targets = data.draw(ids(st.integers(0, max(0, num_nodes - 1)), sizes[0]))
    weight, shares = data.draw(weights(sizes[1]))
    own = data.draw(st.booleans())
    edge_ids, edges = data.draw(ids(st.integers(0, 9), sizes[2])) if own else (None, None)
    if edge_ids is None:
        edges = list(range(sizes[0]))
    rising = pointers and all(0 <= high - low <= 2**31 for low, high in pairwise(pointers))
    fits = rising and pointers[0] == 0 and (targets is None or pointers[-1] == len(targets))
    wrong = {
        "indptr": not fits,
        "indices": outside(targets, num_nodes),
        "weight": not_shares(shares),
        "edge_ids": outside(edges, 2**63),
    }
    lengths = {len(values) for values in (targets, shares, edges) if values is not None}
    bad = {name for name, is_wrong in wrong.items() if is_wrong} | (
        {"indices"} if len(lengths) > 1 else set()
    )

    def expected():
        return {
            "indptr": pointers,
            "indices": targets,
            "weight": [np.float32(share) for share in shares],
            "edge_ids": edges,
        }

    check_index(lambda: WalkIndex.from_csr(indptr, indices, weight, edge_ids), bad, expected, native=native)
