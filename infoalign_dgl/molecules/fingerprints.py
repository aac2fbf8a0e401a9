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
    from collections.abc import Callable, Sequence

    from infoalign_dgl.molecules._workers import Executor

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

    Examples
    --------
    >>> import numpy as np
    >>> from infoalign_dgl.molecules import morgan_fingerprints
    >>> bits = morgan_fingerprints(["CCO", "OCC", "c1ccccc1"], radius=2, num_bits=64)
    >>> bits.shape, bool((bits[0] == bits[1]).all())
    ((3, 8), True)
    >>> np.unpackbits(bits, axis=1).sum(axis=1).tolist()
    [6, 6, 3]
    """
    return fingerprints_by_radius(smiles, (radius,), num_bits=num_bits, num_workers=num_workers)[0]


def fingerprints_by_radius(
    smiles: Sequence[str],
    radii: tuple[int, ...],
    *,
    num_bits: int = 1024,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    helpers: Executor | None = None,
) -> list[np.ndarray]:
    """Compute what `morgan_fingerprints` gives for each radius, reading each SMILES once.

    Parameters
    ----------
    smiles, num_bits, num_workers
        As of `morgan_fingerprints`.
    radii : tuple of int
        Its ``radius``, for each array.
    progress, helpers
        As of `standardize`.

    Raises
    ------
    ValueError
        As of `morgan_fingerprints`.
    """
    if num_bits < 8 or num_bits % 8:
        raise ValueError(
            f"'num_bits' must be a positive multiple of 8, not {num_bits}: 1024 is the usual choice"
        )
    function = partial(_fingerprint_chunk, radii, num_bits)
    chunks = map_chunks(function, smiles, num_workers=num_workers, progress=progress, helpers=helpers)
    first = 0
    for packed, failed in chunks:
        if failed is not None:
            row, reason = first + failed[0], failed[1]
            raise ValueError(
                f"row {row} ({smiles[row]!r}): {reason}; pass SMILES that 'standardize' returned"
            )
        first += len(packed[0])
    none = np.empty((0, num_bits // 8), np.uint8)
    return [np.concatenate([none, *(packed[i] for packed, _ in chunks)]) for i in range(len(radii))]


def _fingerprint_chunk(
    radii: tuple[int, ...], num_bits: int, smiles: list[str]
) -> tuple[list[np.ndarray], tuple[int, str | None] | None]:
    """Return the fingerprints of each radius, or which row failed first and why."""
    molecules = []
    with rdBase.BlockLogs():
        for row, text in enumerate(smiles):
            molecule, reason = parse_structure(text)
            if molecule is None:
                return [], (row, reason)
            molecules.append(molecule)
    packed = []
    for radius in radii:
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=num_bits)
        vectors = generator.GetFingerprints(molecules)
        little = b"".join(DataStructs.BitVectToBinaryText(vector) for vector in vectors)
        packed.append(_BIT_REVERSED[np.frombuffer(little, np.uint8).reshape(len(molecules), num_bits // 8)])
    return packed, None
