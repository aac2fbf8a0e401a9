"""How far down right answers stand when molecules are matched with profiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.plots._axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from infoalign_dgl.evaluation.matching import Direction

_COLOURS = {"paper": "#999999", "kl": "#0072B2", "gaussian": "#E69F00"}
_STYLES = {"paper": (0, (5, 2)), "kl": "-", "gaussian": (0, (2, 1))}
_POINTS = 200


def draw_rank_distribution(found: Direction, title: str, axes: Axes | None = None) -> Axes:
    """Draw for every k the share of queries with a right answer among the first k: HIT@k.

    It is the distribution of the first right answer's rank, from the top on, beside that of candidates in
    random order.

    Parameters
    ----------
    found : Direction
    title : str
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on, k on a logarithmic scale.
    """
    axes = axes_or_new(axes, (6.4, 4.4))
    ks = np.unique(np.geomspace(1, found.candidates, _POINTS).round().astype(int))
    for score, ranks in found.ranks.items():
        hits = [ranks.hit(k).mean() for k in ks]
        median = float(np.median(ranks.first()))
        axes.plot(
            ks,
            hits,
            color=_COLOURS[score],
            linestyle=_STYLES[score],
            drawstyle="steps-post",
            label=f"{score} (median rank {median:,.4g})",
        )
    by_chance = [found.chance.hit(k).mean() for k in ks]
    median = float(np.median(found.chance.first()))
    axes.plot(
        ks,
        by_chance,
        color="black",
        linestyle=":",
        linewidth=1,
        label=f"random order (expected rank {median:,.4g})",
    )
    axes.set_xscale("log")
    axes.set(xlim=(1, max(found.candidates, 2)), ylim=(0, 1.02), title=title)
    axes.set_xlabel(f"first k of {found.candidates:,} candidates")
    axes.set_ylabel(f"share of {len(found.queries):,} queries\nwith a right answer among them")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return axes
