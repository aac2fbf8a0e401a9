"""Structures to the graphs of their standardized molecules in one pass, for embedding.

`standardize` writes each molecule as canonical SMILES with its InChIKey, and `featurize` parses that again.
Where only the graph is wanted, most molecules need neither: what is parsed once, and uncharged where it has
charges, has the same atoms and bonds with the same features. Those molecules for which that could fail take
the long way through both.
"""

from __future__ import annotations

import re
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from rdkit import Chem, rdBase

from infoalign_dgl.molecules._workers import map_chunks
from infoalign_dgl.molecules.featurization import ChunkBuilder, pack_chunks
from infoalign_dgl.molecules.parsing import parse_structure
from infoalign_dgl.molecules.standardization import CHARGED_ATOM, standardize_one, uncharger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infoalign_dgl.molecules._workers import Executor
    from infoalign_dgl.molecules.featurization import Chunk
    from infoalign_dgl.molecules.packed import PackedMolecules

# Stereo marks are relative to the order of atoms in the SMILES; of fragments one has to be chosen; and the
# rest are wildcards and bonds that InChI may not know.
_LONG_WAY = re.compile(r"[@/\\.|~$>*]")
# B C N O F Si P S Cl As Se Br I: InChI describes their molecules, if they are not too large.
_PLAIN_ELEMENTS = frozenset({5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 53})
_MOST_PLAIN_ATOMS = 500


def standardized_graphs(
    smiles: Sequence[str | None],
    *,
    tautomer: bool = False,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    helpers: Executor | None = None,
) -> tuple[PackedMolecules, list[str | None]]:
    """Give what `featurize` gives of what `standardize` gives.

    Parameters
    ----------
    smiles : sequence of (str or None)
        One per row; anything that is not a string counts as empty.
    tautomer : bool
        As for `standardize`; every molecule then takes the long way.
    num_workers : int, optional
        Processes; by default one per CPU.
    progress : callable, optional
        Called with (rows done, rows in all).
    helpers : Helpers or Cluster, optional
        Processes that are kept for the next call, or a cluster's; some are started and ended here otherwise.

    Returns
    -------
    (PackedMolecules, list of (str or None))
        As of `featurize`, with the reasons of `standardize`; a molecule's atoms and bonds may stand in
        another order.
    """
    work = partial(_prepare_chunk, tautomer=tautomer)
    chunks = map_chunks(work, smiles, num_workers=num_workers, progress=progress, helpers=helpers)
    return pack_chunks(chunks)


def _prepare_chunk(smiles: list[str | None], *, tautomer: bool) -> Chunk:
    builder = ChunkBuilder()
    with rdBase.BlockLogs():
        for text in smiles:
            if tautomer or not (isinstance(text, str) and _add_short(builder, text)):
                _add_long(builder, text, tautomer=tautomer)
    return builder.chunk()


def _add_short(builder: ChunkBuilder, text: str) -> bool:
    """Add a molecule parsed once; False, and nothing added, where that may differ from the long way."""
    if _LONG_WAY.search(text):
        return False
    charged = CHARGED_ATOM.search(text) is not None
    molecule = _parse_uncharged(text) if charged else parse_structure(text)[0]
    if molecule is None or molecule.GetNumAtoms() > _MOST_PLAIN_ATOMS:
        return False
    builder.add(molecule, text)
    elements, charges = builder.last_atoms()
    # Parsing gives a neutral N(=O)=O its charges, as canonical SMILES has them.
    if not _PLAIN_ELEMENTS.issuperset(elements) or (not charged and any(charges)):
        builder.remove_last()
        return False
    return True


def _parse_uncharged(text: str) -> Any | None:
    """Parse and uncharge, and only then perceive rings, aromaticity and the rest; None where that fails."""
    molecule = Chem.MolFromSmiles(text.strip(), _as_written())
    if molecule is None:
        return None
    molecule.UpdatePropertyCache(strict=False)
    uncharger().unchargeInPlace(molecule)
    failed = Chem.SanitizeMol(molecule, catchErrors=True)
    return molecule if failed == Chem.SanitizeFlags.SANITIZE_NONE else None


@cache
def _as_written() -> Any:
    parameters: Any = Chem.SmilesParserParams()
    parameters.sanitize = False
    return parameters


def _add_long(builder: ChunkBuilder, text: object, *, tautomer: bool) -> None:
    given = text.strip() if isinstance(text, str) else ""
    standard, _, reason = standardize_one(given, "smiles", tautomer=tautomer)
    molecule, failed = parse_structure(standard) if standard is not None else (None, reason)
    if molecule is None or standard is None:
        builder.add_failed(failed)
    else:
        builder.add(molecule, standard)
