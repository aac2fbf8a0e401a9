"""The schedule against its closed form and torch's LambdaLR."""

from __future__ import annotations

import math

import pytest
import torch

from infoalign_dgl.training.schedule import cosine_factor


def test_closed_form():
    assert cosine_factor(0, 100) == 1.0
    assert cosine_factor(100, 100) == pytest.approx(math.sin(math.pi / 16))
    assert cosine_factor(50, 100) == pytest.approx(math.cos(7 * math.pi / 32))
    assert all(cosine_factor(t, 10) > cosine_factor(t + 1, 10) for t in range(10))
    assert cosine_factor(0, 0) == 1.0


def test_never_negative():
    assert min(cosine_factor(t, 10) for t in range(60)) == 0.0


def test_is_what_lambda_lr_gives():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: math.cos(7 / 16 * math.pi * t / 9))
    for step in range(9):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * cosine_factor(step, 9))
        optimizer.step()
        scheduler.step()
