"""Many molecules in a few arrays, and batches cut out of them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import SourceError

if TYPE_CHECKING:
    import os

    import torch

_FORMAT_VERSION = 1
_LAYOUT = {
    "atom_features": ("uint8", 2),
    "bond_features": ("uint8", 2),
    "bond_atoms": ("int32", 2),
    "atom_offsets": ("int64", 1),
    "bond_offsets": ("int64", 1),
}


@dataclass(frozen=True)
class MoleculeBatch:
    """A disjoint union of molecular graphs, ready for the encoder.

    A molecule's atoms and arcs are contiguous, in the batch's order, and its arcs are sorted by destination
    atom: a sum over the arcs that enter an atom is a sum over a segment.

    Attributes
    ----------
    atom_features : torch.Tensor
        (N, 9) int64, OGB vocabulary.
    edge_src, edge_dst : torch.Tensor
        (E,) int64 atoms of the batch; every bond stands in both directions.
    bond_features : torch.Tensor
        (E, 3) int64, OGB vocabulary.
    molecule : torch.Tensor
        (N,) int64 position in the batch of the molecule that an atom belongs to, ascending.
    atoms_per_molecule, bonds_per_molecule : torch.Tensor
        (m,) int64; bonds count in both directions.
    num_molecules : int
        m, molecules without atoms included.
    """

    atom_features: torch.Tensor
    edge_src: torch.Tensor
    edge_dst: torch.Tensor
    bond_features: torch.Tensor
    molecule: torch.Tensor
    atoms_per_molecule: torch.Tensor
    bonds_per_molecule: torch.Tensor
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


@dataclass(frozen=True)
class PackedMolecules:
    """Molecular graphs in flat arrays, where molecule ``i`` is rows ``offsets[i]`` to ``offsets[i + 1]``.

    Attributes
    ----------
    atom_features : numpy.ndarray
        (A, 9) uint8, OGB vocabulary.
    bond_features : numpy.ndarray
        (B, 3) uint8, OGB vocabulary; each bond once.
    bond_atoms : numpy.ndarray
        (B, 2) int32, the bond's atoms, counted from 0 within their molecule.
    atom_offsets, bond_offsets : numpy.ndarray
        (n + 1,) int64.
    """

    atom_features: np.ndarray
    bond_features: np.ndarray
    bond_atoms: np.ndarray
    atom_offsets: np.ndarray
    bond_offsets: np.ndarray

    def __post_init__(self) -> None:
        for name, (dtype, dimensions) in _LAYOUT.items():
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions:
                raise ValueError(
                    f"'{name}' must be a {dimensions}-dimensional {dtype} array, not "
                    f"{array.ndim}-dimensional {array.dtype}: build it with 'featurize'"
                )
        atoms, bonds = len(self.atom_features), len(self.bond_features)
        whole = (
            len(self.atom_offsets) == len(self.bond_offsets) > 0
            and (self.atom_offsets[0], self.bond_offsets[0]) == (0, 0)
            and (self.atom_offsets[-1], self.bond_offsets[-1]) == (atoms, bonds)
            and len(self.bond_atoms) == bonds
        )
        if not whole:
            raise ValueError(
                f"'atom_offsets' and 'bond_offsets' must run from 0 to the {atoms} atoms and {bonds} bonds, "
                f"over as many molecules, not {len(self.atom_offsets) - 1} and {len(self.bond_offsets) - 1}; "
                "build them with 'featurize'"
            )

    def __len__(self) -> int:
        return len(self.atom_offsets) - 1

    def gather(self, ids: np.ndarray) -> MoleculeBatch:
        """Cut a batch out, without a loop over its molecules.

        Parameters
        ----------
        ids : numpy.ndarray
            (m,) int64 molecules, in any order; one may come twice.

        Returns
        -------
        MoleculeBatch
            On the CPU.

        Raises
        ------
        IndexError
            If an id is not in [0, n).
        """
        import torch

        ids = np.asarray(ids, dtype=np.int64)
        outside = np.flatnonzero((ids < 0) | (ids >= len(self)))
        if outside.size:
            raise IndexError(
                f"'ids' must be in [0, {len(self)}), the molecules that are there, not {ids[outside[0]]} "
                f"at position {outside[0]}"
            )
        atom_rows, atoms = _ragged_rows(self.atom_offsets, ids)
        bond_rows, bonds = _ragged_rows(self.bond_offsets, ids)
        first_atom = np.cumsum(atoms) - atoms
        ends = self.bond_atoms[bond_rows] + np.repeat(first_atom, bonds)[:, None]
        num_bonds = len(bond_rows)
        # Destination in the high half, arc in the low half: sorting plain integers is several times faster
        # than argsort, and atoms are numbered by molecule, so this keeps molecules together as well.
        order = np.concatenate([ends[:, 1], ends[:, 0]]) << 32
        order |= np.arange(2 * num_bonds)
        order.sort()
        arcs = order & 0xFFFFFFFF
        bond = arcs % num_bonds if num_bonds else arcs
        return MoleculeBatch(
            atom_features=torch.from_numpy(self.atom_features[atom_rows].astype(np.int64)),
            edge_src=torch.from_numpy(np.concatenate([ends[:, 0], ends[:, 1]])[arcs]),
            edge_dst=torch.from_numpy(order >> 32),
            bond_features=torch.from_numpy(self.bond_features[bond_rows][bond].astype(np.int64)),
            molecule=torch.from_numpy(np.repeat(np.arange(len(ids)), atoms)),
            atoms_per_molecule=torch.from_numpy(atoms),
            bonds_per_molecule=torch.from_numpy(2 * bonds),
            num_molecules=len(ids),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the arrays to a ``.npz`` file; what stood there stays until the new file is whole."""
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as stream:
                arrays = {name: getattr(self, name) for name in _LAYOUT}
                np.savez(stream, allow_pickle=False, format_version=np.int64(_FORMAT_VERSION), **arrays)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PackedMolecules:
        """Read what `save` wrote.

        Raises
        ------
        SourceError
            If the file is missing, damaged, or of another format version.
        """
        try:
            # Opened here, because numpy leaves a file open that turns out to be no archive.
            with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                if int(stored["format_version"]) != _FORMAT_VERSION:
                    raise SourceError(
                        f"'{path}' has format version {int(stored['format_version'])}, and this program "
                        f"reads {_FORMAT_VERSION}: featurize the molecules again"
                    )
                return cls(**{name: stored[name] for name in _LAYOUT})
        except FileNotFoundError as error:
            raise SourceError(f"'{path}' does not exist: check the path") from error
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise SourceError(
                f"'{path}' is damaged or no file of packed molecules ({error}): featurize the molecules again"
            ) from error


def _ragged_rows(offsets: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of all ids, one id after the other, and how many rows each id has."""
    starts = offsets[ids]
    counts = offsets[ids + 1] - starts
    first = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - first, counts), counts
