"""Aggregation against pandas, over random replicates with gaps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from infoalign_dgl.context.profiles import Measured as Rows
from infoalign_dgl.context.profiles import aggregate_spaces, median_by_owner
from infoalign_dgl.sources.rows import TableAccount, number_rows


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
