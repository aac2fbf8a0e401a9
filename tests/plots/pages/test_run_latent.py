"""What a run's page says of the latent, where numbers are at an end of their range."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from infoalign_dgl.plots.pages._run_latent import _warning
from infoalign_dgl.plots.pages._run_molecules import group_labels
from infoalign_dgl.training import PretrainConfig


def test_infinite_labels_are_in_no_quarter():
    labels, _ = group_labels([*map(str, range(100)), "inf"])
    assert labels[0] == "1: up to 24.8"
    assert labels[99] == "4: above 74.2"
    assert labels[100] == ""


def test_a_sigma_at_its_floor_is_not_called_certainty():
    config = SimpleNamespace(pretrain=PretrainConfig())
    said = _warning(300, 300, config)
    assert "In all 300 dimensions sigma is at the floor that keeps it above 0 (1e-07)" in said
    assert "so small a beta (1e-09)" in said
    assert "does not mean that the encoder is certain" in said
    normal = torch.distributions.Normal
    each = torch.distributions.kl_divergence(normal(0.0, 1e-7), normal(0.0, 1.0)).item()
    assert f"makes up {each:.1f} nats" in said
    assert "In 7 of the 300 dimensions" in _warning(7, 300, config)
    assert _warning(0, 300, config) == ""
