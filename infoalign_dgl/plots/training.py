"""How a run did on the molecules held out, its divergence from the prior, and its learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from infoalign_dgl.plots._axes import COLOURS, axes_or_new
from infoalign_dgl.plots._metrics import read_metrics, spaces_of, validated

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


def draw_validation(run: str | Path, axes: Axes | None = None) -> Axes:
    """Draw by how much a run beats column means on the molecules held out, against the step.

    Parameters
    ----------
    run : path
        A run folder; its ``metrics.jsonl`` is read.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on, a line per feature space in the colours of :func:`draw_losses`: loss minus that of
        the column means of what training may see, nats per column. Below 0 the run is the better one.
    """
    axes = axes_or_new(axes, (6.8, 4.0))
    lines = read_metrics(run)
    found = validated(lines)
    for number, space in enumerate(spaces_of(lines)):
        points = [(step, by_space[space]["difference"]) for step, by_space in found if space in by_space]
        if points:
            axes.plot(*zip(*points, strict=True), "o-", color=f"C{number}", markersize=4, label=space)
    axes.axhline(0, color="0.4", linestyle=":", linewidth=1, label="column means")
    axes.set(
        xlabel="step",
        ylabel="loss per column less that\nof column means (nats)",
        title="Molecules held out",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_kl(run: str | Path, axes: Axes | None = None) -> Axes:
    """Draw the divergence of the latent from the prior, in nats per molecule, against the step.

    Parameters
    ----------
    run, axes
        As for :func:`draw_validation`.

    Returns
    -------
    matplotlib Axes
        The axes drawn on; the scale is logarithmic where the values are above 0.
    """
    axes, values = _draw_curve(run, "kl", axes)
    if len(values) and (values > 0).all():
        axes.set_yscale("log")
    axes.set(ylabel="KL(p(z|x) || N(0, I)), nats", title="Divergence from the prior")
    return axes


def draw_learning_rate(run: str | Path, axes: Axes | None = None) -> Axes:
    """Draw the learning rate against the step.

    Parameters
    ----------
    run, axes
        As for :func:`draw_validation`.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    axes, _ = _draw_curve(run, "lr", axes)
    axes.set_ylim(bottom=0)
    axes.set(ylabel="learning rate", title="Learning rate")
    return axes


def _draw_curve(run: str | Path, name: str, axes: Axes | None) -> tuple[Axes, np.ndarray]:
    """Draw one number of the metrics against the step, and give its values."""
    axes = axes_or_new(axes, (6.8, 4.0))
    lines = read_metrics(run)
    values = np.array([line[name] for line in lines], dtype=float)
    axes.plot([line["step"] for line in lines], values, color=COLOURS[0], linewidth=1)
    axes.set_xlabel("step")
    axes.spines[["top", "right"]].set_visible(False)
    return axes, values
