"""Hyperparameters of Gaussian processes by GPyTorch's marginal likelihood, several tasks with one set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gpytorch
import torch
from linear_operator import to_linear_operator
from linear_operator.utils.errors import NotPSDError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_STEPS = 50  # of L-BFGS for two or three numbers; most fits stop by themselves before
_LARGEST_SCALE = 1e2  # a factor from 1 either way, of labels' variance: their noise must outlive float32
_LARGEST_LENGTH = 1e3  # the same for the lengthscale, of usual distances
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

    Raises
    ------
    torch.linalg.LinAlgError
        If a task's covariances cannot be factored.

    References
    ----------
    Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, section 5.4.1; for several tasks
    with one set of hyperparameters, section 5.4.3.
    """
    least = gpytorch.constraints.GreaterThan(_LEAST_NOISE)
    likelihood = gpytorch.likelihoods.GaussianLikelihood(noise_constraint=least).double()
    likelihood.noise = 0.5
    raw_scale = torch.full((), -0.7, dtype=torch.float64, requires_grad=True)
    raw_length = torch.zeros((), dtype=torch.float64, requires_grad=squared_distances)
    parameters = [raw_scale, *([raw_length] if squared_distances else []), *likelihood.parameters()]
    optimizer = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        for matrix, labels in tasks:
            if squared_distances:
                matrix = torch.exp(-0.5 * matrix / _bounded(raw_length, _LARGEST_LENGTH).square())
            # As an operator, it gets its noise before it is factored: equal molecules make it singular.
            covariance = to_linear_operator(_bounded(raw_scale, _LARGEST_SCALE) * matrix)
            prior = gpytorch.distributions.MultivariateNormal(torch.zeros_like(labels), covariance)
            loss = -likelihood(prior).log_prob(labels) / len(labels)
            loss.backward()
            total += loss.item()
        return total

    with gpytorch.settings.max_cholesky_size(1_000_000):  # beyond, GPyTorch would estimate by random vectors
        try:
            optimizer.step(closure)
        except NotPSDError as error:  # as torch's own factorization says it
            raise torch.linalg.LinAlgError(str(error)) from error
    scale, length = _bounded(raw_scale, _LARGEST_SCALE), _bounded(raw_length, _LARGEST_LENGTH)
    return Hyperparameters(scale.item(), likelihood.noise.item(), length.item())


def _bounded(raw: Tensor, largest: float) -> Tensor:
    """Give a positive number in [1 / largest, largest], near exp(raw) around 1; a search may try any ``raw``.

    The likelihood of smooth labels, or of a heavy-tailed embedding, can rise with a scale and lengthscale
    beyond all bounds, where the noise is lost in rounding and the matrix cannot be factored.
    """
    bound = math.log(largest)
    return torch.exp(bound * torch.tanh(raw / bound))
