"""The random state of a step, as a function of what the step is."""

from __future__ import annotations

_MASK = 2**64 - 1


def _mix(value: int) -> int:
    """Scramble 64 bits so that neighbours have nothing in common (splitmix64's output function).

    References
    ----------
    Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators, section 6.
    """
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def step_seed(seed: int, step: int, rank: int = 0, part: int = 0) -> int:
    """Return what torch's generators are seeded with before a part of a step.

    Dropout and the latent's noise so depend on nothing that happened before, and a run that goes on from a
    checkpoint needs no generator's state.

    Parameters
    ----------
    seed : int
        The run's.
    step : int
        Steps done before.
    rank : int
        Which of the run's processes.
    part : int
        Which micro-batch of the step.

    Returns
    -------
    int
        In [0, 2**64). torch's generator of the CPU uses the lower 32 bits, so that among 100,000 steps about
        one pair shares its noise.
    """
    state = 0
    for value in (seed, step, rank, part):
        state = _mix((state ^ value) + 0x9E3779B97F4A7C15 & _MASK)
    return state
