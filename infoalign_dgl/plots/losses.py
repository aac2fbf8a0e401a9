"""How the loss of each feature space fell during a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.plots._axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PREFIX = "loss/"


def draw_losses(run: str | Path, axes: Axes | None = None, *, window: int = 20) -> Axes:
    """Draw how far the training loss of each feature space has fallen, as a running mean against the step.

    Spaces differ in what their column means cost, so each line starts at 0; the legend has the starts.

    Parameters
    ----------
    run : path
        A run folder; its ``metrics.jsonl`` is read.
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
    lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    for space in (key.removeprefix(_PREFIX) for key in lines[0] if key.startswith(_PREFIX)):
        visited = [line for line in lines if line[f"targets/{space}"]]  # others have a loss of exactly 0
        steps = np.array([line["step"] for line in visited])
        values = np.array([line[_PREFIX + space] for line in visited], dtype=float)
        width = min(window, len(values))
        if width:
            smooth = np.convolve(values, np.ones(width) / width, mode="valid")
            axes.plot(steps[width - 1 :], smooth - smooth[0], label=f"{space} (from {smooth[0]:.3f})")
    axes.set(
        xlabel="step", ylabel="change of the loss per column (nats)", title="Training loss since the start"
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
