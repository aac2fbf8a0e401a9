"""Bounds on mutual information beside the information itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from infoalign_dgl.plots._axes import axes_or_new

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from infoalign_dgl.models.bounds import GaussianBounds

_COLOURS = {"decoder": "#0072B2", "nwj": "#E69F00", "infonce": "#CC79A7"}
_NAMES = {"decoder": "decoder-based (DLB)", "nwj": "NWJ", "infonce": "InfoNCE"}


def draw_bounds(found: Sequence[GaussianBounds], axes: Axes | None = None) -> Axes:
    """Draw what each bound gives against the information there is, and the ceiling log K of InfoNCE.

    Parameters
    ----------
    found : sequence of GaussianBounds
        One for each correlation, all with the same K.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    References
    ----------
    Liu et al. 2024, "Learning Molecular Representation in a Cell", Proposition 4.1.
    """
    axes = axes_or_new(axes, (6, 4.2))
    found = sorted(found, key=lambda one: one.information)
    information = [one.information for one in found]
    axes.plot(information, information, color="0.3", label="information I(Y; Z)")
    for name, label in _NAMES.items():
        bounds = [getattr(one, name) for one in found]
        axes.errorbar(
            information,
            [bound.value for bound in bounds],
            yerr=[2 * bound.standard_error for bound in bounds],
            color=_COLOURS[name],
            marker="o",
            markersize=4,
            capsize=3,
            label=label,
        )
    ceiling = math.log(found[0].batch)
    axes.axhline(ceiling, color="0.4", linestyle="--", linewidth=1)
    axes.annotate(
        f"log {found[0].batch}",
        (information[-1], ceiling),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
    )
    axes.set_xlabel("information (nats)")
    axes.set_ylabel("bound (nats)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
