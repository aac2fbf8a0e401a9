"""Which molecules a method learns from, which it is chosen by, and which it is judged on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.sources.tables import did_you_mean, read_header, read_table

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

METHODS = ("reference", "ogb", "scaffold", "random", "group")
PARTS = ("train", "valid", "test")
SHARES = {"reference": (0.6, 0.15, 0.25), **dict.fromkeys(METHODS[1:], (0.8, 0.1, 0.1))}
"""Shares of train, valid and test by method."""

REFERENCE_SEED = 3
"""The published code shuffles its scaffolds with this seed, whatever the seed of the training."""

_BLOCK = 14  # letters of an InChIKey's first block, which says the connectivity


@dataclass(frozen=True)
class Split:
    """Rows of each part.

    Attributes
    ----------
    train, valid, test : numpy.ndarray
        Row numbers from 0, int64, ascending; no row is in two parts.
    left_out : numpy.ndarray
        The rows in no part, int64, ascending: their structures cannot be read, or their group is None.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    left_out: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


class Leakage(NamedTuple):
    """How many rows of a part are a stereoisomer (or the same molecule, or a salt of it) of a train row."""

    valid: int
    test: int


def split_molecules(
    smiles: Sequence[str | None],
    method: str = "scaffold",
    seed: int = 0,
    *,
    groups: Sequence[Hashable | None] | None = None,
    shares: tuple[float, float, float] | None = None,
) -> Split:
    """Split molecules into train, valid and test.

    Parameters
    ----------
    smiles : sequence of (str or None)
        n structures.
    method : {"reference", "ogb", "scaffold", "random", "group"}
        ``reference``: the published code's: Murcko scaffolds (with stereochemistry) in the order of their
        first rows, shuffled by numpy's legacy generator with seed 3, and cut by count, so that a scaffold
        may lie on both sides of a cut.
        ``ogb``: the order of MoleculeNet and the Open Graph Benchmark: scaffolds (without stereochemistry),
        the largest first and those of one size by falling first row, go to train while they fit, then to
        valid while they fit, else to test.
        ``scaffold``: no scaffold (without stereochemistry) and no group lies on both sides of a cut; where a
        group has several scaffolds, as tautomers and salts do, these stay together. All molecules without a
        ring have one scaffold, the empty one. Parts are drawn by the seed and their shares come as near as
        whole scaffolds allow.
        ``random``: rows, drawn by the seed.
        ``group``: no group lies on both sides of a cut.
    seed : int
        Of ``scaffold``, ``random`` and ``group``; the other two are the same for every seed.
    groups : sequence, optional
        Of ``scaffold`` and ``group``: n values, equal where rows must stay together, None for a row that is
        to be in no part. By default the first block of the InChIKey of the standardized structure, which
        stereoisomers, tautomers and salts share.
    shares : (float, float, float), optional
        Of train, valid and test; by default 0.6, 0.15, 0.25 for ``reference`` and 0.8, 0.1, 0.1 for others.

    Returns
    -------
    Split
        A row whose structure cannot be read is in no part and counts for no share.

    Raises
    ------
    EvaluationError
        If the method is unknown, or an argument does not go with it.

    References
    ----------
    Liu et al. 2024, section 6.1, and the code published with it (`scaffold_split`); Wu et al. 2018,
    doi:10.1039/c7sc02664a, and Hu et al. 2020, arXiv:2005.00687, for ``ogb``.

    Examples
    --------
    >>> from infoalign_dgl.evaluation import split_molecules
    >>> smiles = ["Cc1ccccc1", "Oc1ccccc1", "CCO", "C1CCCCC1", "C1CC"]
    >>> split = split_molecules(smiles, shares=(0.5, 0.25, 0.25))
    >>> split.train.tolist()  # of one scaffold, so that they are not apart
    [0, 1]
    >>> sorted([*split.valid.tolist(), *split.test.tolist()]), split.left_out.tolist()
    ([2, 3], [4])
    """
    if method not in METHODS:
        raise EvaluationError(f"there is no split '{method}': {did_you_mean(method, METHODS)}")
    shares = _check_shares(SHARES[method] if shares is None else shares)
    if groups is not None and method not in ("scaffold", "group"):
        raise EvaluationError(
            f"'groups' go with the splits 'scaffold' and 'group', not with '{method}': leave them out"
        )
    if groups is not None and len(groups) != len(smiles):
        raise EvaluationError(
            f"'groups' must have one value for each of the {len(smiles)} molecules, not {len(groups)}"
        )
    if method == "group":
        return _drawn(_codes(_first_blocks(smiles) if groups is None else groups), shares, seed)
    from infoalign_dgl.molecules.scaffolds import murcko_scaffolds

    scaffolds = _codes(murcko_scaffolds(smiles, stereo=method == "reference"))
    if method == "reference":
        return _reference(scaffolds, shares)
    if method == "ogb":
        return _largest_first(scaffolds, shares)
    if method == "random":
        return _drawn(np.where(scaffolds < 0, -1, np.arange(len(scaffolds))), shares, seed)
    return _drawn(
        _joined(scaffolds, _codes(_first_blocks(smiles) if groups is None else groups)), shares, seed
    )


