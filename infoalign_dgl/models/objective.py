"""The three losses, on targets that each walk's nodes were collapsed into.

The Bernoulli log-likelihood is linear in the target, so over the nodes v of one feature space that a
molecule's walk visits, sum alpha(v) BCE(logits, y_v) = A BCE(logits, ybar) with A = sum alpha(v) and ybar =
sum alpha(v) y_v / A. One row per molecule and feature space therefore gives the same loss and the same
gradients as one row per visited node.

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
class LossTerms:
    """What one batch costs.

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
    if logits.dtype == torch.bfloat16:
        logits = logits.float()
    weight = (targets.alpha / logits.shape[1]).unsqueeze(1)
    return binary_cross_entropy_with_logits(logits, targets.mean, weight=weight, reduction="sum")


def eq3_loss(
    model: InfoAlign, latent: Latent, targets: Mapping[str, SpaceTargets], *, beta: float, path_nodes: int
) -> LossTerms:
    """Take Eq. 3 literally: summed over spaces and nodes, divided by the path's nodes and by the batch.

    Parameters
    ----------
    model : InfoAlign
        Decodes.
    latent : Latent
        Of B molecules; z is sampled.
    targets : mapping of str to SpaceTargets
        Per feature space.
    beta : float
        Weight of the divergence from the prior.
    path_nodes : int
        Nodes L+1 of a walk.
    """
    z = latent.sample()
    share = 1.0 / (len(z) * path_nodes)
    spaces = {
        name: alpha_weighted_bce(model.decode(name, z, rows.molecule), rows) * share
        for name, rows in targets.items()
    }
    return _terms(latent.kl(), spaces, beta)


def balanced_loss(
    model: InfoAlign, latent: Latent, targets: Mapping[str, SpaceTargets], *, beta: float, path_nodes: int
) -> LossTerms:
    """Sum over spaces the alpha-weighted mean over what the batch visited in each.

    Rarely measured modalities count as much as common ones. Parameters are those of :func:`eq3_loss`;
    ``path_nodes`` cancels.
    """
    z = latent.sample()
    spaces = {}
    for name, rows in targets.items():
        summed = alpha_weighted_bce(model.decode(name, z, rows.molecule), rows)
        spaces[name] = summed / rows.alpha.sum() if len(rows) else summed
    return _terms(latent.kl(), spaces, beta)


def reference_loss(
    model: InfoAlign, latent: Latent, targets: Mapping[str, SpaceTargets], *, beta: float, path_nodes: int
) -> LossTerms:
    """Follow the published code: decoders read mu, one sample of the KL, means over observed entries.

    Per modality (node type) the mean over observed entries is the sum over its spaces of A_r times the summed
    BCE, over the number of entries observed there. A node whose alpha is exactly 0 counts there as observed
    and here only if its walk visited the space with positive alpha too. Parameters are those of
    :func:`eq3_loss`; ``path_nodes`` cancels.
    """
    modality = model.config.modality
    entries: dict[str, Tensor | float] = {}
    for name, rows in targets.items():
        here = rows.count.sum() * rows.mean.shape[1]
        entries[modality[name]] = entries.get(modality[name], 0.0) + here
    visited = {modality[name] for name, rows in targets.items() if len(rows)}
    spaces = {}
    for name, rows in targets.items():
        summed = alpha_weighted_bce(model.decode(name, latent.mu, rows.molecule), rows)
        columns = rows.mean.shape[1]
        spaces[name] = summed * columns / entries[modality[name]] if modality[name] in visited else summed
    return _terms(latent.log_ratio(latent.sample()), spaces, beta)


def _terms(kl: Tensor, spaces: dict[str, Tensor], beta: float) -> LossTerms:
    total = beta * kl
    for loss in spaces.values():
        total = total + loss
    return LossTerms(total, kl, spaces)


OBJECTIVES: dict[str, Callable[..., LossTerms]] = {
    "balanced": balanced_loss,
    "eq3": eq3_loss,
    "reference": reference_loss,
}


def objective(
    name: str,
    model: InfoAlign,
    latent: Latent,
    targets: Mapping[str, SpaceTargets],
    *,
    beta: float,
    path_nodes: int,
) -> LossTerms:
    """Return the loss of that name; it is computed in float32 under autocast too.

    Parameters
    ----------
    name : {"balanced", "eq3", "reference"}
        Key of ``OBJECTIVES``.
    model, latent, targets, beta, path_nodes
        As for :func:`eq3_loss`.
    """
    return OBJECTIVES[name](model, latent, targets, beta=beta, path_nodes=path_nodes)
