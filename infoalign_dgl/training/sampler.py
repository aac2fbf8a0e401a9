"""Which molecules a step trains on, as a function of (seed, epoch, step) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import RunError

if TYPE_CHECKING:
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
        The ids of each draw's W walks, shape (batch, W), int64: node id + (earlier walks of the molecule in
        the epoch << 32).
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
    quotas : dict of int to int
        Draws per batch from each pool.
    seed : int
    steps_per_epoch : int
    num_walks : int
        Walks W of each draw.
    """

    pools: dict[int, np.ndarray]
    quotas: dict[int, int]
    seed: int
    steps_per_epoch: int
    num_walks: int = 1

    @classmethod
    def of(
        cls,
        molecules: np.ndarray,
        measured: np.ndarray,
        *,
        batch_size: int,
        share: float | None,
        seed: int,
        num_walks: int = 1,
    ) -> Sampler:
        """Make a sampler.

        Parameters
        ----------
        molecules : np.ndarray
            Node ids of the training molecules, int64.
        measured : np.ndarray
            Bool per node id: whether a profile is within reach.
        batch_size : int
            Molecules per step.
        share : float or None
            Share of each batch that is drawn from measured molecules; None to draw all molecules alike.
        seed : int
            Of the draws.
        num_walks : int
            Walks of each draw.

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
            return cls({_UNIFORM: molecules}, {_UNIFORM: size}, seed, steps, num_walks)
        inside = measured[molecules]
        pools = {_MEASURED: molecules[inside], _OTHERS: molecules[~inside]}
        if not inside.any():
            raise RunError(
                "no training molecule has a profile within the walk's length: use --sampling uniform, or "
                "check the "
                "profiles with inspect"
            )
        wanted = size if inside.all() else max(1, round(share * size))
        quotas = {_MEASURED: wanted, _OTHERS: size - wanted}
        return cls(pools, quotas, seed, -(-len(molecules) // size), num_walks)

    def epoch(self, epoch: int) -> EpochPlan:
        """Draw an epoch.

        Uniform sampling takes every molecule once. With quotas, each pool is gone through in one fresh
        permutation after another, on from where the epoch before left it, so that its molecules are drawn
        equally often.
        """
        if _UNIFORM in self.pools:
            order = self._permutation(_UNIFORM, epoch)
            cuts = np.arange(1, self.steps_per_epoch) * self.quotas[_UNIFORM]
            batches = np.split(order, cuts)
        else:
            draws = {key: self._draws(key, epoch) for key, quota in self.quotas.items() if quota}
            batches = [
                np.concatenate([draw[i] for draw in draws.values()]) for i in range(self.steps_per_epoch)
            ]
        sizes = np.cumsum([len(batch) for batch in batches])[:-1]
        return EpochPlan(batches, np.split(_walk_ids(np.concatenate(batches), self.num_walks), sizes))

    def _draws(self, key: int, epoch: int) -> np.ndarray:
        """Shape (steps per epoch, quota): the pool's draws of an epoch."""
        pool, count = self.pools[key], self.steps_per_epoch * self.quotas[key]
        first = epoch * count
        cycles = range(first // len(pool), (first + count - 1) // len(pool) + 1)
        stream = np.concatenate([self._permutation(key, cycle) for cycle in cycles])
        start = first - cycles.start * len(pool)
        return stream[start : start + count].reshape(self.steps_per_epoch, -1)

    def _permutation(self, key: int, number: int) -> np.ndarray:
        return np.random.default_rng([self.seed, key, number]).permutation(self.pools[key])


def _walk_ids(drawn: np.ndarray, num_walks: int) -> np.ndarray:
    """Node id + (how often it was walked from before << 32), one row per draw, one column per walk."""
    order = np.argsort(drawn, kind="stable")
    ranked = drawn[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    earlier = np.arange(len(drawn)) - np.repeat(starts, np.diff(np.r_[starts, len(drawn)]))
    walked = earlier[:, None] * num_walks + np.arange(num_walks)
    ids = np.empty((len(drawn), num_walks), np.int64)
    ids[order] = ranked[:, None] + (walked << REPEAT_SHIFT)
    return ids


def within_reach(index: WalkIndex, targets: np.ndarray, length: int) -> np.ndarray:
    """Tell which nodes can walk to one of the targets.

    Parameters
    ----------
    index : WalkIndex
        The arcs.
    targets : np.ndarray
        Shape (nodes,), bool.
    length : int
        Most steps.

    Returns
    -------
    np.ndarray
        Shape (nodes,), bool; a target reaches itself in no step.
    """
    reached = targets.copy()
    degree = np.diff(index.indptr)
    src = np.repeat(np.arange(len(degree)), degree)
    indices = np.asarray(index.indices)
    for _ in range(length):
        grown = reached.copy()
        grown[src[reached[indices]]] = True
        if (grown == reached).all():
            break
        reached = grown
    return reached
