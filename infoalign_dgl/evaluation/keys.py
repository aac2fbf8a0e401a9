"""Keys of a task set's molecules, made as a graph makes those of its own."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from infoalign_dgl.context.exclusion import BLOCK
from infoalign_dgl.molecules import standardize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infoalign_dgl.evaluation.tasks import TaskSet


class MoleculeKeys:
    """First InChIKey blocks of a task set's molecules, or of their tautomers where a graph has those.

    Parameters
    ----------
    task_set : TaskSet
    progress : callable, optional
        Called with (structures done, different structures in all) while tautomers are looked for, once.
    """

    def __init__(self, task_set: TaskSet, progress: Callable[[int, int], None] | None = None) -> None:
        self._task_set = task_set
        self._progress = progress

    def of(self, *, tautomer: bool) -> Sequence[str | None]:
        """Keys as a graph with this setting ``tautomer`` has them, row for row."""
        return self._tautomers if tautomer else self._task_set.keys

    def overlap(self, seen: frozenset[str] | None, *, tautomer: bool) -> int | None:
        """Rows whose molecule is among those seen, None where nobody can say what was."""
        return None if seen is None else sum(key in seen for key in self.of(tautomer=tautomer))

    @cached_property
    def _tautomers(self) -> list[str | None]:
        found = standardize(self._task_set.smiles, tautomer=True, progress=self._progress)
        return [None if key is None else key[:BLOCK] for key in found.key]
