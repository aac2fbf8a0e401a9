"""Results task by task: which method is best, how scores spread, and one method against another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import to_rgb

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.report import is_scored
from infoalign_dgl.evaluation.tables import label
from infoalign_dgl.plots._axes import COLOURS, axes_or_new
from infoalign_dgl.plots.figures import save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from infoalign_dgl.evaluation.experiment import Judged
    from infoalign_dgl.evaluation.tables import MethodResult

_OURS, _OTHER = "#0072B2", "#999999"
_MOST_BARS = 100  # more tasks than this hide each other's bars
_MOST_POINTS = 3000  # more than this are a picture within an SVG
_TEXT_SHARE = 0.04  # a narrower part has no room for its number


def draw_best_shares(results: Sequence[MethodResult], axes: Axes | None = None) -> Axes:
    """Draw for which share of the tasks each group of methods is best, and within it each method.

    A task goes to the method with the best mean over seeds; those that tie share it. Tasks that some method
    was not scored on are left out.

    Parameters
    ----------
    results : sequence of MethodResult
        Of one task set. Methods without scores are left out.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    EvaluationError
        If the results are of several task sets, or no task was scored by all.

    References
    ----------
    Figure 3 of Liu et al., "Learning Molecular Representation in a Cell", ICLR 2025: a bar split by
    representation above one split by model.
    """
    scored, values, binary = _by_task(results)
    means = np.stack([each.mean(axis=0) for each in values])
    best = means == (means.max(axis=0) if binary else means.min(axis=0))
    shares = (best / best.sum(axis=0)).mean(axis=1)
    groups = list(dict.fromkeys(result.group for result in scored))
    axes = axes_or_new(axes, (9.0, 2.2 + 0.22 * len(scored)))
    start = 0.0
    for number, group in enumerate(groups):
        colour = COLOURS[number % len(COLOURS)]
        members = [place for place, result in enumerate(scored) if result.group == group]
        share = float(shares[members].sum())
        _part(axes, 1, start, share, colour, f"{group} ({share:.0%})")
        for rank, place in enumerate(members):
            part = float(shares[place])
            # Methods of a group have its colour, lighter one after the other.
            shade = _lighter(colour, 0.7 * rank / max(1, len(members) - 1))
            name = f"    {scored[place].method} ({part:.0%})" if len(members) > 1 else "_"
            _part(axes, 0, start, part, shade, name)
            start += part
    axes.set(xlim=(0, 1), xlabel="share of tasks", yticks=[0, 1], yticklabels=["by method", "by group"])
    axes.set_title(f"{label(scored[0].task_set)}: best on how many of {means.shape[1]} tasks")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return axes


def draw_task_scores(results: Sequence[MethodResult], axes: Axes | None = None) -> Axes:
    """Draw the score of every task, one row a method, the best mean on top.

    Boxes hold the middle half of the tasks, their line is the median, the white diamond the mean.

    Parameters
    ----------
    results : sequence of MethodResult
        Of one task set. Methods without scores are left out.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    EvaluationError
        If the results are of several task sets, or no task was scored by all.
    """
    scored, values, binary = _by_task(results)
    means = np.stack([each.mean(axis=0) for each in values])
    order = np.argsort(means.mean(axis=1) * (1 if binary else -1), kind="stable")
    axes = axes_or_new(axes, (8.5, 0.55 * len(scored) + 1.5))
    rng = np.random.default_rng(0)
    size = float(np.clip(600 / means.shape[1], 4, 25))
    many = means.size > _MOST_POINTS
    for row, place in enumerate(order):
        heights = row + rng.uniform(-0.26, 0.26, means.shape[1])
        axes.scatter(
            means[place], heights, s=size, color=_OURS, alpha=0.35, linewidths=0, zorder=1, rasterized=many
        )
    axes.boxplot(
        [means[place] for place in order],
        positions=np.arange(len(order)),
        orientation="horizontal",
        widths=0.62,
        showfliers=False,
        showmeans=True,
        medianprops={"color": "#D55E00", "linewidth": 2},
        meanprops={"marker": "D", "markerfacecolor": "white", "markeredgecolor": "black", "markersize": 6},
        zorder=2,
    )
    axes.set_yticks(np.arange(len(order)), [scored[place].method for place in order])
    axes.set_ylim(-0.6, len(order) - 0.4)
    if binary:
        axes.axvline(0.5, color="0.4", linestyle="--", linewidth=1, zorder=0)
    axes.set_xlabel("ROC-AUC of a task" if binary else "mean absolute error of a task (lower is better)")
    axes.set_title(f"{label(scored[0].task_set)}: {means.shape[1]} tasks")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_task_comparison(ours: MethodResult, theirs: MethodResult, axes: Axes | None = None) -> Axes:
    """Draw each task as a point: one method's score against another's.

    Parameters
    ----------
    ours, theirs : MethodResult
        Of one task set; ours on the vertical axis.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on. Bars are standard deviations over seeds, where there are several and at most 100
        tasks.

    Raises
    ------
    EvaluationError
        If the results are of several task sets, or no task was scored by both.
    """
    scored, values, binary = _by_task([ours, theirs])
    if len(scored) < 2:
        raise EvaluationError(
            f"'{ours.method}' or '{theirs.method}' has no scores on '{ours.task_set}': compare methods that "
            "were scored"
        )
    means = np.stack([each.mean(axis=0) for each in values])
    tasks = means.shape[1]
    better = means[0] > means[1] if binary else means[0] < means[1]
    worse = ~better & (means[0] != means[1])
    axes = axes_or_new(axes, (5.6, 5.6))
    if tasks <= _MOST_BARS and min(map(len, values)) > 1:
        vertical, horizontal = (each.std(axis=0, ddof=1) for each in values)
        axes.errorbar(
            means[1], means[0], vertical, horizontal, fmt="none", ecolor="0.75", linewidth=0.8, zorder=1
        )
    axes.scatter(
        means[1],
        means[0],
        s=26 if tasks <= _MOST_BARS else 12,
        c=np.where(better, _OURS, _OTHER),
        linewidths=0,
        zorder=2,
    )
    low, high = float(means.min()), float(means.max())
    margin = 0.06 * (high - low) or 0.05
    limits = (low - margin, high + margin)
    axes.plot(limits, limits, color="0.4", linestyle="--", linewidth=1, zorder=1)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    measure = "ROC-AUC" if binary else "mean absolute error (lower is better)"
    axes.set(xlabel=f"{theirs.method}: {measure}", ylabel=f"{ours.method}: {measure}")
    axes.set_title(
        f"{label(ours.task_set)}: {ours.method} better on {better.sum()},\n"
        f"worse on {worse.sum()} of {tasks} tasks",
        fontsize=11,
    )
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _by_task(results: Sequence[MethodResult]) -> tuple[list[MethodResult], list[np.ndarray], bool]:
    """Methods with scores, their (seeds, tasks) on the tasks that all were scored on, and if binary."""
    sets = list(dict.fromkeys(result.task_set for result in results))
    found = [(result, scores) for result in results if (scores := result.scores) and scores.scored.any()]
    if len(sets) != 1 or not found:
        raise EvaluationError(
            f"a figure of tasks is of one task set with scores, not of {', '.join(sets) or 'none'}: "
            "pass the results of one set that was scored"
        )
    common = np.logical_and.reduce([scores.scored for _, scores in found])
    if not common.any():
        raise EvaluationError(
            f"no task of '{sets[0]}' was scored by all of {', '.join(result.method for result, _ in found)}: "
            "leave methods out"
        )
    values = [scores.main[:, common] for _, scores in found]
    return [result for result, _ in found], values, found[0][1].kind == "binary"


def _part(axes: Axes, row: int, start: float, share: float, colour: Any, name: str) -> None:
    """Draw a part of a bar, with its share on it if it is wide enough."""
    axes.barh(row, share, left=start, height=0.72, color=colour, edgecolor="white", label=name)
    if share >= _TEXT_SHARE:
        red, green, blue = to_rgb(colour)
        text = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else "black"
        axes.text(start + share / 2, row, f"{share:.0%}", ha="center", va="center", fontsize=9, color=text)


def _lighter(colour: str, share: float) -> tuple[float, ...]:
    """Mix a colour with a share of white."""
    return tuple(part + (1 - part) * share for part in to_rgb(colour))


def save_figures(judged: Sequence[Judged], folder: Path, method: str) -> None:
    """Draw all figures of a comparison into a folder, as PNG and SVG.

    Parameters
    ----------
    judged : sequence of Judged
        One for each task set; one without any score has no figure.
    folder : Path
        Is made if it is not there: gets ``best-<task set>``, ``spread-<task set>`` and ``pair-<task set>``.
    method : str
        Drawn against the best of the others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for one in judged:
        name = one.task_set.name
        scored = {result.method: result for result in one.results if is_scored(one.results, result.method)}
        if not scored:
            continue
        save_figure(draw_best_shares(list(scored.values())), folder, f"best-{name}")
        save_figure(draw_task_scores(list(scored.values())), folder, f"spread-{name}")
        ours, others = scored.pop(method, None), list(scored.values())
        if ours is not None and others:
            save_figure(draw_task_comparison(ours, max(others, key=_merit)), folder, f"pair-{name}")


def _merit(result: MethodResult) -> float:
    assert result.scores is not None
    mean = float(result.scores.mean().mean())
    return -mean if result.scores.kind == "regression" else mean
