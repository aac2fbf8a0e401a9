"""Molecules that a graph is built without, so that nothing of what they do in cells can be learnt from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infoalign_dgl.molecules import standardize
from infoalign_dgl.sources.tables import normalize_id, read_header, read_table
from infoalign_dgl.sources.task_tables import is_identifier, locate_task, structure_column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

BLOCK = 14  # letters of an InChIKey's first block, which says the connectivity
REASON = "molecule of an excluded task set"


@dataclass(frozen=True)
class Excluded:
    """What a build leaves out.

    Attributes
    ----------
    names : tuple of str
        Of the task sets, sorted.
    keys : frozenset of str
        First InChIKey blocks of their standardized structures.
    ids : frozenset of str
        What their columns of identifiers hold. A table of molecules that has one of them may give it another
        structure, say another charge, and then another key. Plain numbers are no such ids, since other
        tables number other molecules.
    """

    names: tuple[str, ...] = ()
    keys: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()

    def describe(self) -> dict[str, Any]:
        """Say what was left out, as the graph's schema keeps it."""
        digest = hashlib.sha256("\n".join(sorted(self.keys)).encode()).hexdigest()
        return {"tasks": list(self.names), "molecules": len(self.keys), "sha256": digest}


def read_excluded(
    sources: Sequence[str | Path],
    *,
    tautomer: bool = False,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Excluded:
    """Read which molecules task sets have.

    Parameters
    ----------
    sources : sequence of str or Path
        As for :func:`infoalign_dgl.evaluation.read_task_set`.
    tautomer, num_workers, progress
        As for :func:`infoalign_dgl.molecules.standardize`.

    Raises
    ------
    EvaluationError, SourceError
        If a task set cannot be read.
    """
    names, texts, ids = [], [], set()
    for source in sources:
        name, path = locate_task(source)
        header = read_header(path, repeated=True)
        structures = structure_column(path, header)
        others = [column for column in header if column != structures and is_identifier(column)]
        frame = read_table(path, text=[structures, *others], repeated=True)
        names.append(name)
        texts += frame[structures].tolist()
        for column in others:
            ids |= {cell for text in frame[column] if (cell := normalize_id(text)) and not cell.isdigit()}
    found = standardize(texts, tautomer=tautomer, num_workers=num_workers, progress=progress)
    keys = frozenset(key[:BLOCK] for key in found.key if key is not None)
    return Excluded(tuple(sorted(names)), keys, frozenset(ids))
