"""What training on labels is made of, whatever is trained: targets, the loss's gradient, when to stop."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.splits import Split
from infoalign_dgl.evaluation.tasks import trainable_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from infoalign_dgl.evaluation.tasks import Kind


@dataclass(frozen=True)
class Targets:
    """Labels as a network sees them.

    Attributes
    ----------
    values : np.ndarray
        (n, U) float32 for U trained tasks, NaN where unmeasured; a regression's are standardized.
    train, valid : np.ndarray
        Rows of each part that can be used, int64.
    trained : np.ndarray
        (T,) bool.
    mean, scale : np.ndarray
        (U,) float64, of the train labels of a regression; 0 and 1 for binary tasks.
    notes : list of str
        What was left out.
    """

    values: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    trained: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    notes: list[str]

    @classmethod
    def of(cls, labels: np.ndarray, split: Split, kind: Kind, usable: np.ndarray) -> Targets:
        """Choose rows and tasks, and standardize.

        Parameters
        ----------
        labels : np.ndarray
            (n, T), NaN where unmeasured.
        split : Split
        kind : {"binary", "regression"}
        usable : np.ndarray
            (n,) bool: rows that have an input.

        Raises
        ------
        EvaluationError
            If fewer than two train rows are usable, or no task can be trained.
        """
        train, valid = split.train[usable[split.train]], split.valid[usable[split.valid]]
        if len(train) < 2:
            raise EvaluationError(
                f"{len(train)} of the {len(split.train)} train rows have an input, and BatchNorm needs at "
                "least 2: use a larger task set, another split, or other features"
            )
        # What can be trained does not ask for test labels, so train stands in for them.
        reasons = trainable_tasks(labels, kind, Split(train, valid, train))
        trained = np.array([reason is None for reason in reasons], bool)
        if not trained.any():
            raise EvaluationError(
                f"none of the {len(reasons)} tasks can be trained ({_counted(reasons)}): use another split "
                "or task set"
            )
        notes = []
        if not trained.all():
            notes.append(
                f"{(~trained).sum():,} of {len(reasons):,} tasks were not trained: {_counted(reasons)}."
            )
        lost = len(split.train) + len(split.valid) - len(train) - len(valid)
        if lost:
            notes.append(f"{lost:,} rows of train and valid have no features and were not used.")
        values = labels[:, trained]
        mean, scale = np.zeros(trained.sum()), np.ones(trained.sum())
        if kind == "regression":
            mean, scale = np.nanmean(values[train], axis=0), np.nanstd(values[train], axis=0)
            values = (values - mean) / scale
        return cls(values.astype(np.float32), train, valid, trained, mean, scale, notes)


def _counted(reasons: Sequence[str | None]) -> str:
    counts = Counter(reason for reason in reasons if reason is not None)
    return ", ".join(f"{reason} ({count:,})" for reason, count in counts.most_common())


def loss_gradient(outputs: Tensor, targets: Tensor, observed: Tensor, kind: Kind) -> Tensor:
    """Differentiate each model's mean loss over observed labels.

    The loss itself, binary cross-entropy of logits or the absolute error, is never needed.

    Parameters
    ----------
    outputs : Tensor
        (g, B, U) of g models.
    targets : Tensor
        (g, B, U), NaN where unmeasured.
    observed : Tensor
        (g, 1, 1), the labels that each model's loss is the mean over.
    kind : {"binary", "regression"}

    Returns
    -------
    Tensor
        (g, B, U), exactly 0 where unmeasured.
    """
    wrong = torch.sigmoid(outputs).sub_(targets) if kind == "binary" else torch.sign(outputs - targets)
    return wrong.nan_to_num_(0.0).div_(observed)


def finish(outputs: np.ndarray, kind: Kind, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Turn a network's outputs (..., U) into probabilities of class 1, or values in the tasks' units."""
    if kind == "binary":
        return torch.sigmoid(torch.from_numpy(outputs)).numpy()
    return (mean + scale * outputs).astype(np.float32)


class EarlyStopping:
    """Which epoch of each model was the best, and when it has gone on for long enough without a better one.

    Parameters
    ----------
    models : int
    patience : int
        A model is over after more than this many epochs without a better score.
    scored : bool
        Whether there are scores at all; if not, every epoch counts as the best so far.
    """

    def __init__(self, models: int, patience: int, *, scored: bool) -> None:
        self.patience, self.scored = patience, scored
        self.best_epoch = [0] * models
        self.best_score = [-math.inf] * models
        self.last_epoch = [0] * models

    def is_best(self, model: int, epoch: int, score: float) -> bool:
        """Take an epoch's score, the higher the better, and tell whether it is the best so far.

        A score that is NaN, of a model that diverged, is the worst.
        """
        self.last_epoch[model] = epoch
        better = epoch == 0 or not self.scored or score > self.best_score[model]
        if better:
            self.best_epoch[model] = epoch
            self.best_score[model] = -math.inf if math.isnan(score) else score
        return better

    def is_over(self, model: int) -> bool:
        """Tell whether to stop training a model."""
        return self.last_epoch[model] - self.best_epoch[model] > self.patience


def stopping_notes(
    seeds: Sequence[int], best: Sequence[int], last: Sequence[int], epochs: int, *, scored: bool
) -> list[str]:
    """Say when training ended.

    Parameters
    ----------
    seeds, best, last : sequence of int
        S seeds, and the best and the last epoch of each, counted from 0.
    epochs : int
        At most.
    scored : bool
        Whether validation rows had a say.
    """
    if not scored:
        return [
            f"No task can be scored on the validation rows, so the weights after all {epochs} epochs were "
            "taken."
        ]
    those = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    notes = [f"The best epoch on valid of {those} was {', '.join(str(epoch + 1) for epoch in best)}."]
    late = sum(epoch == epochs - 1 for epoch in last)
    if late:
        notes.append(f"{late} of {len(seeds)} seeds went on to the limit of {epochs} epochs.")
    return notes
