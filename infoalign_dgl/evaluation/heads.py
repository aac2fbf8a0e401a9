"""MLP heads on fixed features, the published protocol, with all seeds trained side by side.

Parameters are stacked: seed first. Each seed draws its starting weights, its order of rows and its dropout
from a generator of its own, so who trains beside it changes nothing. On a CPU the stack goes through a step
one seed at a time, because one seed's activations stay in the caches and ten seeds' do not, and a seed's
result is the same bit for bit however many there are. On a GPU the whole stack goes at once, and the library
may add up in another order for another number of seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn.functional import gelu

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._supervision import EarlyStopping, Targets, finish, loss_gradient
from infoalign_dgl.evaluation._validation import Validation
from infoalign_dgl.evaluation.predictions import Predictions
from infoalign_dgl.training.setup import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.tasks import Kind

_NORM_EPS, _NORM_MOMENTUM = 1e-5, 0.1  # of nn.BatchNorm1d
_BYTE = 256  # a dropout mask's entry is one random byte against a threshold
_ROWS = 4096  # predicted at a time


@dataclass(frozen=True)
class HeadConfig:
    """How heads are trained; the defaults are the published ones.

    Attributes
    ----------
    hidden_factor : int
        Hidden units per feature.
    max_hidden : int
        Hidden units at most: the 1200 that the published 300 features get. The paper does not say how wide
        its MLP on Morgan fingerprints is.
    dropout : float
        Share of hidden units dropped, to the nearest 1/256.
    lr, weight_decay : float
        Of Adam; the decay is added to the gradient.
    epochs : int
        At most.
    patience : int
        Training ends after more than this many epochs without a better validation score.
    batch_size : int
        Rows of a step. A last batch of one row is left out, as BatchNorm cannot use it.
    """

    hidden_factor: int = 4
    max_hidden: int = 1200
    dropout: float = 0.5
    lr: float = 1e-3
    weight_decay: float = 1e-5
    epochs: int = 300
    patience: int = 50
    batch_size: int = 5120

    def hidden(self, features: int) -> int:
        """Return the hidden units on that many features."""
        return min(self.hidden_factor * features, self.max_hidden)


@dataclass(frozen=True)
class Heads:
    """Trained heads of S seeds, their BatchNorm folded into the first layer.

    Attributes
    ----------
    weights : dict of str to Tensor
        float32 on the CPU: ``expand`` (S, d, h), ``shift`` (S, 1, h), ``output`` (S, h, U) and ``bias``
        (S, 1, U) for U trained tasks.
    trained : np.ndarray
        (T,) bool.
    kind : {"binary", "regression"}
    mean, scale : np.ndarray
        (U,) float64: a regression's values are ``mean + scale * output``; 0 and 1 for binary tasks.
    notes : list of str
    """

    weights: dict[str, Tensor]
    trained: np.ndarray
    kind: Kind
    mean: np.ndarray
    scale: np.ndarray
    notes: list[str]

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predict rows of any number.

        Parameters
        ----------
        features : np.ndarray
            (n, d) float32; a row with NaN has no features.

        Returns
        -------
        np.ndarray
            (S, n, T) float32: probability of class 1, or value; NaN in rows without features and in columns
            of tasks that were not trained.
        """
        rows = np.flatnonzero(~np.isnan(features).any(axis=1))
        seeds = len(self.weights["bias"])
        columns = np.flatnonzero(self.trained)
        values = np.full((seeds, len(features), len(self.trained)), np.nan, np.float32)
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            x = torch.from_numpy(np.ascontiguousarray(features[part], np.float32))
            for seed in range(seeds):
                one = {name: tensor[seed : seed + 1] for name, tensor in self.weights.items()}
                out = finish(forward(x, one)[0].numpy(), self.kind, self.mean, self.scale)
                values[seed, part[:, None], columns] = out
        return values


def fit_mlp_heads(
    features: np.ndarray,
    labels: np.ndarray,
    split: Split,
    kind: Kind,
    seeds: Sequence[int],
    config: HeadConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    device: str = "auto",
) -> Predictions:
    """Train MLP heads on fixed features and predict all rows.

    The arguments are those of :func:`train_heads`.

    Returns
    -------
    Predictions
        Of each seed's best epoch on the validation rows.
    """
    heads = train_heads(features, labels, split, kind, seeds, config, progress=progress, device=device)
    return Predictions(heads.predict(features), None, heads.notes)


