"""Walks: three backends, one answer; and alpha, looked up independently."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import WalkIndex, Walks, random_walks

TRANSITIONS = ["uniform", "weight"]
WEIGHTS = st.one_of(st.sampled_from([0.0, 1.0, 0.1, 1e-30]), st.floats(0, 1, width=32))


@st.composite
def graphs(draw):
    """Any small multigraph: no nodes, isolated nodes, self-loops, parallel edges, edges of weight 0."""
    num_nodes = draw(st.integers(0, 8))
    if num_nodes == 0:
        return 0, [], []
    node = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(node, node, WEIGHTS), max_size=30))
    seeds = draw(st.lists(node, max_size=12))
    return num_nodes, edges, seeds


def make_index(num_nodes, edges):
    src = np.array([e[0] for e in edges], dtype=np.int64)
    dst = np.array([e[1] for e in edges], dtype=np.int64)
    return WalkIndex.from_edges(src, dst, np.array([e[2] for e in edges], dtype=np.float32), num_nodes)


def random_index(seed=0, num_nodes=300, num_edges=900, zeros=True):
    rng = np.random.default_rng(seed)
    src, dst = rng.integers(0, num_nodes, (2, num_edges))
    weight = rng.random(num_edges).astype(np.float32)
    if zeros:
        weight[::9] = 0
    return WalkIndex.from_edges(src, dst, weight, num_nodes), (src, dst, weight)


def assert_same(left: Walks, right: Walks):
    np.testing.assert_array_equal(left.nodes, right.nodes)
    np.testing.assert_array_equal(np.asarray(left.alpha), np.asarray(right.alpha))
    np.testing.assert_array_equal(left.edges, right.edges)


@pytest.mark.parametrize("transition", TRANSITIONS)
@given(
    graph=graphs(),
    length=st.integers(0, 6),
    seed=st.integers(0, 2**64 - 1),
    stream=st.integers(0, 2**32 - 1),
    ids=st.integers(0, 2**63 - 20),
)
@example(graph=(1, [], [0, 0]), length=3, seed=0, stream=0, ids=0)
@example(graph=(1, [(0, 0, 0.5)], [0]), length=4, seed=1, stream=2, ids=2**40)
@example(graph=(2, [(0, 1, 0.0), (0, 1, 0.0)], [0, 1]), length=2, seed=1, stream=0, ids=5)
def test_backends_agree(transition, graph, length, seed, stream, ids):
    num_nodes, edges, seeds = graph
    index = make_index(num_nodes, edges)
    walk_ids = ids + np.arange(len(seeds))
    options = dict(transition=transition, seed=seed, stream=stream, walk_ids=walk_ids, return_edges=True)
    expected = random_walks(index, seeds, length, backend="reference", **options)
    for backend in ("native", "numba"):
        for num_threads in (1, 2):
            got = random_walks(index, seeds, length, backend=backend, num_threads=num_threads, **options)
            assert_same(got, expected)
            assert got.nodes.dtype == np.int64
            assert got.alpha.dtype == np.float32
            assert got.edges.dtype == np.int64


@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.parametrize("backend", ["native", "numba"])
def test_threads_and_chunks_change_nothing(transition, backend):
    index, _ = random_index(num_nodes=2000, num_edges=9000)
    seeds = np.random.default_rng(1).integers(0, 2000, 60_000)
    options = dict(transition=transition, seed=7, stream=3, return_edges=True, backend=backend)
    whole = random_walks(index, seeds, 4, num_threads=1, **options)
    assert_same(random_walks(index, seeds, 4, num_threads=2, **options), whole)
    assert_same(random_walks(index, seeds, 4, num_threads=7, **options), whole)
    picked = np.random.default_rng(2).permutation(60_000)[:777]
    part = random_walks(index, seeds[picked], 4, walk_ids=picked, **options)
    assert_same(part, Walks(whole.nodes[picked], whole.alpha[picked], whole.edges[picked]))


def test_seed_stream_and_walk_id_each_matter():
    index, _ = random_index()
    seeds = np.arange(300)
    base = random_walks(index, seeds, 4, seed=1).nodes
    assert (random_walks(index, seeds, 4, seed=2).nodes != base).any()
    assert (random_walks(index, seeds, 4, seed=1 + 2**32).nodes != base).any()
    assert (random_walks(index, seeds, 4, seed=1, stream=1).nodes != base).any()
    assert (random_walks(index, seeds, 4, seed=1, walk_ids=seeds + 2**32).nodes != base).any()
    assert (random_walks(index, seeds, 4, seed=1, walk_ids=seeds).nodes == base).all()


@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.parametrize("backend", ["native", "numba", "reference"])
def test_alpha_is_the_product_of_the_weights_walked(transition, backend):
    """The edge list is shuffled, and each weight is looked up by its edge id in the caller's own list."""
    _, (src, dst, weight) = random_index(3)
    order = np.random.default_rng(4).permutation(len(src))
    src, dst, weight = src[order], dst[order], weight[order]
    table = {edge: (int(src[edge]), int(dst[edge]), weight[edge]) for edge in range(len(src))}
    index = WalkIndex.from_edges(src, dst, weight, 300)
    walks = random_walks(
        index, np.arange(300), 5, transition=transition, seed=5, return_edges=True, backend=backend
    )
    steps = 0
    for nodes, alphas, edges in zip(walks.nodes, walks.alpha, walks.edges, strict=True):
        alpha, precise = np.float32(1), 1.0
        assert alphas[0] == 1
        for at, edge in enumerate(edges.tolist()):
            if edge < 0:
                assert (nodes[at + 1 :] == -1).all()
                assert (alphas[at + 1 :] == 0).all()
                assert (edges[at:] == -1).all()
                leaving = weight[src == nodes[at]]
                assert leaving.sum() == 0 if transition == "weight" else len(leaving) == 0
                break
            source, target, value = table[edge]
            assert (source, target) == (nodes[at], nodes[at + 1])
            alpha, precise = alpha * value, precise * float(value)
            assert alphas[at + 1] == alpha
            assert math.isclose(alpha, precise, rel_tol=1e-6)
            assert transition == "uniform" or value > 0
            steps += 1
    assert steps > 500


