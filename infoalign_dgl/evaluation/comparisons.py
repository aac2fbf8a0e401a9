"""Tables that set one method against each other one, pair by pair."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._render import Cell, Table
from infoalign_dgl.evaluation.statistics import Comparison, compare, holm
from infoalign_dgl.evaluation.tables import kind_of, label, number, order_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.evaluation.tables import MethodResult

_HEADER = [
    "difference x 100",
    "95 % over seeds",
    "95 % over molecules",
    "tasks better, worse",
    "p over tasks (Holm)",
]


def comparison_table(results: Sequence[MethodResult], method: str) -> Table:
    """Compare a method with every other on each task set, on the same molecules, tasks and seeds.

    Parameters
    ----------
    results : sequence of MethodResult
    method : str
        The method that the others are subtracted from.

    Returns
    -------
    Table
        Differences times 100 with intervals over seeds and over molecules; on how many tasks the method is
        better and worse; p-values of Wilcoxon tests over tasks, corrected by Holm's procedure for the number
        of baselines on the set.

    Raises
    ------
    EvaluationError
        If the method has no result.
    """
    ours = {result.task_set: result for result in results if result.method == method and result.scores}
    if not ours:
        known = ", ".join(dict.fromkeys(result.method for result in results))
        raise EvaluationError(f"'{method}' has no scores to compare with: name one of {known or 'none'}")
    groups: list[tuple[str, list[list[Cell]]]] = []
    records: list[dict[str, object]] = []
    notes: list[str] = []
    for name in order_sets(list(ours.values())):
        baselines = [result for result in results if result.task_set == name and result.method != method]
        pairs = ((each.method, _compared(ours[name], each)) for each in baselines)
        compared = [(baseline, found) for baseline, found in pairs if found is not None]
        lower = kind_of(results, name) == "regression"
        rows = []
        for (baseline, found), p_value in zip(
            compared, holm([found.tasks.p_value for _, found in compared]), strict=True
        ):
            rows.append(_row(baseline, found, p_value, lower=lower))
            records.append(_record(name, method, baseline, found, p_value))
            reasons = dict.fromkeys(filter(None, (found.seeds.reason, found.tasks.reason)))
            notes += [f"{method} minus {baseline} on {label(name)}: {reason}." for reason in reasons]
        groups.append((label(name) + (" (MAE: lower is better)" if lower else ""), rows))
    title = f"{method} against each baseline, pair by pair"
    return Table(title, [f"{method} minus", *_HEADER], groups, records, notes)


def _compared(ours: MethodResult, theirs: MethodResult) -> Comparison | None:
    """Compare what both scored; None if one was not scored."""
    if ours.scores is None or theirs.scores is None:
        return None
    for what, one, other in (("tasks", ours.tasks, theirs.tasks), ("seeds", ours.seeds, theirs.seeds)):
        if len(one) == len(other) and one != other:
            raise EvaluationError(
                f"'{ours.method}' and '{theirs.method}' have other {what} on '{ours.task_set}': "
                f"score both with the same {what}"
            )
    return compare(
        ours.scores.main,
        theirs.scores.main,
        our_replicates=ours.replicates,
        their_replicates=theirs.replicates,
    )


def _row(baseline: str, found: Comparison, p_value: float | None, *, lower: bool) -> list[Cell]:
    seeds, tasks = found.seeds, found.tasks
    if math.isnan(tasks.difference):
        return [Cell(baseline), *[Cell("N.A.")] * len(_HEADER)]
    better, worse = (tasks.lower, tasks.higher) if lower else (tasks.higher, tasks.lower)
    over_seeds = over_molecules = "n.a."
    if seeds.half_width is not None:
        over_seeds = _interval(seeds.difference - seeds.half_width, seeds.difference + seeds.half_width)
    if found.low is not None and found.high is not None:
        over_molecules = _interval(found.low, found.high)
    p_text = "n.a." if p_value is None else f"{p_value:.2g}"
    texts = [f"{tasks.difference * 100:+.1f}", over_seeds, over_molecules, f"{better}, {worse}", p_text]
    return [Cell(baseline), *map(Cell, texts)]


def _interval(low: float, high: float) -> str:
    return f"{low * 100:+.1f} to {high * 100:+.1f}"


def _record(
    name: str, method: str, baseline: str, found: Comparison, p_value: float | None
) -> dict[str, object]:
    seeds, tasks = found.seeds, found.tasks
    return {
        "task_set": name,
        "method": method,
        "baseline": baseline,
        "difference": number(tasks.difference),
        "seeds": seeds.pairs,
        "half_width_over_seeds": seeds.half_width,
        "p_over_seeds": seeds.p_value,
        "tasks": tasks.pairs,
        "half_width_over_tasks": tasks.half_width,
        "tasks_higher": tasks.higher,
        "tasks_lower": tasks.lower,
        "p_over_tasks": tasks.p_value,
        "p_over_tasks_holm": p_value,
        "low_over_molecules": found.low,
        "high_over_molecules": found.high,
        "no_test_over_seeds_because": seeds.reason,
        "no_test_over_tasks_because": tasks.reason,
    }
