"""Normalization against pycytominer's, and against numbers computed by hand."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.sources.normalization import robust_mad


def test_by_hand():
    values = np.array([[1.0, 5, 7], [2, 5, np.nan], [4, 5, 9], [10, 6, np.inf], [np.nan, 5, 11]])
    controls = np.array([True, True, True, False, False])
    normalized, without, flat = robust_mad(values, controls)
    # First column: median 2, MAD 1. Second: the controls are all 5. Third: median 8, MAD 1.
    expected = np.array([[-1, 0, -1], [0, 0, 0], [2, 0, 1], [8, 0, 0], [0, 0, 3]]) / 1.4826
    expected[:, 1] = np.nan
    expected[[4, 1, 3], [0, 2, 2]] = np.nan
    np.testing.assert_allclose(normalized, expected, rtol=1e-15)
    assert not without.any()
    assert flat == {"": 1}


def test_each_plate_has_its_own_controls():
    rng = np.random.default_rng(0)
    values, controls = rng.normal(size=(40, 3)), np.tile([True, False], 20)
    plates = ["a"] * 20 + ["b"] * 20
    values[20:] = 100 * values[20:] - 7
    both, without, _ = robust_mad(values, controls, plates)
    assert not without.any()
    for rows in (slice(0, 20), slice(20, 40)):
        np.testing.assert_array_equal(both[rows], robust_mad(values[rows], controls[rows])[0])
    shifted, _, _ = robust_mad(values * 3 + 1, controls, plates)
    np.testing.assert_allclose(shifted, both, rtol=1e-9, atol=1e-9)


def test_rows_without_controls_on_their_plate_are_told():
    values = np.arange(12.0).reshape(6, 2)
    controls = np.array([True, True, False, True, False, True])
    plates = ["a", "a", "a", "one control", "one control", None]
    normalized, without, flat = robust_mad(values, controls, plates)
    assert without.tolist() == [False, False, False, True, True, True]
    assert np.isnan(normalized[3:]).all()
    assert np.isfinite(normalized[:3]).all()
    assert flat == {}


def test_the_input_is_not_changed():
    values = np.array([[1.0], [np.inf], [3.0]])
    robust_mad(values, np.ones(3, bool))
    assert values.tolist() == [[1.0], [np.inf], [3.0]]


@pytest.mark.skipif(importlib.util.find_spec("pycytominer") is None, reason="pycytominer is not installed")
def test_same_as_pycytominer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        from pycytominer.operations.transform import RobustMAD

    rng = np.random.default_rng(1)
    values = rng.standard_t(2, size=(60, 8)) * 10.0 ** np.arange(-3, 5)
    values[rng.random(values.shape) < 0.1] = np.nan
    controls = rng.random(60) < 0.4
    frame = pd.DataFrame(values)
    expected = RobustMAD().fit(frame[controls]).transform(frame)
    np.testing.assert_allclose(robust_mad(values, controls)[0], expected, rtol=1e-10)
