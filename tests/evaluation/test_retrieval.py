"""Matching against counted ranks, scikit-learn, closed forms and decoders whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bernoulli
from sklearn.metrics import ndcg_score

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._ranks import chance, joined, rank_right
from infoalign_dgl.evaluation.matching import BACKWARD, FORWARD, match, score_pairs

KS = [1, 3, 10]


def logit(y):
    return np.log(y / (1 - y))


@pytest.fixture
def tied():
    """40 queries over 30 candidates that score 0 to 7, one to five of them right."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 8, size=(40, 30)).astype(float)
    right = [rng.choice(30, size=rng.integers(1, 6), replace=False) for _ in range(40)]
    return scores, right


def test_ndcg_is_that_of_scikit_learn(tied):
    """Which averages over ties too."""
    scores, right = tied
    relevant = np.zeros(scores.shape)
    for row, columns in enumerate(right):
        relevant[row, columns] = 1
    found = rank_right(scores, right, KS)
    for column, k in enumerate(KS):
        expected = [
            ndcg_score(truth[None], row[None], k=k) for truth, row in zip(relevant, scores, strict=True)
        ]
        np.testing.assert_allclose(found.ndcg[:, column], expected, rtol=1e-12)


def test_figures_are_means_over_the_orders_of_ties(tied):
    scores, right = tied
    found, rng, draws = rank_right(scores, right, KS), np.random.default_rng(1), 4000
    for query in range(6):
        order = np.lexsort((rng.random((draws, 30)), np.tile(-scores[query], (draws, 1))), axis=-1)
        first = np.isin(order, right[query]).argmax(axis=1) + 1
        assert found.first()[query] == pytest.approx(first.mean(), abs=5 * first.std() / draws**0.5 + 1e-12)
        assert found.reciprocal()[query] == pytest.approx((1 / first).mean(), abs=0.02)
        for k in (1, 2, 5, 10, 29, 30, 31):
            assert found.hit(k)[query] == pytest.approx((first <= k).mean(), abs=0.04)


def test_ranks_without_ties_are_counted():
    scores = np.array([[0.1, 0.9, 0.5, 0.3], [4.0, 3.0, 2.0, 1.0]])
    found = rank_right(scores, [np.array([3]), np.array([2, 1])], [2])
    assert found.first().tolist() == [3, 2]
    assert found.reciprocal().tolist() == [1 / 3, 1 / 2]
    assert [found.hit(k).tolist() for k in (1, 2, 3)] == [[0, 0], [0, 1], [1, 1]]
    gained = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    np.testing.assert_allclose(found.ndcg[:, 0], [0, gained])


def test_chance_of_one_right_answer_has_the_textbook_form():
    n = 37
    found = chance(n, np.array([1]), [1, 10, 100])
    for k in (1, 10, n, 100):
        assert found.hit(k)[0] == pytest.approx(min(k, n) / n)
    ranks = np.arange(1, n + 1)
    for column, k in enumerate([1, 10, 100]):
        assert found.ndcg[0, column] == pytest.approx(np.where(ranks <= k, 1 / np.log2(1 + ranks), 0).mean())
    assert found.reciprocal()[0] == pytest.approx((1 / ranks).mean())
    assert found.first()[0] == pytest.approx((n + 1) / 2)


@pytest.mark.parametrize("right", [1, 4, 11])
def test_chance_is_what_random_orders_give(right):
    rng, draws, n = np.random.default_rng(2), 20_000, 12
    simulated = rank_right(rng.random((draws, n)), [np.arange(right)] * draws, KS)
    found = chance(n, np.array([right]), KS)
    for k in KS:
        assert found.hit(k)[0] == pytest.approx(simulated.hit(k).mean(), abs=0.015)
    np.testing.assert_allclose(found.ndcg[0], simulated.ndcg.mean(axis=0), atol=0.015)
    assert found.reciprocal()[0] == pytest.approx(simulated.reciprocal().mean(), abs=0.015)
    assert found.first()[0] == pytest.approx(simulated.first().mean(), abs=0.1)


def test_parts_join():
    rng = np.random.default_rng(3)
    scores, right = rng.random((7, 5)), [np.array([2])] * 7
    whole = rank_right(scores, right, KS)
    parts = joined(rank_right(scores[rows], right[rows], KS) for rows in (slice(3), slice(3, 7)))
    for name in ("above", "tied", "right", "ndcg"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))


