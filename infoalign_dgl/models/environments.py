"""Atoms that the first layer cannot tell apart.

Before the first layer every molecule's virtual node is the same. So atoms of one kind whose neighbours and
bonds are of the same kinds hear the same, and their rows of the layer's two matrix products, forward and
backward, are the same too: one row for each such environment is enough, and a batch has few of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from infoalign_dgl.models.segments import Grouping

if TYPE_CHECKING:
    from torch import Tensor

    from infoalign_dgl.molecules import MoleculeBatch

_LARGEST = 2**62


@dataclass(frozen=True)
class Environments:
    """Atoms of one kind whose neighbours and bonds are of the same kinds.

    Attributes
    ----------
    examples : Tensor
        Shape (G,), int64: the first atom of each environment.
    counts : Tensor
        Shape (G,), int64: its atoms.
    atoms : Grouping
        Of the N atoms by their environment.
    """

    examples: Tensor
    counts: Tensor
    atoms: Grouping


def environments(batch: MoleculeBatch) -> Environments | None:
    """Group atoms by their own kind and the kinds of their bonds and neighbours.

    Parameters
    ----------
    batch : MoleculeBatch
        N atoms.

    Returns
    -------
    Environments or None
        None where so many kinds and neighbours meet that 64 bits do not tell all combinations apart.
    """
    kinds, bonds = len(batch.atom_kinds), len(batch.bond_kinds)
    arc_kinds = kinds * bonds + 1  # 0: no arc
    most = int(batch.arc_offsets.diff().max()) if batch.num_atoms else 0
    if kinds * arc_kinds**most > _LARGEST:
        return None
    entered = batch.edge_dst
    arcs = batch.atom_kind[batch.edge_src] * bonds + batch.arc_kind + 1
    # An atom's arcs in the order of their kinds, as the digits of one number.
    arcs = torch.sort(entered * arc_kinds + arcs).values % arc_kinds
    place = torch.arange(len(arcs), device=arcs.device) - batch.arc_offsets[entered]
    digits = arcs * torch.pow(torch.full_like(place, arc_kinds), place)
    number = batch.atom_kind.clone()
    number.mul_(arc_kinds**most).index_add_(0, entered, digits)
    different, environment, counts = torch.unique(number, return_inverse=True, return_counts=True)
    examples = torch.full_like(different, batch.num_atoms)
    examples.scatter_reduce_(0, environment, torch.arange(batch.num_atoms, device=arcs.device), "amin")
    return Environments(examples, counts, Grouping.of(environment, len(different)))
