"""Which molecules a step trains on, as a function of (seed, epoch, step) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import RunError

if TYPE_CHECKING:
    from infoalign_dgl.training.config import Transition
    from infoalign_dgl.walks import WalkIndex

REPEAT_SHIFT = (
    32  # a walk id is the molecule's node id, and above these bits how often the epoch drew it before
)
_UNIFORM, _MEASURED, _OTHERS = 0, 1, 2  # keys of the random streams


@dataclass(frozen=True)
class EpochPlan:
    """The draws of one epoch.

    Attributes
    ----------
    batches : list of np.ndarray
        Node ids of each step's molecules, int64.
    walk_ids : list of np.ndarray
        The walk id of each draw, int64: node id + (earlier draws in the epoch << 32).
    """

    batches: list[np.ndarray]
    walk_ids: list[np.ndarray]


@dataclass(frozen=True)
class Sampler:
    """Draws batches of training molecules.

    Attributes
    ----------
    pools : dict of int to np.ndarray
        Node ids to draw from, by random stream.
    weights : np.ndarray
        How often the measured pool's molecules are drawn, in proportion.
    quotas : dict of int to int
        Draws per batch from each pool.
    seed : int
    steps_per_epoch : int
    """

    pools: dict[int, np.ndarray]
    weights: np.ndarray
    quotas: dict[int, int]
    seed: int
    steps_per_epoch: int

    @classmethod
    def of(
        cls, molecules: np.ndarray, chance: np.ndarray, *, batch_size: int, share: float | None, seed: int
    ) -> Sampler:
        """Make a sampler.

        Parameters
        ----------
        molecules : np.ndarray
            Node ids of the training molecules, int64.
        chance : np.ndarray
            Per node id, the chance that a walk visits a profile; a molecule is measured where it is above 0.
        batch_size : int
            Molecules per step.
        share : float or None
            Share of each batch that is drawn from measured molecules; None to draw all molecules alike.
        seed : int
            Of the draws.

        Raises
        ------
        RunError
            If there are fewer than two molecules, or measured ones are asked for and there are none.
        """
        if len(molecules) < 2:
            raise RunError(
                f"{len(molecules)} molecule(s) are left to train on and BatchNorm needs at least 2: build "
                "a larger graph, "
                f"or pass a smaller --holdout"
            )
        size = min(batch_size, len(molecules))
        if share is None:
            full, rest = divmod(len(molecules), size)
            steps = full + (rest > 1)  # a single molecule that is left over joins the batch before
            return cls({_UNIFORM: molecules}, np.zeros(0), {_UNIFORM: size}, seed, steps)
        inside = chance[molecules] > 0
        pools = {_MEASURED: molecules[inside], _OTHERS: molecules[~inside]}
        if not inside.any():
            raise RunError(
                "no training molecule has a profile within the walk's length: use --sampling uniform, or "
                "check the "
                "profiles with inspect"
            )
        wanted = size if inside.all() else max(1, round(share * size))
        quotas = {_MEASURED: wanted, _OTHERS: size - wanted}
        return cls(pools, chance[pools[_MEASURED]], quotas, seed, -(-len(molecules) // size))

    def epoch(self, epoch: int) -> EpochPlan:
        """Draw an epoch.

        Uniform sampling takes every molecule once. Otherwise a molecule with a profile within reach is drawn
        in proportion to the chance that its walk visits one, since many reach one hardly ever; the others are
        gone through in one fresh permutation after another, on from where the epoch before left them.
        """
        if _UNIFORM in self.pools:
            order = self._permutation(_UNIFORM, epoch)
            cuts = np.arange(1, self.steps_per_epoch) * self.quotas[_UNIFORM]
            batches = np.split(order, cuts)
        else:
            parts = [self._measured_draws(epoch)]
            if self.quotas[_OTHERS]:
                parts.append(self._cycled_draws(_OTHERS, epoch))
            batches = list(np.concatenate(parts, axis=1))
        sizes = np.cumsum([len(batch) for batch in batches])[:-1]
        return EpochPlan(batches, np.split(_walk_ids(np.concatenate(batches)), sizes))

    def _measured_draws(self, epoch: int) -> np.ndarray:
        """Shape (steps per epoch, quota): each molecule as often as its weight asks, rounded up or down."""
        rng = np.random.default_rng([self.seed, _MEASURED, epoch])
        pool = self.pools[_MEASURED]
        order = rng.permutation(len(pool))
        count = self.steps_per_epoch * self.quotas[_MEASURED]
        ends = np.cumsum(self.weights[order])
        # One mark per draw, evenly spaced from a random start: the molecule whose stretch holds it is drawn.
        marks = (np.arange(count) + rng.random()) * (ends[-1] / count)
        drawn = pool[order[np.minimum(np.searchsorted(ends, marks, side="right"), len(pool) - 1)]]
        return rng.permutation(drawn).reshape(self.steps_per_epoch, -1)

    def _cycled_draws(self, key: int, epoch: int) -> np.ndarray:
        """Shape (steps per epoch, quota): each molecule of the pool equally often over the epochs."""
        pool, count = self.pools[key], self.steps_per_epoch * self.quotas[key]
        first = epoch * count
        cycles = range(first // len(pool), (first + count - 1) // len(pool) + 1)
        stream = np.concatenate([self._permutation(key, cycle) for cycle in cycles])
        start = first - cycles.start * len(pool)
        return stream[start : start + count].reshape(self.steps_per_epoch, -1)

    def _permutation(self, key: int, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, key, number]).permutation(self.pools[key])


def _walk_ids(drawn: np.ndarray) -> np.ndarray:
    """Node id + (how often it was drawn before << 32), in the order of the draws."""
    order = np.argsort(drawn, kind="stable")
    ranked = drawn[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    earlier = np.arange(len(drawn)) - np.repeat(starts, np.diff(np.r_[starts, len(drawn)]))
    ids = np.empty(len(drawn), np.int64)
    ids[order] = ranked + (earlier << REPEAT_SHIFT)
    return ids


def visit_chance(index: WalkIndex, targets: np.ndarray, length: int, transition: Transition) -> np.ndarray:
    """Return the chance that a walk from each node visits one of the targets.

    Parameters
    ----------
    index : WalkIndex
        The arcs.
    targets : np.ndarray
        Shape (nodes,), bool.
    length : int
        Steps L of the walk.
    transition : {"uniform", "weight"}
        How the walk picks its next arc.

    Returns
    -------
    np.ndarray
        Shape (nodes,), float64: 1 for a target, 0 where none is within L steps.
    """
    degree = np.diff(index.indptr)
    src = np.repeat(np.arange(len(degree)), degree)
    indices = np.asarray(index.indices)
    share = np.ones(len(src)) if transition == "uniform" else np.asarray(index.weight, np.float64)
    total = np.bincount(src, share, minlength=len(degree))
    share = share / np.where(total > 0, total, 1.0)[src]
    chance = targets.astype(np.float64)
    for _ in range(length):
        moved = np.bincount(src, share * chance[indices], minlength=len(degree))
        chance = np.where(targets, 1.0, moved)
    return chance
