"""From drawn molecules to what a step needs: their graphs, their walks, and the walks' collapsed targets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from infoalign_dgl.errors import RunError
from infoalign_dgl.models.objective import BatchTotals, SpaceTargets
from infoalign_dgl.walks import collapse_targets, random_walks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.molecules import MoleculeBatch, PackedMolecules
    from infoalign_dgl.training.config import Transition
    from infoalign_dgl.training.sampler import EpochPlan
    from infoalign_dgl.walks import WalkIndex

_CHUNK_ROWS = 8192


@dataclass(frozen=True)
class TargetSpace:
    """A feature space as walks look it up.

    Attributes
    ----------
    row_index : np.ndarray
        Shape (total nodes,), int64, -1 where a node has no row.
    values : np.ndarray
        Shape (rows, d) float, or bit-packed rows.
    num_bits : int or None
        d where ``values`` is bit-packed.
    """

    row_index: np.ndarray
    values: np.ndarray
    num_bits: int | None

    @property
    def dim(self) -> int:
        """Columns d."""
        return int(self.values.shape[1]) if self.num_bits is None else self.num_bits

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """Return the named rows, shape (len(rows), d), bits as 0 and 1."""
        chosen = self.values[rows]
        return chosen if self.num_bits is None else np.unpackbits(chosen, axis=1, count=self.num_bits)


def target_spaces(graph: ContextGraph, names: Sequence[str] | None = None) -> dict[str, TargetSpace]:
    """Look-ups of a graph's feature spaces; one without rows is nobody's target and left out.

    Parameters
    ----------
    graph : ContextGraph
    names : sequence of str, optional
        The spaces wanted; all by default.

    Raises
    ------
    RunError
        If the graph has no space of a wanted name.
    """
    unknown = [name for name in names or () if name not in graph.spaces]
    if unknown:
        raise RunError(
            f"'spaces' names {unknown[0]!r}, which the graph lacks: it has {', '.join(graph.spaces)}"
        )
    return {
        name: TargetSpace(graph.row_index(name), space.values, space.num_bits)
        for name, space in graph.spaces.items()
        if space.num_rows and (names is None or name in names)
    }


def weighted_mean(space: TargetSpace, node_weights: np.ndarray) -> np.ndarray:
    """Mean row of a feature space, each node's row counting by the node's weight.

    Parameters
    ----------
    space : TargetSpace
    node_weights : np.ndarray
        Shape (total nodes,), not negative; for instance 1 where training may see a node and 0 elsewhere.

    Returns
    -------
    np.ndarray
        Shape (d,), float64; 0.5 where no weight falls on the space.
    """
    has = space.row_index >= 0
    weights = np.bincount(space.row_index[has], node_weights[has], minlength=len(space.values))
    rows = np.flatnonzero(weights)
    if not len(rows):
        return np.full(space.dim, 0.5)
    total = np.zeros(space.dim)
    for start in range(0, len(rows), _CHUNK_ROWS):
        part = rows[start : start + _CHUNK_ROWS]
        total += weights[part] @ space.dense(part)
    return total / weights.sum()


def collapse(spaces: dict[str, TargetSpace], nodes: np.ndarray, alpha: np.ndarray) -> dict[str, SpaceTargets]:
    """Collapse walks into one target row per molecule and feature space.

    Parameters
    ----------
    spaces : dict of str to TargetSpace
    nodes, alpha : np.ndarray
        Shape (B, any), int64 and float32: all nodes that a molecule's walks visited, -1 for none.
    """
    found = {}
    for name, space in spaces.items():
        rows = collapse_targets(nodes, alpha, space.row_index, space.values, num_bits=space.num_bits)
        found[name] = SpaceTargets(
            torch.from_numpy(rows.molecule),
            torch.from_numpy(rows.alpha),
            torch.from_numpy(rows.count).to(torch.float32),
            torch.from_numpy(rows.mean),
        )
    return found


@dataclass(frozen=True)
class PreparedBatch:
    """What a step needs, or a part of it.

    Attributes
    ----------
    molecules : np.ndarray
        Shape (B,), int64 node ids.
    graphs : MoleculeBatch
        Their structures.
    targets : dict of str to SpaceTargets
        Per feature space.
    totals : BatchTotals
        What the losses are divided by: of the step's whole batch, also where this is a part of it.
    whole : np.ndarray
        Node ids of the step's whole batch, int64.
    """

    molecules: np.ndarray
    graphs: MoleculeBatch
    targets: dict[str, SpaceTargets]
    totals: BatchTotals
    whole: np.ndarray

    def to(self, device: torch.device) -> PreparedBatch:
        """Return the batch on another device."""
        if device.type == "cpu":
            return self
        targets = {
            name: SpaceTargets(
                *(getattr(rows, part).to(device) for part in SpaceTargets.__dataclass_fields__)
            )
            for name, rows in self.targets.items()
        }
        graphs, totals = self.graphs.to(device), self.totals.to(device)
        return PreparedBatch(self.molecules, graphs, targets, totals, self.whole)


def number_of_parts(sizes: Sequence[int], micro_batch: int | None) -> int:
    """Return into how many parts every process cuts its share of a batch.

    Parameters
    ----------
    sizes : sequence of int
        Molecules of each process, at least 2. All cut alike, since synchronized BatchNorm asks for it.
    micro_batch : int or None
        Most molecules per part, at least 2; None for one part. Where that would leave a part with a single
        molecule, which BatchNorm cannot take, a part has one more.
    """
    if micro_batch is None:
        return 1
    return max(1, min(-(-max(sizes) // micro_batch), min(sizes) // 2))


@dataclass(frozen=True)
class BatchBuilder:
    """Prepares batches; its results depend on its arguments alone, so any thread may call it.

    Attributes
    ----------
    index : WalkIndex
        The arcs that training may walk.
    spaces : dict of str to TargetSpace
    packed : PackedMolecules
        Row = molecule node id.
    walk_length : int
    transition : {"uniform", "weight"}
    seed : int
    """

    index: WalkIndex
    spaces: dict[str, TargetSpace]
    packed: PackedMolecules
    walk_length: int
    transition: Transition
    seed: int

    def walks(self, molecules: Any, walk_ids: Any, epoch: int) -> tuple[Any, Any]:
        """Walk W times from each of B molecules, in numpy or, if these are tensors, on their device.

        Parameters
        ----------
        molecules : (B,) int64
            Node ids.
        walk_ids : (B, W) int64
        epoch : int

        Returns
        -------
        nodes, alpha
            Shape (B, W (L+1)), int64 and float32.
        """
        shape = (len(molecules), walk_ids.shape[1] * (self.walk_length + 1))
        walked = random_walks(
            self.index,
            molecules,
            self.walk_length,
            transition=self.transition,
            walks_per_seed=walk_ids.shape[1],
            seed=self.seed,
            walk_ids=walk_ids.reshape(-1),
            stream=epoch,
        )
        return walked.nodes.reshape(shape), walked.alpha.reshape(shape)

    def prepare(self, molecules: np.ndarray, walk_ids: np.ndarray, epoch: int) -> PreparedBatch:
        """Prepare a step's batch of B molecules, on the CPU."""
        targets = collapse(self.spaces, *self.walks(molecules, walk_ids, epoch))
        totals = BatchTotals.of(targets, len(molecules))
        return PreparedBatch(molecules, self.packed.gather(molecules), targets, totals, molecules)

    def cut(self, batch: PreparedBatch, parts: int) -> list[PreparedBatch]:
        """Cut a batch on the CPU into parts of nearly equal size, each with the totals of the whole."""
        if parts == 1:
            return [batch]
        size = len(batch.molecules)
        edges = [size * part // parts for part in range(parts + 1)]
        return [self._part(batch, start, stop) for start, stop in pairwise(edges)]

    def _part(self, batch: PreparedBatch, start: int, stop: int) -> PreparedBatch:
        """Return the molecules from ``start`` to before ``stop``."""
        targets = {}
        for name, rows in batch.targets.items():
            first, last = torch.searchsorted(rows.molecule, torch.tensor([start, stop])).tolist()
            here = slice(first, last)
            targets[name] = SpaceTargets(
                rows.molecule[here] - start, rows.alpha[here], rows.count[here], rows.mean[here]
            )
        molecules = batch.molecules[start:stop]
        return PreparedBatch(molecules, self.packed.gather(molecules), targets, batch.totals, batch.whole)

    def starting_means(self, plan: EpochPlan, seen: np.ndarray) -> dict[str, np.ndarray]:
        """Column means that decoders start at, per feature space, shape (d,), float64.

        Half-way between the mean over the space's rows and the mean over what an epoch's walks visit. The
        second is the constant that the balanced loss asks for (within a batch a visited node counts by its
        alpha, and every batch that visits the space counts alike), but walks visit some rows of a small space
        far more often than others, and the first is the steadier estimate.

        Parameters
        ----------
        plan : EpochPlan
            Draws of the first epoch.
        seen : np.ndarray
            Shape (total nodes,), bool: nodes that training may see.
        """
        visited = self._visits(plan)
        return {
            name: (weighted_mean(space, seen) + weighted_mean(space, visited[name])) / 2
            for name, space in self.spaces.items()
        }

    def _visits(self, plan: EpochPlan) -> dict[str, np.ndarray]:
        """Each node's share of a batch's alpha in each space, summed over batches, shape (total nodes,)."""
        mass = {name: np.zeros(self.index.num_nodes) for name in self.spaces}
        for molecules, walk_ids in zip(plan.batches, plan.walk_ids, strict=True):
            nodes, alpha = self.walks(molecules, walk_ids, 0)
            for name, space in self.spaces.items():
                hit = (nodes >= 0) & (space.row_index[nodes] >= 0)
                total = alpha[hit].sum(dtype=np.float64)
                if total > 0:
                    np.add.at(mass[name], nodes[hit], alpha[hit] / total)
        return mass

    def expected_targets(self, molecules: np.ndarray, walk_ids: np.ndarray) -> dict[str, int]:
        """Count per feature space the draws whose walks in the first epoch visit it."""
        nodes, alpha = self.walks(molecules, walk_ids, 0)
        counts = {}
        for name, space in self.spaces.items():
            hit = (nodes >= 0) & (alpha > 0) & (space.row_index[nodes] >= 0)
            counts[name] = int(hit.any(axis=1).sum())
        return counts
