"""Sums over sorted segments, and their transpose, with backward passes that are one pass each.

Torch's own gathers and scatters cost more than the matrix products between them: the backward pass of a
gather adds row by row. Over sorted segments both directions are a segment sum, which ``embedding_bag`` does
in parallel and in a fixed order, so that results are the same in every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from infoalign_dgl.molecules import MoleculeBatch


@dataclass(frozen=True)
class Grouping:
    """Which of E items belongs to which of G groups, and the items in the order of their groups.

    Attributes
    ----------
    group : Tensor
        Shape (E,), int64.
    order : Tensor
        Shape (E,), int64: item ids sorted by group, stable.
    offsets : Tensor
        Shape (G+1,), int64: group g's items are ``order[offsets[g]:offsets[g+1]]``.
    """

    group: Tensor
    order: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, group: Tensor, num_groups: int, *, is_sorted: bool = False) -> Grouping:
        """Group items by their group ids, shape (E,), int64 below ``num_groups``."""
        order = (
            torch.arange(len(group), device=group.device) if is_sorted else torch.argsort(group, stable=True)
        )
        # Not bincount: it waits for a GPU.
        sizes = group.new_zeros(num_groups).scatter_add_(0, group, torch.ones_like(group))
        offsets = group.new_zeros(num_groups + 1)
        torch.cumsum(sizes, 0, out=offsets[1:])
        return cls(group, order, offsets)

    def sum(self, items: Tensor) -> Tensor:
        """Sum items of shape (E, D) by group, shape (G, D), zeros for an empty group; no gradient."""
        if len(items) == 0:
            return items.new_zeros(len(self.offsets) - 1, items.shape[1])
        return torch.nn.functional.embedding_bag(
            self.order, items, self.offsets, mode="sum", include_last_offset=True
        )


class _Pool(torch.autograd.Function):
    """Sum rows by group; a row's gradient is its group's."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, grouping: Grouping) -> Tensor:
        ctx.grouping = grouping
        return grouping.sum(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].index_select(0, ctx.grouping.group), None


class _Spread(torch.autograd.Function):
    """Give each row its group's vector; a group's gradient is the sum of its rows'."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, grouping: Grouping) -> Tensor:
        ctx.grouping = grouping
        return vectors.index_select(0, grouping.group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.grouping.sum(gradients[0].contiguous()), None


def pool(rows: Tensor, grouping: Grouping) -> Tensor:
    """Sum rows by group.

    Parameters
    ----------
    rows : Tensor
        Shape (N, D).
    grouping : Grouping
        Of the N rows into G groups.

    Returns
    -------
    Tensor
        Shape (G, D); zeros for a group without rows.
    """
    pooled: Tensor = _Pool.apply(rows, grouping)
    return pooled


def spread(vectors: Tensor, grouping: Grouping) -> Tensor:
    """Give each row its group's vector: the transpose of :func:`pool`.

    Parameters
    ----------
    vectors : Tensor
        Shape (G, D).
    grouping : Grouping
        Of N rows into the G groups.

    Returns
    -------
    Tensor
        Shape (N, D).
    """
    rows: Tensor = _Spread.apply(vectors, grouping)
    return rows


@dataclass(frozen=True)
class Arcs:
    """The bonds of a batch of molecules as arcs, grouped by either end and by bond kind; and its atoms.

    Attributes
    ----------
    by_src, by_dst : Grouping
        Of the E arcs by the atom they leave and by the atom they reach.
    by_kind : Grouping
        Of the E arcs by their row of ``bond_kinds``.
    by_molecule : Grouping
        Of the N atoms by their molecule.
    """

    by_src: Grouping
    by_dst: Grouping
    by_kind: Grouping
    by_molecule: Grouping

    @classmethod
    def of(cls, batch: MoleculeBatch) -> Arcs:
        """Group a batch's arcs and atoms."""
        return cls(
            Grouping.of(batch.edge_src, batch.num_atoms),
            Grouping.of(batch.edge_dst, batch.num_atoms, is_sorted=True),
            Grouping.of(batch.arc_kind.long(), len(batch.bond_kinds)),
            Grouping.of(batch.molecule, batch.num_molecules, is_sorted=True),
        )


class _SumMessages(torch.autograd.Function):
    """Sum of relu(h[src] + bonds[kind]) over the arcs that reach an atom."""

    @staticmethod
    def forward(ctx: Any, atoms: Tensor, bonds: Tensor, arcs: Arcs) -> Tensor:
        messages = atoms.index_select(0, arcs.by_src.group)
        messages += bonds.index_select(0, arcs.by_kind.group)
        messages.relu_()
        ctx.arcs = arcs
        ctx.save_for_backward(messages > 0)
        return arcs.by_dst.sum(messages)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (positive,) = ctx.saved_tensors
        per_arc = gradients[0].index_select(0, ctx.arcs.by_dst.group)
        per_arc *= positive
        return ctx.arcs.by_src.sum(per_arc), ctx.arcs.by_kind.sum(per_arc), None


def sum_messages(atoms: Tensor, bonds: Tensor, arcs: Arcs) -> Tensor:
    """Sum what each atom hears from its neighbours: relu(h_u + b_uv) over the arcs (u, v).

    Parameters
    ----------
    atoms : Tensor
        Shape (N, D), h.
    bonds : Tensor
        Shape (T, D), one row per kind of bond, of the same dtype.
    arcs : Arcs
        The E arcs.

    Returns
    -------
    Tensor
        Shape (N, D); zeros for an atom without bonds.
    """
    summed: Tensor = _SumMessages.apply(atoms, bonds, arcs)
    return summed
