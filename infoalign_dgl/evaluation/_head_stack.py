"""Heads of several seeds in training, side by side: one step of all of them, at little cost.

Parameters are stacked, seed first. Each seed draws its starting weights, its order of rows and its dropout
from a generator of its own, so who trains beside it changes nothing but the order in which a library may add
up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn.functional import gelu

from infoalign_dgl.evaluation._supervision import loss_gradient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from infoalign_dgl.evaluation.heads import HeadConfig
    from infoalign_dgl.evaluation.tasks import Kind

Block = tuple[slice, slice]
_NORM_EPS, _NORM_MOMENTUM = 1e-5, 0.1  # of nn.BatchNorm1d
_BYTE = 256  # a dropout mask's entry is one random byte against a threshold


@dataclass(frozen=True)
class Rows:
    """Features and labels, tasks and rows in an order that saves products with labels that are not there.

    The tasks with most labels come first, and first among the rows come those that have any label of the
    rarer tasks: only these rows are multiplied with the rarer tasks' weights. On ToxCast that is half of the
    work.

    Attributes
    ----------
    x : Tensor
        (n, d) float32.
    y : Tensor
        (n, U) float32, NaN where unmeasured.
    common : int
        Tasks that all rows are multiplied with.
    rare_rows : int
        Rows that are multiplied with the other tasks.
    """

    x: Tensor
    y: Tensor
    common: int
    rare_rows: int

    @classmethod
    def of(cls, x: Tensor, y: Tensor, common: int) -> Rows:
        """Order rows whose tasks are in order."""
        rare = (~y[:, common:].isnan()).any(1)
        order = torch.argsort(~rare, stable=True)
        return cls(x[order], y[order], common, int(rare.sum()))

    def blocks(self) -> Iterator[Block]:
        """Give the rows and tasks that are multiplied."""
        return _blocks(len(self.x), self.rare_rows, self.common, self.y.shape[1])


def _blocks(rows: int, rare_rows: int, common: int, tasks: int) -> Iterator[Block]:
    """Give rows and tasks of two blocks; the first has all rows."""
    yield slice(0, rows), slice(0, common)
    if rare_rows:
        yield slice(0, rare_rows), slice(common, tasks)


def order_of_tasks(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Order tasks by falling number of labels, and say how many are best multiplied with all rows.

    Parameters
    ----------
    labels : np.ndarray
        (n, U), NaN where unmeasured.

    Returns
    -------
    np.ndarray, int
        (U,) int64 task numbers, and how many are common.
    """
    seen = ~np.isnan(labels)
    order = np.argsort(-seen.sum(axis=0), kind="stable")
    # Of each row the rarest task that it has a label of: it is in the second block if that is not common.
    last = np.where(seen.any(axis=1), seen.shape[1] - 1 - seen[:, order[::-1]].argmax(axis=1), 0)
    rows = np.bincount(last, minlength=seen.shape[1])[::-1].cumsum()[::-1]  # rows by the first rare task
    common = np.arange(1, seen.shape[1] + 1)
    cost = common * len(labels) + (seen.shape[1] - common) * np.append(rows[1:], 0)
    return order, int(common[cost.argmin()])


def forward(x: Tensor, weights: dict[str, Tensor], blocks: Iterable[Block] | None = None) -> Tensor:
    """Give the outputs of g folded heads on the same rows (B, d), shape (g, B, U).

    With ``blocks`` only these are calculated, and the rest is NaN.
    """
    hidden = gelu(torch.baddbmm(weights["shift"], x.expand(len(weights["bias"]), -1, -1), weights["expand"]))
    if blocks is None:
        return torch.baddbmm(weights["bias"], hidden, weights["output"])
    outputs = hidden.new_full((*hidden.shape[:2], weights["bias"].shape[2]), math.nan)
    for rows, tasks in blocks:
        bias, weight = weights["bias"][..., tasks], weights["output"][..., tasks]
        outputs[:, rows, tasks] = torch.baddbmm(bias, hidden[:, rows], weight)
    return outputs