def test_alpha_of_a_path_survives_a_shuffled_edge_list():
    """The published code gives another path's alpha here; with one edge per pair, a path fixes its alpha."""
    rng = np.random.default_rng(6)
    pairs = np.unique(rng.integers(0, 60, (700, 2)), axis=0)
    weight = rng.random(len(pairs)).astype(np.float32)
    alphas: dict[tuple[int, ...], float] = {}
    for order in (np.arange(len(pairs)), rng.permutation(len(pairs))):
        index = WalkIndex.from_edges(pairs[order, 0], pairs[order, 1], weight[order], 60)
        walks = random_walks(index, np.repeat(np.arange(60), 300), 2, seed=8)
        for path, alpha in zip(map(tuple, walks.nodes.tolist()), walks.alpha[:, -1].tolist(), strict=True):
            assert alphas.setdefault(path, alpha) == alpha
    assert len(alphas) > 3000


@pytest.mark.parametrize("backend", ["native", "numba", "reference"])
def test_torch_in_torch_out(backend):
    index, _ = random_index()
    seeds = np.arange(50)
    expected = random_walks(
        index, seeds, 3, transition="weight", seed=9, return_edges=True, walk_ids=seeds + 3
    )
    for dtype in (torch.int32, torch.int64):
        got = random_walks(
            index,
            torch.arange(50, dtype=dtype),
            3,
            transition="weight",
            seed=9,
            return_edges=True,
            walk_ids=torch.arange(50) + 3,
            backend=backend,
        )
        assert got.nodes.dtype == torch.int64
        assert got.alpha.dtype == torch.float32
        assert_same(Walks(got.nodes.numpy(), got.alpha.numpy(), got.edges.numpy()), expected)
    assert isinstance(random_walks(index, list(range(50)), 3).nodes, np.ndarray)


