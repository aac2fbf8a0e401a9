"""Bounds on mutual information, where the information is known."""

from __future__ import annotations

import math

import pytest
import torch

from infoalign_dgl.models.bounds import (
    bounds_on_gaussians,
    decoder_bound,
    infonce_bound,
    nwj_bound,
)


@pytest.fixture(scope="module")
def curve():
    return [bounds_on_gaussians(correlation) for correlation in (0.1, 0.3, 0.5, 0.7, 0.9)]


def test_the_information_is_that_of_gaussians(curve):
    for one in curve:
        cov = torch.eye(40, dtype=torch.float64)
        cov[:20, 20:] = cov[20:, :20] = one.correlation * torch.eye(20, dtype=torch.float64)
        assert one.information == pytest.approx(-torch.logdet(cov).item() / 2, rel=1e-9)


def test_the_decoder_bound_is_below_the_information_and_above_infonce(curve):
    """Proposition 4.1; a fitted decoder's bound is tight, and InfoNCE's stops at log K."""
    for one in curve:
        error = one.decoder.standard_error
        assert one.decoder.value <= one.information + 3 * error
        assert one.decoder.value == pytest.approx(one.information, abs=4 * error)
        assert one.infonce.value <= one.decoder.value + 3 * error
        assert one.infonce.value <= math.log(one.batch)
    beyond = [one for one in curve if one.information > math.log(one.batch) + 1]
    assert len(beyond) == 2
    for one in beyond:
        assert one.decoder.value - one.infonce.value > 1


def test_infonce_rises_with_the_number_of_pairs():
    values = [bounds_on_gaussians(0.5, batch=size, batches=100).infonce.value for size in (4, 16, 64)]
    assert values[0] < values[1] < values[2] < bounds_on_gaussians(0.5).information


def test_nwj_is_tight_where_there_are_samples_enough(curve):
    for one in curve[:2]:
        assert one.nwj.value == pytest.approx(one.information, abs=4 * one.nwj.standard_error)


def test_a_poor_decoder_gives_less(curve):
    """q(y|z) = N(0.2 z, 1) where p(y|z) = N(0.5 z, 0.75): the difference is their divergence."""
    generator = torch.Generator().manual_seed(1)
    z, noise = torch.randn(2, 200_000, 2, generator=generator, dtype=torch.float64)
    y = 0.5 * z + math.sqrt(0.75) * noise
    log_q = -((y - 0.2 * z) ** 2 + math.log(2 * math.pi)).sum(dim=1) / 2
    found = decoder_bound(log_q, math.log(2 * math.pi * math.e))
    information = -math.log(0.75)
    divergence = 0.75 - 1 - math.log(0.75) + 0.3**2  # of two coordinates, in nats
    assert found.value == pytest.approx(information - divergence, abs=4 * found.standard_error)
    assert 4 * found.standard_error < 0.02


def test_bounds_on_a_shared_fair_bit():
    """Y is Z, a fair bit: log p(y|z) / p(y) is log 2 where they agree, which two bits do half the time."""
    paired, unpaired = torch.full((8,), 1 + math.log(2)), torch.tensor([1 + math.log(2), -math.inf] * 4)
    assert nwj_bound(paired, unpaired).value == pytest.approx(math.log(2))
    assert decoder_bound(torch.zeros(8), math.log(2)).value == pytest.approx(math.log(2))
    # Two pairs: bits that differ are told apart, equal ones are not; each happens half the time.
    same, differ = torch.zeros(2, 2), torch.tensor([[0, -math.inf], [-math.inf, 0]])
    assert infonce_bound(torch.stack([same, differ])).value == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: infonce_bound(torch.zeros(3, 2, 4)), "must have shape"),
        (lambda: decoder_bound(torch.zeros(1), 0.0), "at least 2 samples, not 1"),
        (lambda: bounds_on_gaussians(1.0), r"must be in \(-1, 1\), not 1.0"),
    ],
)
def test_wrong_arguments(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_the_figure_shows_the_ceiling(curve):
    from infoalign_dgl.plots.bounds import draw_bounds

    axes = draw_bounds(curve)
    heights = [line.get_ydata() for line in axes.get_lines()]
    assert any(list(height) == [math.log(64)] * 2 for height in heights)
    assert [text.get_text() for text in axes.texts] == ["log 64"]
