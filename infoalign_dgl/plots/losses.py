"""How the loss of each feature space fell during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.plots._axes import axes_or_new
from infoalign_dgl.plots._metrics import LOSS, TARGETS, read_metrics, spaces_of

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes


def draw_losses(run: str | Path, axes: Axes | None = None, *, window: int = 20) -> Axes:
    """Draw how far the training loss of each feature space has fallen, as a running mean against the step.

    Spaces differ in what their column means cost, so each line starts at 0; the legend has the starts.

    Parameters
    ----------
    run : path
        A run folder; its ``metrics.jsonl`` is read. One without a step gives empty axes.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    window : int
        Steps that the running mean covers.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    axes = axes_or_new(axes, (8.0, 4.5))
    lines = read_metrics(run)
    for number, space in enumerate(spaces_of(lines)):
        visited = [line for line in lines if line[TARGETS + space]]  # others have a loss of exactly 0
        steps = np.array([line["step"] for line in visited])
        values = np.array([line[LOSS + space] for line in visited], dtype=float)
        width = min(window, len(values))
        if width:
            smooth = np.convolve(values, np.ones(width) / width, mode="valid")
            label = f"{space} (from {smooth[0]:.3f})"
            axes.plot(steps[width - 1 :], smooth - smooth[0], color=f"C{number}", label=label)
    axes.set(
        xlabel="step", ylabel="change of the loss per column (nats)", title="Training loss since the start"
    )
    if axes.get_lines():
        axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
