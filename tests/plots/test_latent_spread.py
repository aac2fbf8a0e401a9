"""A dimension carries information where mu spreads further than sigma is wide."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.plots import draw_latent_spread

mpl.use("Agg")


def test_dimensions_are_sorted_by_what_they_carry() -> None:
    """Four molecules, mu at +-spread: its standard deviation is the spread itself."""
    spread = np.array([2.0, 0.5, 0.0, 3.0])
    mu = np.array([1.0, -1.0, 1.0, -1.0])[:, None] * spread + 7
    sigma = np.array([[0.5, 0.6, 1.0, 1.01e-7], [1.5, 0.8, 1.0, 1.02e-7]] * 2)
    mu = np.vstack([mu, np.full(4, np.nan)])
    sigma = np.vstack([sigma, np.full(4, np.nan)])
    axes = draw_latent_spread(mu, sigma)
    assert axes.get_title() == "2 of 4 dimensions carry information"
    shown = {points.get_label(): np.asarray(points.get_offsets()) for points in axes.collections}
    np.testing.assert_allclose(shown["carries information (1)"], [[1.0, 2.0]])
    np.testing.assert_allclose(shown["carries information, sigma at its floor (1)"], [[1.015e-7, 3.0]])
    np.testing.assert_allclose(shown["carries none (2)"][0], [0.7, 0.5])
    constant = shown["carries none (2)"][1]
    assert constant[0] == 1.0
    assert 0 < constant[1] < 1e-7
    assert axes.get_xscale() == axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert low <= constant[1]
    assert high > 3


def test_latents_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"not shapes \(3, 2\) and \(3, 1\)"):
        draw_latent_spread(np.ones((3, 2)), np.ones((3, 1)))
    with pytest.raises(EvaluationError, match="at least 2 molecules, not 1"):
        draw_latent_spread(np.ones((1, 2)), np.ones((1, 2)))
    assert not plt.get_fignums()
