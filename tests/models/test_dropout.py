"""The byte-wise dropout keeps the right share, independently by byte position, and scales what it keeps."""

from __future__ import annotations

import pytest
import torch

from infoalign_dgl.models.dropout import Dropout, random_bytes


def test_bytes_are_uniform_at_every_position():
    torch.manual_seed(0)
    lanes = random_bytes(800_000).view(-1, 8).double()
    # Standard error of the mean of 100,000 uniform bytes is 0.23; of a lane without its high bit the mean
    # would be 63.5.
    assert (lanes.mean(0) - 127.5).abs().max() < 1.2
    assert (lanes.std(0) - 73.9).abs().max() < 0.7
    assert len(random_bytes(13)) == 13


@pytest.mark.parametrize("p", [0.25, 0.5, 0.1])
def test_share_and_scale(p):
    torch.manual_seed(0)
    x = torch.ones(300, 1000, requires_grad=True)
    dropped = Dropout(p).train()(x)
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / (1 - p))]
    assert abs(float((dropped == 0).float().mean()) - p) < 5 * (p * (1 - p) / 300_000) ** 0.5
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, dropped.detach())


def test_seed_and_eval():
    x = torch.randn(40, 30)
    layer = Dropout(0.5)
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert not torch.equal(layer(x), first)
    assert layer.eval()(x) is x
    assert Dropout(0.0).train()(x) is x
