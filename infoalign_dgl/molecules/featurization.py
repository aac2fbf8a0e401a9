"""Atoms and bonds as small integers, in the vocabulary of the Open Graph Benchmark (OGB).

References
----------
Hu et al. 2020, "Open Graph Benchmark: Datasets for Machine Learning on Graphs", molecular property
prediction.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rdkit import rdBase
from rdkit.Chem.rdchem import Atom, Bond, BondStereo, BondType, ChiralType, HybridizationType

from infoalign_dgl.molecules._workers import map_chunks
from infoalign_dgl.molecules.packed import PackedMolecules
from infoalign_dgl.molecules.parsing import parse_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from infoalign_dgl.molecules._workers import Executor

ATOM_FEATURE_SIZES: tuple[int, ...] = (119, 5, 12, 12, 10, 6, 6, 2, 2)
"""Values each atom feature takes: element, chirality, degree, charge, hydrogens, radicals, hybridization,
aromatic, in a ring. The last value of the first seven stands for anything else."""

BOND_FEATURE_SIZES: tuple[int, ...] = (5, 6, 2)
"""Values each bond feature takes: type (the last is anything else), stereo, conjugated."""

_OTHER_ELEMENT, _OTHER_CHIRALITY, _, _OTHER_CHARGE, _, _, _OTHER_HYBRID = (
    size - 1 for size in ATOM_FEATURE_SIZES[:7]
)
_OTHER_BOND_TYPE = 4
_OTHER_BOND_STEREO = 5  # the vocabulary ends there; atropisomers are the only ones beyond it
_MOST_CHARGE = 5


def _codes(known: Mapping[Any, int], other: int) -> np.ndarray:
    """Table from RDKit's number of a value to its code."""
    table = np.full(max(int(value) for value in type(next(iter(known))).values) + 1, other, np.uint8)
    for value, code in known.items():
        table[int(value)] = code
    return table


_CHIRALITY = _codes(
    {
        ChiralType.CHI_UNSPECIFIED: 0,
        ChiralType.CHI_TETRAHEDRAL_CW: 1,
        ChiralType.CHI_TETRAHEDRAL_CCW: 2,
        ChiralType.CHI_OTHER: 3,
    },
    _OTHER_CHIRALITY,
)
_HYBRIDIZATION = _codes(
    {
        HybridizationType.SP: 0,
        HybridizationType.SP2: 1,
        HybridizationType.SP3: 2,
        HybridizationType.SP3D: 3,
        HybridizationType.SP3D2: 4,
    },
    _OTHER_HYBRID,
)
_BOND_TYPE = _codes(
    {BondType.SINGLE: 0, BondType.DOUBLE: 1, BondType.TRIPLE: 2, BondType.AROMATIC: 3}, _OTHER_BOND_TYPE
)
_BOND_STEREO = _codes(
    {
        BondStereo.STEREONONE: 0,
        BondStereo.STEREOZ: 1,
        BondStereo.STEREOE: 2,
        BondStereo.STEREOCIS: 3,
        BondStereo.STEREOTRANS: 4,
        BondStereo.STEREOANY: 5,
    },
    _OTHER_BOND_STEREO,
)
# RDKit's functions, in the order of the columns.
_ATOM_COLUMNS: tuple[Callable[[Any], Any], ...] = (
    Atom.GetAtomicNum, Atom.GetChiralTag, Atom.GetTotalDegree, Atom.GetFormalCharge, Atom.GetTotalNumHs,
    Atom.GetNumRadicalElectrons, Atom.GetHybridization, Atom.GetIsAromatic, Atom.IsInRing,
)  # fmt: skip
_BOND_COLUMNS: tuple[Callable[[Any], Any], ...] = (
    Bond.GetBondType, Bond.GetStereo, Bond.GetIsConjugated, Bond.GetBeginAtomIdx, Bond.GetEndAtomIdx
)  # fmt: skip
_ELEMENT, _CHIRAL_TAG, _CHARGE = 0, 1, 3  # of them
_STEREO = 1


class Chunk(NamedTuple):
    """Features of some molecules, as they travel between processes."""

    atom_features: np.ndarray
    bond_features: np.ndarray
    bond_atoms: np.ndarray
    atoms: list[int]
    bonds: list[int]
    reasons: list[str | None]