def read_split(path: str | Path, num_rows: int) -> Split:
    """Read a split from a table.

    Parameters
    ----------
    path : str or Path
        A table with a row for each molecule, in the order of the task set, whose column ``split`` holds
        ``train``, ``valid`` or ``test``; a row with an empty cell is in no part.
    num_rows : int
        Rows of the task set.

    Raises
    ------
    EvaluationError
        If the table has no such column, other cells, another number of rows, or no row of train or test.
    SourceError
        If it cannot be read as a table.
    """
    path = Path(path)
    names = read_header(path)
    column = next((name for name in names if name.strip().lower() == "split"), None)
    if column is None:
        raise EvaluationError(
            f"'{path}' has no column 'split' ({did_you_mean('split', names)}): give one with train, valid or "
            "test in each row"
        )
    cells = read_table(path, text=[column])[column]
    if len(cells) != num_rows:
        raise EvaluationError(
            f"'{path}' has {len(cells):,} rows and the task set {num_rows:,}: give one row for each "
            "molecule, in the same order"
        )
    words = [cell and cell.strip().lower() for cell in cells]
    for row, word in zip(cells.index, words, strict=True):
        if word and word not in PARTS:
            raise EvaluationError(
                f"'{path}', row {row}, column '{column}': '{word}' is not train, valid or test; correct it, "
                "or leave the cell empty for a molecule that is in no part"
            )
    for part in ("train", "test"):
        if part not in words:
            raise EvaluationError(f"'{path}' has no row with '{part}' in column '{column}': give it some")
    return _split(np.array([PARTS.index(word) if word else -1 for word in words], np.int64))


def stereo_leakage(keys: Sequence[str | None], split: Split) -> Leakage:
    """Count the rows of valid and test that have a train row's connectivity.

    Parameters
    ----------
    keys : sequence of (str or None)
        InChIKeys, or their first blocks, of all rows; None where there is none.
    split : Split

    Returns
    -------
    Leakage
        Rows, not molecules: a row that is a stereoisomer, tautomer, salt or repeat of any train row counts
        once.
    """
    blocks = [key and key[:_BLOCK] for key in keys]
    train = {blocks[row] for row in split.train} - {None}
    return Leakage(*(sum(blocks[row] in train for row in part) for part in (split.valid, split.test)))


def _check_shares(shares: tuple[float, float, float]) -> tuple[float, float, float]:
    fit = len(shares) == len(PARTS) and all(0 <= share <= 1 for share in shares)
    if not fit or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise EvaluationError(
            f"'shares' must be three numbers from 0 on (train, valid, test) that sum to 1, not {shares}"
        )
    return shares


def _first_blocks(smiles: Sequence[str | None]) -> list[str | None]:
    from infoalign_dgl.molecules import standardize

    return [key and key[:_BLOCK] for key in standardize(smiles).key]


