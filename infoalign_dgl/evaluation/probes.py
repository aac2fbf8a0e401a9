"""Linear models and random forests on fixed features, a model per task on the rows where it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.evaluation._per_task import Problem, run_jobs
from infoalign_dgl.evaluation._probe_models import STRENGTHS, forest_task, linear_task
from infoalign_dgl.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.tasks import Kind

_UNSCORED = 0.01  # C where no task can be scored on valid


def fit_linear(
    features: np.ndarray,
    labels: np.ndarray,
    split: Split,
    kind: Kind,
    seeds: Sequence[int],
    *,
    progress: Callable[[int, int], None] | None = None,
    num_workers: int | None = None,
) -> Predictions:
    """Fit logistic (binary) or ridge (regression) models and predict all rows.

    One C is chosen for all tasks, that with the highest mean ROC-AUC, or the lowest mean absolute error of
    standardized labels, over the tasks that can be scored on valid: a single task has few rows there. Nothing
    is random, so that all seeds have the same predictions.

    Parameters
    ----------
    features : np.ndarray
        (n, d) float32, standardized on the train rows. A row with NaN has no features and is not used.
    labels : np.ndarray
        (n, T) float64, NaN where unmeasured.
    split : Split
        Of the test rows nothing is used.
    kind : {"binary", "regression"}
    seeds : sequence of int
        S seeds.
    progress : callable, optional
        Called with (tasks done, tasks to train).
    num_workers : int, optional
        Processes; by default one per CPU.

    Returns
    -------
    Predictions
        Probabilities of class 1, or values; no spread.

    Raises
    ------
    EvaluationError
        If fewer than two train rows have features, no task can be trained, or features are infinite.
    """
    problem = Problem.of(features, labels, split, kind)
    train, valid = problem.targets.train, problem.targets.valid
    jobs = [
        (problem.x, *problem.observed(task, train), *problem.observed(task, valid), kind)
        for task in range(problem.num_tasks)
    ]
    results = list(run_jobs(linear_task, jobs, num_workers=num_workers, progress=progress))
    scores = np.array([score for _, score in results])
    scored = ~np.isnan(scores).any(axis=1)
    if scored.any():
        best = int(scores[scored].mean(axis=0).argmax())
        why = f"chosen on valid by the mean over {scored.sum():,} tasks"
    else:
        best = STRENGTHS.index(_UNSCORED)
        why = "not chosen, as no task can be scored on valid"
    found = np.stack([values[best] for values, _ in results], axis=1)
    values = np.repeat(problem.placed(found)[None], len(seeds), axis=0)
    note = f"The linear models have C = {STRENGTHS[best]:g}, {why}; nothing is random, so seeds are equal."
    return Predictions(values, None, [*problem.targets.notes, note])


def fit_forest(
    features: np.ndarray,
    labels: np.ndarray,
    split: Split,
    kind: Kind,
    seeds: Sequence[int],
    *,
    num_trees: int = 500,
    progress: Callable[[int, int], None] | None = None,
    num_workers: int | None = None,
) -> Predictions:
    """Fit a random forest per task on its observed train rows and predict the rows outside train.

    Trees are grown in full on bootstrap samples, without class weights, each split among the square root of d
    features (binary) or a third of them (regression). Valid rows are not used.

    Parameters
    ----------
    features : np.ndarray
        (n, d). A row with NaN has no features and is not used.
    labels, split, kind
        As of :func:`fit_linear`.
    seeds : sequence of int
        S seeds, each with a forest per task.
    num_trees : int
        Per forest.
    progress : callable, optional
        Called with (forests grown, all).
    num_workers : int, optional
        Processes; by default one per CPU.

    Returns
    -------
    Predictions
        The trees' mean probability of class 1, or value; NaN in train rows, which full trees know by heart;
        no spread.

    Raises
    ------
    EvaluationError
        As of :func:`fit_linear`.

    References
    ----------
    Breiman 2001, Random forests, doi:10.1023/A:1010933404324.
    """
    problem = Problem.of(features, labels, split, kind)
    train = problem.targets.train
    others = np.setdiff1d(np.arange(len(problem.x)), problem.place[train])
    jobs = [
        (problem.x, *problem.observed(task, train), others, kind, num_trees, seed)
        for seed in seeds
        for task in range(problem.num_tasks)
    ]
    grown = run_jobs(forest_task, jobs, num_workers=num_workers, progress=progress)
    found = np.stack(list(grown)).reshape(len(seeds), problem.num_tasks, len(problem.x))
    note = f"Forests have {num_trees} trees, grown in full without class weights; valid rows are not used."
    return Predictions(problem.placed(found.swapaxes(1, 2)), None, [*problem.targets.notes, note])
