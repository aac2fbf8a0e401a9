"""How far the certainty of methods can be believed on the test rows of task sets."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.evaluation._render import Cell, Table
from infoalign_dgl.evaluation.metrics import task_scores
from infoalign_dgl.evaluation.tables import label, number
from infoalign_dgl.evaluation.uncertainty import calibration_error, conformal_scores, conformalize, ensemble

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.evaluation.methods import Method
    from infoalign_dgl.evaluation.predictions import Predictions
    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.tasks import TaskSet

CONFIDENCE = 0.9
_QUARTERS = 4
_SIZES = {"binary": "classes in a set", "regression": "width / sd"}
_MEASURES = {"binary": "ROC-AUC", "regression": "MAE"}


@dataclass(frozen=True)
class Certainty:
    """What a method's predictions, the means over its seeds, are worth as statements of how sure it is.

    All figures but ``by_similarity`` are means over the tasks that have them, NaN where none has.

    Attributes
    ----------
    task_set, method, group, kind : str
    calibration, by_chance : float
        Expected calibration error of probabilities, and that of a method whose probabilities are right; NaN
        for regression.
    coverage : float
        Share of the test labels in intervals or sets of 90 % that the valid rows calibrate.
    size : float
        Classes in a set; or the width of an interval, in standard deviations of the task's train labels.
    tasks : int
        Tasks with intervals or sets.
    edges : numpy.ndarray
        (3,) quartiles of the test rows' largest Tanimoto similarity to a train row.
    by_similarity : numpy.ndarray
        (4,) score of the test rows between them, from the least to the most similar: the mean over seeds and
        over the tasks that can be scored in all four.
    tasks_by_similarity : int
        How many these are.
    """

    task_set: str
    method: str
    group: str
    kind: str
    calibration: float
    by_chance: float
    coverage: float
    size: float
    tasks: int
    edges: np.ndarray
    by_similarity: np.ndarray
    tasks_by_similarity: int


def judge_certainty(
    method: Method,
    predictions: Predictions,
    task_set: TaskSet,
    split: Split,
    similarity: np.ndarray,
    reasons: Sequence[str | None],
) -> Certainty:
    """Judge one method on one task set.

    Parameters
    ----------
    method : Method
    predictions : Predictions
        Of all rows; those of valid and test are used.
    task_set : TaskSet
    split : Split
    similarity : numpy.ndarray
        One for each test row: the largest Tanimoto similarity to a train row; NaN for a row without
        structure.
    reasons : sequence of (str or None)
        T; why a task could not be trained.
    """
    labels, kind = task_set.labels, task_set.kind
    mean = ensemble(predictions).mean
    valid, test = split.valid, split.test
    conformal = conformalize(labels[valid], mean[valid], kind, CONFIDENCE)
    held = conformal_scores(conformal, labels[test], mean[test])
    size, calibration, by_chance = held.size, math.nan, math.nan
    if kind == "binary":
        found = calibration_error(labels[test], mean[test])
        calibration, by_chance = _mean(found.error), _mean(found.by_chance)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a task without labels
            size = size / np.nanstd(labels[split.train], axis=0)
    edges, scores, count = _by_similarity(predictions, task_set, test, similarity, reasons)
    return Certainty(
        task_set.name,
        method.name,
        method.group,
        kind,
        calibration,
        by_chance,
        _mean(held.coverage),
        _mean(size),
        int(np.isfinite(held.coverage).sum()),
        edges,
        scores,
        count,
    )


def _by_similarity(
    predictions: Predictions,
    task_set: TaskSet,
    test: np.ndarray,
    similarity: np.ndarray,
    reasons: Sequence[str | None],
) -> tuple[np.ndarray, np.ndarray, int]:
    known = np.isfinite(similarity)
    if not known.any():
        return np.full(_QUARTERS - 1, np.nan), np.full(_QUARTERS, np.nan), 0
    edges = np.quantile(similarity[known], np.arange(1, _QUARTERS) / _QUARTERS)
    quarter = np.searchsorted(edges, similarity)
    parts = [
        task_scores(
            task_set.labels,
            predictions.values,
            test[known & (quarter == place)],
            task_set.kind,
            reasons=list(reasons),
        )
        for place in range(_QUARTERS)
    ]
    common = np.logical_and.reduce([part.scored for part in parts])
    scores = np.array([_mean(part.main[:, common].ravel()) for part in parts])
    return edges, scores, int(common.sum())


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def certainty_table(found: Sequence[Certainty]) -> Table:
    """Make the table of calibration, conformal sets or intervals, and scores by similarity.

    Parameters
    ----------
    found : sequence of Certainty
        Of any task sets and methods, at least one.

    Returns
    -------
    Table
        Rows by task set, and within it by the methods' groups.
    """
    kinds = sorted({one.kind for one in found})
    sets = list(dict.fromkeys(one.task_set for one in found))
    names = ["calibration error", "by chance"] if "binary" in kinds else []
    names += ["coverage of 90 %", " or ".join(_SIZES[kind] for kind in kinds)]
    measure = " or ".join(_MEASURES[kind] for kind in kinds)
    names += [f"{measure} {part}" for part in ("least similar", "2nd", "3rd", "most")]
    groups: dict[str, list[list[Cell]]] = {}
    for one in found:
        numbers = [one.calibration, one.by_chance] if "binary" in kinds else []
        numbers += [one.coverage, one.size, *one.by_similarity.tolist()]
        heading = f"{label(one.task_set)}: {one.group}" if len(sets) > 1 else one.group
        groups.setdefault(heading, []).append([Cell(one.method), *(Cell(_text(each)) for each in numbers)])
    notes = [
        "Of the mean over seeds, and scores the mean of theirs. Sets and intervals are calibrated on the "
        "valid rows, by which MLPs chose their epoch too, so that they hold a little less than they promise; "
        "means are over tasks with enough labels.",
        "Similarity is the largest Tanimoto similarity of a test row to a train row (Morgan bits, radius 2), "
        "in quarters of the test rows; scores are over the tasks that can be scored in all four.",
        *(_quarters([one for one in found if one.task_set == name]) for name in sets),
    ]
    title = "How far certainty can be believed"
    if len(sets) == 1:
        title += f", {label(sets[0])}"
    return Table(title, ["Method", *names], list(groups.items()), [_record(one) for one in found], notes)


def _quarters(found: Sequence[Certainty]) -> str:
    """Say where the quarters of a task set begin, and how many tasks are scored in all of them."""
    counts = sorted({one.tasks_by_similarity for one in found} - {0}) or [0]
    tasks = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    edges = ", ".join(f"{edge:.2f}" for edge in found[0].edges)
    return f"{label(found[0].task_set)}: edges at a similarity of {edges}; scores over {tasks} tasks."


def _text(value: float) -> str:
    return "N.A." if math.isnan(value) else f"{value:.3f}"


def _record(one: Certainty) -> dict[str, object]:
    return {
        "task_set": one.task_set,
        "group": one.group,
        "method": one.method,
        "calibration_error": number(one.calibration),
        "calibration_error_by_chance": number(one.by_chance),
        "confidence": CONFIDENCE,
        "coverage": number(one.coverage),
        "size": number(one.size),
        "tasks": one.tasks,
        **{f"similarity_edge_{place}": number(edge) for place, edge in enumerate(one.edges.tolist(), 1)},
        **{
            f"score_quarter_{place}": number(each) for place, each in enumerate(one.by_similarity.tolist(), 1)
        },
        "tasks_by_similarity": one.tasks_by_similarity,
    }
