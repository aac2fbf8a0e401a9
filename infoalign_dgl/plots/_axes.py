"""Where figures come from, and the colours they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

from infoalign_dgl._html import NODE_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "NODE_COLOURS", "axes_or_new"]

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")


def axes_or_new(axes: Axes | None, size: tuple[float, float]) -> Axes:
    """Return ``axes``, or those of a new figure of ``size`` inches."""
    return axes if axes is not None else plt.subplots(figsize=size, layout="constrained")[1]
