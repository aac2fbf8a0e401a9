"""node2vec's p and q: three backends, one answer; and the probabilities that the paper's formula gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from infoalign_dgl.walks import WalkIndex, random_walks

FACTORS = st.sampled_from([1e-6, 0.01, 0.25, 1.0, 4.0, 100.0, 1e6])
LEAST_P = 1e-3


@given(
    num_nodes=st.integers(1, 7),
    num_edges=st.integers(0, 40),
    p=FACTORS,
    q=FACTORS,
    transition=st.sampled_from(["uniform", "weight"]),
    seed=st.integers(0, 2**64 - 1),
    length=st.integers(0, 5),
)
def test_backends_agree(num_nodes, num_edges, p, q, transition, seed, length):
    rng = np.random.default_rng(seed)
    src, dst = rng.integers(0, num_nodes, (2, num_edges))
    weight = rng.choice([0.0, 1e-6, 0.3, 1.0], num_edges).astype(np.float32)
    index = WalkIndex.from_edges(src, dst, weight, num_nodes)
    options = dict(p=p, q=q, transition=transition, seed=seed, return_edges=True)
    seeds = rng.integers(0, num_nodes, 9)
    expected = random_walks(index, seeds, length, backend="reference", **options)
    for backend in ("native", "numba"):
        got = random_walks(index, seeds, length, backend=backend, **options)
        np.testing.assert_array_equal(got.nodes, expected.nodes)
        np.testing.assert_array_equal(got.alpha, expected.alpha)
        np.testing.assert_array_equal(got.edges, expected.edges)


def test_flights_threads_and_chunks_change_nothing():
    rng = np.random.default_rng(0)
    src, dst = rng.integers(0, 500, (2, 4000))
    index = WalkIndex.from_edges(src, dst, rng.random(4000).astype(np.float32), 500)
    seeds = rng.integers(0, 500, 40_000)
    options = dict(p=0.3, q=3.0, transition="weight", seed=5)
    whole = random_walks(index, seeds, 4, num_threads=1, **options).nodes
    assert (random_walks(index, seeds, 4, num_threads=3, **options).nodes == whole).all()
    part = rng.permutation(40_000)[:100]
    some = random_walks(index, seeds[part], 4, walk_ids=part, backend="reference", **options).nodes
    assert (some == whole[part]).all()


def second_order_graph(degree, seed):
    """An undirected graph around nodes 0 and 1: 1 has `degree` neighbours, about half of them 0's too."""
    rng = np.random.default_rng(seed)
    pairs = [(0, 1)] + [(1, v) for v in range(2, degree + 1)]
    pairs += [(0, v) for v in range(2, degree + 1) if v % 2] + [(2, 3), (3, 4)]
    src, dst = np.array(pairs).T
    weight = rng.uniform(0.05, 1, len(pairs)).astype(np.float32)
    both = (np.concatenate([src, dst]), np.concatenate([dst, src]), np.tile(weight, 2))
    return WalkIndex.from_edges(*both, int(max(src.max(), dst.max())) + 1), both


def formula(edges, num_nodes, previous, node, p, q, transition):
    """Grover and Leskovec's pi(v, x), with the distance read off the edge list."""
    src, dst, weight = edges
    mass = np.zeros(num_nodes)
    neighbors = set(dst[src == previous].tolist())
    for target, value in zip(dst[src == node].tolist(), weight[src == node].tolist(), strict=True):
        distance = 0 if target == previous else 1 if target in neighbors else 2
        mass[target] += (value if transition == "weight" else 1.0) * {0: 1 / p, 1: 1.0, 2: 1 / q}[distance]
    return mass / mass.sum()


def second_steps(degree, p, q, transition, draws, seed):
    """Where walks that went 0 -> 1 go next: a count for each node."""
    index, _ = second_order_graph(degree, degree)
    walks = random_walks(index, np.zeros(draws, int), 2, p=p, q=q, transition=transition, seed=seed)
    return np.bincount(walks.nodes[walks.nodes[:, 1] == 1, 2], minlength=index.num_nodes)


def chi_square_p(counts, share):
    assert counts[share == 0].sum() == 0
    possible = share > 0
    return stats.chisquare(counts[possible], counts.sum() * share[possible]).pvalue


