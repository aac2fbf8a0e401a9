"""A method's predictions for one seed, stored so that a comparison that is called again goes on where it was.

A cell is a file ``<task>/<method>/seed-<k>.npz``. It holds a key that hashes everything its predictions
depend on; one with another key is of an earlier comparison, and is made again.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl._folders import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from infoalign_dgl.evaluation.splits import Split


@dataclass(frozen=True)
class Cell:
    """Predictions for the rows of valid and test.

    Attributes
    ----------
    rows : numpy.ndarray
        (m,) int64, of the task set, ascending.
    values : numpy.ndarray
        (m, T) float32: probabilities of class 1, or values; NaN where there is none.
    spread : numpy.ndarray or None
        (m, T) float32: the method's own standard deviation.
    notes : list of str
        What the method said, a sentence each.
    """

    rows: np.ndarray
    values: np.ndarray
    spread: np.ndarray | None
    notes: list[str]


def judged_rows(split: Split) -> np.ndarray:
    """Rows whose predictions are kept: those of valid and test, ascending, int64."""
    return np.union1d(split.valid, split.test)


def cell_key(**facts: Any) -> str:
    """Hash what predictions depend on.

    Parameters
    ----------
    **facts
        Arrays are hashed by their content, shape and type; anything else as JSON has it.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, fact in sorted(facts.items()):
        digest.update(f"{name}:".encode())
        if isinstance(fact, np.ndarray):
            digest.update(f"{fact.shape} {fact.dtype.str}".encode())
            digest.update(np.ascontiguousarray(fact).data)
        else:
            digest.update(json.dumps(fact, sort_keys=True).encode())
    return digest.hexdigest()


def cell_path(folder: Path, task: str, method: str, seed: int) -> Path:
    """Where a cell of a results folder stands."""
    return folder / task / method.replace("/", "_") / f"seed-{seed}.npz"


def write_cell(path: Path, key: str, cell: Cell) -> None:
    """Write a cell, whole or not at all.

    Raises
    ------
    InfoAlignError
        If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"rows": cell.rows, "values": cell.values.astype(np.float32, copy=False)}
    if cell.spread is not None:
        arrays["spread"] = cell.spread.astype(np.float32, copy=False)
    said = {"key": np.array(key), "notes": np.array(json.dumps(cell.notes))}
    replace_file(path, lambda stream: np.savez(stream, allow_pickle=False, **arrays, **said))


def read_cell(path: Path, key: str | None = None) -> Cell | None:
    """Read a cell; None where there is none, or it is damaged or has another key than a given one."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if key is not None and str(stored["key"]) != key:
                return None
            return Cell(
                stored["rows"], stored["values"], stored.get("spread"), json.loads(str(stored["notes"]))
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
