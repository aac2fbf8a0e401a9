"""A map of the latent: molecules in two dimensions, coloured by a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from infoalign_dgl.plots._axes import axes_or_new

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes


def draw_latent_map(
    vectors: np.ndarray,
    labels: Sequence[str],
    axes: Axes | None = None,
    *,
    title: str = "Latent, first two components",
) -> Axes:
    """Draw the first two principal components of the standardized vectors.

    Parameters
    ----------
    vectors : (n, D) float array
        One vector a molecule; rows with NaN are left out.
    labels : sequence of str, length n
        What to colour by; the empty string is drawn in grey underneath.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    title : str
        The title.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.
    """
    axes = axes_or_new(axes, (7.0, 5.5))
    names = np.asarray(labels)
    whole = np.isfinite(vectors).all(axis=1)
    points = PCA(2, random_state=0).fit_transform(StandardScaler().fit_transform(np.asarray(vectors)[whole]))
    colours = [plt.get_cmap("tab20")(shade) for shade in range(20)]
    for number, name in enumerate(sorted(set(names[whole]))):
        chosen = names[whole] == name
        colour, order = ("0.85", 1) if name == "" else (colours[number % len(colours)], 2)
        x, y = points[chosen].T
        axes.scatter(x, y, s=9, color=colour, zorder=order, label=name or None, linewidths=0)
    axes.set(xlabel="component 1", ylabel="component 2", title=title)
    axes.legend(frameon=False, fontsize=8, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    return axes
