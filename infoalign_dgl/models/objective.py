"""The three losses, on targets that each walk's nodes were collapsed into.

The Bernoulli log-likelihood is linear in the target, so over the nodes v of one feature space that a
molecule's walk visits, sum alpha(v) BCE(logits, y_v) = A BCE(logits, ybar) with A = sum alpha(v) and ybar =
sum alpha(v) y_v / A. One row per molecule and feature space therefore gives the same loss and the same
gradients as one row per visited node.

What each loss divides by are totals of the whole batch. A part of a batch (a micro-batch, or one process's
share) is given these same totals, so that losses and gradients of the parts add up to those of the batch.

References
----------
Liu et al. 2024, Learning Molecular Representation in a Cell, Eq. 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from infoalign_dgl.errors import RunError
from infoalign_dgl.extensions import find

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infoalign_dgl.models.bottleneck import Latent
    from infoalign_dgl.models.infoalign import InfoAlign


@dataclass(frozen=True)
class SpaceTargets:
    """A batch's targets in one feature space, one row per molecule whose walk visited the space.

    Attributes
    ----------
    molecule : Tensor
        Shape (R,), int64 positions in the batch, ascending.
    alpha : Tensor
        Shape (R,), float32, positive: the sum of alpha over the visited nodes of the space.
    count : Tensor
        Shape (R,), float32: how many such nodes there were.
    mean : Tensor
        Shape (R, d), float32 in [0, 1]: their alpha-weighted mean.
    """

    molecule: Tensor
    alpha: Tensor
    count: Tensor
    mean: Tensor

    def __len__(self) -> int:
        return len(self.molecule)


@dataclass(frozen=True)
class BatchTotals:
    """What the losses of a whole batch are divided by.

    Attributes
    ----------
    spaces : tuple of str
        The S feature spaces.
    values : Tensor
        Shape (1 + 2 S,), float64: the number of molecules, each space's sum of alpha, and each space's number
        of nodes visited. In one tensor, so that processes add theirs up in one exchange.
    """

    spaces: tuple[str, ...]
    values: Tensor

    @classmethod
    def of(cls, targets: Mapping[str, SpaceTargets], num_molecules: int) -> BatchTotals:
        """Count a batch of ``num_molecules`` molecules, on the device of its targets."""
        sums = [rows.alpha.sum(dtype=torch.float64) for rows in targets.values()]
        counts = [rows.count.sum(dtype=torch.float64) for rows in targets.values()]
        device = sums[0].device if sums else None
        molecules = torch.full((), num_molecules, dtype=torch.float64, device=device)
        return cls(tuple(targets), torch.stack([molecules, *sums, *counts]))

    def __add__(self, other: BatchTotals) -> BatchTotals:
        """Return the totals of both batches together."""
        return BatchTotals(self.spaces, self.values + other.values)

    def to(self, device: torch.device) -> BatchTotals:
        """Return the totals on another device."""
        return BatchTotals(self.spaces, self.values.to(device))

    @property
    def molecules(self) -> Tensor:
        """Number of molecules, shape ()."""
        return self.values[0]

    def alpha(self, space: str) -> Tensor:
        """Sum of alpha over the nodes of a space that were visited, shape ()."""
        return self.values[1 + self.spaces.index(space)]

    def count(self, space: str) -> Tensor:
        """How many nodes of a space were visited, shape ()."""
        return self.values[1 + len(self.spaces) + self.spaces.index(space)]


@dataclass(frozen=True)
class LossTerms:
    """What one batch costs, or one part of a batch adds to that.

    Attributes
    ----------
    total : Tensor
        Shape (), what is minimized: beta times ``kl`` plus the sum of ``spaces``.
    kl : Tensor
        Shape (), nats per molecule, before beta.
    spaces : dict of str to Tensor
        Shape () each, what each feature space adds to ``total``; exactly 0 for one that nobody visited.
    """

    total: Tensor
    kl: Tensor
    spaces: dict[str, Tensor]

    def __add__(self, other: LossTerms) -> LossTerms:
        """Return what two parts of a batch cost together."""
        spaces = {name: loss + other.spaces[name] for name, loss in self.spaces.items()}
        return LossTerms(self.total + other.total, self.kl + other.kl, spaces)

    def stacked(self) -> Tensor:
        """Return total, KL and every space's loss as one tensor without gradient, shape (2 + S,)."""
        return torch.stack([self.total, self.kl, *self.spaces.values()]).detach()


def alpha_weighted_bce(logits: Tensor, targets: SpaceTargets) -> Tensor:
    """Return sum_r A_r * mean_d BCE(logits_r, ybar_r), shape ().

    Without rows it is exactly 0, with zero gradients.

    Parameters
    ----------
    logits : Tensor
        Shape (R, d).
    targets : SpaceTargets
        R rows.
    """
    weight = (targets.alpha / logits.shape[1]).unsqueeze(1)
    return binary_cross_entropy_with_logits(logits, targets.mean, weight=weight, reduction="sum")


