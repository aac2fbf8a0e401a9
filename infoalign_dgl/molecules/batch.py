"""A batch of molecules as the encoder reads it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class MoleculeBatch:
    """A disjoint union of molecular graphs.

    A molecule's atoms are contiguous, in the batch's order, and its arcs are grouped by the atom that they
    enter: a sum over an atom's neighbours is a sum over a segment. Atoms and bonds are told apart by kind,
    the distinct rows of features that the batch has, of which there are few.

    Attributes
    ----------
    atom_kinds : torch.Tensor
        (U, 9) int64, OGB vocabulary, the distinct atoms.
    atom_kind : torch.Tensor
        (N,) int64, an atom's row of ``atom_kinds``.
    bond_kinds : torch.Tensor
        (V, 3) int64, OGB vocabulary, the distinct bonds.
    arc_kind : torch.Tensor
        (E,) int32, an arc's row of ``bond_kinds``; every bond stands in both directions.
    neighbor : torch.Tensor
        (E,) int32, the atom that an arc leaves.
    arc_offsets : torch.Tensor
        (N + 1,) int64: the arcs that enter atom i are ``arc_offsets[i]`` to ``arc_offsets[i + 1]``.
    atom_offsets : torch.Tensor
        (m + 1,) int64: molecule i's atoms; a molecule may have none.
    num_molecules : int
        m.
    """

    atom_kinds: torch.Tensor
    atom_kind: torch.Tensor
    bond_kinds: torch.Tensor
    arc_kind: torch.Tensor
    neighbor: torch.Tensor
    arc_offsets: torch.Tensor
    atom_offsets: torch.Tensor
    num_molecules: int

    def to(self, device: torch.device | str) -> MoleculeBatch:
        """Return the batch on another device (not waiting for the copy where its memory is pinned)."""
        moved = {}
        for field in fields(self):
            value = getattr(self, field.name)
            moved[field.name] = (
                value if field.name == "num_molecules" else value.to(device, non_blocking=True)
            )
        return MoleculeBatch(**moved)

    def select(self, ids: torch.Tensor, num_atoms: int, num_arcs: int) -> MoleculeBatch:
        """Cut molecules out where the batch lies, without waiting for its device.

        Parameters
        ----------
        ids : torch.Tensor
            (k,) int64 molecules of this batch, in any order; one may come twice.
        num_atoms, num_arcs : int
            What they have together: the device is not asked.

        Returns
        -------
        MoleculeBatch
            On the same device, with all kinds of this batch.
        """
        import torch

        first, atoms = _segments(self.atom_offsets, ids)
        atom_offsets = _ends(atoms)
        molecule = _owners(atom_offsets, num_atoms)
        back = first - atom_offsets[:-1]  # from an atom's place here to that in this batch
        rows = torch.arange(num_atoms, device=ids.device) + back[molecule]
        first_arc, arcs = _segments(self.arc_offsets, rows)
        arc_offsets = _ends(arcs)
        entered = _owners(arc_offsets, num_arcs)
        arc_rows = torch.arange(num_arcs, device=ids.device) + (first_arc - arc_offsets[:-1])[entered]
        return MoleculeBatch(
            atom_kinds=self.atom_kinds,
            atom_kind=self.atom_kind[rows],
            bond_kinds=self.bond_kinds,
            arc_kind=self.arc_kind[arc_rows],
            neighbor=(self.neighbor[arc_rows] - back[molecule][entered]).to(self.neighbor.dtype),
            arc_offsets=arc_offsets,
            atom_offsets=atom_offsets,
            num_molecules=len(ids),
        )

    @property
    def num_atoms(self) -> int:
        """Atoms N."""
        return len(self.atom_kind)

    @cached_property
    def molecule(self) -> torch.Tensor:
        """Position in the batch of each atom's molecule, (N,) int64, ascending."""
        return _owners(self.atom_offsets, self.num_atoms)

    @cached_property
    def edge_dst(self) -> torch.Tensor:
        """The atom that each arc enters, (E,) int64, ascending."""
        return _owners(self.arc_offsets, len(self.neighbor))

    @cached_property
    def edge_src(self) -> torch.Tensor:
        """The atom that each arc leaves, (E,) int64."""
        return self.neighbor.long()

    @property
    def atom_features(self) -> torch.Tensor:
        """Features of each atom, (N, 9) int64."""
        return self.atom_kinds.index_select(0, self.atom_kind)

    @property
    def bond_features(self) -> torch.Tensor:
        """Features of each arc, (E, 3) int64."""
        return self.bond_kinds.index_select(0, self.arc_kind.long())

    @property
    def atoms_per_molecule(self) -> torch.Tensor:
        """Atoms of each molecule, (m,) int64."""
        return self.atom_offsets.diff()

    @property
    def bonds_per_molecule(self) -> torch.Tensor:
        """Arcs of each molecule, so bonds count in both directions, (m,) int64."""
        return self.arc_offsets.index_select(0, self.atom_offsets).diff()


def _owners(offsets: torch.Tensor, size: int) -> torch.Tensor:
    """Position of the segment that each of ``size`` items lies in."""
    import torch

    segments = torch.arange(len(offsets) - 1, device=offsets.device)
    return torch.repeat_interleave(segments, offsets.diff(), output_size=size)


def _segments(offsets: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First item and size of the segments of those ids."""
    first = offsets[ids]
    return first, offsets[ids + 1] - first


def _ends(sizes: torch.Tensor) -> torch.Tensor:
    """Offsets of segments of those sizes."""
    offsets = sizes.new_zeros(len(sizes) + 1)
    offsets[1:] = sizes.cumsum(0)
    return offsets
