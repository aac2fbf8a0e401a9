"""Feature spaces against closed forms and scikit-learn's scaler."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import MinMaxScaler as SklearnScaler

from infoalign_dgl.context.spaces import FeatureSpace, MinMaxScaler, scaled_space, settle_missing
from infoalign_dgl.errors import GraphError

finite = st.floats(-1e6, 1e6, allow_nan=False, width=32)
matrices = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 6)), elements=finite)


def names(values):
    return [f"c{i}" for i in range(values.shape[1])]


@given(matrices)
def test_scaling_is_that_of_scikit_learn_and_inverts(values):
    scaler = MinMaxScaler.fit(values)
    scaled, clipped = scaler.transform(values)
    varies = ~scaler.constant
    expected = SklearnScaler().fit_transform(values)
    comparable = np.ptp(values, axis=0) > 1e-14  # scikit-learn takes smaller spans for none
    np.testing.assert_allclose(scaled[:, comparable], expected[:, comparable], atol=1e-6)
    assert (scaled[:, ~varies] == 0.5).all()
    assert clipped == 0
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    span = np.ptp(values, axis=0)
    back = scaler.inverse_transform(scaled)
    assert (np.abs(back - values) <= 1e-6 * span + 1e-9).all()


def test_unseen_rows_are_clipped_and_counted():
    scaler = MinMaxScaler.fit(np.array([[0.0, 5.0], [10.0, 5.0]]))
    scaled, clipped = scaler.transform(np.array([[-1.0, 5.0], [11.0, 6.0], [5.0, 5.0]]))
    np.testing.assert_array_equal(scaled, np.float32([[0, 0.5], [1, 0.5], [0.5, 0.5]]))
    assert clipped == 3  # -1, 11, and the 6 of the constant column


def test_huge_values_do_not_overflow():
    scaled, _ = MinMaxScaler.fit(np.array([[-1.7e308], [1.7e308]])).transform(np.array([[0.0], [1.7e308]]))
    np.testing.assert_allclose(scaled[:, 0], [0.5, 1.0])


def test_a_column_without_values_is_dropped_whatever_share_may_be_missing():
    values = np.array([[1.0, np.nan, 3.0], [2.0, np.nan, np.nan]])
    settled = settle_missing(values, ["a", "b", "c"], max_missing=1.0)
    assert settled.columns == ["a", "c"]
    assert settled.dropped_columns == {"b": 1.0}
    np.testing.assert_array_equal(settled.values, [[1, 3], [2, 3]])


def test_missing_values_are_dropped_with_the_column_or_become_the_median():
    values = np.arange(80, dtype=float).reshape(20, 4)
    values[3, 1] = np.nan  # 1 of 20 is 5 %: filled
    values[[0, 5], 2] = np.nan, np.inf  # 2 of 20: dropped
    values[7, 3] = -np.inf  # infinite counts as missing
    settled = settle_missing(values, ["a", "b", "c", "d"])
    assert settled.columns == ["a", "b", "d"]
    assert settled.dropped_columns == {"c": 0.1}
    assert (settled.num_imputed, settled.num_infinite) == (2, 2)
    assert settled.values[3, 1] == np.median(np.delete(values[:, 1], 3))
    assert settled.values[7, 2] == np.median(np.delete(values[:, 3], 7))
    assert np.isnan(values[3, 1])  # the input stays as it was


@given(matrices, st.integers(0, 2**32 - 1))
def test_settled_matrices_are_finite(values, seed):
    values = values.copy()
    values[np.random.default_rng(seed).random(values.shape) < 0.2] = np.nan
    settled = settle_missing(values, names(values))
    assert np.isfinite(settled.values).all()
    assert len(settled.columns) + len(settled.dropped_columns) == values.shape[1]
    assert set(settled.dropped_columns) == {
        n for n, s in zip(names(values), np.isnan(values).mean(0), strict=False) if s > 0.05
    }


@pytest.mark.parametrize("float16", [False, True])
def test_scaled_space_reports_constant_columns(float16):
    settled = settle_missing(np.array([[1.0, 3.0], [1.0, 4.0], [1.0, 5.0]]), ["same", "differs"])
    space, constant = scaled_space("s", "morphology", settled, np.array([2, -1, 0, 1]), float16=float16)
    assert constant == ["same"]
    assert space.values.dtype == (np.float16 if float16 else np.float32)
    np.testing.assert_array_equal(space.dense(slice(None)), np.float32([[0.5, 0], [0.5, 0.5], [0.5, 1]]))
    np.testing.assert_allclose(space.mean(), [0.5, 0.5])
    np.testing.assert_array_equal(space.nodes(), [2, 3, 0])
    np.testing.assert_allclose(space.inverse_transform(space.dense(slice(None))), settled.values)
    assert repr(space) == "FeatureSpace('s', morphology, rows=3, dim=2)"
    with pytest.raises(GraphError, match=r"space 's' expects rows of shape \(n, 2\), got \(1, 3\)"):
        space.transform(np.zeros((1, 3)))


@pytest.mark.parametrize("scattered", [np.asfortranarray, lambda rows: rows[:, ::2]])
def test_a_rows_values_lie_together(scattered):
    values = scattered(np.arange(24, dtype=np.float32).reshape(4, 6))
    space = FeatureSpace("s", "gene", [str(i) for i in range(values.shape[1])], values, np.arange(4))
    assert space.values.flags.c_contiguous
    np.testing.assert_array_equal(space.values, values)


def test_bits_are_unpacked_and_averaged():
    bits = np.random.default_rng(0).integers(0, 2, (9000, 20), dtype=np.uint8)
    packed = np.packbits(bits, axis=1)
    space = FeatureSpace("f", "molecule", [str(i) for i in range(20)], packed, np.arange(9000), 20)
    np.testing.assert_array_equal(space.dense(np.array([5, 0])), bits[[5, 0]].astype(np.float32))
    np.testing.assert_allclose(space.mean(), bits.mean(axis=0))
    with pytest.raises(GraphError, match="holds bits and has no scaler"):
        space.transform(bits)


def test_column_names_must_fit():
    with pytest.raises(GraphError, match="1 column names for 2 columns"):
        FeatureSpace("s", "gene", ["a"], np.zeros((1, 2), np.float32), np.zeros(1, np.int64))
    with pytest.raises(GraphError, match="3 bytes per row for 16 bits"):
        FeatureSpace("s", "gene", ["a"] * 16, np.zeros((1, 3), np.uint8), np.zeros(1, np.int64), 16)
