"""Decoders: rows of the whole batch's logits, and a start at the column means."""

from __future__ import annotations

import pytest
import torch

from infoalign_dgl.models.decoders import Decoder, start_scale


def test_named_rows_are_those_of_the_whole_batch():
    torch.manual_seed(0)
    decoder = Decoder(6, 24, 9, dropout=0.0).train()
    z = torch.randn(8, 6)
    rows = torch.tensor([1, 4, 4, 7])
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    every = decoder(z)
    after_every = decoder.norm.running_mean.clone()
    decoder.load_state_dict(before)
    torch.testing.assert_close(decoder(z, rows), every[rows])
    torch.testing.assert_close(decoder.norm.running_mean, after_every)


def test_each_row_has_its_own_dropout_mask():
    torch.manual_seed(0)
    decoder = Decoder(6, 24, 9, dropout=0.5).train()
    twice = decoder(torch.randn(8, 6), torch.tensor([3, 3]))
    assert not torch.allclose(twice[0], twice[1])


def test_no_rows_give_zero_gradients():
    decoder = Decoder(6, 24, 9, dropout=0.5).train()
    z = torch.randn(8, 6, requires_grad=True)
    logits = decoder(z, torch.zeros(0, dtype=torch.int64))
    assert logits.shape == (0, 9)
    logits.sum().backward()
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in decoder.parameters())
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_training_starts_at_the_column_means():
    torch.manual_seed(0)
    decoder = Decoder(32, 128, 5, dropout=0.5).train()
    means = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    decoder.initialise_output(means, rows=1600)
    predicted = torch.sigmoid(decoder(torch.randn(512, 32)))
    assert (predicted.mean(0) - means).abs().max() < 0.005
    assert predicted.std(0).max() < 0.03
    assert decoder.output.weight.abs().min() > 0
    assert decoder.norm.weight.unique().tolist() == [pytest.approx(0.2)]


@pytest.mark.parametrize(
    ("rows", "scale"), [(0, 0.0), (400, 0.1), (10_000, 0.5), (40_000, 1.0), (10**6, 1.0)]
)
def test_small_spaces_start_small(rows, scale):
    assert start_scale(rows) == pytest.approx(scale)


def test_a_small_signal_on_a_large_bias_survives_bfloat16():
    torch.manual_seed(0)
    decoder = Decoder(32, 128, 40, dropout=0.0).eval()
    with torch.no_grad():
        decoder.output.bias.fill_(-6.0)  # bfloat16 has steps of 1/32 there
        decoder.output.weight.mul_(0.05)
        z = torch.randn(64, 32)
        exact = decoder(z)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = decoder(z)
    assert half.dtype == torch.float32
    signal = exact + 6.0
    assert signal.std() < 1 / 32
    assert (half - exact).abs().max() < 0.05 * signal.std()
