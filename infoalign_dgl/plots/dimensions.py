"""Which dimensions of the latent say something of a molecule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.plots._axes import COLOURS, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 40
_LEAST = 1e-9  # far below the floor of sigma


@dataclass(frozen=True)
class Dimensions:
    """The latent's dimensions over a set of molecules.

    Attributes
    ----------
    spread : np.ndarray
        (D,) standard deviation of mu over the molecules.
    sigma : np.ndarray
        (D,) mean of sigma over the molecules; the prior's is 1.
    kl : np.ndarray
        (D,) mean over the molecules of KL(N(mu, sigma^2) || N(0, 1)), nats.
    """

    spread: np.ndarray
    sigma: np.ndarray
    kl: np.ndarray

    @classmethod
    def of(cls, mu: np.ndarray, sigma: np.ndarray) -> Dimensions:
        """Describe latents of shape (n, D)."""
        mean, scale = mu.astype(np.float64), sigma.astype(np.float64)
        kl = 0.5 * (mean**2 + scale**2 - 1 - 2 * np.log(scale))
        return cls(mean.std(axis=0), scale.mean(axis=0), kl.mean(axis=0))


def draw_dimension_divergences(found: Dimensions, axes: Axes | None = None) -> Axes:
    """Draw how the dimensions' divergence from the prior is distributed: 0 for one that says nothing.

    Parameters
    ----------
    found : Dimensions
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on, with a logarithmic scale.
    """
    axes = axes_or_new(axes, (6.8, 4.0))
    bins = _log_bins(found.kl)
    axes.hist(np.maximum(found.kl, bins[0]), bins=bins, color=COLOURS[2])
    axes.set_xscale("log")
    axes.set(
        xlabel="KL from the prior, nats per molecule",
        ylabel=f"dimensions of {len(found.kl):,}",
        title="Divergence by dimension",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _log_bins(values: np.ndarray) -> list[float]:
    """Edges of bins that hold all values, those below 1e-9 in the first."""
    low, high = max(float(values.min()), _LEAST) * 0.98, max(float(values.max()), _LEAST) * 1.02
    return [float(edge) for edge in np.geomspace(low, high, _BINS + 1)]
