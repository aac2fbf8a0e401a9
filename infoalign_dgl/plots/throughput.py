"""How fast a run went through molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.plots._axes import COLOURS, axes_or_new
from infoalign_dgl.plots._metrics import parts_of, read_metrics

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


def draw_throughput(run: str | Path, axes: Axes | None = None, *, window: int = 20) -> Axes:
    """Draw molecules per second against the step, and where another process went on with the run.

    Parameters
    ----------
    run : path
        A run folder; its ``metrics.jsonl`` is read. One without a step gives empty axes.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    window : int
        Steps that the running rate covers: their molecules over their time. The rates of single steps are
        drawn in grey.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    axes = axes_or_new(axes, (6.8, 4.0))
    lines = read_metrics(run)
    steps = np.array([line["step"] for line in lines], dtype=float)
    molecules = np.array([line["molecules"] for line in lines], dtype=float)
    rates = np.array([line["molecules_per_second"] for line in lines], dtype=float)
    width = min(window, len(lines))
    if width:
        axes.plot(steps, rates, ".", color="0.75", markersize=3, label="one step", rasterized=True)
        ones = np.ones(width)
        smooth = np.convolve(molecules, ones, "valid") / np.convolve(molecules / rates, ones, "valid")
        axes.plot(steps[width - 1 :], smooth, color=COLOURS[0], label=f"over {width} steps")
        axes.set_ylim(0, 1.15 * float(np.quantile(rates, 0.99)))
    for number, step in enumerate(parts_of(lines)[1:]):
        axes.axvline(
            step, color=COLOURS[5], linestyle=":", linewidth=1, label=None if number else "run went on"
        )
    if lines:
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, markerscale=2)
    axes.set(xlabel="step", ylabel="molecules per second")
    axes.set_title("Throughput", loc="left")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    return axes
