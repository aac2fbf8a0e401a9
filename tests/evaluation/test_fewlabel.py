import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from infoalign_dgl.evaluation import compare_few_label, few_label_auc

RNG = np.random.default_rng(5)
N = 300
LABELS = RNG.random((N, 3)) < np.array([0.2, 0.3, 0.5])
NOISE = RNG.standard_normal((N, 40))
INFORMED = np.concatenate([3.0 * LABELS + RNG.standard_normal((N, 3)), NOISE[:, :5]], axis=1)
NAMES = ["one", "two", "three"]


def compare(methods, **changes):
    settings = {"num_labels": 16, "seeds": range(10), "reference": next(iter(methods))} | changes
    return compare_few_label(methods, LABELS, NAMES, **settings)


def test_information_is_found_and_noise_is_not():
    table = compare({"informed": INFORMED, "noise": NOISE})
    informed, noise = table.rows()
    assert informed.auc > 0.9
    assert abs(noise.auc - 0.5) < 0.05
    assert informed.difference is None
    assert noise.difference == pytest.approx(informed.auc - noise.auc)
    assert noise.difference - noise.difference_half_width > 0.3


def test_splits_are_the_same_for_all_methods_and_paired():
    table = compare({"a": INFORMED, "again": INFORMED.copy(), "shifted": INFORMED * 7 + 3})
    np.testing.assert_allclose(table.auc[0], table.auc[1], rtol=0, atol=0)
    np.testing.assert_allclose(
        table.auc[0], table.auc[2], atol=1e-6
    )  # standardization undoes shift and scale
    assert table.rows()[1].difference == 0
    assert table.rows()[1].difference_half_width == 0


def test_a_mechanism_or_method_left_out_changes_nothing_else():
    both = compare({"a": INFORMED, "b": NOISE})
    alone = compare({"b": NOISE})
    np.testing.assert_array_equal(both.auc[1], alone.auc[0])


def test_equals_plain_logistic_regression():
    """The fit in the span of the labelled rows against scikit-learn's on all columns."""
    labels = LABELS[:, 1]
    for seed in range(5):
        rng = np.random.default_rng(seed)
        few = np.concatenate([rng.permutation(np.flatnonzero(labels == v))[:8] for v in (True, False)])
        rest = np.setdiff1d(np.arange(N), few)
        scaled = (NOISE - NOISE.mean(0)) / NOISE.std(0)
        model = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(scaled[few], labels[few])
        expected = roc_auc_score(labels[rest], model.decision_function(scaled[rest]))
        assert few_label_auc(NOISE, labels, num_labels=16, seed=seed) == pytest.approx(expected, abs=2e-3)


def test_bits_are_not_rescaled_and_constants_do_no_harm():
    bits = (RNG.random((N, 64)) < 0.05).astype(np.float32)
    bits[:, 0] = LABELS[:, 2]
    with_constants = np.concatenate(
        [bits, np.ones((N, 2), np.float32), np.full((N, 1), 0.3, np.float32)], axis=1
    )
    one = few_label_auc(bits, LABELS[:, 2], num_labels=32, seed=0)
    other = few_label_auc(with_constants, LABELS[:, 2], num_labels=32, seed=0)
    assert one > 0.95
    assert other > 0.95


def test_mechanisms_without_enough_molecules_are_listed():
    labels = LABELS.copy()
    labels[:, 1] = False
    labels[:8, 1] = True  # eight active ones leave none to rank
    table = compare_few_label({"a": NOISE}, labels, NAMES, num_labels=16, seeds=range(10), reference="a")
    assert table.mechanisms == ["one", "three"]
    assert table.skipped == ["two"]
    np.testing.assert_array_equal(table.auc[0], compare({"a": NOISE}).auc[0][[0, 2]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": range(9)}, "'seeds' must be at least 10"),
        ({"seeds": [0] * 10}, "'seeds' must be at least 10"),
        ({"num_labels": 15}, "'num_labels' must be an even number"),
        ({"num_labels": 400}, "no mechanism has them"),
        ({"reference": "c"}, "'reference' must be one of the methods"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        compare({"a": NOISE}, **changes)


def test_wrong_features():
    broken = NOISE.copy()
    broken[7, 3] = np.nan
    with pytest.raises(
        ValueError, match="'a' has 1 molecules with values that are not finite, first at row 7"
    ):
        compare({"a": broken})
    with pytest.raises(ValueError, match=r"'a' must be \(molecules, dimensions\) with 300 molecules"):
        compare({"a": NOISE[:-1]})
    with pytest.raises(ValueError, match=r"'labels' must be \(molecules, 2\)"):
        compare_few_label({"a": NOISE}, LABELS, NAMES[:2], num_labels=4, seeds=range(10), reference="a")
    with pytest.raises(ValueError, match="'num_labels' of 200"):
        few_label_auc(NOISE, LABELS[:, 0], num_labels=200, seed=0)
