"""One structure per molecule: largest fragment, uncharged, as canonical SMILES and InChIKey."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from infoalign_dgl.molecules._workers import map_chunks
from infoalign_dgl.molecules.parsing import parse_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infoalign_dgl.molecules._workers import Executor

CHARGED_ATOM = re.compile(r"\[[^\]]*[+-]")
_Row = tuple[str | None, str | None, str | None]


@dataclass(frozen=True)
class Standardized:
    """Standardized structures, row-aligned with the input.

    Attributes
    ----------
    smiles : list of (str or None)
        Canonical isomeric SMILES of the largest fragment, uncharged; None where the row was dropped.
    key : list of (str or None)
        The full InChIKey of that structure; its first 14 characters are the connectivity block that molecules
        merge on.
    reason : list of (str or None)
        Why the row was dropped; None exactly where ``smiles`` and ``key`` are set.
    """

    smiles: list[str | None]
    key: list[str | None]
    reason: list[str | None]

    def __len__(self) -> int:
        return len(self.smiles)


def standardize(
    structures: Sequence[str | None],
    *,
    kind: Literal["smiles", "inchi"] = "smiles",
    tautomer: bool = False,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    helpers: Executor | None = None,
) -> Standardized:
    """Bring structures to the form in which molecules from all sources are compared.

    The largest fragment is chosen (salts and solvents go), charges are neutralized where adding or removing
    hydrogens does it and gives a possible structure, the canonical tautomer is taken if asked for, and the
    rest is written as canonical isomeric SMILES with its InChIKey.

    Parameters
    ----------
    structures : sequence of (str or None)
        SMILES or InChI, one per row; anything that is not a string counts as empty.
    kind : {"smiles", "inchi"}
        What the strings are.
    tautomer : bool
        Take RDKit's canonical tautomer, which forgets the stereochemistry of atoms and bonds that take part.
        It needs many times as long.
    num_workers : int, optional
        Processes; by default one per CPU. Fewer than 2,000 different structures are done in this process.
    progress : callable, optional
        Called with (structures done, different structures in all).
    helpers : Helpers or Cluster, optional
        Processes that are kept for the next call, or a cluster's; some are started and ended here otherwise.

    Returns
    -------
    Standardized
        One entry per input row.

    Raises
    ------
    ValueError
        If ``kind`` is neither "smiles" nor "inchi".

    Examples
    --------
    A salt, a charge, and no structure at all:

    >>> from infoalign_dgl.molecules import standardize
    >>> found = standardize(["CC(=O)[O-].[Na+]", "OC(C)=O", "C1CC"])
    >>> found.smiles
    ['CC(=O)O', 'CC(=O)O', None]
    >>> found.key[0] == found.key[1], found.reason[2]
    (True, 'does not parse as SMILES')
    """
    if kind not in ("smiles", "inchi"):
        raise ValueError(f"'kind' must be 'smiles' or 'inchi', not {kind!r}")
    # The same structure often comes in many rows: wells, replicates. Any non-string is an empty cell.
    texts = [row.strip() if isinstance(row, str) else "" for row in structures]
    different = list(dict.fromkeys(texts))
    chunks = map_chunks(
        partial(_standardize_all, kind=kind, tautomer=tautomer),
        different,
        num_workers=num_workers,
        progress=progress,
        helpers=helpers,
    )
    found = dict(zip(different, (row for chunk in chunks for row in chunk), strict=True))
    rows = [found[text] for text in texts]
    return Standardized([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


def _standardize_all(texts: list[str], kind: Literal["smiles", "inchi"], *, tautomer: bool) -> list[_Row]:
    with rdBase.BlockLogs():
        return [standardize_one(text, kind, tautomer=tautomer) for text in texts]


def standardize_one(text: str, kind: Literal["smiles", "inchi"], *, tautomer: bool = False) -> _Row:
    """Give one structure's standard SMILES and InChIKey, or the reason why there are none."""
    molecule, reason = parse_structure(text, kind)
    if molecule is None:
        return None, None, reason
    smiles = Chem.MolToSmiles(molecule)
    # Most molecules need neither step, and looking is cheap. What a step changed is read back from its
    # SMILES, so that the key is that of the SMILES and not of leftovers on the molecule object.
    if "." in smiles:
        molecule, smiles = _read_back(_largest_fragment().choose(molecule)) or (molecule, smiles)
    if CHARGED_ATOM.search(smiles):
        molecule, smiles = _read_back(uncharger().uncharge(molecule)) or (molecule, smiles)
    if tautomer:
        molecule, smiles = _read_back(_tautomers().Canonicalize(molecule)) or (molecule, smiles)
    key = Chem.MolToInchiKey(molecule)
    if not key:
        return None, None, "has no InChIKey (InChI does not describe wildcard atoms, among others)"
    return smiles, key, None


def _read_back(molecule: Any) -> tuple[Any, str] | None:
    """Write and read a molecule; None if the step before made what chemistry does not allow.

    Uncharging does so to pentavalent P(-), say. The molecule then stays as it was before that step.
    """
    molecule = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))
    return None if molecule is None else (molecule, Chem.MolToSmiles(molecule))


@cache
def _largest_fragment() -> Any:
    return rdMolStandardize.LargestFragmentChooser()


@cache
def _tautomers() -> Any:
    return rdMolStandardize.TautomerEnumerator()


@cache
def uncharger() -> Any:
    """Give RDKit's uncharger, made once."""
    return rdMolStandardize.Uncharger()
