"""Morgan fingerprints, eight bits to a byte."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from rdkit import DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator

from infoalign_dgl.molecules._workers import map_chunks
from infoalign_dgl.molecules.parsing import parse_structure

if TYPE_CHECKING:
    from collections.abc import Sequence

# RDKit writes the first bit of a byte lowest, packbits writes it highest.
_BIT_REVERSED = np.packbits(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1
).ravel()


def morgan_fingerprints(
    smiles: Sequence[str], *, radius: int, num_bits: int = 1024, num_workers: int | None = None
) -> np.ndarray:
    """Compute hashed Morgan (circular) fingerprints of standardized molecules.

    Parameters
    ----------
    smiles : sequence of str
        Molecules, as `standardize` returns them.
    radius : int
        Bonds from an atom up to which its surroundings count.
    num_bits : int
        Length of the fingerprint, a multiple of 8.
    num_workers : int, optional
        Processes (reading SMILES takes most of the time and holds Python's lock); by default one per CPU.
        Fewer than 2,000 molecules are done in this process.

    Returns
    -------
    numpy.ndarray
        (n, num_bits / 8) uint8; bit b of a fingerprint is bit 7 - b % 8 of byte b // 8, which is the order of
        `numpy.packbits` and `numpy.unpackbits`.

    Raises
    ------
    ValueError
        If a row does not parse, or ``num_bits`` is not a positive multiple of 8.
    """
    if num_bits < 8 or num_bits % 8:
        raise ValueError(
            f"'num_bits' must be a positive multiple of 8, not {num_bits}: 1024 is the usual choice"
        )
    chunks = map_chunks(partial(_fingerprint_chunk, radius, num_bits), smiles, num_workers=num_workers)
    first = 0
    for packed, failed in chunks:
        if failed is not None:
            row, reason = first + failed[0], failed[1]
            raise ValueError(
                f"row {row} ({smiles[row]!r}): {reason}; pass SMILES that 'standardize' returned"
            )
        first += len(packed)
    return np.concatenate([np.empty((0, num_bits // 8), np.uint8), *(packed for packed, _ in chunks)])


def _fingerprint_chunk(
    radius: int, num_bits: int, smiles: list[str]
) -> tuple[np.ndarray, tuple[int, str | None] | None]:
    """Return the fingerprints, or which row failed first and why."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=num_bits)
    molecules = []
    with rdBase.BlockLogs():
        for row, text in enumerate(smiles):
            molecule, reason = parse_structure(text)
            if molecule is None:
                return np.empty((0, num_bits // 8), np.uint8), (row, reason)
            molecules.append(molecule)
    vectors = generator.GetFingerprints(molecules)
    little = b"".join(DataStructs.BitVectToBinaryText(vector) for vector in vectors)
    return _BIT_REVERSED[np.frombuffer(little, np.uint8).reshape(len(molecules), num_bits // 8)], None
