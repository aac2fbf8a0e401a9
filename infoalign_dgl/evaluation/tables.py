"""The paper's tables, of our results: scores, shares, endpoints, and every task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._render import Cell, Table, records_csv, write_table
from infoalign_dgl.evaluation.metrics import THRESHOLDS, threshold_shares
from infoalign_dgl.evaluation.statistics import Estimate, estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np

    from infoalign_dgl.evaluation.metrics import TaskScores
    from infoalign_dgl.evaluation.paper import PaperResults

    _Column = tuple[str, str | None]  # a task set, and one of its tasks or all

__all__ = [
    "MethodResult",
    "Table",
    "endpoint_table",
    "per_task_csv",
    "shares_table",
    "summary_table",
    "write_table",
]

TASK_SETS = {"chembl2k": "ChEMBL2K", "broad6k": "Broad6K", "moltoxcast": "ToxCast", "biogenadme": "Biogen3K"}
"""The paper's names of its task sets, in its order."""

_NOT_RUN = "-"
_ALL_TASKS = "mean over tasks"
_KEYS = (
    "source",
    "group",
    "method",
    "task_set",
    "task",
    "mean",
    "sd",
    "low",
    "high",
    "seeds",
    "tasks_scored",
    "tasks",
    "note",
)


@dataclass(frozen=True)
class MethodResult:
    """What one method scored on the test rows of one task set.

    Attributes
    ----------
    task_set, method : str
    group : str
        Where tables put the method.
    tasks : list of str
        T names.
    seeds : list of int
        S seeds; empty if the method was not scored.
    scores : TaskScores or None
        None if the method cannot be scored on this set; ``note`` says why.
    replicates : numpy.ndarray or None
        (B, T) from `bootstrap_scores`.
    note : str or None
        What a reader of the tables should know of this method on this set.
    """

    task_set: str
    method: str
    group: str
    tasks: list[str]
    seeds: list[int]
    scores: TaskScores | None
    replicates: np.ndarray | None = None
    note: str | None = None


def summary_table(
    results: Sequence[MethodResult], *, paper: PaperResults | None = None, metric: str = "main"
) -> Table:
    """Make the paper's main table: a row for each method, a column for each task set.

    Parameters
    ----------
    results : sequence of MethodResult
    paper : PaperResults, optional
        Shown below ours, as not run here.
    metric : {"main", "average_precision"}
        ROC-AUC (mean absolute error for regression), or average precision of the binary sets.

    Returns
    -------
    Table
        Means over scored tasks and standard deviations over seeds, times 100; the best of ours in bold. The
        CSV has the ends of the bootstrap intervals too.
    """
    precision = metric == "average_precision"
    kinds = {name: kind_of(results, name) for name in order_sets(results)}
    columns: list[_Column] = [
        (name, None) for name in kinds if not (precision and kinds[name] == "regression")
    ]
    shown = [result for result in results if (result.task_set, None) in columns]
    scored: dict[tuple[str, _Column], Estimate | None] = {
        (result.method, (result.task_set, None)): _over_tasks(result, metric) for result in shown
    }
    word = "average precision" if precision else "ROC-AUC"
    measures = {name: f"{word} %" if kind == "binary" else "MAE x 100" for name, kind in kinds.items()}
    return _scores_table(
        f"Mean {word} over tasks" if precision else "Molecular property prediction",
        ["Method", *(f"{label(name)}, {measures[name]}" for name, _ in columns)],
        shown,
        columns,
        scored,
        {column: kinds[column[0]] == "regression" for column in columns},
        None if precision else paper,
    )


def shares_table(results: Sequence[MethodResult]) -> Table:
    """Make the table of the shares of tasks at or above a ROC-AUC, in per cent.

    Parameters
    ----------
    results : sequence of MethodResult
        Those of binary sets are shown.

    Returns
    -------
    Table
        Shares of the scored tasks, and in brackets of all tasks, as the published code counts.
    """
    binary = [result for result in results if result.scores and result.scores.kind == "binary"]
    sets = order_sets(binary)
    header = ["Method", *(f"{label(name)} ≥ {threshold:.0%}" for name in sets for threshold in THRESHOLDS)]
    chosen = {(result.method, result.task_set): result for result in binary}
    groups, records = [], []
    for group, methods in _grouped(binary):
        rows = []
        for method in methods:
            row = [Cell(method)]
            for name in sets:
                result = chosen.get((method, name))
                if result is None or result.scores is None:
                    row += [Cell(_NOT_RUN)] * len(THRESHOLDS)
                    continue
                shares = threshold_shares(result.scores)
                for place, threshold in enumerate(THRESHOLDS):
                    scored, of_all = (estimate(each[:, place]) for each in (shares.of_scored, shares.of_all))
                    row.append(Cell(f"{_percent(scored)} ({of_all.mean * 100:.1f})"))
                    records.append(
                        {
                            "group": group,
                            "method": method,
                            "task_set": name,
                            "threshold": threshold,
                            "of_scored": number(scored.mean),
                            "of_scored_sd": scored.sd,
                            "num_scored": shares.num_scored,
                            "of_all": number(of_all.mean),
                            "of_all_sd": of_all.sd,
                            "num_all": shares.num_all,
                        }
                    )
            rows.append(row)
        groups.append((group, rows))
    notes = ["Share of the scored tasks; in brackets of all tasks, those without a score counted as below."]
    return Table("Tasks at or above a ROC-AUC, %", header, groups, records, notes)


