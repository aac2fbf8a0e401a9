"""Batch normalization and what follows it, in as few passes over memory as there are dependencies.

Between the matrix products of a step lie normalization, activation, dropout and residual. One by one they
read and write the activations a dozen times; here the forward pass reads them twice (moments, then all the
rest) and so does the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from infoalign_dgl._extension import load_native
from infoalign_dgl.errors import RunError
from infoalign_dgl.models.messages import NUMBERS, activation_dtype, address
from infoalign_dgl.models.segments import Grouping, spread

if TYPE_CHECKING:
    from infoalign_dgl.models.dropout import Dropout
    from infoalign_dgl.models.environments import Environments
    from infoalign_dgl.molecules import MoleculeBatch

_LEVELS = 65536  # a random number of 16 bits decides whether an entry is dropped


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
    assert isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)
    adds = finish.residual is not None or finish.per_molecule is not None
    dtype = torch.float32 if adds else activation_dtype("cpu")
    plan = _Plan.of(norm, finish, dtype)
    return _Normalize.apply(product, bias, norm.weight, norm.bias, finish.residual, finish.per_molecule, plan)


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
        _follow(norm, mean + bias, variance * (total / (total - 1)))
    shift = norm.bias + 0 * bias  # which so has a gradient, and one of 0, as in linear_norm
    return centred * (norm.weight * (variance + norm.eps).rsqrt()) + shift


def _follow(norm: nn.BatchNorm1d | nn.SyncBatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Let running moments follow a batch's."""
    assert norm.momentum is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.lerp_(mean.float(), norm.momentum)
    norm.running_var.lerp_(variance.float(), norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)


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


@dataclass(frozen=True)
class _Plan:
    """What the native pass is told besides tensors that have gradients."""

    norm: nn.BatchNorm1d | nn.SyncBatchNorm
    dtype: torch.dtype
    relu: bool
    drop_below: int
    key: int
    atom_offsets: Tensor | None
    num_atoms: int

    @classmethod
    def of(cls, norm: nn.BatchNorm1d | nn.SyncBatchNorm, finish: Finish, dtype: torch.dtype) -> _Plan:
        drops = finish.dropout is not None and finish.dropout.training
        share = finish.dropout.p if finish.dropout is not None and drops else 0.0
        drop_below = min(round(share * _LEVELS), _LEVELS - 1)
        key = (
            int(torch.empty((), dtype=torch.int64).random_(-(2**63), None)) & (2**64 - 1) if drop_below else 0
        )
        batch = finish.batch
        offsets, num_atoms = (None, 0) if batch is None else (batch.atom_offsets, batch.num_atoms)
        return cls(norm, dtype, finish.relu, drop_below, key, offsets, num_atoms)

    @property
    def across_ranks(self) -> bool:
        return self.norm.training and isinstance(self.norm, nn.SyncBatchNorm)


@dataclass(frozen=True)
class _Moments:
    """Per column: mean without the linear layer's bias, 1 / sqrt(variance + eps), and rows behind them."""

    mean: Tensor
    rstd: Tensor
    rows: float

    @classmethod
    def of(cls, x: Tensor, bias: Tensor, plan: _Plan) -> _Moments:
        norm = plan.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        if not norm.training:
            return cls(norm.running_mean.double() - bias, _rstd(norm.running_var.double(), norm.eps), len(x))
        rows, mean, deviation = float(len(x)), *_column_moments(x)
        if plan.across_ranks:
            sums = torch.cat([mean.new_tensor([rows]), mean * rows, deviation + mean.square() * rows])
            distributed.all_reduce(sums)
            rows = float(sums[0])
            mean, squares = (sums[1:] / rows).chunk(2)
            deviation = (squares - mean.square()).clamp_(min=0) * rows
        if rows < 2:
            raise RunError(
                f"BatchNorm needs at least 2 rows in training, not {rows:.0f}: use a larger batch, or call "
                "eval()"
            )
        _follow(norm, mean + bias, deviation / (rows - 1))
        return cls(mean, _rstd(deviation / rows, norm.eps), rows)


