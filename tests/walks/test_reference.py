"""The oracle itself, against published numbers and exact arithmetic."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoalign_dgl.walks import WalkIndex, numba_backend
from infoalign_dgl.walks.reference import FULL_COLUMN, alias_table, philox4x32, walk_words

WEIGHTS = st.lists(
    st.one_of(st.sampled_from([0.0, 1.0, 0.1, 0.2]), st.floats(0, 1, width=32)), min_size=1, max_size=40
)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_known_answers(counter, key, expected):
    """The vectors that Random123 publishes for philox4x32-10."""

    def words(text):
        return tuple(int(word, 16) for word in text.split())

    assert philox4x32(words(counter), words(key)) == words(expected)


def test_counter_layout():
    assert walk_words(0xA409382200000001, 0x85A308D3243F6A88, 7, 9, attempt=3) == philox4x32(
        (0x243F6A88, 0x85A308D3, 7 | 3 << 16, 9), (0x00000001, 0xA4093822)
    )


@given(WEIGHTS)
def test_alias_table_has_the_right_probabilities(values):
    weights = [float(np.float32(value)) for value in values]
    table = alias_table(weights)
    if sum(weights) == 0:
        assert table is None
        return
    degree = len(weights)
    mass = [Fraction(0)] * degree
    for column in range(degree):
        threshold = 2**32 if table.alias[column] == column else table.threshold[column]
        mass[column] += Fraction(threshold, 2**32)
        mass[table.alias[column]] += 1 - Fraction(threshold, 2**32)
    total = sum(map(Fraction, weights))
    for arc, weight in enumerate(weights):
        # Each column that gives to an arc is off by one step of 2^-32 at most.
        assert abs(mass[arc] / degree - Fraction(weight) / total) <= Fraction(1, 2**31)
        assert weight > 0 or mass[arc] == 0


@given(st.lists(WEIGHTS, max_size=6))
def test_alias_tables_agree(nodes):
    weight = np.array([value for node in nodes for value in node], dtype=np.float32)
    indptr = np.cumsum([0, *map(len, nodes)])
    index = WalkIndex.from_csr(
        np.append(indptr, [indptr[-1]] * 50), np.arange(len(weight)) % (len(nodes) + 50), weight
    )
    native = index.alias_arcs()
    numba = np.empty_like(native)
    numba_backend.build_alias(index, numba)
    np.testing.assert_array_equal(native, numba)
    for first, last in itertools.pairwise(indptr):
        table = alias_table(weight[first:last].tolist())
        if table is None:
            assert (native["threshold"][first:last] == 0).all()
            assert (native["alias"][first:last] == 2**32 - 1).all()
        else:
            assert native["threshold"][first:last].tolist() == table.threshold
            assert native["alias"][first:last].tolist() == table.alias


def test_even_weights_fill_every_column():
    table = alias_table([0.25] * 4)
    assert table.threshold == [FULL_COLUMN] * 4
    assert table.alias == [0, 1, 2, 3]
