"""How far the latent's mu spreads over molecules, beside what the encoder leaves open: its sigma."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.models.bottleneck import AT_FLOOR, SIGMA_FLOOR
from infoalign_dgl.plots._axes import COLOURS, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_latent_spread(mu: np.ndarray, sigma: np.ndarray, axes: Axes | None = None) -> Axes:
    """Draw each latent dimension: the spread of mu over the molecules against the mean sigma.

    A dimension carries information if its mu differs from molecule to molecule by more than what the encoder
    leaves open, sigma: those are above the diagonal.

    Parameters
    ----------
    mu, sigma : (n, D) float arrays
        As :meth:`~infoalign_dgl.representation.Representation.latents` gives them; n is at least 2, rows with
        NaN are left out.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        The axes drawn on, both logarithmic. The title says how many dimensions carry information, and the
        legend how many of them have a sigma at the floor that keeps it above 0.

    Raises
    ------
    EvaluationError
        If mu and sigma differ in shape, or there are less than two molecules.
    """
    mu, sigma = np.asarray(mu, np.float64), np.asarray(sigma, np.float64)
    if mu.shape != sigma.shape or mu.ndim != 2:
        raise EvaluationError(
            f"'mu' and 'sigma' must both have a row per molecule, not shapes {mu.shape} and {sigma.shape}"
        )
    whole = np.isfinite(mu).all(axis=1) & np.isfinite(sigma).all(axis=1)
    if whole.sum() < 2:
        raise EvaluationError(f"a spread needs the latents of at least 2 molecules, not {int(whole.sum())}")
    spread, width = mu[whole].std(axis=0), sigma[whole].mean(axis=0)
    carries, floored = spread > width, sigma[whole].max(axis=0) < AT_FLOOR
    low = min(SIGMA_FLOOR, float(width.min())) / 2
    high = 2 * max(1.0, float(spread.max()), float(width.max()))
    axes = axes_or_new(axes, (6.0, 4.5))
    for chosen, colour, label in (
        (carries & ~floored, COLOURS[0], "carries information"),
        (carries & floored, COLOURS[1], "carries information, sigma at its floor"),
        (~carries, "0.6", "carries none"),
    ):
        if chosen.any():
            label = f"{label} ({int(chosen.sum())})"
            height = np.maximum(spread[chosen], low)  # a constant mu has no place on a logarithmic scale
            axes.scatter(width[chosen], height, s=16, color=colour, label=label, linewidths=0, alpha=0.8)
    axes.plot([low, high], [low, high], color="0.3", linewidth=1, label="spread of mu = sigma")
    axes.axvline(1.0, color="0.3", linestyle=":", linewidth=1, label="sigma of the prior")
    lowest = min(0.1, max(low, float(spread.min())) / 2)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(lowest, high))
    axes.set(xlabel="mean sigma of a dimension", ylabel="spread of its mu over molecules")
    axes.set_title(f"{int(carries.sum())} of {len(carries)} dimensions carry information")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