def expected_share(degree, p, q, transition):
    index, edges = second_order_graph(degree, degree)
    return formula(edges, index.num_nodes, 0, 1, p, q, transition)


@pytest.mark.parametrize("transition", ["uniform", "weight"])
@pytest.mark.parametrize(("p", "q"), [(0.25, 4.0), (4.0, 0.25), (1.0, 50.0), (200.0, 1.0), (0.001, 0.001)])
@pytest.mark.parametrize("degree", [2, 5, 10])
def test_second_step(transition, p, q, degree):
    counts = second_steps(degree, p, q, transition, 300_000, seed=17)
    assert chi_square_p(counts, expected_share(degree, p, q, transition)) > LEAST_P


@pytest.mark.slow
@pytest.mark.parametrize("transition", ["uniform", "weight"])
@pytest.mark.parametrize("degree", range(2, 11))
def test_second_step_of_ten_million_walks(transition, degree):
    for p, q in ((0.5, 2.0), (100.0, 0.5)):
        counts = second_steps(degree, p, q, transition, 10_000_000, seed=degree)
        assert chi_square_p(counts, expected_share(degree, p, q, transition)) > LEAST_P


def test_drawing_from_all_arcs_has_the_same_distribution():
    """With acceptance this rare nearly every step reads all arcs: p = 1e6 from a leaf leaves no other way."""
    index = WalkIndex.from_edges([0, 1, 1, 1], [1, 0, 2, 3], [1.0, 0.9, 0.4, 0.8], 4)
    options = dict(transition="weight", p=1e-3, q=1e3, seed=4)
    walks = random_walks(index, np.zeros(2_000_000, int), 2, **options)
    mass = np.array([0.9e3, 0, 0.4e-3, 0.8e-3])
    back = (walks.nodes[:, 2] == 0).mean()
    assert abs(back - mass[0] / mass.sum()) < 5e-6
    # Neither neighbour of node 1 leads on, so a walk that must not turn back divides between 2 and 3 alone.
    forward = random_walks(index, np.zeros(2_000_000, int), 2, transition="weight", p=1e6, q=1e6, seed=5)
    counts = np.bincount(forward.nodes[:, 2], minlength=4)[[0, 2, 3]]
    assert stats.chisquare(counts, counts.sum() * np.array([0.9, 0.4, 0.8]) / 2.1).pvalue > LEAST_P


def test_the_test_sees_a_bias_of_one_percent():
    """The way back 1% too likely: caught for 19 of 20 seeds; the true sampler passes for 19."""
    degree, p, q = 5, 0.5, 2.0
    right = expected_share(degree, p, q, "uniform")
    wrong = np.where(np.arange(len(right)) == 0, right * 1.01, right)
    wrong /= wrong.sum()
    caught = passed = 0
    for seed in range(20):
        counts = second_steps(degree, p, q, "uniform", 5_000_000, seed)
        caught += chi_square_p(counts, wrong) <= LEAST_P
        passed += chi_square_p(counts, right) > LEAST_P
    assert caught >= 19
    assert passed >= 19


def test_p_and_q_of_one_are_the_first_order_walk():
    rng = np.random.default_rng(1)
    index = WalkIndex.from_edges(*rng.integers(0, 50, (2, 200)), rng.random(200).astype("f4"), 50)
    plain = random_walks(index, np.arange(50), 4, seed=2)
    np.testing.assert_array_equal(
        random_walks(index, np.arange(50), 4, seed=2, p=1, q=1.0).nodes, plain.nodes
    )


def test_a_large_p_seldom_turns_back_and_a_large_q_stays_near():
    """On a ring of triangles' edges: what the parameters are for."""
    ring = np.arange(200)
    src = np.concatenate([ring, ring])
    dst = np.concatenate([(ring + 1) % 200, (ring + 2) % 200])
    both = np.concatenate([src, dst]), np.concatenate([dst, src])
    index = WalkIndex.from_edges(*both, np.ones(800, "f4"), 200)

    def turned_back(**options):
        nodes = random_walks(index, np.repeat(ring, 200), 4, seed=3, **options).nodes
        return (nodes[:, 2:] == nodes[:, :-2]).mean()

    assert turned_back(p=1e4) < 0.001 < 0.2 < turned_back() < 0.3 < 0.9 < turned_back(p=1e-3)