def _codes(values: Sequence[Hashable | None]) -> np.ndarray:
    """Numbers of the values in the order in which they first appear, (n,) int64, -1 for None."""
    return pd.factorize(pd.Series(list(values), dtype=object))[0].astype(np.int64)


def _split(part: np.ndarray) -> Split:
    """Make a split of the part of each row: (n,) 0, 1, 2, or -1 for none."""
    return Split(*(np.flatnonzero(part == number) for number in (0, 1, 2, -1)))


def _members(codes: np.ndarray) -> list[list[int]]:
    """Ascending rows of each code, in the order of codes."""
    order = np.argsort(codes, kind="stable")
    order = order[np.searchsorted(codes[order], 0) :]
    ends = np.cumsum(np.bincount(codes[order]))
    return [rows.tolist() for rows in np.split(order, ends[:-1])] if len(order) else []


def _reference(scaffolds: np.ndarray, shares: tuple[float, float, float]) -> Split:
    clusters = _members(scaffolds)
    # The legacy generator, because the order has to be the published one.
    np.random.RandomState(REFERENCE_SEED).shuffle(clusters)
    rows = np.array([row for cluster in clusters for row in cluster], np.int64)
    train = int(shares[0] * len(rows))
    valid = train + int(shares[1] * len(rows))
    part = np.full(len(scaffolds), -1)
    for number, some in enumerate(np.split(rows, [train, valid])):
        part[some] = number
    return _split(part)


def _largest_first(scaffolds: np.ndarray, shares: tuple[float, float, float]) -> Split:
    clusters = sorted(_members(scaffolds), key=lambda rows: (len(rows), rows[0]), reverse=True)
    total = sum(map(len, clusters))
    end_of_train, end_of_valid = shares[0] * total, (shares[0] + shares[1]) * total
    part = np.full(len(scaffolds), -1)
    train = valid = 0
    for rows in clusters:
        if train + len(rows) <= end_of_train:
            part[rows] = 0
            train += len(rows)
        elif train + valid + len(rows) <= end_of_valid:
            part[rows] = 1
            valid += len(rows)
        else:
            part[rows] = 2
    return _split(part)


def _joined(scaffolds: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Give the number of the set of rows that scaffolds and groups tie together; -1 where one is missing."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    there = (scaffolds >= 0) & (groups >= 0)
    offset = scaffolds.max(initial=-1) + 1
    size = offset + groups.max(initial=-1) + 1
    ties = coo_array((np.ones(there.sum(), bool), (scaffolds[there], offset + groups[there])), (size, size))
    joined = np.full(len(scaffolds), -1)
    joined[there] = connected_components(ties, directed=False)[1][scaffolds[there]]
    return joined


def _drawn(groups: np.ndarray, shares: tuple[float, float, float], seed: int) -> Split:
    """Draw a part for each group among those with room for it, in proportion to their room.

    The largest groups come first, so that the small ones fill what these left. A group that fits nowhere goes
    where most room is.
    """
    rng = np.random.default_rng(seed)
    members = _members(_codes([None if group < 0 else group for group in groups.tolist()]))
    members = [members[number] for number in rng.permutation(len(members))]
    members.sort(key=len, reverse=True)
    room = np.array(_sizes(sum(map(len, members)), shares))
    part = np.full(len(groups), -1)
    for rows in members:
        fitting = np.where(room >= len(rows), room, 0).cumsum()
        drawn = np.searchsorted(fitting, rng.random() * fitting[-1], side="right")
        number = drawn if fitting[-1] else room.argmax()
        part[rows] = number
        room[number] -= len(rows)
    return _split(part)


def _sizes(count: int, shares: tuple[float, float, float]) -> list[int]:
    """Rows of each part; of few rows, valid and test still get one each, if train keeps one."""
    test = max(round(shares[2] * count), 1 if shares[2] and count > 1 else 0)
    valid = max(round(shares[1] * count), 1 if shares[1] and count > 2 else 0)
    return [count - test - valid, valid, test]