def test_scores_are_what_they_say():
    """Against a loop; the paper's on whole numbers is scipy's Bernoulli log-likelihood."""
    rng = np.random.default_rng(4)
    logits, y = rng.normal(size=(3, 6)), rng.random((4, 6))
    y[0] = [0, 1, 1, 0, 1, 0]
    y[:, 5] = 0.5  # does not vary
    p = 1 / (1 + np.exp(-logits))
    paper, kl, gaussian = (score_pairs(logits, y, name) for name in ("paper", "kl", "gaussian"))
    for m in range(3):
        assert paper[m, 0] - y[0, 5] * logits[m, 5] + 0.0 == pytest.approx(
            bernoulli.logpmf(y[0, :5].astype(int), p[m, :5]).sum() + np.log(1 - p[m, 5])
        )
        for k in range(4):
            likelihood = (y[k] * np.log(p[m]) + (1 - y[k]) * np.log(1 - p[m])).sum()
            assert paper[m, k] == pytest.approx(likelihood)
            pairs = [
                (part, q) for v, r in zip(y[k], p[m], strict=True) for part, q in ((v, r), (1 - v, 1 - r))
            ]
            divergence = sum(part * np.log(part / q) for part, q in pairs if part > 0)
            assert kl[m, k] == pytest.approx(-divergence)
            distance = (((y[k] - p[m]) / np.where(y.std(0) > 0, y.std(0), np.inf)) ** 2).sum() / 2
            assert gaussian[m, k] == pytest.approx(-distance)
    with pytest.raises(EvaluationError, match="there is no score 'cosine': choose of paper, kl, gaussian"):
        score_pairs(logits, y, "cosine")


@pytest.fixture
def perfect():
    """A decoder that gives each molecule's profile exactly: six mechanisms, each in ten strengths."""
    rng = np.random.default_rng(5)
    mechanism = np.repeat(rng.uniform(-1, 1, size=(6, 25)), 10, axis=0)
    strength = rng.uniform(0.05, 0.45, size=(60, 1))
    profiles = np.clip(0.5 + strength * mechanism + 0.01 * rng.normal(size=(60, 25)), 0.02, 0.98)
    return logit(profiles), profiles, np.arange(60)


def test_a_perfect_decoder_ranks_its_own_profile_first_but_not_by_the_papers_score(perfect):
    found = match(*perfect, ks=[1])
    for name in (FORWARD, BACKWARD):
        assert (found[name].ranks["kl"].first() == 1).all()
        assert (found[name].ranks["gaussian"].first() == 1).all()
        assert found[name].figures["kl"]["HIT@1"].value == found[name].figures["kl"]["HIT@1"].low == 1
    # Linear in the profile: one that lies farther on its side of 1/2 beats the one that was decoded.
    forward = found[FORWARD].ranks["paper"].first()
    assert (forward > 1).mean() > 0.8
    # A profile's entropy is the same for all molecules, so turned around the two are one ranking.
    assert (found[BACKWARD].ranks["paper"].first() == 1).all()


def test_the_papers_score_prefers_the_farther_profile():
    logits, profiles = logit(np.array([[0.7, 0.7], [0.9, 0.9]])), np.array([[0.7, 0.7], [0.9, 0.9]])
    paper, kl = (score_pairs(logits, profiles, name) for name in ("paper", "kl"))
    assert paper[0].argmax() == 1
    assert kl.argmax(axis=1).tolist() == [0, 1]
    np.testing.assert_allclose(kl.diagonal(), 0, atol=1e-12)


