"""What methods with a model per task share: which rows it learns from, processes, and where results go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._supervision import Targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.tasks import Kind

    Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Problem:
    """The rows with features, and what is to be learned of them.

    Attributes
    ----------
    x : np.ndarray
        (m, d): the features of the rows that have any.
    rows : np.ndarray
        (m,) int64: which of the n rows these are.
    num_rows : int
        n.
    place : np.ndarray
        (n,) int64: each row's place among the m; meaningless for others.
    targets : Targets
    """

    x: np.ndarray
    rows: np.ndarray
    num_rows: int
    place: np.ndarray
    targets: Targets

    @classmethod
    def of(cls, features: np.ndarray, labels: np.ndarray, split: Split, kind: Kind) -> Problem:
        """Leave out rows without features and tasks that cannot be trained.

        Raises
        ------
        EvaluationError
            If fewer than two train rows have features, no task can be trained, or features are infinite.
        """
        infinite = np.isinf(features).any(axis=1)
        if infinite.any():
            raise EvaluationError(
                f"row {int(infinite.argmax())} of the features holds an infinite value: correct it, or leave "
                "the row's features NaN"
            )
        usable = ~np.isnan(features).any(axis=1)
        targets = Targets.of(labels, split, kind, usable)
        return cls(features[usable], np.flatnonzero(usable), len(features), np.cumsum(usable) - 1, targets)

    @property
    def num_tasks(self) -> int:
        """Tasks U that are trained."""
        return self.targets.values.shape[1]

    def observed(self, task: int, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give a task's rows of a part by their places, int64, and their labels, float32."""
        labels = self.targets.values[part, task]
        seen = ~np.isnan(labels)
        return self.place[part[seen]], labels[seen]

    def placed(self, found: np.ndarray, *, spread: bool = False) -> np.ndarray:
        """Put (..., m, U) into (..., n, T) float32 in the tasks' units; a spread is only scaled."""
        targets = self.targets
        values = np.full((*found.shape[:-2], self.num_rows, len(targets.trained)), np.nan, np.float32)
        shift = 0.0 if spread else targets.mean
        values[..., self.rows[:, None], np.flatnonzero(targets.trained)] = shift + targets.scale * found
        return values


def run_jobs(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    *,
    num_workers: int | None,
    progress: Progress | None,
) -> Iterator[Any]:
    """Call a function with each job's arguments in processes, and give the results in order.

    Parameters
    ----------
    function : callable
        Importable by name.
    jobs : sequence of tuple
        Arguments; processes share large arrays by memory maps.
    num_workers : int or None
        Processes; None for one per CPU.
    progress : callable or None
        Called with (jobs done, all).
    """
    from joblib import Parallel, delayed

    workers = num_workers or len(os.sched_getaffinity(0))
    results = Parallel(workers, return_as="generator")(delayed(function)(*job) for job in jobs)
    for done, result in enumerate(results, start=1):
        yield result
        if progress is not None:
            progress(done, len(jobs))
