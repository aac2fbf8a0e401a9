"""The figure of ranks shows HIT@k for every k, and chance."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from infoalign_dgl.evaluation.matching import FORWARD, match
from infoalign_dgl.plots import draw_rank_distribution, save_figure

mpl.use("Agg")


def test_every_k_and_chance_are_drawn(tmp_path):
    rng = np.random.default_rng(0)
    profiles = rng.uniform(0.2, 0.8, size=(25, 12))
    noisy = np.log(profiles / (1 - profiles)) + rng.normal(0, 2, size=profiles.shape)
    found = match(noisy, profiles, np.arange(25), scores=["kl", "gaussian"])[FORWARD]
    axes = draw_rank_distribution(found, "cells")
    *by_score, by_chance = axes.get_lines()
    for score, line in zip(("kl", "gaussian"), by_score, strict=True):
        first = found.ranks[score].first()
        ks, shares = line.get_data()
        assert ks.tolist() == list(range(1, 26))
        np.testing.assert_allclose(shares, [(first <= k).mean() for k in ks])
        assert line.get_label() == f"{score} (median rank {np.median(first):g})"
    np.testing.assert_allclose(by_chance.get_ydata(), np.arange(1, 26) / 25)
    assert by_chance.get_label() == "random order (expected rank 13)"
    save_figure(axes, tmp_path, "ranks")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ranks.png", "ranks.svg"]
    assert not plt.get_fignums()
