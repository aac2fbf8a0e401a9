"""The learning rate by step."""

from __future__ import annotations

import math

CYCLES = 7 / 16


def cosine_factor(step: int, total_steps: int) -> float:
    """Return the share of the learning rate that a step uses: a cosine over 7/16 of a cycle, never below 0.

    Parameters
    ----------
    step : int
        Steps done before, from 0.
    total_steps : int
        Steps of the whole run.

    References
    ----------
    Sohn et al. 2020, FixMatch (the schedule); Liu et al. 2024, Learning Molecular Representation in a Cell.
    """
    return max(0.0, math.cos(math.pi * CYCLES * step / max(total_steps, 1)))
