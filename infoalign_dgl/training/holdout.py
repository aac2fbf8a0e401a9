"""Molecules that training never sees, and how well the model does on them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from infoalign_dgl.models.objective import alpha_weighted_bce
from infoalign_dgl.training.sampler import REPEAT_SHIFT
from infoalign_dgl.training.targets import collapse, weighted_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.models import InfoAlign
    from infoalign_dgl.models.objective import SpaceTargets
    from infoalign_dgl.molecules import PackedMolecules
    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.targets import TargetSpace

PROFILE_EDGES = (("molecule", "perturbs", "morphology"), ("molecule", "induces", "gene_expression"))
LEAST_MEASURED = (
    20  # molecules held out per feature space, unless that is more than half of the measured ones
)
_CHOICE_SEED = 20_240  # fixed: runs of one graph hold the same molecules out, whatever their seed
_WALK_SEED = 20_241
_WALKS_PER_MOLECULE = (
    16  # their targets collapse into one row, so more of them cost nothing and steady the figure
)
LARGEST_BATCH = 512


@dataclass(frozen=True)
class Holdout:
    """What validation uses.

    Attributes
    ----------
    molecules : np.ndarray
        Node ids held out, ascending, int64.
    excluded : np.ndarray
        Shape (total nodes,), bool: those molecules, and the profiles that belong to none but them.
    """

    molecules: np.ndarray
    excluded: np.ndarray


def choose_holdout(graph: ContextGraph, share: float, usable: np.ndarray) -> Holdout:
    """Choose molecules to hold out, the same ones in every run of a graph.

    The share is taken of the molecules with a profile in each feature space, at least 20 of them (but at most
    half), and of those without any.

    Parameters
    ----------
    graph : ContextGraph
        The graph.
    share : float
        Share of all molecules, 0 for none.
    usable : np.ndarray
        Shape (molecules,), bool: those that can be encoded.
    """
    excluded = np.zeros(graph.total_nodes, bool)
    if not share:
        return Holdout(np.zeros(0, np.int64), excluded)
    rng = np.random.default_rng(_CHOICE_SEED)
    measured = _measured(graph) & usable[:, None]
    held = np.zeros(len(usable), bool)
    sizes = measured.sum(axis=0)
    for space in np.argsort(sizes, kind="stable"):
        wanted = min(max(LEAST_MEASURED, round(share * sizes[space])), sizes[space] // 2)
        taken = measured[held].sum(axis=0)
        for molecule in rng.permutation(np.flatnonzero(measured[:, space] & ~held)):
            if taken[space] >= wanted:
                break
            if (taken + measured[molecule] <= sizes // 2)[measured[molecule]].all():
                held[molecule] = True
                taken += measured[molecule]
    others = np.flatnonzero(usable & ~measured.any(axis=1))
    held[rng.permutation(others)[: round(share * len(others))]] = True
    molecules = np.flatnonzero(held)
    excluded[molecules] = True
    for kind in PROFILE_EDGES:
        src, dst, _ = graph.edges(kind)
        first = graph.node_offsets[kind[2]]
        seen = np.zeros(graph.num_nodes[kind[2]], bool)
        seen[dst[~held[src]]] = True
        only = np.zeros_like(seen)
        only[dst[held[src]]] = True
        excluded[first + np.flatnonzero(only & ~seen)] = True
    return Holdout(molecules, excluded)


def _measured(graph: ContextGraph) -> np.ndarray:
    """Shape (molecules, feature spaces of profiles), bool: which molecule has a profile in which space."""
    columns = []
    for kind in PROFILE_EDGES:
        src, dst, _ = graph.edges(kind)
        for space in graph.spaces.values():
            if space.node_type == kind[2]:
                column = np.zeros(graph.num_nodes["molecule"], bool)
                column[src[space.node_rows[dst] >= 0]] = True
                columns.append(column)
    return np.array(columns, bool).T.reshape(graph.num_nodes["molecule"], -1)


@dataclass(frozen=True)
class SpaceValidation:
    """How one feature space's targets of the molecules held out are predicted.

    Attributes
    ----------
    loss : float
        The model's alpha-weighted mean BCE, nats per column.
    mean_loss : float
        The same of predicting the space's column means, those of the rows that training may see.
    difference : float
        ``loss - mean_loss``: below 0 the model is the better one.
    targets : int
        Molecules with a target in the space.
    """

    loss: float
    mean_loss: float
    difference: float
    targets: int

    def to_json(self) -> dict[str, float]:
        """Return the values as JSON can hold them."""
        return asdict(self)


def mean_difference(validation: Mapping[str, SpaceValidation]) -> float:
    """Put the spaces together: the mean difference over all targets, by which checkpoints are compared.

    A space counts by its targets. Training lets spaces count alike, but the few molecules held out of a small
    one say little, and what they say is mostly noise.
    """
    targets = sum(found.targets for found in validation.values())
    return sum(found.difference * found.targets for found in validation.values()) / max(targets, 1)


@dataclass(frozen=True)
class Validator:
    """Measures a model on the molecules held out.

    Attributes
    ----------
    molecules : np.ndarray
        Shape (H,), int64 node ids.
    nodes, alpha : np.ndarray
        Shape (H, walks (L+1)): what their walks on the whole graph visit, the same at every call.
    spaces : dict of str to TargetSpace
    means : dict of str to np.ndarray
        Column means per space of the rows that training may see, shape (d,).
    packed : PackedMolecules
    """

    molecules: np.ndarray
    nodes: np.ndarray
    alpha: np.ndarray
    spaces: dict[str, TargetSpace]
    means: dict[str, np.ndarray]
    packed: PackedMolecules

    @classmethod
    def of(
        cls,
        graph: ContextGraph,
        holdout: Holdout,
        spaces: dict[str, TargetSpace],
        packed: PackedMolecules,
        config: PretrainConfig,
    ) -> Validator:
        """Walk from the molecules held out, on the whole graph."""
        repeats = np.arange(_WALKS_PER_MOLECULE) << REPEAT_SHIFT
        walked = graph.walks(
            np.repeat(holdout.molecules, _WALKS_PER_MOLECULE),
            config.walk_length,
            transition=config.transition,
            seed=_WALK_SEED,
            walk_ids=(holdout.molecules[:, None] + repeats).ravel(),
        )
        shape = (len(holdout.molecules), _WALKS_PER_MOLECULE * (config.walk_length + 1))
        means = {name: weighted_mean(space, ~holdout.excluded) for name, space in spaces.items()}
        nodes, alpha = np.asarray(walked.nodes).reshape(shape), np.asarray(walked.alpha).reshape(shape)
        return cls(holdout.molecules, nodes, alpha, spaces, means, packed)

    def __call__(self, model: InfoAlign, batch_size: int = LARGEST_BATCH) -> dict[str, SpaceValidation]:
        """Validate a model in eval mode, its decoders reading mu; spaces without a target are left out.

        No random number is drawn, and the model's mode is put back.

        Parameters
        ----------
        model : InfoAlign
        batch_size : int
            Most molecules at a time, and never more than 512.
        """
        size = min(batch_size, LARGEST_BATCH)
        device = next(model.parameters()).device
        sums = dict.fromkeys(self.spaces, np.zeros(4))
        was_training = model.training
        model.eval()
        with torch.no_grad():
            for start in range(0, len(self.molecules), size):
                part = slice(start, start + size)
                targets = collapse(self.spaces, self.nodes[part], self.alpha[part])
                mu = model.encode(self.packed.gather(self.molecules[part]).to(device)).mu
                for name, rows in targets.items():
                    sums[name] = sums[name] + self._score(model, mu, name, rows)
        model.train(was_training)
        return {
            name: SpaceValidation(loss / alpha, mean / alpha, (loss - mean) / alpha, int(count))
            for name, (loss, mean, alpha, count) in ((name, total.tolist()) for name, total in sums.items())
            if count
        }

    def _score(self, model: InfoAlign, mu: torch.Tensor, name: str, rows: SpaceTargets) -> np.ndarray:
        """Sum over a batch's targets the model's loss, that of the means, alpha, and their number."""
        logits = model.decode(name, mu, rows.molecule.to(mu.device)).float().cpu()
        alpha, target = rows.alpha.double().numpy(), rows.mean.numpy()
        mean = np.clip(self.means[name], 1e-7, 1 - 1e-7)
        per_row = -(target @ np.log(mean) + (1 - target) @ np.log1p(-mean)) / len(mean)
        return np.array([float(alpha_weighted_bce(logits, rows)), alpha @ per_row, alpha.sum(), len(alpha)])
