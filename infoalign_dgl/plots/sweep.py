"""What a setting does to the scores: curves over numbers, bars over anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.evaluation.sweep_rows import estimate, option_name, setting_name, shown
from infoalign_dgl.evaluation.tables import label
from infoalign_dgl.plots._axes import COLOURS, axes_or_new
from infoalign_dgl.plots.figures import save_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from infoalign_dgl.evaluation.statistics import Estimate
    from infoalign_dgl.evaluation.sweep_rows import Sweep

_CHANCE = 0.5  # where bars of ROC-AUC start
_WIDE = 30  # values further apart than by this factor are on a logarithmic scale
_NAMES = {"without": "node types left out", "without_targets": "types whose targets are left out"}


def draw_setting(found: Sweep, name: str, task_set: str, axes: Axes | None = None) -> Axes:
    """Draw the score on a task set against a setting: a curve over numbers, bars over anything else.

    There is one curve, or one colour of bars, for each combination of the other settings that has several
    values of this one. Error bars are standard deviations over pretraining runs; where there is one run, over
    its heads.

    Parameters
    ----------
    found : Sweep
    name : str
        Of a setting that was varied.
    task_set : str
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    References
    ----------
    Table 5 and Figure 4 of Liu et al., "Learning Molecular Representation in a Cell", ICLR 2025.
    """
    groups = _groups(found, name, task_set)
    values = list(dict.fromkeys(value for points in groups.values() for value in points))
    binary = found.kinds[task_set] == "binary"
    axes = axes_or_new(axes, (6.4, 4.2))
    if all(isinstance(value, int | float) for value in values):
        _draw_curves(axes, groups, sorted(values))
    else:
        _draw_bars(axes, groups, values, _CHANCE if binary else 0.0)
    axes.set(
        xlabel=_NAMES.get(name, option_name(name)),
        ylabel="mean ROC-AUC" if binary else "mean absolute error (lower is better)",
        title=f"{label(task_set)}: {_deviation(found)}",
    )
    if len(groups) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _groups(found: Sweep, name: str, task_set: str) -> dict[str, dict[Any, Estimate]]:
    """By what else differs from the base: scores by the setting's value, where there are several."""
    groups: dict[str, dict[Any, Estimate]] = {}
    for changes, rows in found.by_setting():
        others = {key: value for key, value in changes.items() if key != name}
        points = groups.setdefault(setting_name(others), {})
        points[changes.get(name, found.base[name])] = estimate(rows, task_set)
    return {others: points for others, points in groups.items() if len(points) > 1}


def _deviation(found: Sweep) -> str:
    runs = max(len(rows) for _, rows in found.by_setting())
    return f"mean ± deviation over {f'up to {runs} runs' if runs > 1 else 'heads'}"


def _draw_curves(axes: Axes, groups: dict[str, dict[Any, Estimate]], values: list[float]) -> None:
    for number, (others, points) in enumerate(groups.items()):
        at = sorted(points)
        means = [points[value].mean for value in at]
        bars = [points[value].sd or 0.0 for value in at]
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(at, means, bars, color=colour, marker="o", capsize=3, label=others)
    positive = [value for value in values if value > 0]
    if min(values) >= 0 and len(positive) > 1 and positive[-1] / positive[0] >= _WIDE:
        if len(positive) == len(values):
            axes.set_xscale("log")
        else:  # 0 has a place too
            axes.set_xscale("symlog", linthresh=positive[0])
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.minorticks_off()


def _draw_bars(axes: Axes, groups: dict[str, dict[Any, Estimate]], values: list[Any], start: float) -> None:
    width = 0.8 / len(groups)
    for number, (others, points) in enumerate(groups.items()):
        at = [values.index(value) + (number - (len(groups) - 1) / 2) * width for value in points]
        heights = np.array([score.mean for score in points.values()]) - start
        bars = [score.sd or 0.0 for score in points.values()]
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(at, heights, width, bottom=start, yerr=bars, color=colour, capsize=3, label=others)
    axes.set_xticks(range(len(values)), [str(shown(value)).replace("+", "\n+ ") for value in values])


def save_sweep_figures(found: Sweep, folder: Path) -> None:
    """Draw every setting that was varied against the score on every task set, as PNG and SVG.

    Parameters
    ----------
    found : Sweep
    folder : Path
        Is made if it is not there: gets ``<setting>-<task set>``. A setting that has one value among the
        finished runs has no figure.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in found.varied:
        for task_set in found.kinds:
            if _groups(found, name, task_set):
                save_figure(draw_setting(found, name, task_set), folder, f"{option_name(name)}-{task_set}")
