"""Methods side by side, each with an interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.plots._axes import axes_or_new

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes


def draw_comparison(
    means: Mapping[str, float],
    half_widths: Mapping[str, float],
    axes: Axes | None = None,
    *,
    label: str = "mean ROC-AUC",
    chance: float | None = 0.5,
) -> Axes:
    """Draw one horizontal bar a method, best on top, with its interval and the chance level.

    Parameters
    ----------
    means, half_widths : mapping of method name to float
        The figure of each method and half the width of its interval.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    label : str
        What the figure is.
    chance : float, optional
        Where to draw the line of a method that knows nothing.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    axes = axes_or_new(axes, (7.5, 0.5 * len(means) + 1.4))
    order = sorted(means, key=lambda name: means[name])
    axes.barh(
        order, [means[n] for n in order], xerr=[half_widths[n] for n in order], color="#0072B2", capsize=3
    )
    for row, name in enumerate(order):
        axes.text(means[name] + half_widths[name] + 0.004, row, f"{means[name]:.3f}", va="center", fontsize=9)
    if chance is not None:
        axes.axvline(chance, color="0.4", linestyle="--", linewidth=1)
        axes.set_xlim(left=chance - 0.05)
    axes.set_xlabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
