"""Points in two dimensions, told apart by a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.plots._axes import COLOURS

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

_COLOURS = COLOURS[:6]  # the others are pale or grey
_MARKERS = "o^sDvP"  # for more labels than colours


def draw_labelled(axes: Axes, points: np.ndarray, labels: np.ndarray) -> None:
    """Draw points with a legend of their labels; points whose label is empty are grey, underneath.

    Parameters
    ----------
    axes : matplotlib Axes
    points : (n, 2) float array
    labels : (n,) array of str
    """
    named, handles = sorted(set(labels) - {""}), []
    x, y = points[labels == ""].T
    axes.scatter(x, y, s=9, color="0.8", zorder=1, linewidths=0)
    for number, name in enumerate(named):
        x, y = points[labels == name].T
        colour = _COLOURS[number % len(_COLOURS)]
        marker = _MARKERS[number // len(_COLOURS) % len(_MARKERS)]
        drawn = axes.scatter(x, y, s=14, color=colour, marker=marker, zorder=2, label=name, linewidths=0)
        handles.append(drawn)
    if named:
        # Labels are the user's text: neither a _ in front nor a $ in it means anything.
        legend = axes.legend(
            handles,
            named,
            frameon=False,
            fontsize=8,
            markerscale=1.6,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.spines[["top", "right"]].set_visible(False)
