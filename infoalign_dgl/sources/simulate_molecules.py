"""New molecules from the fragments of known drugs, and the fragments that act on cells.

Bonds are cut and made by the BRICS rules (Degen et al. 2008, "On the Art of Compiling and Using 'Drug-Like'
Chemical Fragment Spaces"). RDKit returns fragments as sets, so everything is sorted before a random number
is spent on it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import BRICS, rdFingerprintGenerator

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_HEAVY_ATOMS, MAX_HEAVY_ATOMS = 12, 45
_LARGEST_FRAGMENT = 16
_SMALLEST_CHEMOTYPE = 5  # heavy atoms; below, a fragment is a functional group that many others contain
_MOST_SIMILAR_CHEMOTYPES = 0.35  # Tanimoto, Morgan radius 2
_TRIES_PER_MOLECULE = 200


@dataclass(frozen=True)
class Fragment:
    """A piece of a drug.

    Attributes
    ----------
    smiles : str
        With a wildcard atom at each cut, its isotope being the BRICS environment.
    core : str
        The same without environments: what makes two fragments chemically the same.
    molecule : rdkit.Chem.Mol
        The parsed ``smiles``.
    sites : tuple of (int, int)
        Wildcard atom and BRICS environment of each cut.
    heavy_atoms : int
        Atoms that are not wildcards.
    """

    smiles: str
    core: str
    molecule: Any
    sites: tuple[tuple[int, int], ...]
    heavy_atoms: int


@cache
def fragment_library() -> tuple[Fragment, ...]:
    """Cut the seed drugs; up to 16 heavy atoms, 1 to 3 cuts, single bonds only, sorted by SMILES."""
    pieces: set[str] = set()
    for smiles in SEED_DRUGS.values():
        pieces |= BRICS.BRICSDecompose(Chem.MolFromSmiles(smiles))
    library = []
    for smiles in sorted(pieces):
        molecule = Chem.MolFromSmiles(smiles)
        sites = tuple((a.GetIdx(), a.GetIsotope()) for a in molecule.GetAtoms() if a.GetAtomicNum() == 0)
        heavy = molecule.GetNumAtoms() - len(sites)
        # Environment 7 is the end of a double bond.
        usable = 1 <= len(sites) <= 3 and heavy <= _LARGEST_FRAGMENT and all(label != 7 for _, label in sites)
        if usable:
            core = Chem.CanonSmiles(re.sub(r"\[\d+\*\]", "*", smiles))
            library.append(Fragment(smiles, core, molecule, sites, heavy))
    return tuple(library)


@cache
def _partners() -> dict[int, tuple[tuple[Fragment, int], ...]]:
    """By environment: the fragments that may be bound there, with the wildcard atom they are bound by."""
    allowed = defaultdict(set)
    for rules in BRICS.reactionDefs:
        for left, right, bond in rules:
            if bond == "-":
                allowed[int(left)].add(int(right))
                allowed[int(right)].add(int(left))
    partners = defaultdict(list)
    for fragment in fragment_library():
        for atom, label in fragment.sites:
            for other in sorted(allowed[label]):
                partners[other].append((fragment, atom))
    return {label: tuple(found) for label, found in partners.items()}


def join_molecules(count: int, rng: np.random.Generator) -> list[str]:
    """Join fragments at random into different molecules of 12 to 45 heavy atoms.

    Parameters
    ----------
    count : int
        How many.
    rng : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    list of str
        Canonical SMILES, of which no two share an InChIKey first block.

    Raises
    ------
    SourceError
        If the fragments do not give that many molecules.
    """
    smiles: list[str] = []
    seen: set[str] = set()
    for _ in range(_TRIES_PER_MOLECULE * count):
        if len(smiles) == count:
            break
        molecule = _grow(rng)
        if molecule is None or not MIN_HEAVY_ATOMS <= molecule.GetNumAtoms() <= MAX_HEAVY_ATOMS:
            continue
        block = Chem.MolToInchiKey(molecule)[:14]
        if block and block not in seen:
            seen.add(block)
            smiles.append(Chem.MolToSmiles(molecule))
    if len(smiles) < count:
        raise SourceError(
            f"the simulator joined only {len(smiles):,} different molecules of {count:,}: ask for fewer"
        )
    return smiles


def _grow(rng: np.random.Generator) -> Any | None:
    """Start from a fragment with several cuts and bind fragments until no cut is open."""
    starts = [fragment for fragment in fragment_library() if len(fragment.sites) > 1]
    start = starts[rng.integers(len(starts))]
    size_wanted = int(rng.integers(MIN_HEAVY_ATOMS + 4, MAX_HEAVY_ATOMS - 7))
    molecule, used = Chem.RWMol(start.molecule), []
    sites = list(start.sites)
    size = start.heavy_atoms
    while sites:
        site, label = sites.pop(0)
        extend = size < size_wanted and rng.random() < 0.3
        choices = [
            (fragment, atom)
            for fragment, atom in _partners().get(label, ())
            if (len(fragment.sites) > 1) == extend and size + fragment.heavy_atoms <= MAX_HEAVY_ATOMS
        ]
        if not choices:
            return None
        fragment, atom = choices[rng.integers(len(choices))]
        offset = molecule.GetNumAtoms()
        molecule.InsertMol(fragment.molecule)
        inside = molecule.GetAtomWithIdx(site).GetNeighbors()[0].GetIdx()
        outside = molecule.GetAtomWithIdx(offset + atom).GetNeighbors()[0].GetIdx()
        molecule.AddBond(inside, outside, Chem.BondType.SINGLE)
        used += [site, offset + atom]
        sites += [(offset + other, env) for other, env in fragment.sites if other != atom]
        size += fragment.heavy_atoms
    molecule.BeginBatchEdit()
    for wildcard in used:
        molecule.RemoveAtom(wildcard)
    molecule.CommitBatchEdit()
    # Read back rather than sanitized: what stands in the SMILES is all that anyone else will see.
    return Chem.MolFromSmiles(Chem.MolToSmiles(molecule))


def choose_chemotypes(mechanisms: int, per_mechanism: int, rng: np.random.Generator) -> list[list[str]]:
    """Give every mechanism fragments that differ from each other; no fragment acts twice.

    Only fragments that are not part of another one qualify, so that a molecule that contains an active
    fragment was, as a rule, joined from it.

    Returns
    -------
    list of list of str
        Cores by mechanism.
    """
    candidates = _distinct_cores()
    order = [candidates[i] for i in rng.permutation(len(candidates))]
    chosen: list[list[str]] = [[] for _ in range(mechanisms)]
    for core in order:
        open_ones = [group for group in chosen if len(group) < per_mechanism]
        fitting = [group for group in open_ones if _most_similar(core, group) <= _MOST_SIMILAR_CHEMOTYPES]
        if fitting:
            min(fitting, key=len).append(core)
    if any(len(group) < per_mechanism for group in chosen):
        raise SourceError(
            f"{len(candidates)} fragments do not give {mechanisms} mechanisms {per_mechanism} dissimilar "
            "chemotypes each: ask for fewer"
        )
    return chosen


@cache
def _distinct_cores() -> list[str]:
    every = sorted({f.core for f in fragment_library()})
    molecules = [Chem.MolFromSmiles(core) for core in every]
    large = sorted(
        {f.core for f in fragment_library() if f.heavy_atoms >= _SMALLEST_CHEMOTYPE and len(f.sites) <= 2}
    )
    # A fragment contains itself.
    return [core for core in large if contains_fragment(molecules, core).sum() == 1]


@cache
def _fingerprint(core: str) -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024).GetFingerprint(
        Chem.MolFromSmiles(core)
    )


def _most_similar(core: str, others: Sequence[str]) -> float:
    return max(
        (DataStructs.TanimotoSimilarity(_fingerprint(core), _fingerprint(other)) for other in others),
        default=0.0,
    )


def contains_fragment(molecules: Sequence[Any], core: str) -> np.ndarray:
    """Tell which molecules contain a fragment as it is: bound to the rest at its cuts and nowhere else.

    Parameters
    ----------
    molecules : sequence of rdkit.Chem.Mol
        Where to look.
    core : str
        The fragment, a wildcard at each cut.

    Returns
    -------
    numpy.ndarray
        (n,) bool.
    """
    settings: Any = Chem.AdjustQueryParameters.NoAdjustments()
    settings.makeDummiesQueries = True
    settings.adjustDegree = True
    settings.adjustDegreeFlags = Chem.ADJUST_IGNOREDUMMIES
    settings.adjustRingCount = True
    settings.adjustRingCountFlags = Chem.ADJUST_IGNOREDUMMIES
    pattern = Chem.AdjustQueryProperties(Chem.MolFromSmiles(core), settings)
    return np.array([molecule.HasSubstructMatch(pattern) for molecule in molecules], dtype=bool)
