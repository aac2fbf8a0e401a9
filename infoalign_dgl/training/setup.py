"""What a run is made of before its first step: data, model, optimizer, and what it says about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from infoalign_dgl._extension import load_native
from infoalign_dgl._folders import CHECKSUMS
from infoalign_dgl.context.vocabulary import FINGERPRINT
from infoalign_dgl.errors import RunError
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.training.distributed import ALONE, World
from infoalign_dgl.training.features import digest, packed_molecules, structures
from infoalign_dgl.training.holdout import PROFILE_EDGES, Holdout, Validator, choose_holdout
from infoalign_dgl.training.run_folder import RunConfig
from infoalign_dgl.training.sampler import Sampler, within_reach
from infoalign_dgl.training.targets import BatchBuilder, target_spaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.config import PretrainConfig


@dataclass(frozen=True)
class Data:
    """Everything that batches and validation come from.

    Attributes
    ----------
    sampler : Sampler
    builder : BatchBuilder
    holdout : Holdout
    validator : Validator
    unusable : int
        Molecules that cannot be featurized; they are neither trained on nor held out.
    measured : np.ndarray
        Shape (total nodes,), bool: whether a profile is within a training walk's reach.
    """

    sampler: Sampler
    builder: BatchBuilder
    holdout: Holdout
    validator: Validator
    unusable: int
    measured: np.ndarray


def choose_device(name: str, world: World = ALONE) -> torch.device:
    """Return the device of that name; ``"auto"`` is a GPU where there is one.

    Of several processes on a machine, each gets a GPU of its own.

    Raises
    ------
    RunError
        If there is no such device, or there are fewer than processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RunError(f"'device' must be auto, cpu or cuda[:N], not {name!r}") from error
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and not torch.cuda.is_available()):
        raise RunError(
            f"device {name!r} is not usable by this torch ({torch.__version__}): pass --device cpu or auto"
        )
    if device.type == "cuda" and world.size > 1:
        if device.index is not None or world.local_size > torch.cuda.device_count():
            raise RunError(
                f"{world.local_size} processes on a machine with {torch.cuda.device_count()} GPU(s) cannot "
                f"have one each with --device {name}: pass --device cuda and at most as many processes as "
                "GPUs, or --device cpu"
            )
        device = torch.device("cuda", world.local_rank)
        torch.cuda.set_device(device)
    return device


def load_data(
    graph: ContextGraph, config: PretrainConfig, *, progress: Callable[[int, int], None] | None = None
) -> Data:
    """Featurize the graph's molecules, hold some out, and index what training may walk.

    Raises
    ------
    RunError
        If too little is left to train on.
    """
    packed = packed_molecules(graph, progress=progress)
    usable = np.diff(packed.atom_offsets) > 0
    holdout = choose_holdout(graph, config.holdout, usable)
    index = graph.walk_index(exclude_nodes=np.flatnonzero(holdout.excluded))
    profiles = np.zeros(graph.total_nodes, bool)
    for _, _, node_type in PROFILE_EDGES:
        first = graph.node_offsets[node_type]
        profiles[first : first + graph.num_nodes[node_type]] = True
    measured = within_reach(index, profiles & ~holdout.excluded, config.walk_length)
    sampler = Sampler.of(
        np.flatnonzero(usable & ~holdout.excluded[: len(usable)]),
        measured,
        batch_size=config.batch_size,
        share=config.measured_share,
        seed=config.seed,
        num_walks=config.num_walks,
    )
    names = (FINGERPRINT,) if config.control == "fingerprints" else config.spaces
    spaces = target_spaces(graph, names)
    builder = BatchBuilder(index, spaces, packed, config.walk_length, config.transition, config.seed)
    validator = Validator.of(graph, holdout, spaces, packed, config)
    return Data(sampler, builder, holdout, validator, int((~usable).sum()), measured)


def describe_run(graph: ContextGraph, config: PretrainConfig, data: Data) -> RunConfig:
    """Return what goes into the run's ``config.json``."""
    spaces = {name: graph.spaces[name].dim for name in data.builder.spaces}
    modality = {name: graph.spaces[name].node_type for name in data.builder.spaces}
    model = ModelConfig(
        config.encoder, config.hidden, config.layers, config.dropout, 4, spaces, modality, config.compat
    )
    described = {**describe_graph(graph), "held_out": len(data.holdout.molecules)}
    return RunConfig(model, config, described)


