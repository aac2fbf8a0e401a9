"""How far molecules are from those that a method has learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from infoalign_dgl.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUERIES, _REFERENCES = 512, 4096  # compared at a time: 40 MB of unpacked bits


def packed_morgan(smiles: Sequence[str | None]) -> np.ndarray:
    """Calculate Morgan bits (radius 2, 2,048) of standardized structures, eight to a byte.

    Parameters
    ----------
    smiles : sequence of (str or None)
        n structures as given.

    Returns
    -------
    numpy.ndarray
        (n, 256) uint8; rows of zeros where a structure cannot be read.
    """
    from infoalign_dgl.evaluation.features import morgan_bits

    return np.packbits(morgan_bits(smiles).values > 0, axis=1)


class Nearest(NamedTuple):
    """The most similar of some molecules.

    Attributes
    ----------
    similarity : numpy.ndarray
        (n,) float64, Tanimoto similarity; NaN for a row of zeros, and where no reference is but such rows.
    row : numpy.ndarray
        (n,) int64, which reference, the first of several; -1 where there is none.
    """

    similarity: np.ndarray
    row: np.ndarray


def nearest_molecules(queries: np.ndarray, references: np.ndarray) -> Nearest:
    """Find the largest Tanimoto similarity of each query to any reference, exactly.

    Parameters
    ----------
    queries : numpy.ndarray
        (n, b) uint8, packed bits.
    references : numpy.ndarray
        (m, b) uint8, those of the train rows, say. A query that is among them finds itself.

    Returns
    -------
    Nearest

    Raises
    ------
    EvaluationError
        If the fingerprints are not equally long.
    """
    if queries.shape[1:] != references.shape[1:]:
        raise EvaluationError(
            f"fingerprints of {queries.shape[1:]} and {references.shape[1:]} bytes cannot be compared: make "
            "them with the same settings"
        )
    best, row = np.full(len(queries), -1.0), np.full(len(queries), -1, np.int64)
    left_bits, right_bits = (
        np.bitwise_count(bits).sum(axis=1, dtype=np.int64) for bits in (queries, references)
    )
    for second in range(0, len(references), _REFERENCES):
        # A float32 product counts common bits exactly, up to 2^24.
        right = np.unpackbits(references[second : second + _REFERENCES], axis=1).astype(np.float32)
        for first in range(0, len(queries), _QUERIES):
            part = slice(first, first + _QUERIES)
            left = np.unpackbits(queries[part], axis=1).astype(np.float32)
            common = (left @ right.T).astype(np.int64)
            either = left_bits[part, None] + right_bits[None, second : second + _REFERENCES] - common
            similarity = np.where(
                right_bits[second : second + _REFERENCES] > 0, common / np.maximum(either, 1), -1
            )
            found = similarity.argmax(axis=1)
            largest = np.take_along_axis(similarity, found[:, None], axis=1)[:, 0]
            better = (largest > best[part]) & (left_bits[part] > 0)
            best[part][better], row[part][better] = largest[better], found[better] + second
    return Nearest(np.where(row < 0, np.nan, best), row)
