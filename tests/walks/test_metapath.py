"""Arcs of given relations only: metapaths, restricted indexes, several walks per seed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import WalkIndex, random_walks

BACKENDS = ["native", "numba", "reference"]
RELATIONS = 4


def typed_edges(seed=0, num_nodes=40, num_edges=400):
    rng = np.random.default_rng(seed)
    src, dst = rng.integers(0, num_nodes, (2, num_edges))
    weight = rng.random(num_edges).astype(np.float32)
    weight[::7] = 0
    relations = rng.integers(0, RELATIONS, num_edges)
    relations[0] = RELATIONS - 1
    return src, dst, weight, num_nodes, relations


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("transition", ["uniform", "weight"])
def test_each_step_takes_its_relation(backend, transition):
    src, dst, weight, num_nodes, relations = typed_edges()
    index = WalkIndex.from_edges(src, dst, weight, num_nodes, relations)
    walks = random_walks(
        index,
        np.arange(num_nodes),
        5,
        metapath=[2, 0],
        transition=transition,
        walks_per_seed=20,
        seed=3,
        backend=backend,
        return_edges=True,
    )
    assert walks.nodes[:, 0].tolist() == np.repeat(np.arange(num_nodes), 20).tolist()
    ended = 0
    for nodes, alpha, edges in zip(walks.nodes, walks.alpha, walks.edges, strict=True):
        product = np.float32(1)
        for step, edge in enumerate(edges.tolist()):
            wanted = [2, 0][step % 2]
            if edge < 0:
                leaving = weight[(src == nodes[step]) & (relations == wanted)]
                assert leaving.sum() == 0 if transition == "weight" else len(leaving) == 0
                ended += 1
                break
            product *= weight[edge]
            assert relations[edge] == wanted
            assert (src[edge], dst[edge]) == (nodes[step], nodes[step + 1])
            assert alpha[step + 1] == product
    assert 0 < ended < len(walks)


@given(
    seed=st.integers(0, 2**32),
    metapath=st.lists(st.integers(0, RELATIONS - 1), min_size=1, max_size=5),
    length=st.integers(0, 6),
    transition=st.sampled_from(["uniform", "weight"]),
    walks_per_seed=st.integers(1, 3),
)
def test_backends_agree_along_metapaths(seed, metapath, length, transition, walks_per_seed):
    index = WalkIndex.from_edges(*typed_edges(seed % 7, num_nodes=9, num_edges=60))
    options = dict(metapath=metapath, transition=transition, seed=seed, walks_per_seed=walks_per_seed)
    expected = random_walks(index, np.arange(9), length, backend="reference", return_edges=True, **options)
    for backend in ("native", "numba"):
        got = random_walks(index, np.arange(9), length, backend=backend, return_edges=True, **options)
        np.testing.assert_array_equal(got.nodes, expected.nodes)
        np.testing.assert_array_equal(got.alpha, expected.alpha)
        np.testing.assert_array_equal(got.edges, expected.edges)


@pytest.mark.parametrize("make", ["from_edges", "from_csr"])
def test_a_restricted_index_is_the_index_of_those_edges(make):
    src, dst, weight, num_nodes, relations = typed_edges(1)
    whole = WalkIndex.from_edges(src, dst, weight, num_nodes, relations)
    if make == "from_csr":
        whole = WalkIndex.from_csr(whole.indptr, whole.indices, whole.weight, whole.edge_ids, whole.relations)
    kept = np.flatnonzero(np.isin(relations, [1, 3]))
    expected = WalkIndex.from_edges(src[kept], dst[kept], weight[kept], num_nodes)
    got = whole.restrict([3, 1])
    np.testing.assert_array_equal(got.indptr, expected.indptr)
    np.testing.assert_array_equal(got.arcs, expected.arcs)
    np.testing.assert_array_equal(got.edge_ids, kept[expected.edge_ids])
    np.testing.assert_array_equal(got.relations, relations[got.edge_ids])
    assert whole.restrict([]).num_arcs == 0


def test_one_relation_everywhere_is_a_plain_walk():
    src, dst, weight, num_nodes, _ = typed_edges(2)
    plain = WalkIndex.from_edges(src, dst, weight, num_nodes)
    typed = WalkIndex.from_edges(src, dst, weight, num_nodes, np.zeros(len(src), int))
    for transition in ("uniform", "weight"):
        expected = random_walks(plain, np.arange(num_nodes), 4, transition=transition, seed=9)
        got = random_walks(typed, np.arange(num_nodes), 4, transition=transition, seed=9, metapath=[0])
        np.testing.assert_array_equal(got.nodes, expected.nodes)
    assert pickle.loads(pickle.dumps(typed)).num_relations == 1


def test_several_walks_per_seed_are_the_walks_of_repeated_seeds():
    index = WalkIndex.from_edges(*typed_edges(3))
    expected = random_walks(index, np.repeat([4, 7, 4], 5), 4, seed=1)
    got = random_walks(index, [4, 7, 4], 4, seed=1, walks_per_seed=5)
    np.testing.assert_array_equal(got.nodes, expected.nodes)
    ids = np.arange(100, 115)
    named = random_walks(index, [4, 7, 4], 4, seed=1, walks_per_seed=5, walk_ids=ids)
    again = random_walks(index, np.repeat([4, 7, 4], 5), 4, seed=1, walk_ids=ids)
    np.testing.assert_array_equal(named.nodes, again.nodes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(metapath=[0, 4]), r"'metapath' must hold relations in \[0, 4\), but position 1 holds 4"),
        (dict(metapath=[]), "'metapath' is empty"),
        (dict(metapath=[0.5]), "'metapath' must hold integers"),
        (dict(metapath=[0], p=2), "'metapath' fixes where each step may go"),
    ],
)
def test_bad_metapaths(change, message):
    index = WalkIndex.from_edges(*typed_edges())
    with pytest.raises(WalkError, match=message):
        random_walks(index, [0], 3, **change)


def test_bad_relations():
    src, dst, weight, num_nodes, relations = typed_edges()
    with pytest.raises(WalkError, match="'relations' has 399 entries for 400 arcs"):
        WalkIndex.from_edges(src, dst, weight, num_nodes, relations[1:])
    relations[3] = -1
    with pytest.raises(WalkError, match=r"'relations' must be in .* position 3 holds -1"):
        WalkIndex.from_edges(src, dst, weight, num_nodes, relations)
    with pytest.raises(WalkError, match=r"'relations' must be in \[0, 0\), the relations of this index"):
        WalkIndex.from_edges(src, dst, weight, num_nodes).restrict([0])
    with pytest.raises(WalkError, match=r"'relations' must be in \[0, 4\).*\[9\]"):
        WalkIndex.from_edges(*typed_edges()).restrict([9])