def endpoint_table(results: Sequence[MethodResult], *, paper: PaperResults | None = None) -> Table:
    """Make the paper's table of one regression set: the error of each endpoint, and their mean, times 100.

    Parameters
    ----------
    results : sequence of MethodResult
        Of one regression set.
    paper : PaperResults, optional
        Its rows are shown below ours if the set is ``biogenadme``.

    Returns
    -------
    Table

    Raises
    ------
    EvaluationError
        If the results are of several sets, or of a binary one.
    """
    names = order_sets(results)
    if len(names) != 1 or kind_of(results, names[0]) != "regression":
        raise EvaluationError(
            f"a table of endpoints is of one regression set, not of {', '.join(names) or 'none'}: "
            "pass its results alone"
        )
    tasks = results[0].tasks
    columns: list[_Column] = [(names[0], None), *((names[0], task) for task in tasks)]
    scored: dict[tuple[str, _Column], Estimate | None] = {}
    for result in results:
        scored[result.method, columns[0]] = _over_tasks(result, "main")
        for place, column in enumerate(columns[1:]):
            drawn = None if result.replicates is None else result.replicates[:, place : place + 1]
            by_seed = None if result.scores is None else result.scores.mae[:, place]
            scored[result.method, column] = None if by_seed is None else estimate(by_seed, drawn)
    short = {column: name for name, column in paper.endpoints.items()} if paper else {}
    return _scores_table(
        f"{label(names[0])}: mean absolute error x 100",
        ["Method", "Average", *(short.get(task, task) for task in tasks)],
        results,
        columns,
        scored,
        dict.fromkeys(columns, True),
        paper,
    )


def per_task_csv(results: Iterable[MethodResult]) -> str:
    """Write every score of every task, seed and method as CSV, tasks without a score with the reason.

    Parameters
    ----------
    results : iterable of MethodResult

    Returns
    -------
    str
    """
    records: list[dict[str, object]] = []
    for result in results:
        scores = result.scores
        if scores is None:
            continue
        for row, seed in enumerate(result.seeds):
            for column, task in enumerate(result.tasks):
                records.append(
                    {
                        "task_set": result.task_set,
                        "method": result.method,
                        "seed": seed,
                        "task": task,
                        "labelled": int(scores.labelled[column]),
                        "positives": int(scores.positives[column]),
                        "without_prediction": int(scores.missing[column]),
                        "roc_auc": number(scores.roc_auc[row, column]),
                        "average_precision": number(scores.average_precision[row, column]),
                        "mae": number(scores.mae[row, column]),
                        "not_scored_because": scores.reasons[column],
                    }
                )
    return records_csv(records)


def order_sets(results: Iterable[MethodResult]) -> list[str]:
    """Names of the task sets, the paper's first and in its order."""
    names = list(dict.fromkeys(result.task_set for result in results))
    return [name for name in TASK_SETS if name in names] + [name for name in names if name not in TASK_SETS]


def label(name: str) -> str:
    """Name a task set as the paper does."""
    return TASK_SETS.get(name, name)


def kind_of(results: Iterable[MethodResult], name: str) -> str:
    """Kind of a set; one that no method was scored on counts as binary."""
    kinds = {result.scores.kind for result in results if result.task_set == name and result.scores}
    if len(kinds) > 1:
        raise EvaluationError(f"results of '{name}' are binary and regression: score one task set one way")
    return next(iter(kinds), "binary")


def _scores_table(
    title: str,
    header: list[str],
    results: Sequence[MethodResult],
    columns: list[_Column],
    scored: Mapping[tuple[str, _Column], Estimate | None],
    lower: Mapping[_Column, bool],
    paper: PaperResults | None,
) -> Table:
    """Make a table of estimates by (method, column)."""
    best = _best(scored, lower)
    by_key = {(result.method, result.task_set): result for result in results}
    groups: list[tuple[str, list[list[Cell]]]] = []
    records: list[dict[str, object]] = []
    for group, methods in _grouped(results):
        rows = []
        for method in methods:
            row = [Cell(method)]
            for column in columns:
                result, value = by_key.get((method, column[0])), scored.get((method, column))
                row.append(Cell(_shown(result, value), (method, column) in best))
                if result is not None:
                    records.append(_record(result, column, value))
            rows.append(row)
        groups.append((group, rows))
    notes = _notes(results)
    if paper is not None:
        _add_paper(paper, columns, groups, records, notes)
    return Table(f"{title} (mean ± standard deviation over seeds)", header, groups, records, notes)


