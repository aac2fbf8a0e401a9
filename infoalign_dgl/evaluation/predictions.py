"""What every method of a comparison gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Predictions:
    """Predictions of one method for all rows of a task set, train rows too.

    Attributes
    ----------
    values : numpy.ndarray
        (S, n, T) float32 by seed, row and task: the probability of class 1, or the value in the task's own
        units. NaN in the columns of tasks that could not be trained and in rows without features; a forest's
        train rows are NaN too.
    spread : numpy.ndarray or None
        (S, n, T) float32: the method's own standard deviation (a Gaussian process's, say), where it has one.
    notes : list of str
        What a user should know of how the method was trained, a sentence each.
    """

    values: np.ndarray
    spread: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
