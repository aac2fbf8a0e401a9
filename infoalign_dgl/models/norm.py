"""Batch normalization and what follows it, in as few passes over memory as there are dependencies.

Between the matrix products of a step lie normalization, activation, dropout and residual. One by one they
read and write the activations a dozen times; here the forward pass reads them twice (moments, then all the
rest) and so does the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from infoalign_dgl._extension import load_native
from infoalign_dgl.models.messages import activation_dtype
from infoalign_dgl.models.norm_passes import NormalizePlan, follow, normalize, normalize_and_multiply
from infoalign_dgl.models.segments import Grouping, spread

if TYPE_CHECKING:
    from infoalign_dgl.models.dropout import Dropout
    from infoalign_dgl.models.environments import Environments
    from infoalign_dgl.molecules import MoleculeBatch


@dataclass(frozen=True)
class Finish:
    """What follows the normalization, in this order.

    Attributes
    ----------
    relu : bool
        Whether negative values become 0.
    dropout : Dropout or None
        Drops entries; None drops none.
    residual : Tensor or None
        Shape (rows, D), float32: added.
    per_molecule : Tensor or None
        Shape (molecules, D), float32: added to each of a molecule's atoms; asks for ``batch``.
    batch : MoleculeBatch or None
        Whose atoms the rows are.
    """

    relu: bool = False
    dropout: Dropout | None = None
    residual: Tensor | None = None
    per_molecule: Tensor | None = None
    batch: MoleculeBatch | None = None


def linear_with_exact_bias(x: Tensor, linear: nn.Linear) -> Tensor:
    """Apply a linear layer, with the bias added in float32 also where the product is in bfloat16.

    Where a large bias carries a small signal, as logits of rare bits do, rounding their sum to 8 bits would
    leave little of the signal.

    Parameters
    ----------
    x : Tensor
        Shape (rows, features).
    linear : nn.Linear
        With a bias.

    Returns
    -------
    Tensor
        Shape (rows, D), of the layer's own type.
    """
    if not torch.is_autocast_enabled(x.device.type):
        return nn.functional.linear(x, linear.weight, linear.bias)
    return nn.functional.linear(x, linear.weight).to(linear.bias.dtype) + linear.bias


def linear_norm(x: Tensor, linear: nn.Linear, norm: nn.Module, finish: Finish) -> Tensor:
    """Apply a linear layer, batch normalization, and what follows.

    Normalization with the batch's own moments takes the linear layer's bias out again, so the bias only
    moves the running mean, and has no gradient in training.

    Parameters
    ----------
    x : Tensor
        Shape (rows, features).
    linear : nn.Linear
        With a bias.
    norm : nn.BatchNorm1d or nn.SyncBatchNorm
        With weights and running moments. A ``SyncBatchNorm`` takes moments over the default process group,
        on a CPU too.
    finish : Finish
        What comes after.

    Returns
    -------
    Tensor
        Shape (rows, D); float32 where something is added, else of autocast's type where that is on.
    """
    if not _has_kernel(x, linear):
        return _finish_with_torch(norm(linear(x)), finish)
    return _normalize(nn.functional.linear(x, linear.weight), linear.bias, norm, finish)


def _normalize(product: Tensor, bias: Tensor, norm: nn.Module, finish: Finish) -> Tensor:
    """Do what follows a linear layer's product, of which the bias was left out."""
    adds = finish.residual is not None or finish.per_molecule is not None
    plan = NormalizePlan.of(norm, finish, torch.float32 if adds else activation_dtype("cpu"))
    return normalize(product, bias, finish.residual, finish.per_molecule, plan)


def mlp_norm(x: Tensor, mlp: nn.Sequential, norm: nn.Module, finish: Finish) -> Tensor:
    """Apply a GIN layer's MLP, batch normalization and what follows.

    The hidden units, the largest tensor of a layer, are not kept for the backward pass, which makes them
    again while it reads what they were made of.

    Parameters
    ----------
    x : Tensor
        Shape (rows, features).
    mlp : nn.Sequential
        Begins with linear, BatchNorm, ReLU, linear.
    norm : nn.Module
        The normalization after it.
    finish : Finish
        What comes after.

    Returns
    -------
    Tensor
        Shape (rows, D), as :func:`linear_norm` gives it.
    """
    widen, inner_norm, _, narrow = cast("Any", mlp[:4])
    if not _has_kernel(x, widen):
        return linear_norm(linear_norm(x, widen, inner_norm, Finish(relu=True)), narrow, norm, finish)
    product = nn.functional.linear(x, widen.weight)
    plan = NormalizePlan.of(inner_norm, Finish(relu=True), activation_dtype("cpu"))
    product = normalize_and_multiply(product, widen.bias, narrow.weight, plan)
    return _normalize(product, narrow.bias, norm, finish)


def mlp_of_repeated_rows(
    x: Tensor, mlp: nn.Sequential, norm: nn.Module, finish: Finish, same: Environments
) -> Tensor:
    """Apply a GIN layer's MLP, batch normalization and what follows, multiplying each different row once.

    Parameters
    ----------
    x : Tensor
        Shape (N, features); rows of one environment are the same.
    mlp : nn.Sequential
        Linear, BatchNorm, ReLU, linear.
    norm : nn.Module
        The normalization after it.
    finish : Finish
        What comes after, which tells all N rows apart.
    same : Environments
        Of the N rows into G.

    Returns
    -------
    Tensor
        Shape (N, D), as :func:`linear_norm` gives it.
    """
    widen, inner_norm, _, narrow = cast("Any", mlp)
    rows = nn.functional.linear(x.index_select(0, same.examples), widen.weight).float()
    inner = _normalize_repeated(rows, widen.bias, inner_norm, same.counts).relu()
    product = nn.functional.linear(inner, narrow.weight).float()
    return _normalize(spread(product, same.atoms), narrow.bias, norm, finish)


def _normalize_repeated(rows: Tensor, bias: Tensor, norm: nn.BatchNorm1d, counts: Tensor) -> Tensor:
    """Normalize G rows by the moments that they have where each stands for so many, ``counts``."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    if not norm.training:
        return norm(rows + bias)
    total = int(counts.sum())
    share = counts.to(rows.dtype) / total
    mean = share @ rows
    centred = rows - mean
    variance = share @ centred.square()
    with torch.no_grad():
        follow(norm, mean + bias, variance * (total / (total - 1)))
    shift = norm.bias + 0 * bias  # which so has a gradient, and one of 0, as in linear_norm
    return centred * (norm.weight * (variance + norm.eps).rsqrt()) + shift


def multiplies_each_row_once(x: Tensor, mlp: nn.Sequential) -> bool:
    """Tell whether :func:`mlp_of_repeated_rows` can be used: not where moments are taken over processes."""
    widen, inner_norm, _, _ = cast("Any", mlp)
    return _has_kernel(x, widen) and not (inner_norm.training and isinstance(inner_norm, nn.SyncBatchNorm))


def _has_kernel(x: Tensor, linear: nn.Linear) -> bool:
    return x.device.type == "cpu" and linear.weight.dtype == torch.float32 and load_native() is not None


def _finish_with_torch(y: Tensor, finish: Finish) -> Tensor:
    if finish.relu:
        y = y.relu()
    if finish.dropout is not None:
        y = finish.dropout(y)
    if finish.residual is not None:
        y = y + finish.residual
    if finish.per_molecule is not None:
        assert finish.batch is not None
        groups = Grouping.of(finish.batch.molecule, finish.batch.num_molecules, is_sorted=True)
        y = y + spread(finish.per_molecule, groups)
    return y