def train_heads(
    features: np.ndarray,
    labels: np.ndarray,
    split: Split,
    kind: Kind,
    seeds: Sequence[int],
    config: HeadConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
    device: str = "auto",
) -> Heads:
    """Train MLP heads on fixed features: Linear, BatchNorm, GELU, dropout, Linear.

    The loss is the mean over observed labels of the cross-entropy, or of the absolute error of labels that
    are standardized per task on the train rows. A seed keeps the weights of the epoch with the highest mean
    ROC-AUC, or the lowest mean absolute error (of standardized labels, so that a task's unit gives it no
    weight), on the validation rows. The Linear before BatchNorm has no bias, which BatchNorm takes out again.

    Parameters
    ----------
    features : np.ndarray
        (n, d) float32, standardized on the train rows. A row with NaN has no features and is not used.
    labels : np.ndarray
        (n, T) float64, NaN where unmeasured.
    split : Split
        Of the test rows nothing is used.
    kind : {"binary", "regression"}
    seeds : sequence of int
        S seeds from 0 on.
    config : HeadConfig, optional
    progress : callable, optional
        Called with (epochs of all seeds done, at most to do).
    device : str
        ``"auto"`` takes a GPU where there is one.

    Returns
    -------
    Heads

    Raises
    ------
    EvaluationError
        If fewer than two train rows have features, no task can be trained, or features are infinite.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 6.1.
    """
    config = HeadConfig() if config is None else config
    if np.isinf(features).any():
        row = int(np.isinf(features).any(axis=1).argmax())
        raise EvaluationError(
            f"row {row} of the features holds an infinite value: correct it, or leave the row's features NaN"
        )
    where = choose_device(device)
    targets = Targets.of(labels, split, kind, ~np.isnan(features).any(axis=1))
    x, y = (
        torch.from_numpy(np.ascontiguousarray(array[targets.train], np.float32)).to(where)
        for array in (features, targets.values)
    )
    valid = torch.from_numpy(np.ascontiguousarray(features[targets.valid], np.float32)).to(where)
    validation = Validation.of(targets.values[targets.valid], kind, where)
    stack = _Stack(x, y, kind, seeds, config)
    stop = EarlyStopping(len(seeds), config.epochs, config.patience, scored=validation.scorable)
    best: list[dict[str, Tensor]] = [{}] * len(seeds)
    alive = list(range(len(seeds)))
    for epoch in range(config.epochs):
        stack.train_epoch()
        for part in stack.parts():
            folded = stack.folded(part)
            scores = validation.scores(forward(valid, folded)).tolist()
            for place, (model, score) in enumerate(zip(alive[part], scores, strict=True)):
                if stop.is_best(model, epoch, score):
                    best[model] = {name: tensor[place].cpu().clone() for name, tensor in folded.items()}
        if progress is not None:
            progress(stop.done, config.epochs * len(seeds))
        going = [place for place, model in enumerate(alive) if not stop.is_over(model)]
        if not going:
            break
        stack.keep(going)
        alive = [alive[place] for place in going]
    weights = {name: torch.stack([each[name] for each in best]) for name in best[0]}
    notes = [*targets.notes, *stop.notes(seeds)]
    return Heads(weights, targets.trained, kind, targets.mean, targets.scale, notes)


