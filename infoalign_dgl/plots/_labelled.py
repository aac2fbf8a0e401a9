"""Points in two dimensions, coloured by a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from infoalign_dgl.plots._axes import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TOLD_APART = 6  # colours of the shared palette that are neither pale nor grey


def draw_labelled(axes: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """Draw points with a legend of their labels; points whose label is empty are grey, underneath.

    Parameters
    ----------
    axes : matplotlib Axes
    points : (n, 2) float array
    labels : (n,) array of str
    """
    named = sorted(set(labels) - {""})
    few = COLOURS[:_TOLD_APART]
    colours = few if len(named) <= len(few) else [plt.get_cmap("tab20")(shade) for shade in range(20)]
    x, y = points[labels == ""].T
    axes.scatter(x, y, s=9, color="0.8", zorder=1, linewidths=0)
    for number, name in enumerate(named):
        x, y = points[np.asarray(labels) == name].T
        axes.scatter(x, y, s=9, color=colours[number % len(colours)], zorder=2, label=name, linewidths=0)
    if named:
        axes.legend(frameon=False, fontsize=8, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
