"""A map of the latent: molecules in two dimensions, coloured by a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from infoalign_dgl.plots._axes import axes_or_new
from infoalign_dgl.plots._labelled import draw_labelled

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
    draw_labelled(axes, points, names[whole])
    axes.set(xlabel="component 1", ylabel="component 2", title=title)
    return axes
