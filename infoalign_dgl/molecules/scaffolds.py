"""Murcko scaffolds: a molecule's rings and what links them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds.MurckoScaffold import GetScaffoldForMol

from infoalign_dgl.molecules._workers import map_chunks
from infoalign_dgl.molecules.parsing import parse_structure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infoalign_dgl.molecules._workers import Executor


def murcko_scaffolds(
    smiles: Sequence[str | None],
    *,
    stereo: bool = True,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    helpers: Executor | None = None,
) -> list[str | None]:
    """Compute the Murcko scaffold of every molecule, as it is written: nothing is standardized.

    Parameters
    ----------
    smiles : sequence of (str or None)
        n structures.
    stereo : bool
        Write the stereochemistry of rings and linkers (and isotopes) into the scaffold, so that two
        stereoisomers may have different ones.
    num_workers, progress, helpers
        As of `standardize`.

    Returns
    -------
    list of (str or None)
        n canonical SMILES; ``""`` for a molecule without a ring, None where a structure cannot be read.

    References
    ----------
    Bemis and Murcko 1996, doi:10.1021/jm9602928; as RDKit has it: atoms bound to a ring or linker by a double
    bond belong to the scaffold.
    """
    different = list(dict.fromkeys(smiles))
    chunks = map_chunks(
        partial(_scaffold_chunk, stereo=stereo),
        different,
        num_workers=num_workers,
        progress=progress,
        helpers=helpers,
    )
    found = dict(zip(different, (scaffold for chunk in chunks for scaffold in chunk), strict=True))
    return [found[text] for text in smiles]


def _scaffold_chunk(smiles: list[str | None], *, stereo: bool) -> list[str | None]:
    with rdBase.BlockLogs():
        molecules = [parse_structure(text)[0] for text in smiles]
        return [
            None if molecule is None else Chem.MolToSmiles(GetScaffoldForMol(molecule), isomericSmiles=stereo)
            for molecule in molecules
        ]