def describe_graph(graph: ContextGraph) -> dict[str, Any]:
    """Say which graph it is, as a run's ``config.json`` keeps it.

    Returns
    -------
    dict
        As in :class:`~infoalign_dgl.training.run_folder.RunConfig`.
    """
    built = graph.schema.get("spec", {}).get("graph", {})
    found = {
        "molecules_sha256": digest(structures(graph)),
        "nodes": graph.num_nodes,
        "edges": sum(graph.num_edges.values()),
        "tautomer": graph.tautomer,
        "identity": built.get("identity", "block"),
    }
    if graph.folder is not None:
        sums = hashlib.sha256((graph.folder / CHECKSUMS).read_bytes()).hexdigest()
        found |= {"folder": str(graph.folder.resolve()), "sums_sha256": sums}
    return found


def check_shares(sampler: Sampler, world: World) -> None:
    """Check that every process gets at least two molecules of every batch.

    Raises
    ------
    RunError
        If one does not.
    """
    smallest = min(len(batch) for batch in sampler.epoch(0).batches)
    if min(world.share_sizes(smallest)) < 2:
        raise RunError(
            f"an epoch has a step of {smallest} molecules, which leaves some of {world.size} processes fewer "
            "than the 2 that BatchNorm needs: pass another --batch-size, or use fewer processes"
        )


def synchronize_batchnorm(model: InfoAlign, device: torch.device) -> InfoAlign:
    """Let a model's BatchNorm see what all processes have in it.

    Raises
    ------
    RunError
        On a CPU without the native extension, since torch's own is for GPUs.
    """
    if device.type == "cpu" and load_native() is None:
        raise RunError(
            "--sync-batchnorm on a CPU asks for the native extension, which is not there: install it (see "
            "infoalign-dgl doctor), or leave the option out"
        )
    converted: InfoAlign = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return converted


def make_model(model_config: ModelConfig, data: Data, device: torch.device) -> InfoAlign:
    """Make the model, its decoders starting at the column means of what training may see (not in compat)."""
    model = InfoAlign(model_config)
    if model_config.compat is not None:
        return model.to(device)
    seen = ~data.holdout.excluded
    means = data.builder.starting_means(data.sampler.epoch(0), seen)
    rows = {name: int((space.row_index[seen] >= 0).sum()) for name, space in data.builder.spaces.items()}
    model.initialise_outputs(means, rows)
    return model.to(device)


def opening_lines(
    graph: ContextGraph, data: Data, config: PretrainConfig, device: torch.device, world: World = ALONE
) -> list[str]:
    """Say what training will see, one fact per line."""
    plan = data.sampler.epoch(0)
    drawn, walk_ids = np.concatenate(plan.batches), np.concatenate(plan.walk_ids)
    training = np.concatenate(list(data.sampler.pools.values()))
    isolated = int((np.diff(data.builder.index.indptr)[training] == 0).sum())
    reach = int(data.measured[training].sum())
    lines = [
        f"{len(training):,} molecules to train on, {len(data.holdout.molecules):,} held out for validation, "
        f"{data.unusable:,} that cannot be featurized",
        f"{isolated:,} training molecules are isolated (their fingerprint is their only target); "
        f"{reach:,} have a "
        f"profile within {config.walk_length} steps",
        f"{data.sampler.steps_per_epoch:,} steps of {len(plan.batches[0]):,} molecules per epoch, on "
        f"{device} in "
        f"{config.precision}",
    ]
    if world.size > 1:
        seen = "the whole batch" if config.sync_batchnorm else "each process's share"
        lines.append(
            f"{world.size} processes share each step, with up to "
            f"{max(world.share_sizes(len(plan.batches[0]))):,} molecules each; BatchNorm sees {seen}"
        )
    for name, count in data.builder.expected_targets(drawn, walk_ids).items():
        lines.append(
            f"an epoch is expected to visit {count:,} targets of {name} ({graph.spaces[name].node_type}, "
            f"{graph.spaces[name].dim:,} columns)"
        )
    return lines
