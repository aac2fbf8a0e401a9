"""Lower bounds on the mutual information of a representation z and a response y, estimated from samples.

The decoder-based bound needs a likelihood q(y|z) and the entropy of y. The encoder-based ones need a critic
f(y, z) that tells pairs that belong together from pairs that do not, as contrastive learning trains it.

References
----------
Liu et al. 2024, "Learning Molecular Representation in a Cell", Proposition 4.1 and appendix A;
Barber and Agakov 2003 (decoder-based); Nguyen, Wainwright and Jordan 2010 (NWJ); van den Oord et al. 2018
(InfoNCE); Poole et al. 2019, "On variational bounds of mutual information".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bound:
    """An estimate of a lower bound.

    Attributes
    ----------
    value : float
        In nats.
    standard_error : float
        Of the estimate over its samples, in nats; it says nothing of how far the bound is below the
        information.
    """

    value: float
    standard_error: float


def decoder_bound(log_likelihood: Tensor, entropy: float) -> Bound:
    """Estimate I_DLB = H(Y) + E[log q(y|z)]: at most I(Y; Z), and equal where q(y|z) is p(y|z).

    Parameters
    ----------
    log_likelihood : Tensor
        Shape (N,), log q(y|z) of N pairs that belong together, in nats.
    entropy : float
        H(Y) in nats, differential where y is continuous.

    Raises
    ------
    ValueError
        If there are fewer than two pairs.
    """
    return _estimate(log_likelihood.double() + entropy)


def nwj_bound(paired: Tensor, unpaired: Tensor) -> Bound:
    """Estimate I_NWJ = E_p(y,z)[f] - E_p(y)p(z)[exp(f - 1)], tight where f is 1 + log p(y|z) / p(y).

    Only the expectation is a bound. The second term is carried by pairs that are drawn once in exp(I) times,
    so that with fewer samples than that the estimate is too high, and its standard error too low.

    Parameters
    ----------
    paired : Tensor
        Shape (N,), the critic f of pairs that belong together.
    unpaired : Tensor
        Shape (M,), f of pairs drawn apart from one another.

    Raises
    ------
    ValueError
        If there are fewer than two pairs of either kind.
    """
    first, second = _estimate(paired.double()), _estimate((unpaired.double() - 1).exp())
    return Bound(first.value - second.value, math.hypot(first.standard_error, second.standard_error))


def infonce_bound(scores: Tensor) -> Bound:
    """Estimate I_NCE = E[log softmax of the right pair among K] + log K, never above log K.

    Parameters
    ----------
    scores : Tensor
        Shape (B, K, K): in each of B batches the critic f of y number i and z number j, of which i = j
        belong together.

    Raises
    ------
    ValueError
        If the shape is another, or there are fewer than two batches.
    """
    if scores.dim() != 3 or scores.shape[1] != scores.shape[2]:
        raise ValueError(f"'scores' must have shape (batches, K, K), not {tuple(scores.shape)}")
    right = scores.double().log_softmax(dim=2).diagonal(dim1=1, dim2=2)
    return _estimate(right.mean(dim=1) + math.log(scores.shape[1]))


def _estimate(samples: Tensor) -> Bound:
    if len(samples) < 2:
        raise ValueError(f"a bound and its error need at least 2 samples, not {len(samples)}")
    return Bound(float(samples.mean()), float(samples.std() / math.sqrt(len(samples))))


@dataclass(frozen=True)
class GaussianBounds:
    """The three bounds where the information is known.

    Attributes
    ----------
    correlation : float
        Of each coordinate of y with the same one of z.
    information : float
        I(Y; Z), exact, in nats.
    decoder, nwj, infonce : Bound
    batch : int
        K of InfoNCE; its bound cannot exceed log K.
    """

    correlation: float
    information: float
    decoder: Bound
    nwj: Bound
    infonce: Bound
    batch: int


def bounds_on_gaussians(
    correlation: float, *, dim: int = 20, batch: int = 64, batches: int = 200, seed: int = 0
) -> GaussianBounds:
    """Estimate the bounds on Gaussians y and z whose coordinates are correlated in pairs.

    The decoder q(y|z) = N(a z, s^2) is fitted to samples of its own by least squares. InfoNCE has the best
    critic there is, log p(y|z) - log p(y) up to what depends on one of the two alone, and NWJ has 1 more.

    Parameters
    ----------
    correlation : float
        In (-1, 1).
    dim : int
        Coordinates D of y and of z.
    batch : int
        Pairs K that InfoNCE chooses from.
    batches : int
        How many such batches are drawn.
    seed : int
        Of the samples.

    References
    ----------
    Liu et al. 2024, Proposition 4.1: I(Y; Z) >= I_DLB >= I_NCE for the best decoder and the best critic. Of a
    poor decoder the first inequality holds too, the second need not.
    """
    if not -1 < correlation < 1:
        raise ValueError(f"'correlation' must be in (-1, 1), not {correlation}")
    rng = torch.Generator().manual_seed(seed)
    y, z = _draw(correlation, (batches, batch, dim), rng)
    fit_y, fit_z = _draw(correlation, (batches * batch, dim), rng)
    slope = (fit_y * fit_z).sum() / fit_z.square().sum()
    variance = (fit_y - slope * fit_z).square().mean()
    log_likelihood = _log_normal(y - slope * z, variance).flatten()
    entropy = dim / 2 * math.log(2 * math.pi * math.e)
    remaining = torch.tensor(1 - correlation**2, dtype=torch.float64)
    residual = y[:, :, None] - correlation * z[:, None]
    ratio = _log_normal(residual, remaining) - _log_normal(y, torch.ones_like(remaining))[:, :, None]
    apart = ratio.roll(1, dims=1).diagonal(dim1=1, dim2=2)  # y of one pair with z of the next
    return GaussianBounds(
        correlation,
        -dim / 2 * math.log(1 - correlation**2),
        decoder_bound(log_likelihood, entropy),
        nwj_bound(1 + ratio.diagonal(dim1=1, dim2=2).flatten(), 1 + apart.flatten()),
        infonce_bound(ratio),
        batch,
    )


def _draw(correlation: float, shape: tuple[int, ...], rng: torch.Generator) -> tuple[Tensor, Tensor]:
    z = torch.randn(shape, generator=rng, dtype=torch.float64)
    noise = torch.randn(shape, generator=rng, dtype=torch.float64)
    return correlation * z + math.sqrt(1 - correlation**2) * noise, z


def _log_normal(residual: Tensor, variance: Tensor) -> Tensor:
    """Log density of N(0, variance) in every coordinate, summed over the last axis."""
    return -(residual.square() / variance + (2 * math.pi * variance).log()).sum(dim=-1) / 2
