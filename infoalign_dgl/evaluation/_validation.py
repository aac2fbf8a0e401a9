"""The score on the validation rows that training stops by, for several models at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from infoalign_dgl.evaluation.tasks import Kind

_LAST = torch.iinfo(torch.int64).max


class _Tasks(NamedTuple):
    """Tasks that have about as many labels each, (U, m) all.

    ``entries``, int64: the entries of each task in an (n_valid, T) matrix laid flat; what is left of the m
    columns repeats entry 0. ``measured``, bool: which of the columns are entries. ``labels``, float32.
    """

    entries: Tensor
    measured: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Validation:
    """Labels of the validation rows, laid out so that all tasks are scored at once.

    Attributes
    ----------
    kind : {"binary", "regression"}
    groups : list of _Tasks
        Scorable tasks in groups, so that a task with few labels is not padded to the most that there are.
    """

    kind: Kind
    groups: list[_Tasks]

    @classmethod
    def of(cls, labels: np.ndarray, kind: Kind, device: torch.device) -> Validation:
        """Lay the labels out.

        Parameters
        ----------
        labels : np.ndarray
            (n_valid, T), NaN where unmeasured. A binary task is scorable if both classes are there, another
            one if it has any label.
        kind : {"binary", "regression"}
        device : torch.device
            Where the values to score are.
        """
        seen = ~np.isnan(labels)
        scorable = seen.any(axis=0)
        if kind == "binary":
            scorable &= (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
        counts = np.where(scorable, seen.sum(axis=0), 0)
        groups = []
        while counts.any():
            width = int(counts.max())
            tasks = np.flatnonzero(2 * counts > width)
            counts[tasks] = 0
            measured = np.arange(width) < seen[:, tasks].sum(axis=0)[:, None]
            index, values = np.zeros(measured.shape, np.int64), np.zeros(measured.shape, np.float32)
            of_task, rows = np.nonzero(seen[:, tasks].T)
            index[measured] = rows * labels.shape[1] + tasks[of_task]
            values[measured] = labels[rows, tasks[of_task]]
            groups.append(_Tasks(*(torch.from_numpy(each).to(device) for each in (index, measured, values))))
        return cls(kind, groups)

    @property
    def scorable(self) -> bool:
        """Whether any task can be scored."""
        return bool(self.groups)

    def scores(self, values: Tensor) -> Tensor:
        """Score predictions, the higher the better.

        Parameters
        ----------
        values : Tensor
            (g, n_valid, T) float32 of g models: anything that rises with the probability, or the value.

        Returns
        -------
        Tensor
            (g,) float64: mean ROC-AUC over tasks, or minus the mean over tasks of the mean absolute error;
            NaN where a value of a measured entry is not finite, or there is no scorable task.
        """
        flat = values.flatten(1)
        per_task = [torch.zeros((len(flat), 0), dtype=torch.float64, device=flat.device)]
        for tasks in self.groups:
            chosen = flat[:, tasks.entries]
            score = _roc_auc(chosen, tasks) if self.kind == "binary" else _minus_error(chosen, tasks)
            per_task.append(torch.where(chosen.isfinite().all(-1), score, torch.nan))
        return torch.cat(per_task, 1).mean(1)


def _minus_error(chosen: Tensor, tasks: _Tasks) -> Tensor:
    """Return minus the mean absolute error of each task, (g, U) float64."""
    wrong = (chosen - tasks.labels).abs().double() * tasks.measured
    return -wrong.sum(-1) / tasks.measured.sum(-1)


def _roc_auc(chosen: Tensor, tasks: _Tasks) -> Tensor:
    """Return the ROC-AUC of each task, (g, U) float64: the share of pairs in order, ties half.

    A float's bits, put in order as an integer, are followed by one bit of the class, so that sorting whole
    numbers ranks values and brings their classes along. Equal values are ranked by that bit: class 0 first
    makes tied pairs count as in order, class 1 first as out of order, and the mean of both is the half that
    they should count.
    """
    bits = (chosen + 0.0).view(torch.int32).long()  # + 0.0: -0.0 is 0.0
    ordered = 2 * torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    positive = tasks.labels.long()
    ones, count = positive.sum(-1), tasks.measured.sum(-1)
    place = torch.arange(tasks.entries.shape[1], device=chosen.device)
    entry = place < count[:, None]  # once sorted, what is measured comes first

    def pairs_in_order(bit_of_ones: int) -> tuple[Tensor, bool]:
        keys = _sorted(torch.where(tasks.measured, ordered + (positive ^ (1 - bit_of_ones)), _LAST))
        is_one = ((keys & 1) == bit_of_ones) & entry
        ties = bool((((keys[..., 1:] ^ keys[..., :-1]) <= 1) & entry[:, 1:]).any())
        return (is_one * place).sum(-1) - ones * (ones - 1) / 2, ties

    pairs, ties = pairs_in_order(1)
    if ties:
        pairs = (pairs + pairs_in_order(0)[0]) / 2
    return pairs.double() / (ones * (count - ones))


def _sorted(keys: Tensor) -> Tensor:
    """Sort the last axis; on a CPU by numpy, whose vectorized sort takes a seventh of the time of torch's."""
    if keys.device.type == "cpu":
        return torch.from_numpy(np.sort(keys.numpy(), axis=-1))
    return keys.sort(-1).values