def _grouped(results: Iterable[MethodResult]) -> list[tuple[str, list[str]]]:
    """Methods by group, in the order they come in."""
    groups: dict[str, list[str]] = {}
    for result in results:
        methods = groups.setdefault(result.group, [])
        if result.method not in methods:
            methods.append(result.method)
    return list(groups.items())


def _over_tasks(result: MethodResult, metric: str) -> Estimate | None:
    if result.scores is None:
        return None
    return estimate(result.scores.mean(metric), result.replicates if metric == "main" else None)


def _best(
    scored: Mapping[tuple[str, _Column], Estimate | None], lower: Mapping[_Column, bool]
) -> set[tuple[str, _Column]]:
    """Keys of the best mean of each column."""
    best: dict[_Column, tuple[float, tuple[str, _Column]]] = {}
    for key, value in scored.items():
        if value is None or math.isnan(value.mean):
            continue
        merit = -value.mean if lower[key[1]] else value.mean
        if key[1] not in best or merit > best[key[1]][0]:
            best[key[1]] = (merit, key)
    return {key for _, key in best.values()}


def _shown(result: MethodResult | None, value: Estimate | None) -> str:
    if result is None:
        return _NOT_RUN
    return "N.A." if value is None or math.isnan(value.mean) else _percent(value)


def _percent(value: Estimate) -> str:
    mean = f"{value.mean * 100:.1f}"
    return mean if value.sd is None else f"{mean} ± {value.sd * 100:.1f}"


def number(value: float) -> float | None:
    """Give what a CSV holds: nothing for NaN."""
    return None if math.isnan(value) else float(value)


def _record(result: MethodResult, column: _Column, value: Estimate | None) -> dict[str, object]:
    scores = result.scores
    return {
        "source": "here",
        "group": result.group,
        "method": result.method,
        "task_set": column[0],
        "task": column[1] or _ALL_TASKS,
        "mean": None if value is None else number(value.mean),
        "sd": None if value is None else value.sd,
        "low": None if value is None else value.low,
        "high": None if value is None else value.high,
        "seeds": None if value is None else value.num_seeds,
        "tasks_scored": None if scores is None else int(scores.scored.sum()),
        "tasks": len(result.tasks),
        "note": result.note,
    }


def _notes(results: Iterable[MethodResult]) -> list[str]:
    """Sentences on tasks without a score, rows without a prediction, and what methods said."""
    unscored: dict[str, list[str]] = {}
    for result in results:
        where = f"{result.method} on {label(result.task_set)}"
        if result.note:
            unscored.setdefault(f"{{}}: {result.note}", []).append(where)
        if result.scores is None:
            continue
        count, total = int(result.scores.scored.sum()), len(result.tasks)
        if count < total:
            unscored.setdefault(f"{{}}: {total - count} of {total} tasks could not be scored.", []).append(
                where
            )
        missing = int(result.scores.missing.sum())
        if missing:
            unscored.setdefault(f"{{}}: {missing} labels without a prediction were left out.", []).append(
                where
            )
    return [text.format(", ".join(who)) for text, who in unscored.items()]


def _add_paper(
    paper: PaperResults,
    columns: list[_Column],
    groups: list[tuple[str, list[list[Cell]]]],
    records: list[dict[str, object]],
    notes: list[str],
) -> None:
    """Add the paper's rows that have a figure in one of the columns, and say where the figures are from."""
    short = {column: name for name, column in paper.endpoints.items()}
    by_group: dict[str, list[list[Cell]]] = {}
    for row in paper.rows:
        figures = {}
        for column in columns:
            name = column[0] if column[1] is None else short.get(column[1], "")
            # An endpoint's short name is the paper's only in the paper's set.
            if name in row.cells and (column[1] is None or column[0] == "biogenadme"):
                figures[column] = row.cells[name]
        if not figures:
            continue
        cells = [
            f"{figures[c][0] * 100:.1f} ± {figures[c][1] * 100:.1f}" if c in figures else "-" for c in columns
        ]
        by_group.setdefault(row.group, []).append([Cell(row.method), *map(Cell, cells)])
        for column, (mean, sd) in figures.items():
            known = {"source": "paper", "group": row.group, "method": row.method, "mean": mean, "sd": sd}
            known |= {"task_set": column[0], "task": column[1] or _ALL_TASKS, "note": row.note}
            records.append(dict.fromkeys(_KEYS) | known)
        notes += [f"{row.method} in the paper: {row.note}."] if row.note else []
    groups += [(f"In the paper, not run here: {group}", rows) for group, rows in by_group.items()]
    notes += [f"The paper's rows are from {paper.source}."] if by_group else []