def test_strided_and_narrow_seeds():
    index, _ = random_index()
    wide = np.arange(100, dtype=np.int16)[::2]
    expected = random_walks(index, np.arange(0, 100, 2), 3)
    np.testing.assert_array_equal(random_walks(index, wide, 3).nodes, expected.nodes)


@pytest.mark.parametrize("backend", ["native", "numba", "reference"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(seeds=[0, 300]), r"'seeds' .*\[0, 300\).* position 1 holds 300"),
        (dict(seeds=[-1]), r"'seeds' .* position 0 holds -1"),
        (dict(seeds=[0.5]), "'seeds' must hold integers, not float64"),
        (dict(seeds=[[0]]), r"'seeds' must have one dimension, not shape \(1, 1\)"),
        (dict(seeds=np.array([2**63], dtype=np.uint64)), "'seeds' must fit into int64"),
        (dict(walk_ids=[0]), "'walk_ids' has 1 entries for 3 walks"),
        (dict(walk_ids=[0, -5, 1]), "'walk_ids' must not be negative, but position 1 holds -5"),
        (dict(walk_ids=[0.0, 1.0, 2.0]), "'walk_ids' must hold integers"),
        (dict(length=-1), r"'length' must be in \[0, 65535\], but is -1"),
        (dict(length=65536), "'length' must be in .* 65536"),
        (dict(length=2.0), "'length' must be an integer, not 2.0"),
        (dict(seed=-1), "'seed' must be in .* -1"),
        (dict(seed=2**64), "'seed' must be in"),
        (dict(seed=None), "'seed' must be an integer, not None"),
        (dict(stream=2**32), "'stream' must be in"),
        (dict(transition="both"), "'transition' is 'both': choose one of uniform, weight"),
        (dict(num_threads=0), "'num_threads' must be at least 1, not 0"),
        (dict(walks_per_seed=0), r"'walks_per_seed' must be in \[1, \d+\], but is 0"),
        (dict(walks_per_seed=2, walk_ids=[0, 1, 2]), "'walk_ids' has 3 entries for 6 walks"),
        (dict(p=0), r"'p' must be in \[1e-06, 1e\+06\], but is 0"),
        (dict(q=float("nan")), "'q' must be in .*, but is nan"),
        (dict(p="2x"), "'p' must be a number, not '2x'"),
        (dict(metapath=[0]), "'metapath' needs an index with relations"),
    ],
)
def test_bad_arguments(backend, change, message):
    index, _ = random_index()
    arguments = dict(seeds=[0, 1, 2], length=2, backend=backend) | change
    with pytest.raises(WalkError, match=message):
        random_walks(index, **arguments)


def test_unknown_backend():
    index, _ = random_index()
    with pytest.raises(WalkError, match="'backend' is 'gpu': choose one of native, numba, reference"):
        random_walks(index, [0], 1, backend="gpu")


def test_longest_walk():
    index = make_index(1, [(0, 0, 1.0)])
    walks = random_walks(index, [0], 65535)
    assert walks.nodes.shape == (1, 65536)
    assert (walks.alpha == 1).all()


def test_repr_counts():
    index, _ = random_index()
    assert repr(index) == "WalkIndex(num_nodes=300, num_arcs=900)"
    shown = repr(random_walks(index, [0, 1], 3)).splitlines()
    assert shown[0] == "Walks(2 walks of 3 steps, without edges, numpy)"
    assert len(shown) == 3
    assert len(random_walks(index, torch.tensor([1, 2]), 3, return_edges=True)) == 2


def test_walking_on_numpy_imports_neither_torch_nor_numba():
    code = (
        "import sys, numpy as np; from infoalign_dgl.walks import WalkIndex, random_walks;"
        "index = WalkIndex.from_edges([0, 1], [1, 0], [0.5, 0.5], 2);"
        "random_walks(index, np.arange(2), 3, transition='weight');"
        "print(sorted({'torch', 'numba', 'dgl'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
