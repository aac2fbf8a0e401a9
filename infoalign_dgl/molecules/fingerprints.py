"""Morgan fingerprints, eight bits to a byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rdkit import DataStructs, rdBase
from rdkit.Chem import rdFingerprintGenerator

from infoalign_dgl.molecules.parsing import parse_structure

if TYPE_CHECKING:
    from collections.abc import Sequence

_BATCH = 4096  # molecule objects held at a time: a few kB each


def morgan_fingerprints(
    smiles: Sequence[str], *, radius: int, num_bits: int = 1024, num_threads: int | None = None
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
    num_threads : int, optional
        Threads for the fingerprints themselves; by default as many as there are CPUs.

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
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=num_bits)
    packed = np.empty((len(smiles), num_bits // 8), dtype=np.uint8)
    for start in range(0, len(smiles), _BATCH):
        molecules = []
        with rdBase.BlockLogs():
            for row, text in enumerate(smiles[start : start + _BATCH], start):
                molecule, reason = parse_structure(text)
                if molecule is None:
                    raise ValueError(
                        f"row {row} ({text!r}): {reason}; pass SMILES that 'standardize' returned"
                    )
                molecules.append(molecule)
        vectors = generator.GetFingerprints(molecules, numThreads=0 if num_threads is None else num_threads)
        little = b"".join(DataStructs.BitVectToBinaryText(vector) for vector in vectors)
        packed[start : start + len(molecules)] = np.frombuffer(little, np.uint8).reshape(len(molecules), -1)
    return _BIT_REVERSED[packed]


# RDKit writes the first bit of a byte lowest, packbits writes it highest.
_BIT_REVERSED = np.packbits(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)[:, ::-1], axis=1
).ravel()
