"""Hyperparameters of Gaussian processes by GPyTorch's marginal likelihood, several tasks with one set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gpytorch
import torch
from linear_operator import to_linear_operator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_STEPS = 50  # of L-BFGS for two or three numbers; most fits stop by themselves before
_LEAST_NOISE = 1e-3  # of standardized labels: less lets a Cholesky factor fail


@dataclass(frozen=True)
class Hyperparameters:
    """Of all tasks, for labels of mean 0 and variance 1.

    Attributes
    ----------
    scale : float
        Variance of the process where the similarity is 1.
    noise : float
        Variance of the labels around it.
    lengthscale : float
        Of an RBF kernel; 1 for others.
    """

    scale: float
    noise: float
    lengthscale: float


def most_likely(tasks: Sequence[tuple[Tensor, Tensor]], *, squared_distances: bool) -> Hyperparameters:
    """Maximize the sum over tasks of the log marginal likelihood per label.

    Parameters
    ----------
    tasks : sequence of (Tensor, Tensor)
        Of each task the (k, k) similarities of its rows, or their squared distances, and their (k,) labels,
        of mean 0 and variance 1; float64.
    squared_distances : bool
        Whether the kernel is an RBF with a lengthscale to fit.

    References
    ----------
    Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, section 5.4.1; for several tasks
    with one set of hyperparameters, section 5.4.3.
    """
    least = gpytorch.constraints.GreaterThan(_LEAST_NOISE)
    likelihood = gpytorch.likelihoods.GaussianLikelihood(noise_constraint=least).double()
    likelihood.noise = 0.5
    log_scale = torch.full((), -0.7, dtype=torch.float64, requires_grad=True)
    log_length = torch.zeros((), dtype=torch.float64, requires_grad=squared_distances)
    parameters = [log_scale, *([log_length] if squared_distances else []), *likelihood.parameters()]
    optimizer = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        for matrix, labels in tasks:
            if squared_distances:
                matrix = torch.exp(-0.5 * matrix / torch.exp(2 * log_length))
            # As an operator, it gets its noise before it is factored: equal molecules make it singular.
            covariance = to_linear_operator(torch.exp(log_scale) * matrix)
            prior = gpytorch.distributions.MultivariateNormal(torch.zeros_like(labels), covariance)
            loss = -likelihood(prior).log_prob(labels) / len(labels)
            loss.backward()
            total += loss.item()
        return total

    with gpytorch.settings.max_cholesky_size(1_000_000):  # beyond, GPyTorch would estimate by random vectors
        optimizer.step(closure)
    return Hyperparameters(log_scale.exp().item(), likelihood.noise.item(), log_length.exp().item())
