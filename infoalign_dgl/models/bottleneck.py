"""The information bottleneck: a Gaussian latent per molecule, and its divergence from the prior N(0, I)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infoalign_dgl.models.norm import linear_with_exact_bias

SIGMA_FLOOR = 1e-7
AT_FLOOR = 2 * SIGMA_FLOOR
"""Below this sigma is the floor that keeps it above 0, and nothing that was learnt."""


@dataclass(frozen=True)
class Latent:
    """The distribution p(z|x) = N(mu, diag(sigma^2)) of each molecule of a batch.

    Attributes
    ----------
    mu : Tensor
        Shape (B, D), float32 (float64 for a model in double precision).
    sigma : Tensor
        Shape (B, D), positive, of the same type.

    Examples
    --------
    >>> import torch
    >>> from infoalign_dgl.models import Latent
    >>> latent = Latent(mu=torch.tensor([[3.0, 4.0]]), sigma=torch.ones(1, 2))
    >>> latent.kl().item()  # half the squared length of mu where sigma is 1
    12.5
    """

    mu: Tensor
    sigma: Tensor

    def sample(self) -> Tensor:
        """Draw one z per molecule, reparameterized so that gradients reach mu and sigma, shape (B, D)."""
        return self.mu + self.sigma * torch.randn_like(self.mu)

    def kl(self) -> Tensor:
        """Return KL(p(z|x) || N(0, I)) in nats, summed over dimensions and averaged over the batch, shape ().

        References
        ----------
        Liu et al. 2024, Learning Molecular Representation in a Cell, Eq. 3 (second term), in closed form.
        """
        per_entry = self.mu.square() + self.sigma.square() - 1 - 2 * self.sigma.log()
        return 0.5 * per_entry.sum(dim=1).mean()

    def log_ratio(self, z: Tensor) -> Tensor:
        """Return log p(z|x) - log N(z; 0, I), summed over dimensions and averaged over the batch, shape ().

        Its expectation over z ~ p(z|x) is :meth:`kl`; the published implementation trains on one sample of
        it.

        Parameters
        ----------
        z : Tensor
            Shape (B, D).
        """
        standard = (z - self.mu) / self.sigma
        per_entry = 0.5 * (z.square() - standard.square()) - self.sigma.log()
        return per_entry.sum(dim=1).mean()


class Bottleneck(nn.Module):
    """Map a molecule's vector to its latent: mu, s = chunk(Linear(SiLU(h))), sigma = softplus(s) + 1e-7.

    Parameters
    ----------
    hidden : int
        Width D of the molecule's vector and of the latent.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, 2 * hidden)

    def forward(self, pooled: Tensor) -> Latent:
        """Return the latent of vectors of shape (B, D); mu and sigma are float32 under autocast too."""
        mu, raw = linear_with_exact_bias(nn.functional.silu(pooled), self.linear).chunk(2, dim=1)
        return Latent(mu, nn.functional.softplus(raw) + SIGMA_FLOOR)