def eq3_loss(
    model: InfoAlign,
    latent: Latent,
    targets: Mapping[str, SpaceTargets],
    totals: BatchTotals,
    *,
    beta: float,
    path_nodes: int,
) -> LossTerms:
    """Take Eq. 3 literally: summed over spaces and nodes, divided by the path's nodes and by the batch.

    Parameters
    ----------
    model : InfoAlign
        Decodes.
    latent : Latent
        Of B molecules; z is sampled.
    targets : mapping of str to SpaceTargets
        Per feature space, of these molecules.
    totals : BatchTotals
        Of the whole batch, of which the molecules may be a part.
    beta : float
        Weight of the divergence from the prior.
    path_nodes : int
        Nodes L+1 of a molecule's walk, times its walks.
    """
    z = latent.sample()
    nodes = totals.molecules * path_nodes
    spaces = {
        name: _divide(alpha_weighted_bce(model.decode(name, z, rows.molecule), rows), nodes)
        for name, rows in targets.items()
    }
    return _terms(latent.kl(), len(z), totals, spaces, beta)


def balanced_loss(
    model: InfoAlign,
    latent: Latent,
    targets: Mapping[str, SpaceTargets],
    totals: BatchTotals,
    *,
    beta: float,
    path_nodes: int,
) -> LossTerms:
    """Sum over spaces the alpha-weighted mean over what the batch visited in each.

    Rarely measured modalities count as much as common ones. Parameters are those of :func:`eq3_loss`;
    ``path_nodes`` cancels.
    """
    z = latent.sample()
    spaces = {
        name: _divide(alpha_weighted_bce(model.decode(name, z, rows.molecule), rows), totals.alpha(name))
        for name, rows in targets.items()
    }
    return _terms(latent.kl(), len(z), totals, spaces, beta)


def reference_loss(
    model: InfoAlign,
    latent: Latent,
    targets: Mapping[str, SpaceTargets],
    totals: BatchTotals,
    *,
    beta: float,
    path_nodes: int,
) -> LossTerms:
    """Follow the published code: decoders read mu, one sample of the KL, means over observed entries.

    Every decoder runs on every molecule, and the loss is taken where there is a target. Per modality (node
    type) the mean over observed entries is the sum over its spaces of A_r times the summed BCE, over the
    number of entries observed there. A node whose alpha is exactly 0 counts there as observed and here only
    if its walk visited the space with positive alpha too. Parameters are those of :func:`eq3_loss`;
    ``path_nodes`` cancels.
    """
    modality = model.config.modality
    entries: dict[str, Tensor | float] = {}
    for name, rows in targets.items():
        here = totals.count(name) * rows.mean.shape[1]
        entries[modality[name]] = entries.get(modality[name], 0.0) + here
    spaces = {}
    for name, rows in targets.items():
        logits = model.decode(name, latent.mu)
        if len(rows) < len(logits):  # else the rows are the molecules, in order
            logits = logits.index_select(0, rows.molecule)
        summed = alpha_weighted_bce(logits, rows) * rows.mean.shape[1]
        spaces[name] = _divide(summed, entries[modality[name]])
    return _terms(latent.log_ratio(latent.sample()), len(latent.mu), totals, spaces, beta)


def _divide(summed: Tensor, total: Tensor | float) -> Tensor:
    """Return summed / total, and 0 (like its gradient) where nobody was visited and both are 0."""
    total = torch.as_tensor(total, device=summed.device)
    return summed / torch.where(total > 0, total, 1.0).to(summed.dtype)


def _terms(
    mean_kl: Tensor, num_molecules: int, totals: BatchTotals, spaces: dict[str, Tensor], beta: float
) -> LossTerms:
    """Add up the terms; ``mean_kl`` is over the ``num_molecules`` at hand, and becomes their share."""
    kl = mean_kl * (num_molecules / totals.molecules).to(mean_kl.dtype)
    total = beta * kl
    for loss in spaces.values():
        total = total + loss
    return LossTerms(total, kl, spaces)


OBJECTIVES: dict[str, Callable[..., LossTerms]] = {
    "balanced": balanced_loss,
    "eq3": eq3_loss,
    "reference": reference_loss,
}
"""Losses by the name that ``PretrainConfig.loss`` says."""


def objective(
    name: str,
    model: InfoAlign,
    latent: Latent,
    targets: Mapping[str, SpaceTargets],
    totals: BatchTotals,
    *,
    beta: float,
    path_nodes: int,
) -> LossTerms:
    """Return the loss of that name; it is computed in float32 under autocast too.

    Parameters
    ----------
    name : {"balanced", "eq3", "reference"} or str
        Key of ``OBJECTIVES``, or a registered one (:func:`infoalign_dgl.extensions.register_loss`).
    model, latent, targets, totals, beta, path_nodes
        As for :func:`eq3_loss`.

    Raises
    ------
    RunError
        If there is none of that name, or a registered one does not give a term for each space.
    """
    if name in OBJECTIVES:
        return OBJECTIVES[name](model, latent, targets, totals, beta=beta, path_nodes=path_nodes)
    registered = find("loss", name)
    if registered is None:
        raise RunError(f"'loss' must be one of {', '.join(OBJECTIVES)}, or registered, not {name!r}")
    terms = registered(model, latent, targets, totals, beta=beta, path_nodes=path_nodes)
    if not isinstance(terms, LossTerms) or list(terms.spaces) != list(targets):
        given = list(terms.spaces) if isinstance(terms, LossTerms) else type(terms).__name__
        raise RunError(
            f"loss '{name}' gave {given}: it must give LossTerms whose spaces are {list(targets)}, in that "
            "order"
        )
    return terms
