"""The KL in closed form against torch.distributions and against the mean of its samples."""

from __future__ import annotations

import torch
from torch.distributions import Independent, Normal, kl_divergence

from infoalign_dgl.models.bottleneck import Bottleneck, Latent


def random_latent(seed=0, size=(6, 5)):
    generator = torch.Generator().manual_seed(seed)
    mu = torch.randn(size, dtype=torch.float64, generator=generator)
    return Latent(mu, torch.rand(size, dtype=torch.float64, generator=generator) + 0.1)


def test_kl_is_that_of_torch_distributions():
    latent = random_latent()
    posterior = Independent(Normal(latent.mu, latent.sigma), 1)
    prior = Independent(Normal(torch.zeros(5).double(), torch.ones(5).double()), 1)
    torch.testing.assert_close(latent.kl(), kl_divergence(posterior, prior).mean())
    z = latent.sample()
    torch.testing.assert_close(latent.log_ratio(z), (posterior.log_prob(z) - prior.log_prob(z)).mean())


def test_log_ratio_averages_to_kl():
    torch.manual_seed(0)
    latent = random_latent()
    draws = torch.stack([latent.log_ratio(latent.sample()) for _ in range(4000)])
    assert abs(draws.mean() - latent.kl()) < 5 * draws.std() / 4000**0.5


def test_kl_limits():
    shape = (3, 4)
    standard = Latent(torch.zeros(shape), torch.ones(shape))
    assert standard.kl() == 0
    assert Latent(torch.zeros(shape), torch.full(shape, 1e-7)).kl().isfinite()
    assert Latent(torch.full(shape, 2.0), torch.ones(shape)).kl() == 4 * 2.0


def test_sigma_has_a_floor_and_is_float32_under_autocast():
    bottleneck = Bottleneck(4)
    with torch.no_grad():
        bottleneck.linear.bias.fill_(-1e4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        latent = bottleneck(torch.randn(3, 4))
    assert latent.mu.dtype == latent.sigma.dtype == torch.float32
    assert latent.sigma.min() > 0
    assert latent.kl().isfinite()