class ChunkBuilder:
    """Collects molecules, feature by feature: the loops that call RDKit's functions are then not Python's."""

    def __init__(self) -> None:
        self._atoms: list[list[int]] = [[] for _ in _ATOM_COLUMNS]
        self._bonds: list[list[int]] = [[] for _ in _BOND_COLUMNS]
        self._atom_counts: list[int] = []
        self._bond_counts: list[int] = []
        self._reasons: list[str | None] = []

    def add(self, molecule: Any, smiles: str) -> None:
        """Add a molecule, parsed from that SMILES."""
        # Most molecules have no stereo marks, and asking each atom and bond takes a tenth of the time.
        extended = "|" in smiles
        chiral = extended or "@" in smiles
        stereo = extended or "/" in smiles or "\\" in smiles
        # By number, which takes half as long as going through GetAtoms() and GetBonds().
        atoms = list(map(molecule.GetAtomWithIdx, range(molecule.GetNumAtoms())))
        bonds = list(map(molecule.GetBondWithIdx, range(molecule.GetNumBonds())))
        for number, (values, get) in enumerate(zip(self._atoms, _ATOM_COLUMNS, strict=True)):
            skip = number == _CHIRAL_TAG and not chiral
            values.extend(repeat(0, len(atoms)) if skip else map(get, atoms))
        for number, (values, get) in enumerate(zip(self._bonds, _BOND_COLUMNS, strict=True)):
            skip = number == _STEREO and not stereo
            values.extend(repeat(0, len(bonds)) if skip else map(get, bonds))
        self._atom_counts.append(len(atoms))
        self._bond_counts.append(len(bonds))
        self._reasons.append(None)

    def add_failed(self, reason: str | None) -> None:
        """Add a row without a molecule."""
        self._atom_counts.append(0)
        self._bond_counts.append(0)
        self._reasons.append(reason)

    def last_atoms(self) -> tuple[list[int], list[int]]:
        """Elements and formal charges of the atoms of the molecule added last."""
        count = self._atom_counts[-1]
        start = len(self._atoms[0]) - count
        return self._atoms[_ELEMENT][start:], self._atoms[_CHARGE][start:]

    def remove_last(self) -> None:
        """Take the row added last away."""
        for columns, counts in ((self._atoms, self._atom_counts), (self._bonds, self._bond_counts)):
            count = counts.pop()
            for values in columns:
                del values[len(values) - count :]
        self._reasons.pop()

    def chunk(self) -> Chunk:
        """Give everything that was added, as codes."""
        element, chirality, degree, charge, hydrogens, radicals, hybridization, aromatic, ring = (
            np.fromiter(values, np.int16, len(values)) for values in self._atoms
        )
        kind, stereo, conjugated, begin, end = (
            np.fromiter(values, np.int32, len(values)) for values in self._bonds
        )
        most = [size - 1 for size in ATOM_FEATURE_SIZES]
        atoms = (
            np.where(element == 0, _OTHER_ELEMENT, np.minimum(element - 1, _OTHER_ELEMENT)),  # 0: a wildcard
            _CHIRALITY[chirality],
            np.minimum(degree, most[2]),
            np.where(np.abs(charge) <= _MOST_CHARGE, charge + _MOST_CHARGE, _OTHER_CHARGE),
            np.minimum(hydrogens, most[4]),
            np.minimum(radicals, most[5]),
            _HYBRIDIZATION[hybridization],
            aromatic,
            ring,
        )
        bonds = (_BOND_TYPE[kind], _BOND_STEREO[stereo], conjugated)
        return Chunk(
            np.stack(atoms, axis=1).astype(np.uint8),
            np.stack(bonds, axis=1).astype(np.uint8),
            np.stack([begin, end], axis=1),
            self._atom_counts,
            self._bond_counts,
            self._reasons,
        )


def featurize(
    smiles: Sequence[str | None],
    *,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    helpers: Executor | None = None,
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
    helpers : Helpers or Cluster, optional
        Processes that are kept for the next call, or a cluster's; some are started and ended here otherwise.

    Returns
    -------
    (PackedMolecules, list of (str or None))
        One molecule per input row, without atoms where the row failed, and why each row failed (None: it did
        not).

    Examples
    --------
    >>> from infoalign_dgl.molecules import featurize
    >>> packed, reasons = featurize(["CCO", "C1CC"])
    >>> len(packed), packed.atom_offsets.tolist(), packed.bond_atoms.tolist()
    (2, [0, 3, 3], [[0, 1], [1, 2]])
    >>> packed.atom_features[:, 0].tolist()  # atomic number less 1: two carbons, an oxygen
    [5, 5, 7]
    >>> reasons
    [None, 'does not parse as SMILES']
    """
    chunks = map_chunks(_featurize_chunk, smiles, num_workers=num_workers, progress=progress, helpers=helpers)
    return pack_chunks(chunks)


def pack_chunks(chunks: Sequence[Chunk]) -> tuple[PackedMolecules, list[str | None]]:
    """Put chunks together, as `featurize` returns them."""
    atoms = np.array([count for chunk in chunks for count in chunk.atoms], dtype=np.int64)
    bonds = np.array([count for chunk in chunks for count in chunk.bonds], dtype=np.int64)
    no_atoms = np.empty((0, len(ATOM_FEATURE_SIZES)), np.uint8)
    no_bonds = np.empty((0, len(BOND_FEATURE_SIZES)), np.uint8)
    packed = PackedMolecules(
        atom_features=np.concatenate([no_atoms, *(chunk.atom_features for chunk in chunks)]),
        bond_features=np.concatenate([no_bonds, *(chunk.bond_features for chunk in chunks)]),
        bond_atoms=np.concatenate([np.empty((0, 2), np.int32), *(chunk.bond_atoms for chunk in chunks)]),
        atom_offsets=np.concatenate([[0], np.cumsum(atoms)]),
        bond_offsets=np.concatenate([[0], np.cumsum(bonds)]),
    )
    return packed, [reason for chunk in chunks for reason in chunk.reasons]


def _featurize_chunk(smiles: list[str | None]) -> Chunk:
    builder = ChunkBuilder()
    with rdBase.BlockLogs():
        for text in smiles:
            molecule, reason = parse_structure(text)
            if molecule is None:
                builder.add_failed(reason)
            else:
                builder.add(molecule, str(text))
    return builder.chunk()
