"""Where figures come from, and the colours they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
NODE_COLOURS = {
    "molecule": "#0072B2",
    "gene": "#009E73",
    "gene_expression": "#E69F00",
    "morphology": "#CC79A7",
}


def axes_or_new(axes: Axes | None, size: tuple[float, float]) -> Axes:
    """Return ``axes``, or those of a new figure of ``size`` inches."""
    return axes if axes is not None else plt.subplots(figsize=size, layout="constrained")[1]