def _rstd(variance: Tensor, eps: float) -> Tensor:
    return (variance + eps).rsqrt_()


def _column_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    mean, deviation = torch.empty(2, x.shape[1], dtype=torch.float64)
    native: Any = load_native()
    native.column_moments(
        address(x), NUMBERS[x.dtype], *x.shape, address(mean), address(deviation), torch.get_num_threads()
    )
    return mean, deviation


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor,
        weight: Tensor,
        beta: Tensor,
        residual: Tensor | None,
        per_molecule: Tensor | None,
        plan: _Plan,
    ) -> Tensor:
        _check_fit(x, residual, per_molecule, plan)
        moments = _Moments.of(x, bias, plan)
        wide = weight.double() * moments.rstd
        scale, shift = wide.float(), (beta - moments.mean * wide).float()
        y = torch.empty(x.shape, dtype=plan.dtype)
        kept = torch.empty(x.shape, dtype=torch.uint8) if plan.drop_below else None
        native = _native_activation(plan, x, scale, shift, per_molecule)
        parts = [None if one is None else one.contiguous() for one in (residual, per_molecule)]
        native.forward(
            address(x),
            NUMBERS[x.dtype],
            *map(address, parts),
            address(y),
            NUMBERS[y.dtype],
            address(kept),
            torch.get_num_threads(),
        )
        ctx.save_for_backward(x, scale, shift, kept, moments.mean, moments.rstd)
        ctx.plan, ctx.rows = plan, moments.rows
        ctx.molecules = None if per_molecule is None else len(per_molecule)
        ctx.in_training = plan.norm.training
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift, kept, mean, rstd = ctx.saved_tensors
        plan: _Plan = ctx.plan
        given = given.contiguous()
        width = x.shape[1]
        sums = torch.empty(2, width, dtype=torch.float64)
        of_molecules = None if ctx.molecules is None else given.new_empty(ctx.molecules, width)
        native = _native_activation(plan, x, scale, shift, of_molecules)
        read = (
            address(x),
            NUMBERS[x.dtype],
            address(given),
            NUMBERS[given.dtype],
            address(kept),
            address(mean),
        )
        threads = torch.get_num_threads()
        native.sums(*read, address(sums[0]), address(sums[1]), address(of_molecules), threads)
        of_beta, of_weight = sums[0].float(), (sums[1] * rstd).float()
        if ctx.in_training:
            if plan.across_ranks:
                distributed.all_reduce(sums)
            constant = -(scale * (sums[0] / ctx.rows)).float()
            slope = -(scale * rstd.square() * (sums[1] / ctx.rows)).float()
            of_bias = torch.zeros_like(scale)
        else:
            slope = constant = torch.zeros_like(scale)
            of_bias = (scale * sums[0]).float()
        of_x = torch.empty_like(x)
        native.backward(*read, address(slope), address(constant), address(of_x), threads)
        of_residual = given if ctx.needs_input_grad[4] else None
        return of_x, of_bias, of_weight, of_beta, of_residual, of_molecules, None


def _check_fit(x: Tensor, residual: Tensor | None, per_molecule: Tensor | None, plan: _Plan) -> None:
    """Stop where a tensor does not fit: the native functions see its address alone and would read beyond."""
    if residual is not None:
        assert (residual.shape, residual.dtype) == (x.shape, torch.float32)
    if per_molecule is not None:
        assert plan.atom_offsets is not None
        assert per_molecule.dtype == torch.float32
        assert per_molecule.shape == (len(plan.atom_offsets) - 1, x.shape[1])
        assert plan.num_atoms == len(x)


def _native_activation(
    plan: _Plan, x: Tensor, scale: Tensor, shift: Tensor, per_molecule: Tensor | None
) -> Any:
    """Arguments that the forward and the backward pass share; the tensors must outlive the result."""
    native: Any = load_native()
    return native.Activation(
        *x.shape,
        address(scale),
        address(shift),
        plan.relu,
        plan.drop_below,
        _LEVELS / (_LEVELS - plan.drop_below),
        plan.key,
        0 if per_molecule is None else address(plan.atom_offsets),
        0 if per_molecule is None else len(per_molecule),
    )