def test_all_profiles_of_a_molecule_are_right_and_others_only_ranked():
    rng = np.random.default_rng(6)
    profiles = rng.uniform(0.1, 0.9, size=(9, 20))
    owner = np.array([1, 0, 1, -1, 3, 1, -1, 0, 3])
    logits = logit(rng.uniform(0.1, 0.9, size=(4, 20)))
    logits[1] = logit(profiles[5])
    found = match(logits, profiles, owner, ks=[2])
    forward, backward = found[FORWARD], found[BACKWARD]
    assert forward.queries.tolist() == [0, 1, 3]  # molecule 2 has no profile
    assert forward.right.tolist() == [2, 3, 2]
    assert (forward.candidates, backward.candidates) == (9, 4)
    assert backward.queries.tolist() == [0, 1, 2, 4, 5, 7, 8]
    assert backward.right.tolist() == [1] * 7
    scores = score_pairs(logits, profiles, "kl")
    relevant = np.array([owner == molecule for molecule in (0, 1, 3)]).astype(float)
    expected = ndcg_score(relevant, scores[[0, 1, 3]], k=2)
    assert forward.figures["kl"]["NDCG@2"].value == pytest.approx(expected)
    assert forward.ranks["kl"].first()[1] == 1
    own = np.array([(scores[:, row] >= scores[owner[row], row]).sum() for row in backward.queries])
    np.testing.assert_array_equal(backward.ranks["kl"].first(), own)
    assert backward.figures["kl"]["HIT@2"].value == pytest.approx((own <= 2).mean())
    assert backward.figures["kl"]["HIT@2"].chance == pytest.approx(2 / 4)
    assert backward.figures["kl"]["mean rank"].chance == pytest.approx(2.5)
    misses = math.comb(7, 2) / math.comb(9, 2), math.comb(6, 2) / math.comb(9, 2)
    assert forward.figures["paper"]["HIT@2"].chance == pytest.approx(1 - (2 * misses[0] + misses[1]) / 3)


def test_one_answer_for_all_is_worth_chance():
    """A decoder that says the same of every molecule ranks profiles as chance does on average."""
    profiles = np.random.default_rng(7).random((50, 8))
    found = match(np.tile(logit(profiles.mean(axis=0)), (50, 1)), profiles, np.arange(50), ks=[1, 10])
    for direction in found.values():
        for figures in direction.figures.values():
            for measure, figure in figures.items():
                assert figure.value == pytest.approx(figure.chance, rel=1e-6), measure


def test_blocks_of_queries_change_nothing(perfect, monkeypatch):
    logits, profiles, owner = perfect
    noisy = logits + np.random.default_rng(8).normal(size=logits.shape)
    whole = match(noisy, profiles, owner)
    monkeypatch.setattr("infoalign_dgl.evaluation.matching._BLOCK_ENTRIES", 150)
    monkeypatch.setattr("infoalign_dgl.evaluation.matching._RESAMPLED_ENTRIES", 700)
    parts = match(noisy, profiles, owner)
    for name, direction in whole.items():
        for score, figures in direction.figures.items():
            assert figures == parts[name].figures[score]


def test_intervals_cover_and_draw_a_molecules_profiles_together():
    """Thirty copies of each profile add queries and no evidence: the interval stays as wide."""
    rng = np.random.default_rng(9)
    profiles = rng.uniform(0.1, 0.9, size=(40, 10))
    noisy = logit(profiles) + rng.normal(0, 1.5, size=profiles.shape)
    one = match(noisy, profiles, np.arange(40), ks=[1], scores=["kl"])[BACKWARD].figures["kl"]["HIT@1"]
    copied = match(noisy, np.tile(profiles, (30, 1)), np.tile(np.arange(40), 30), ks=[1], scores=["kl"])
    many = copied[BACKWARD].figures["kl"]["HIT@1"]
    assert many.value == pytest.approx(one.value)
    assert many.low == pytest.approx(one.low)
    assert many.high == pytest.approx(one.high)
    spread = math.sqrt(one.value * (1 - one.value) / 40)
    assert one.high - one.low == pytest.approx(2 * 1.96 * spread, rel=0.2)
    alone = match(noisy, profiles, np.where(np.arange(40) < 1, 0, -1), ks=[1])[FORWARD]
    assert alone.figures["kl"]["HIT@1"].low is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ks": [0, 3]}, "needs scores and k of at least 1"),
        ({"scores": []}, "needs scores and k of at least 1"),
        ({"owner": np.full(60, -1)}, "60 molecules and 60 profiles, 0 of them of one"),
        ({"scores": ["likelihood"]}, "there is no score 'likelihood'"),
    ],
)
def test_what_cannot_be_matched_says_so(perfect, change, message):
    logits, profiles, owner = perfect
    with pytest.raises(EvaluationError, match=message):
        match(logits, profiles, **{"owner": owner, **change})