def forward(x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Give the outputs of g folded heads on the same rows (B, d), shape (g, B, U)."""
    each = x.expand(len(weights["bias"]), -1, -1)
    hidden = gelu(torch.baddbmm(weights["shift"], each, weights["expand"]))
    return torch.baddbmm(weights["bias"], hidden, weights["output"])


class _Batch(NamedTuple):
    """Rows of a step for the seeds of one part of the stack: the same rows for all, or each its own."""

    x: Tensor  # (1 or g, B, d)
    y: Tensor  # (1 or g, B, U)
    mean: Tensor  # (1 or g, 1, d) float32
    covariance: Tensor  # (1 or g, d, d) float32


class _Stack:
    """Heads in training, seed first in every tensor.

    BatchNorm of a linear layer is linear in the layer's weights: a hidden unit's batch mean is m'w, and its
    variance w'Cw with the mean m and the covariance C of the batch's features. So it is folded into the
    weights before they meet the rows, and takes no pass over the hidden units, forward or backward.
    """

    def __init__(self, x: Tensor, y: Tensor, kind: Kind, seeds: Sequence[int], config: HeadConfig) -> None:
        self.x, self.y, self.kind, self.config = x, y, kind, config
        self.draws = [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]
        features, hidden, tasks = x.shape[1], config.hidden(x.shape[1]), y.shape[1]

        def start(fan_in: int, *shape: int) -> Tensor:
            """Draw as nn.Linear does: uniform within 1 / sqrt(fan in)."""
            drawn = np.stack([draw.random(shape, np.float32) for draw in self.draws])
            return torch.from_numpy((2 * drawn - 1) / np.float32(math.sqrt(fan_in))).to(x.device)

        self.parameters = {
            "expand": start(features, features, hidden),
            "output": start(hidden, hidden, tasks),
            "bias": start(hidden, 1, tasks),
            "gain": torch.ones(len(seeds), 1, hidden, device=x.device),
            "shift": torch.zeros(len(seeds), 1, hidden, device=x.device),
        }
        self.running_mean = torch.zeros(len(seeds), 1, hidden, device=x.device)
        self.running_variance = torch.ones_like(self.running_mean)
        for parameter in self.parameters.values():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer = torch.optim.Adam(
            list(self.parameters.values()), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )
        self.sums = _sums(x[None])

    def parts(self) -> list[slice]:
        """Seeds that go through a step at once: one on a CPU, all on a GPU."""
        size = 1 if self.x.device.type == "cpu" else len(self.draws)
        return [slice(start, start + size) for start in range(0, len(self.draws), size)]

    def train_epoch(self) -> None:
        """Make one step for each batch of the train rows."""
        count, size = len(self.x), self.config.batch_size
        orders = None
        if count > size:  # the order of rows makes no difference within a batch
            orders = torch.from_numpy(np.stack([draw.permutation(count) for draw in self.draws]))
        for start in range(0, count, size):
            if count - start < 2:
                continue
            for part in self.parts():
                self._differentiate(part, self._batch(orders, part, slice(start, start + size)))
            self.optimizer.step()

    def _batch(self, orders: Tensor | None, part: slice, rows: slice) -> _Batch:
        if orders is None:
            x, y, sums = self.x[None], self.y[None], self.sums
        else:
            chosen = orders[part, rows].to(self.x.device)
            others = torch.cat([orders[part, : rows.start], orders[part, rows.stop :]], 1).to(self.x.device)
            x, y = self.x[chosen], self.y[chosen]
            if others.shape[1] < chosen.shape[1]:  # fewer to add up
                sums = [whole - rest for whole, rest in zip(self.sums, _sums(self.x[others]), strict=True)]
            else:
                sums = _sums(x)
        first, second = (total / x.shape[1] for total in sums)
        covariance = second - first.transpose(1, 2) * first
        return _Batch(x, y, first.float(), covariance.float())

    def _differentiate(self, part: slice, batch: _Batch) -> None:
        """Set the gradients of some seeds, and update their running statistics."""
        leaves = {name: p[part].detach().requires_grad_() for name, p in self.parameters.items()}
        expand, rows = leaves["expand"], batch.x.shape[1]
        spread = (batch.covariance @ expand.detach()).expand_as(expand)
        half = (expand * spread).sum(1, keepdim=True)
        variance = (2 * half - half.detach()).clamp(min=0)  # w'Cw, and its gradient 2Cw, for one product
        mean = batch.mean @ expand
        scale = leaves["gain"] * (variance + _NORM_EPS).rsqrt()
        x = batch.x.expand(len(expand), -1, -1)
        hidden = gelu(torch.baddbmm(leaves["shift"] - mean * scale, x, expand * scale))
        keep = 1 - self._dropped / _BYTE
        if keep < 1:
            hidden = hidden * self._mask(part, hidden.shape)
        outputs = torch.baddbmm(leaves["bias"], hidden, leaves["output"], alpha=1 / keep)
        with torch.no_grad():
            gradient = loss_gradient(
                outputs, batch.y, (~batch.y.isnan()).sum((1, 2), keepdim=True).clamp_(min=1), self.kind
            )
            unbiased = variance * (rows / (rows - 1))
            self.running_mean[part].lerp_(mean, _NORM_MOMENTUM)
            self.running_variance[part].lerp_(unbiased, _NORM_MOMENTUM)
        found = torch.autograd.grad(outputs, list(leaves.values()), gradient)
        for parameter, each in zip(self.parameters.values(), found, strict=True):
            assert parameter.grad is not None
            parameter.grad[part] = each

    @property
    def _dropped(self) -> int:
        """Of the 256 values of a byte, those that drop an entry."""
        return round(self.config.dropout * _BYTE)

    def _mask(self, part: slice, shape: torch.Size) -> Tensor:
        """Draw what dropout keeps, 1 or 0, shape (g, B, h)."""
        count = math.prod(shape[1:])
        raw = [
            draw.bit_generator.random_raw(-(-count // 8)).view(np.uint8)[:count] for draw in self.draws[part]
        ]
        kept = torch.from_numpy(np.stack(raw) >= self._dropped)
        return kept.to(self.x.device).float().view(shape)

    def folded(self, part: slice) -> dict[str, Tensor]:
        """Return what :func:`forward` takes of some seeds, BatchNorm's running statistics folded in."""
        own = {name: parameter[part] for name, parameter in self.parameters.items()}
        scale = own["gain"] * (self.running_variance[part] + _NORM_EPS).rsqrt()
        return {
            "expand": own["expand"] * scale,
            "shift": own["shift"] - self.running_mean[part] * scale,
            "output": own["output"],
            "bias": own["bias"],
        }

    def keep(self, places: list[int]) -> None:
        """Let the other seeds leave the stack."""
        if len(places) == len(self.draws):
            return
        for parameter in self.parameters.values():
            state = self.optimizer.state[parameter]
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = state[name][places]
            parameter.data = parameter.data[places]
            parameter.grad = torch.zeros_like(parameter)
        self.running_mean = self.running_mean[places]
        self.running_variance = self.running_variance[places]
        self.draws = [self.draws[place] for place in places]


def _sums(x: Tensor) -> list[Tensor]:
    """Return the sums over rows of features and of their products, (g, 1, d) and (g, d, d) float64."""
    exact = x.double()
    return [exact.sum(1, keepdim=True), exact.transpose(1, 2) @ exact]
