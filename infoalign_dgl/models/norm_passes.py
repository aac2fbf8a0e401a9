"""The native passes of batch normalization, forward and backward, as functions with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable

from infoalign_dgl._extension import load_native
from infoalign_dgl.errors import RunError
from infoalign_dgl.models.messages import NUMBERS, address

if TYPE_CHECKING:
    from infoalign_dgl.models.norm import Finish

_LEVELS = 65536  # a random number of 16 bits decides whether an entry is dropped


def normalize(
    x: Tensor, bias: Tensor, residual: Tensor | None, per_molecule: Tensor | None, plan: NormalizePlan
) -> Tensor:
    """Normalize a linear layer's product, of which the bias was left out, and do what follows.

    Parameters
    ----------
    x : Tensor
        Shape (rows, D), on the CPU.
    bias : Tensor
        Shape (D,): the linear layer's.
    residual, per_molecule : Tensor or None
        As :class:`~infoalign_dgl.models.norm.Finish` has them.
    plan : NormalizePlan

    Returns
    -------
    Tensor
        Shape (rows, D), of the plan's type.
    """
    return _Normalize.apply(x, bias, plan.norm.weight, plan.norm.bias, residual, per_molecule, plan)


def normalize_and_multiply(x: Tensor, bias: Tensor, matrix: Tensor, plan: NormalizePlan) -> Tensor:
    """Normalize as :func:`normalize` does, and multiply by ``matrix``, which keeps nothing between the two.

    Parameters
    ----------
    x, bias, plan
        As for :func:`normalize`, without dropout.
    matrix : Tensor
        Shape (E, D): the next linear layer's.

    Returns
    -------
    Tensor
        Shape (rows, E).
    """
    assert not plan.drop_below
    return _NormalizeAndMultiply.apply(x, bias, plan.norm.weight, plan.norm.bias, matrix, plan)


@dataclass(frozen=True)
class NormalizePlan:
    """What the native passes are told besides tensors that have gradients.

    Attributes
    ----------
    norm : nn.BatchNorm1d or nn.SyncBatchNorm
    dtype : torch.dtype
        Of the result.
    relu : bool
    drop_below : int
        An entry is dropped if its 16 random bits are below this; 0: none is.
    key : int
        Of these random bits.
    atom_offsets : Tensor or None
        Of the molecules' first atoms, where something is added per molecule.
    num_atoms : int
    """

    norm: nn.BatchNorm1d | nn.SyncBatchNorm
    dtype: torch.dtype
    relu: bool
    drop_below: int
    key: int
    atom_offsets: Tensor | None
    num_atoms: int

    @classmethod
    def of(cls, norm: nn.Module, finish: Finish, dtype: torch.dtype) -> NormalizePlan:
        """Plan a normalization in a type of result; draws the key of dropout's random bits."""
        assert isinstance(norm, nn.BatchNorm1d | nn.SyncBatchNorm)
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
        """Whether moments are those of all processes' rows."""
        return self.norm.training and isinstance(self.norm, nn.SyncBatchNorm)


@dataclass(frozen=True)
class _Moments:
    """Per column: mean without the linear layer's bias, 1 / sqrt(variance + eps), and rows behind them."""

    mean: Tensor
    rstd: Tensor
    rows: float

    @classmethod
    def of(cls, x: Tensor, bias: Tensor, plan: NormalizePlan) -> _Moments:
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
        follow(norm, mean + bias, deviation / (rows - 1))
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


