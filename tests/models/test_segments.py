"""Segment sums and their gradients against index_add and gradcheck."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from infoalign_dgl.models.segments import Arcs, Grouping, pool, spread, sum_messages


@given(st.lists(st.integers(0, 5), max_size=30), st.booleans())
def test_pool_is_index_add(groups, is_sorted):
    groups = torch.tensor(sorted(groups) if is_sorted else groups, dtype=torch.int64)
    rows = torch.randn(len(groups), 3, dtype=torch.float64)
    grouping = Grouping.of(groups, 6, is_sorted=is_sorted)
    expected = torch.zeros(6, 3, dtype=torch.float64).index_add(0, groups, rows)
    torch.testing.assert_close(pool(rows, grouping), expected)
    vectors = torch.randn(6, 3, dtype=torch.float64)
    torch.testing.assert_close(spread(vectors, grouping), vectors[groups])


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    src = torch.randint(0, 5, (9,), generator=generator)
    dst = torch.randint(0, 5, (9,), generator=generator).sort().values
    kind = torch.randint(0, 3, (9,), generator=generator)
    by_molecule = Grouping.of(torch.zeros(5, dtype=torch.int64), 1, is_sorted=True)
    arcs = Arcs(Grouping.of(src, 5), Grouping.of(dst, 5, is_sorted=True), Grouping.of(kind, 3), by_molecule)
    atoms = torch.randn(5, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    bonds = torch.randn(3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: sum_messages(a, b, arcs), (atoms, bonds))
    assert torch.autograd.gradcheck(
        lambda a: pool(a, Grouping.of(torch.tensor([2, 0, 0, 1, 2]), 4)), (atoms,)
    )
    assert torch.autograd.gradcheck(lambda a: spread(a, arcs.by_src), (atoms,))
    expected = torch.zeros(5, 4, dtype=torch.float64).index_add(0, dst, torch.relu(atoms[src] + bonds[kind]))
    torch.testing.assert_close(sum_messages(atoms, bonds, arcs), expected)
