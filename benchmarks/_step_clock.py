"""When training steps end, seen from outside: at the end of each step of an optimizer, whoever calls it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch.optim.optimizer import register_optimizer_step_post_hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def step_ends(then: Callable[[int], None] | None = None) -> Iterator[list[float]]:
    """Give a list that gets the time at the end of each step.

    Parameters
    ----------
    then : callable, optional
        Called after each step with the number of steps so far.
    """
    ends: list[float] = []

    def note(*_: Any) -> None:
        ends.append(time.perf_counter())
        if then is not None:
            then(len(ends))

    handle = register_optimizer_step_post_hook(note)
    try:
        yield ends
    finally:
        handle.remove()


def durations(ends: list[float], leave_out: int) -> list[float]:
    """Seconds from the end of a step to the end of the next, without the first ones."""
    return [later - earlier for earlier, later in pairwise(ends)][leave_out:]
