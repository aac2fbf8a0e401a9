"""Atoms and bonds as small integers, in the vocabulary of the Open Graph Benchmark (OGB).

References
----------
Hu et al. 2020, "Open Graph Benchmark: Datasets for Machine Learning on Graphs", molecular property
prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rdkit import rdBase
from rdkit.Chem.rdchem import BondStereo, BondType, ChiralType, HybridizationType

from infoalign_dgl.molecules._workers import map_chunks
from infoalign_dgl.molecules.packed import PackedMolecules
from infoalign_dgl.molecules.parsing import parse_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ATOM_FEATURE_SIZES: tuple[int, ...] = (119, 5, 12, 12, 10, 6, 6, 2, 2)
"""Values each atom feature takes: element, chirality, degree, charge, hydrogens, radicals, hybridization,
aromatic, in a ring. The last value of the first seven stands for anything else."""

BOND_FEATURE_SIZES: tuple[int, ...] = (5, 6, 2)
"""Values each bond feature takes: type (the last is anything else), stereo, conjugated."""

(
    _OTHER_ELEMENT,
    _OTHER_CHIRALITY,
    _MOST_NEIGHBORS,
    _OTHER_CHARGE,
    _MOST_HYDROGENS,
    _MOST_RADICALS,
    _OTHER_HYBRID,
) = (size - 1 for size in ATOM_FEATURE_SIZES[:7])
_CHIRALITY = {
    ChiralType.CHI_UNSPECIFIED: 0,
    ChiralType.CHI_TETRAHEDRAL_CW: 1,
    ChiralType.CHI_TETRAHEDRAL_CCW: 2,
    ChiralType.CHI_OTHER: 3,
}
_CHARGE = {charge: charge + 5 for charge in range(-5, 6)}
_HYBRIDIZATION = {
    HybridizationType.SP: 0,
    HybridizationType.SP2: 1,
    HybridizationType.SP3: 2,
    HybridizationType.SP3D: 3,
    HybridizationType.SP3D2: 4,
}
_BOND_TYPE = {BondType.SINGLE: 0, BondType.DOUBLE: 1, BondType.TRIPLE: 2, BondType.AROMATIC: 3}
_OTHER_BOND_TYPE = 4
_BOND_STEREO = {
    BondStereo.STEREONONE: 0,
    BondStereo.STEREOZ: 1,
    BondStereo.STEREOE: 2,
    BondStereo.STEREOCIS: 3,
    BondStereo.STEREOTRANS: 4,
    BondStereo.STEREOANY: 5,
}
_OTHER_BOND_STEREO = 5  # the vocabulary ends there; atropisomers are the only ones beyond it


class _Chunk(NamedTuple):
    atom_features: bytes
    bond_features: bytes
    bond_atoms: np.ndarray
    atoms: list[int]
    bonds: list[int]
    reasons: list[str | None]


def featurize(
    smiles: Sequence[str | None],
    *,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[PackedMolecules, list[str | None]]:
    """Turn molecules into graphs with OGB atom and bond features.

    Parameters
    ----------
    smiles : sequence of (str or None)
        Molecules, best as `standardize` returns them: features are those of the structure as given.
    num_workers : int, optional
        Processes; by default one per CPU. Fewer than 2,000 molecules are done in this process.
    progress : callable, optional
        Called with (molecules done, molecules in all).

    Returns
    -------
    (PackedMolecules, list of (str or None))
        One molecule per input row, without atoms where the row failed, and why each row failed (None: it did
        not).
    """
    chunks = map_chunks(_featurize_chunk, smiles, num_workers=num_workers, progress=progress)
    atoms = np.array([count for chunk in chunks for count in chunk.atoms], dtype=np.int64)
    bonds = np.array([count for chunk in chunks for count in chunk.bonds], dtype=np.int64)
    packed = PackedMolecules(
        atom_features=_table(b"".join(chunk.atom_features for chunk in chunks), len(ATOM_FEATURE_SIZES)),
        bond_features=_table(b"".join(chunk.bond_features for chunk in chunks), len(BOND_FEATURE_SIZES)),
        bond_atoms=np.concatenate([np.empty((0, 2), np.int32), *(chunk.bond_atoms for chunk in chunks)]),
        atom_offsets=np.concatenate([[0], np.cumsum(atoms)]),
        bond_offsets=np.concatenate([[0], np.cumsum(bonds)]),
    )
    return packed, [reason for chunk in chunks for reason in chunk.reasons]


def _table(values: bytes, columns: int) -> np.ndarray:
    return np.frombuffer(values, dtype=np.uint8).reshape(-1, columns)


def _featurize_chunk(smiles: list[str | None]) -> _Chunk:
    atom_features, bond_features = bytearray(), bytearray()
    ends: list[int] = []
    atoms: list[int] = []
    bonds: list[int] = []
    reasons: list[str | None] = []
    with rdBase.BlockLogs():
        for text in smiles:
            molecule, reason = parse_structure(text)
            reasons.append(reason)
            if molecule is None:
                atoms.append(0)
                bonds.append(0)
                continue
            for atom in molecule.GetAtoms():
                atom_features.extend(_atom_features(atom))
            for bond in molecule.GetBonds():
                bond_features.extend(_bond_features(bond))
                ends += (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
            atoms.append(molecule.GetNumAtoms())
            bonds.append(molecule.GetNumBonds())
    bond_atoms = np.array(ends, dtype=np.int32).reshape(-1, 2)
    return _Chunk(bytes(atom_features), bytes(bond_features), bond_atoms, atoms, bonds, reasons)


def _atom_features(atom: Any) -> tuple[int, ...]:
    return (
        (atom.GetAtomicNum() or _OTHER_ELEMENT + 1) - 1,  # element 0 is a wildcard
        _CHIRALITY.get(atom.GetChiralTag(), _OTHER_CHIRALITY),
        min(atom.GetTotalDegree(), _MOST_NEIGHBORS),
        _CHARGE.get(atom.GetFormalCharge(), _OTHER_CHARGE),
        min(atom.GetTotalNumHs(), _MOST_HYDROGENS),
        min(atom.GetNumRadicalElectrons(), _MOST_RADICALS),
        _HYBRIDIZATION.get(atom.GetHybridization(), _OTHER_HYBRID),
        atom.GetIsAromatic(),
        atom.IsInRing(),
    )


def _bond_features(bond: Any) -> tuple[int, ...]:
    return (
        _BOND_TYPE.get(bond.GetBondType(), _OTHER_BOND_TYPE),
        _BOND_STEREO.get(bond.GetStereo(), _OTHER_BOND_STEREO),
        bond.GetIsConjugated(),
    )
