"""Many molecules in a few arrays, and batches cut out of them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl._extension import load_native
from infoalign_dgl.errors import SourceError
from infoalign_dgl.molecules.batch import MoleculeBatch

if TYPE_CHECKING:
    import os

_FORMAT_VERSION = 1
_LAYOUT = {
    "atom_features": ("uint8", 2),
    "bond_features": ("uint8", 2),
    "bond_atoms": ("int32", 2),
    "atom_offsets": ("int64", 1),
    "bond_offsets": ("int64", 1),
}


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
            and all((np.diff(offsets) >= 0).all() for offsets in (self.atom_offsets, self.bond_offsets))
        )
        if not whole:
            raise ValueError(
                f"'atom_offsets' and 'bond_offsets' must run from 0 to the {atoms} atoms and {bonds} bonds "
                f"without falling, over as many molecules, not {len(self.atom_offsets) - 1} and "
                f"{len(self.bond_offsets) - 1}; build them with 'featurize'"
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
        SourceError
            If a bond names an atom that its molecule lacks.

        Examples
        --------
        >>> import numpy as np
        >>> from infoalign_dgl.molecules import featurize
        >>> packed, _ = featurize(["CCO", "C", "N"])
        >>> batch = packed.gather(np.array([2, 0]))
        >>> batch.num_molecules, batch.molecule.tolist()
        (2, [0, 1, 1, 1])
        """
        import torch

        ids = np.ascontiguousarray(ids, dtype=np.int64)
        outside = np.flatnonzero((ids < 0) | (ids >= len(self)))
        if outside.size:
            raise IndexError(
                f"'ids' must be in [0, {len(self)}), the molecules that are there, not {ids[outside[0]]} "
                f"at position {outside[0]}"
            )
        atoms = int((self.atom_offsets[ids + 1] - self.atom_offsets[ids]).sum())
        arcs = 2 * int((self.bond_offsets[ids + 1] - self.bond_offsets[ids]).sum())
        flat = {
            "atom_kind": torch.empty(atoms, dtype=torch.int64),
            "neighbor": torch.empty(arcs, dtype=torch.int32),
            "arc_kind": torch.empty(arcs, dtype=torch.int32),
            "atom_offsets": torch.empty(len(ids) + 1, dtype=torch.int64),
            "arc_offsets": torch.empty(atoms + 1, dtype=torch.int64),
        }
        native = load_native()
        fill: Any = _gather_with_numpy if native is None else native.gather_molecules
        bad, atom_kinds, bond_kinds = fill(
            *(getattr(self, name) for name in _LAYOUT), ids, *(array.numpy() for array in flat.values())
        )
        if bad >= 0:
            raise SourceError(
                f"a bond of molecule {bad} names an atom that the molecule lacks: featurize the "
                "molecules again"
            )
        return MoleculeBatch(
            atom_kinds=torch.from_numpy(atom_kinds),
            bond_kinds=torch.from_numpy(bond_kinds),
            num_molecules=len(ids),
            **flat,
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


def _gather_with_numpy(
    atom_features: np.ndarray,
    bond_features: np.ndarray,
    bond_atoms: np.ndarray,
    atom_offsets: np.ndarray,
    bond_offsets: np.ndarray,
    ids: np.ndarray,
    atom_kind: np.ndarray,
    neighbor: np.ndarray,
    arc_kind: np.ndarray,
    batch_atom_offsets: np.ndarray,
    arc_offsets: np.ndarray,
) -> tuple[int, np.ndarray, np.ndarray]:
    """Do what the native function of the same arguments does; kinds come in another order."""
    atom_rows, atoms = _ragged_rows(atom_offsets, ids)
    bond_rows, bonds = _ragged_rows(bond_offsets, ids)
    within = bond_atoms[bond_rows]
    bad = np.flatnonzero(((within < 0) | (within >= np.repeat(atoms, bonds)[:, None])).any(axis=1))
    if bad.size:
        return int(np.repeat(ids, bonds)[bad[0]]), atom_features[:0], bond_features[:0]
    first_atom = np.cumsum(atoms) - atoms
    ends = within + np.repeat(first_atom, bonds)[:, None]
    atom_kinds, atom_kind[:] = _kinds(atom_features[atom_rows])
    bond_kinds, of_bond = _kinds(bond_features[bond_rows])
    entered = ends[:, ::-1].ravel()  # a bond's two arcs, one after the other
    order = np.argsort(entered, kind="stable")
    neighbor[:] = ends.ravel()[order]
    arc_kind[:] = of_bond[order // 2]
    batch_atom_offsets[:] = np.r_[0, np.cumsum(atoms)]
    arc_offsets[:] = np.r_[0, np.cumsum(np.bincount(entered, minlength=len(atom_rows)))]
    return -1, atom_kinds, bond_kinds


def _kinds(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows, int64, and which of them each row is."""
    if not len(rows):
        return rows.astype(np.int64), np.zeros(0, np.int64)
    distinct, which = np.unique(rows, axis=0, return_inverse=True)
    return distinct.astype(np.int64), which.ravel()


def _ragged_rows(offsets: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of all ids, one id after the other, and how many rows each id has."""
    starts = offsets[ids]
    counts = offsets[ids + 1] - starts
    first = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - first, counts), counts