class _Batch(NamedTuple):
    """Rows of a step: the same ones for all g seeds, or each seed its own."""

    x: Tensor  # (1 or g, B, d)
    y: Tensor  # (1 or g, B, U)
    rare_rows: int
    mean: Tensor  # (1 or g, 1, d) float32
    covariance: Tensor  # (1 or g, d, d) float32


class HeadStack:
    """Heads in training.

    BatchNorm of a linear layer is linear in the layer's weights: a hidden unit's batch mean is m'w and its
    variance w'Cw, with the mean m and the covariance C of the batch's features. So it is folded into the
    weights before they meet the rows, and takes no pass over the hidden units, forward or backward.

    Parameters
    ----------
    rows : Rows
        Train rows.
    kind : {"binary", "regression"}
    seeds : sequence of int
    config : HeadConfig
    """

    def __init__(self, rows: Rows, kind: Kind, seeds: Sequence[int], config: HeadConfig) -> None:
        self.rows, self.kind, self.config = rows, kind, config
        self.device = rows.x.device
        self.draws = [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]
        features, tasks = rows.x.shape[1], rows.y.shape[1]
        hidden = config.hidden(features)
        self.parameters = {
            "expand": self._start(features, features, hidden),
            "output": self._start(hidden, hidden, tasks),
            "bias": self._start(hidden, 1, tasks),
            "gain": torch.ones(len(seeds), 1, hidden, device=self.device),
            "shift": torch.zeros(len(seeds), 1, hidden, device=self.device),
        }
        self.running_mean = torch.zeros_like(self.parameters["shift"])
        self.running_variance = torch.ones_like(self.parameters["shift"])
        self.optimizer = torch.optim.Adam(
            list(self.parameters.values()), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.sums = _sums(rows.x[None])
        self.dropped = round(config.dropout * _BYTE)  # of the values of a byte, those that drop an entry

    def _start(self, fan_in: int, *shape: int) -> Tensor:
        """Draw starting weights as nn.Linear does: uniform within 1 / sqrt(fan in)."""
        drawn = np.stack([draw.random(shape, np.float32) for draw in self.draws])
        return torch.from_numpy((2 * drawn - 1) / np.float32(math.sqrt(fan_in))).to(self.device)

    def train_epoch(self) -> None:
        """Make one step for each batch of the train rows."""
        count, size = len(self.rows.x), self.config.batch_size
        if count <= size:  # the order of rows makes no difference within a batch
            self._step(self._whole())
            return
        orders = np.stack([draw.permutation(count) for draw in self.draws])
        for start in range(0, count, size):
            if count - start > 1:
                self._step(self._batch(orders, start, start + size))

    def _whole(self) -> _Batch:
        rows = self.rows
        return _Batch(rows.x[None], rows.y[None], rows.rare_rows, *_moments(self.sums, len(rows.x)))

    def _batch(self, orders: np.ndarray, start: int, stop: int) -> _Batch:
        """Take rows from each seed's order, (g, n)."""
        chosen = np.sort(orders[:, start:stop], axis=1)  # rows with rare labels come first again
        others = np.concatenate([orders[:, :start], orders[:, stop:]], axis=1)
        x, y = self._pick(self.rows.x, chosen), self._pick(self.rows.y, chosen)
        if others.shape[1] < chosen.shape[1]:  # fewer to add up
            rest = _sums(self._pick(self.rows.x, others))
            sums = [whole - each for whole, each in zip(self.sums, rest, strict=True)]
        else:
            sums = _sums(x)
        rare_rows = int((chosen < self.rows.rare_rows).sum(axis=1).max())
        return _Batch(x, y, rare_rows, *_moments(sums, chosen.shape[1]))

    def _pick(self, table: Tensor, rows: np.ndarray) -> Tensor:
        flat = torch.from_numpy(rows.ravel()).to(self.device)
        return table.index_select(0, flat).view(*rows.shape, -1)

    def _step(self, batch: _Batch) -> None:
        """Update weights and running statistics."""
        own = self.parameters
        first = [own[name].requires_grad_() for name in ("expand", "gain", "shift")]
        count = batch.x.shape[1]
        half = (own["expand"] * (batch.covariance @ own["expand"].detach())).sum(1, keepdim=True)
        variance = (2 * half - half.detach()).clamp(min=0)  # w'Cw and its gradient 2Cw, with one product
        mean = batch.mean @ own["expand"]
        scale = own["gain"] * (variance + _NORM_EPS).rsqrt()
        x = batch.x.expand(len(self.draws), -1, -1)
        active = gelu(torch.baddbmm(own["shift"] - mean * scale, x, own["expand"] * scale))
        with torch.no_grad():
            self.running_mean.lerp_(mean, _NORM_MOMENTUM)
            self.running_variance.lerp_(variance * (count / (count - 1)), _NORM_MOMENTUM)
            hidden = active.detach()  # gelu's gradient needs its input only, so its output is free to change
            mask = self._mask(active.shape)
            if mask is not None:
                hidden.mul_(mask)
            towards = self._through_output(batch, hidden)
            if mask is not None:
                towards.mul_(mask)
        for parameter, gradient in zip(first, torch.autograd.grad(active, first, towards), strict=True):
            parameter.grad = gradient
        self.optimizer.step()

    def _through_output(self, batch: _Batch, hidden: Tensor) -> Tensor:
        """Set the output layer's gradients, and return the hidden units', (g, B, h)."""
        bias, output = self.parameters["bias"], self.parameters["output"]
        bias.grad, output.grad = torch.zeros_like(bias), torch.zeros_like(output)
        observed = (~batch.y.isnan()).sum((1, 2), keepdim=True).clamp_(min=1)
        towards = torch.empty_like(hidden)
        blocks = _blocks(hidden.shape[1], batch.rare_rows, self.rows.common, bias.shape[2])
        for some, tasks in blocks:
            seen, weight = hidden[:, some], output[..., tasks]
            outputs = torch.baddbmm(bias[..., tasks], seen, weight)
            wrong = loss_gradient(outputs, batch.y[:, some, tasks], observed, self.kind)
            output.grad[..., tasks] = seen.transpose(1, 2) @ wrong
            bias.grad[..., tasks] = wrong.sum(1, keepdim=True)
            # The first block has all rows, and the second adds to some of them.
            towards[:, some].baddbmm_(wrong, weight.transpose(1, 2), beta=0 if tasks.start == 0 else 1)
        return towards

    def _mask(self, shape: torch.Size) -> Tensor | None:
        """Draw what dropout multiplies by, shape (g, B, h); None without dropout."""
        if not self.dropped:
            return None
        count = math.prod(shape[1:])
        raw = [draw.bit_generator.random_raw(-(-count // 8)) for draw in self.draws]
        kept = np.stack([words.view(np.uint8)[:count] for words in raw]) >= self.dropped
        scale = _BYTE / (_BYTE - self.dropped)
        return torch.from_numpy(kept).to(self.device).float().mul_(scale).view(shape)

    def folded(self) -> dict[str, Tensor]:
        """Return what :func:`forward` takes, BatchNorm's running statistics folded in."""
        own = {name: parameter.detach() for name, parameter in self.parameters.items()}
        scale = own["gain"] * (self.running_variance + _NORM_EPS).rsqrt()
        return {
            "expand": own["expand"] * scale,
            "shift": own["shift"] - self.running_mean * scale,
            "output": own["output"],
            "bias": own["bias"],
        }

    def keep(self, places: list[int]) -> None:
        """Let all seeds but those at some places leave the stack."""
        if len(places) == len(self.draws):
            return
        for parameter in self.parameters.values():
            state = self.optimizer.state[parameter]
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = state[name][places]
            parameter.data = parameter.data[places]
        self.running_mean = self.running_mean[places]
        self.running_variance = self.running_variance[places]
        self.draws = [self.draws[place] for place in places]


def _sums(x: Tensor) -> list[Tensor]:
    """Return the sums over rows of features and of their products, (g, 1, d) and (g, d, d) float64."""
    exact = x.double()
    return [exact.sum(1, keepdim=True), exact.transpose(1, 2) @ exact]


def _moments(sums: Sequence[Tensor], rows: int) -> tuple[Tensor, Tensor]:
    """Return the mean and covariance that :func:`_sums` of a number of rows make, float32."""
    mean, products = (total / rows for total in sums)
    return mean.float(), (products - mean.transpose(1, 2) * mean).float()
