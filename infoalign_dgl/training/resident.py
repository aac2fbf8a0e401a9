"""Batches that are made on a GPU, where molecules, walks and targets stay.

An epoch's draws go to the device at once, and its walks are taken there. A step then cuts its molecules out
and collapses its targets by kernels of known sizes: it copies nothing from the host and waits for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from infoalign_dgl.models.objective import BatchTotals, SpaceTargets
from infoalign_dgl.training.targets import PreparedBatch
from infoalign_dgl.walks import collapse_targets

if TYPE_CHECKING:
    from collections.abc import Generator

    from torch import Tensor

    from infoalign_dgl.molecules import MoleculeBatch, PackedMolecules
    from infoalign_dgl.training.distributed import World
    from infoalign_dgl.training.sampler import EpochPlan, Sampler
    from infoalign_dgl.training.targets import BatchBuilder


@dataclass(frozen=True)
class ResidentSpace:
    """A feature space on a device, as :class:`~infoalign_dgl.training.targets.TargetSpace` has it."""

    row_index: Tensor
    values: Tensor
    num_bits: int | None


@dataclass(frozen=True)
class ResidentBuilder:
    """Makes batches on a device, each molecule with a row in every space (alpha 0 where it has no target).

    Attributes
    ----------
    host : BatchBuilder
        Whose numbers they have.
    device : torch.device
    molecules : MoleculeBatch
        All molecules of the graph, on the device.
    spaces : dict of str to ResidentSpace
    """

    host: BatchBuilder
    device: torch.device
    molecules: MoleculeBatch
    spaces: dict[str, ResidentSpace]

    @classmethod
    def of(cls, host: BatchBuilder, device: torch.device) -> ResidentBuilder:
        """Copy to the device what batches are made of."""
        spaces = {
            name: ResidentSpace(
                torch.from_numpy(space.row_index).to(device),
                torch.from_numpy(np.array(space.values)).to(device),  # a copy: it may be mapped, read-only
                space.num_bits,
            )
            for name, space in host.spaces.items()
        }
        everything = host.packed.gather(np.arange(len(host.packed)))
        return cls(host, device, everything.to(device), spaces)

    def batches(self, sampler: Sampler, first: int, end: int, world: World) -> Generator[PreparedBatch]:
        """Yield this process's shares of the batches of steps ``first`` to ``end - 1``.

        Parameters
        ----------
        sampler : Sampler
            Draws molecules.
        first, end : int
            Steps, counted from 0 over the whole run.
        world : World
            The processes that share each batch.
        """
        epoch: _Epoch | None = None
        for step in range(first, end):
            number, position = divmod(step, sampler.steps_per_epoch)
            if epoch is None or epoch.number != number:
                epoch = _Epoch.of(self, sampler.epoch(number), number, world)
            yield self._prepare(epoch, position)

    def _prepare(self, epoch: _Epoch, position: int) -> PreparedBatch:
        here = slice(epoch.edges[position], epoch.edges[position + 1])
        ids, nodes, alpha = epoch.drawn[here], epoch.nodes[here], epoch.alpha[here]
        targets = {}
        for name, space in self.spaces.items():
            rows = collapse_targets(
                nodes, alpha, space.row_index, space.values, num_bits=space.num_bits, compact=False
            )
            targets[name] = SpaceTargets(rows.molecule, rows.alpha, rows.count.float(), rows.mean)
        molecules = epoch.molecules[position]
        graphs = self._graphs(ids, molecules)
        totals = BatchTotals.of(targets, len(molecules))
        return PreparedBatch(molecules, graphs, targets, totals, epoch.whole[position])

    def cut(self, batch: PreparedBatch, parts: int) -> list[PreparedBatch]:
        """Cut a batch into parts of nearly equal size, each with the totals of the whole."""
        if parts == 1:
            return [batch]
        size = len(batch.molecules)
        edges = [size * part // parts for part in range(parts + 1)]
        return [self._part(batch, slice(*edge)) for edge in pairwise(edges)]

    def _part(self, batch: PreparedBatch, here: slice) -> PreparedBatch:
        """Return the molecules of one part."""
        targets = {
            name: SpaceTargets(
                rows.molecule[: here.stop - here.start], rows.alpha[here], rows.count[here], rows.mean[here]
            )
            for name, rows in batch.targets.items()
        }
        molecules = batch.molecules[here]
        within = torch.arange(here.start, here.stop, device=self.device)
        graphs = batch.graphs.select(within, *_sizes(self.host.packed, molecules))
        return replace(batch, molecules=molecules, graphs=graphs, targets=targets)

    def _graphs(self, ids: Tensor, molecules: np.ndarray) -> MoleculeBatch:
        return self.molecules.select(ids, *_sizes(self.host.packed, molecules))


@dataclass(frozen=True)
class _Epoch:
    """What this process draws in an epoch, step after step, and the walks from there.

    ``molecules`` and ``whole`` are node ids of each step's share and of its whole batch; ``edges`` are where
    in ``drawn``, ``nodes`` and ``alpha``, on the device, each step's share begins and ends.
    """

    number: int
    molecules: list[np.ndarray]
    whole: list[np.ndarray]
    edges: list[int]
    drawn: Tensor
    nodes: Tensor
    alpha: Tensor

    @classmethod
    def of(cls, builder: ResidentBuilder, plan: EpochPlan, number: int, world: World) -> _Epoch:
        host = builder.host
        shares = [world.share(len(batch)) for batch in plan.batches]
        molecules = [batch[share] for batch, share in zip(plan.batches, shares, strict=True)]
        walk_ids = [ids[share] for ids, share in zip(plan.walk_ids, shares, strict=True)]
        drawn = torch.from_numpy(np.concatenate(molecules)).to(builder.device)
        ids = torch.from_numpy(np.concatenate(walk_ids)).to(builder.device)
        nodes, alpha = host.walks(drawn, ids, number)
        edges = [0, *np.cumsum([len(share) for share in molecules]).tolist()]
        return cls(number, molecules, plan.batches, edges, drawn, nodes, alpha)


def _sizes(packed: PackedMolecules, molecules: np.ndarray) -> tuple[int, int]:
    """Atoms and arcs of molecules together, as the host knows them."""
    atoms = packed.atom_offsets[molecules + 1] - packed.atom_offsets[molecules]
    bonds = packed.bond_offsets[molecules + 1] - packed.bond_offsets[molecules]
    return int(atoms.sum()), 2 * int(bonds.sum())
