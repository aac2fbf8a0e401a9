"""Aggregation, clipping and the search for flawed columns, against pandas, numpy and pycytominer."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infoalign_dgl.context._columns import clip_tails, near_constant
from infoalign_dgl.context._replicates import mean_by_owner, median_by_owner
from infoalign_dgl.context.profiles import Measured as Rows
from infoalign_dgl.context.profiles import aggregate_spaces, profile_nodes
from infoalign_dgl.sources.rows import SpaceRules, TableAccount, number_rows


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.integers(1, 4)),
        elements=st.one_of(st.floats(-1e6, 1e6), st.just(np.nan)),
    ),
    st.integers(0, 2**32 - 1),
)
def test_medians_are_those_of_pandas(values, seed):
    owners = np.random.default_rng(seed).integers(0, 8, len(values))
    medians, ids, counts = median_by_owner(values, owners)
    expected = pd.DataFrame(values).groupby(owners).median()
    np.testing.assert_array_equal(ids, expected.index)
    np.testing.assert_array_equal(counts, pd.Series(owners).groupby(owners).size())
    np.testing.assert_allclose(medians, expected, rtol=1e-12)


def measured(values, owners, *, name="t", space="s", columns=None):
    values = np.asarray(values, float)
    columns = columns or [f"c{i}" for i in range(values.shape[1])]
    account = TableAccount(name, "morphology", len(values))
    return Rows(account, "morphology", space, columns, values, np.asarray(owners), number_rows(len(values)))


def test_columns_are_matched_by_name_not_place():
    first = measured([[1, 2], [3, 4]], [0, 1], columns=["a", "b"])
    second = measured([[20, 10]], [0], name="u", columns=["b", "a"])
    (space,) = aggregate_spaces([first, second], [])
    assert space.settled.columns == ["a", "b"]
    np.testing.assert_array_equal(space.settled.values, [[5.5, 11], [3, 4]])
    assert space.replicates.tolist() == [2, 1]


def test_the_input_is_not_changed_and_huge_values_stay_finite():
    table = measured([[np.inf, 1.7e308], [1.0, 1.7e308]], [3, 3])
    (space,) = aggregate_spaces([table], [])
    assert np.isinf(table.values[0, 0])
    np.testing.assert_array_equal(space.settled.values, [[1.0, 1.7e308]])


def test_a_space_of_which_nothing_remains_is_left_out_with_a_warning():
    warnings = []
    table = measured(np.full((3, 2), np.nan), [0, 1, 2])
    assert aggregate_spaces([table], warnings) == []
    assert table.account.dropped == {"no finite feature": 3}
    assert warnings == ["feature space 's' has no usable profile or column and was left out"]


@pytest.mark.parametrize("seed", range(5))
def test_means_are_those_of_pandas(seed):
    rng = np.random.default_rng(seed)
    values, owners = rng.normal(size=(40, 3)), rng.integers(0, 9, 40)
    values[rng.random(values.shape) < 0.3] = np.nan
    means, ids, counts = mean_by_owner(values, owners)
    expected = pd.DataFrame(values).groupby(owners).mean()
    np.testing.assert_array_equal(ids, expected.index)
    assert counts.sum() == 40
    np.testing.assert_allclose(means, expected, rtol=1e-12)


def test_the_mean_of_huge_values_is_finite():
    assert mean_by_owner(np.array([[1.7e308], [1.7e308], [np.nan]]), np.zeros(3, int))[0][0, 0] == 1.7e308


def with_rules(table, labels=None, **rules):
    labels = {name: np.array(found, object) for name, found in (labels or {}).items()}
    return replace(table, rules=SpaceRules(**rules), labels=labels)


def test_the_strongest_dose_is_taken_over_all_tables():
    first = with_rules(
        measured([[1], [2], [3], [4]], [0, 0, 1, 2]),
        {"dose": ["1", "5", None, "low"]},
        aggregate="strongest-dose",
    )
    second = with_rules(measured([[5], [6], [7]], [0, 1, 2], name="u"), {"dose": ["10", "0.5", None]})
    (space,) = aggregate_spaces([first, second], [])
    # Molecule 0 at 10; molecule 1 at 0.5, the only known dose; of molecule 2 no dose is known: both rows.
    np.testing.assert_array_equal(space.settled.values, [[5], [6], [5.5]])
    assert space.replicates.tolist() == [1, 1, 2]
    assert first.account.dropped == {"below its molecule's strongest dose": 3}
    assert first.account.listed == {"below its molecule's strongest dose": [[2, "1"], [3, "5"], [4, None]]}
    assert (first.account.used, second.account.used, second.account.dropped) == (1, 3, {})


def test_kept_replicates_are_profiles_of_their_own_in_an_order_of_their_own():
    values = np.random.default_rng(0).normal(size=(6, 4))
    owners, plates = np.array([2, 0, 2, 2, 0, 1]), np.array(["b", "a", "a", "a", None, "c"], object)
    tables = []
    for order in (np.arange(6), np.array([5, 3, 4, 0, 2, 1])):
        table = measured(values[order], owners[order])
        tables.append(with_rules(table, {"plate": plates[order]}, aggregate="keep"))
    (space,), (again,) = (aggregate_spaces([table], []) for table in tables)
    np.testing.assert_array_equal(space.settled.values, again.settled.values)
    pd.testing.assert_frame_equal(space.labels, again.labels)
    assert space.owners.tolist() == [0, 0, 1, 2, 2, 2]
    assert space.labels["plate"].tolist() == ["", "a", "c", "a", "a", "b"]
    np.testing.assert_array_equal(space.settled.values[[0, 1, 2, 5]], values[[4, 1, 5, 0]])
    nodes = profile_nodes([space], ["A", "B", "C"])
    assert nodes["key"].tolist() == ["s:A", "s:A#2", "s:B", "s:C", "s:C#2", "s:C#3"]
    assert nodes["molecule"].tolist() == list("AABCCC")
    assert nodes["replicates"].tolist() == [1] * 6


def test_labels_of_aggregated_rows_are_joined():
    first = with_rules(
        measured([[1], [2], [3]], [0, 0, 1]), {"plate": ["p2", "p1", None], "dose": ["1", "1", "2"]}
    )
    second = measured([[4]], [0], name="u")
    (space,) = aggregate_spaces([first, second], [])
    assert space.labels.to_dict("list") == {
        "table": ["t;u", "t"],
        "batch": ["", ""],
        "plate": ["p1;p2", ""],
        "well": ["", ""],
        "dose": ["1", "2"],
    }


def test_tails_are_clipped_after_aggregation_and_counted():
    values = np.arange(101.0)[:, None] * [1, -1]
    values[100] = [1e9, np.nan]
    rows = np.concatenate([values, values])
    table = with_rules(measured(rows, np.tile(np.arange(101), 2)), clip=0.99, max_missing=0.5)
    (space,) = aggregate_spaces([table], [])
    expected = values.copy()
    expected[[0, 100], 0] = [1, 99]
    expected[100, 1] = np.median(values[:100, 1])
    np.testing.assert_array_equal(space.settled.values, expected)
    assert space.report["clipped_values"] == 2
    assert space.report["clip"] == 0.99


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([0.75, 0.9375, 1 - 2**-10]))
def test_clip_bounds_are_numpy_quantiles_of_present_values(seed, rows, quantile):
    rng = np.random.default_rng(seed)
    values = rng.standard_cauchy((rows, 3))
    values[rng.random(values.shape) < 0.2] = np.nan
    clipped, count = clip_tails(values, quantile)
    for column, found in zip(values.T, clipped.T, strict=True):
        present = column[~np.isnan(column)]
        if len(present):
            low = np.quantile(present, 1 - quantile, method="lower")
            high = np.quantile(present, quantile, method="higher")
            np.testing.assert_array_equal(found, np.clip(column, low, high))
    assert count == (clipped != values).sum() - np.isnan(values).sum()


def test_max_missing_is_that_of_the_table_that_says_it():
    values = np.array([[1, np.nan], [2, 5], [3, 6], [4, 7]])
    for share, columns in ((None, ["c0"]), (0.24, ["c0"]), (0.25, ["c0", "c1"])):
        tables = [
            measured(values[:1], [0]),
            with_rules(measured(values, range(4), name="u"), max_missing=share),
        ]
        (space,) = aggregate_spaces(tables, [])
        assert space.settled.columns == columns


def test_doses_that_are_no_numbers_are_told():
    table = measured([[1], [2], [3]], [0, 0, 1])
    told = []
    labels = {"dose": ["10 uM", "3", ""]}
    (space,) = aggregate_spaces([with_rules(table, labels, aggregate="strongest-dose")], told)
    assert told == [
        "1 of 3 rows of feature space 's' have a dose that is no number, such as '10 uM', and count as rows "
        "of unknown dose"
    ]
    assert space.settled.values.ravel().tolist() == [2, 3]


def test_flawed_columns_are_reported_and_dropped_only_if_asked():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 5))
    values[:, 1] = 0
    values[7, 1] = 1
    values[:, 3] = values[:, 0]
    columns = ["d", "flat", "c", "a", "e"]
    for drop, left in (
        (None, ["a", "c", "d", "e", "flat"]),
        (("near-constant",), ["a", "c", "d", "e"]),
        (("duplicated", "near-constant"), ["a", "c", "e"]),
    ):
        table = with_rules(measured(values, range(50), columns=columns), drop=drop)
        (space,) = aggregate_spaces([table], [])
        assert space.settled.columns == left
        np.testing.assert_array_equal(space.settled.values, values[:, [columns.index(c) for c in left]])
        assert space.report["near_constant_columns"] == ["flat"]
        assert space.report["duplicated_columns"] == {"d": "a"}
        assert space.report["columns_dropped_for_flaws"] == 5 - len(left)
        assert space.report["columns"] == len(left)


@pytest.mark.skipif(importlib.util.find_spec("pycytominer") is None, reason="pycytominer is not installed")
def test_near_constant_columns_are_those_of_pycytominer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        from pycytominer.operations.frequency_threshold import frequency_threshold

    rng = np.random.default_rng(3)
    shares = rng.uniform(0, 0.15, 40)
    values = (rng.random((300, 40)) < shares).astype(float) * rng.integers(1, 3, (300, 40))
    names = [f"Cells_{i}" for i in range(40)]
    expected = frequency_threshold(pd.DataFrame(values, columns=names), features=names, unique_cut=0.0)
    found = near_constant(values)
    assert 5 < found.sum() < 35
    assert {names[i] for i in np.flatnonzero(found)} == set(expected)


@pytest.mark.parametrize("aggregate", ["median", "mean", "strongest-dose", "keep"])
def test_the_order_of_rows_and_columns_does_not_matter(aggregate):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 5)) * 10.0 ** rng.integers(-9, 9, (30, 5))
    values[rng.random(values.shape) < 0.05] = np.nan
    owners, doses = rng.integers(0, 9, 30), rng.choice(["1", "2", "30"], 30)
    spaces = []
    for rows, columns in ((np.arange(30), np.arange(5)), (rng.permutation(30), rng.permutation(5))):
        table = measured(values[np.ix_(rows, columns)], owners[rows], columns=[f"c{c}" for c in columns])
        rules = {"aggregate": aggregate, "clip": 0.95, "max_missing": 1.0}
        spaces += aggregate_spaces([with_rules(table, {"dose": doses[rows]}, **rules)], [])
    np.testing.assert_array_equal(spaces[0].settled.values, spaces[1].settled.values)
    pd.testing.assert_frame_equal(spaces[0].labels, spaces[1].labels)
    assert spaces[0].report == spaces[1].report