def follow(norm: nn.BatchNorm1d | nn.SyncBatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Let running moments follow a batch's."""
    assert norm.momentum is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.lerp_(mean.float(), norm.momentum)
    norm.running_var.lerp_(variance.float(), norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)


def _forward(
    x: Tensor,
    bias: Tensor,
    weight: Tensor,
    beta: Tensor,
    residual: Tensor | None,
    per_molecule: Tensor | None,
    plan: NormalizePlan,
) -> tuple[Tensor, _Past]:
    """Run the forward pass; return y, and what the backward pass needs of it."""
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
    molecules = None if per_molecule is None else len(per_molecule)
    tensors = (x, scale, shift, kept, moments.mean, moments.rstd)
    return y, _Past(plan, moments.rows, molecules, plan.norm.training, tensors)


@dataclass
class _Past:
    """What a backward pass needs of the forward one.

    ``tensors`` are x, scale, shift, kept, mean and rstd, and are kept by autograd in between.
    """

    plan: NormalizePlan
    rows: float
    molecules: int | None
    in_training: bool
    tensors: tuple[Tensor | None, ...]

    def keep(self, ctx: Any, *others: Tensor) -> None:
        """Leave this with autograd, which frees tensors as soon as it can."""
        ctx.save_for_backward(*others, *self.tensors)
        self.tensors = ()
        ctx.past = self


class _Backward:
    """The backward pass: at once the sums over rows, then the gradient of x."""

    def __init__(
        self, past: _Past, tensors: tuple[Tensor, ...], given: Tensor, again: Tensor | None = None
    ) -> None:
        """Sum over rows; ``again``, of the shape and type of ``given``, gets the forward pass's y."""
        x, scale, shift, kept, mean, rstd = tensors
        plan = past.plan
        sums = torch.empty(2, x.shape[1], dtype=torch.float64)
        self.of_molecules = None if past.molecules is None else given.new_empty(past.molecules, x.shape[1])
        self._native = _native_activation(plan, x, scale, shift, self.of_molecules)
        self._held = (x, scale, shift, kept, mean, given)  # the native pass has their addresses
        self._read = (
            address(x),
            NUMBERS[x.dtype],
            address(given),
            NUMBERS[given.dtype],
            address(kept),
            address(mean),
        )
        self._native.sums(
            *self._read,
            address(sums[0]),
            address(sums[1]),
            address(self.of_molecules),
            address(again),
            torch.get_num_threads(),
        )
        self.of_beta, self.of_weight = sums[0].float(), (sums[1] * rstd).float()
        if past.in_training:
            if plan.across_ranks:
                distributed.all_reduce(sums)
            self._constant = -(scale * (sums[0] / past.rows)).float()
            self._slope = -(scale * rstd.square() * (sums[1] / past.rows)).float()
            self.of_bias = torch.zeros_like(scale)
        else:
            self._slope = self._constant = torch.zeros_like(scale)
            self.of_bias = (scale * sums[0]).float()

    def of_x(self, into: Tensor) -> Tensor:
        """Write the gradient of x, of the type of x, into a tensor; it may be the one that was given."""
        slope, constant = address(self._slope), address(self._constant)
        self._native.backward(*self._read, slope, constant, address(into), torch.get_num_threads())
        return into


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *others: Any) -> Tensor:
        y, past = _forward(x, *others)
        past.keep(ctx)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        given = given.contiguous()
        back = _Backward(ctx.past, ctx.saved_tensors, given)
        of_x = back.of_x(torch.empty_like(ctx.saved_tensors[0]))
        of_residual = given if ctx.needs_input_grad[4] else None
        return of_x, back.of_bias, back.of_weight, back.of_beta, of_residual, back.of_molecules, None


class _NormalizeAndMultiply(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor, weight: Tensor, beta: Tensor, matrix: Tensor, plan: NormalizePlan
    ) -> Tensor:
        y, past = _forward(x, bias, weight, beta, None, None, plan)
        past.keep(ctx, matrix)
        return nn.functional.linear(y, matrix)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        matrix, *tensors = ctx.saved_tensors
        of_y = given @ matrix.to(given.dtype)
        again = torch.empty_like(of_y)
        back = _Backward(ctx.past, tuple(tensors), of_y, again)
        of_matrix = (given.t() @ again).to(matrix.dtype)
        del again
        of_x = back.of_x(of_y)  # both have the type of autocast's products
        return of_x, back.of_bias, back.of_weight, back.of_beta, of_matrix, None


def _check_fit(x: Tensor, residual: Tensor | None, per_molecule: Tensor | None, plan: NormalizePlan) -> None:
    """Stop where a tensor does not fit: the native functions see its address alone and would read beyond."""
    if residual is not None:
        assert (residual.shape, residual.dtype) == (x.shape, torch.float32)
    if per_molecule is not None:
        assert plan.atom_offsets is not None
        assert per_molecule.dtype == torch.float32
        assert per_molecule.shape == (len(plan.atom_offsets) - 1, x.shape[1])
        assert plan.num_atoms == len(x)


def _native_activation(
    plan: NormalizePlan, x: Tensor, scale: Tensor, shift: Tensor, per_molecule: Tensor | None
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
