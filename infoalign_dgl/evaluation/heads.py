"""MLP heads on fixed features, the published protocol, with all seeds trained side by side."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._head_stack import HeadStack, Rows, forward, order_of_tasks
from infoalign_dgl.evaluation._supervision import EarlyStopping, Targets, finish, stopping_notes
from infoalign_dgl.evaluation._validation import Validation
from infoalign_dgl.evaluation.predictions import Predictions
from infoalign_dgl.training.setup import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.tasks import Kind

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

    def of_seed(self, place: int) -> Heads:
        """Return the heads of one seed, by its place among the S."""
        one = {name: tensor[place : place + 1] for name, tensor in self.weights.items()}
        return replace(self, weights=one)

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
                out = finish(
                    forward(x, self.of_seed(seed).weights)[0].numpy(), self.kind, self.mean, self.scale
                )
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

    The arguments are those of ``train_heads``.

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
    order, common = order_of_tasks(targets.values[targets.train])
    train, valid = (
        Rows.of(
            torch.from_numpy(np.ascontiguousarray(features[rows], np.float32)).to(where),
            torch.from_numpy(targets.values[rows][:, order]).to(where),
            common,
        )
        for rows in (targets.train, targets.valid)
    )
    validation = Validation.of(valid.y.cpu().numpy(), kind, where)
    count = _Count(config.epochs * len(seeds), progress)
    work = _Work(train, valid, kind, validation, config, count, threading.Event())
    trained = _one_by_one(work, seeds) if where.type == "cpu" else [_train(work, seeds)]
    weights = {name: torch.cat([each.weights[name] for each in trained]) for name in trained[0].weights}
    for name in ("output", "bias"):
        weights[name] = weights[name][..., np.argsort(order)]
    best = [epoch for each in trained for epoch in each.best_epochs]
    last = [epoch for each in trained for epoch in each.last_epochs]
    notes = [*targets.notes, *stopping_notes(seeds, best, last, config.epochs, scored=validation.scorable)]
    return Heads(weights, targets.trained, kind, targets.mean, targets.scale, notes)


class _Count:
    """Epochs done by all seeds, which threads add to."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self.total, self.progress, self.done, self.lock = total, progress, 0, threading.Lock()

    def add(self, epochs: int) -> None:
        with self.lock:
            self.done += epochs
            if self.progress is not None:
                self.progress(self.done, self.total)


class _Work(NamedTuple):
    """What all seeds are trained on."""

    train: Rows
    valid: Rows
    kind: Kind
    validation: Validation
    config: HeadConfig
    progress: _Count
    given_up: threading.Event


class _Trained(NamedTuple):
    """What came of some seeds."""

    weights: dict[str, Tensor]
    best_epochs: list[int]
    last_epochs: list[int]


def _one_by_one(work: _Work, seeds: Sequence[int]) -> list[_Trained]:
    """Train each seed in a thread of its own, as many at once as torch may use.

    One seed's activations stay in a core's caches and a stack's do not, and threads that share no operation
    never wait for each other. One thread per operation also means that a seed's numbers are the same bit for
    bit, whatever trains beside it and on however many cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # also of threads that start from now on
    pool = ThreadPoolExecutor(min(threads, len(seeds)))
    try:
        return list(pool.map(lambda seed: _train(work, [seed]), seeds))
    finally:
        work.given_up.set()  # lets the others end too if this is an error
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _train(work: _Work, seeds: Sequence[int]) -> _Trained:
    """Train seeds as one stack, which they leave when their patience is at its end."""
    config = work.config
    stack = HeadStack(work.train, work.kind, seeds, config)
    stop = EarlyStopping(len(seeds), config.patience, scored=work.validation.scorable)
    best: list[dict[str, Tensor]] = [{}] * len(seeds)
    alive = list(range(len(seeds)))
    for epoch in range(config.epochs):
        if work.given_up.is_set():
            break
        stack.train_epoch()
        folded = stack.folded()
        scores = work.validation.scores(forward(work.valid.x, folded, work.valid.blocks())).tolist()
        for place, (model, score) in enumerate(zip(alive, scores, strict=True)):
            if stop.is_best(model, epoch, score):
                best[model] = {name: tensor[place].cpu().clone() for name, tensor in folded.items()}
        going = [place for place, model in enumerate(alive) if not stop.is_over(model)]
        left = len(alive) - len(going)
        work.progress.add(len(alive) + left * (config.epochs - epoch - 1))
        if not going:
            break
        stack.keep(going)
        alive = [alive[place] for place in going]
    weights = {name: torch.stack([each[name] for each in best]) for name in best[0]}
    return _Trained(weights, stop.best_epoch, stop.last_epoch)
