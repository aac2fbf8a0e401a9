"""The start of a run: what it consists of, made anew or as its folder has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from infoalign_dgl.context.permuted import permute_responses
from infoalign_dgl.errors import RunError
from infoalign_dgl.training.checkpoint import Progress
from infoalign_dgl.training.gradient_sums import GradientSums
from infoalign_dgl.training.memory import bound_kernel_caches, reuse_freed_memory
from infoalign_dgl.training.resident import ResidentBuilder
from infoalign_dgl.training.resume import earlier_run, restore
from infoalign_dgl.training.run_folder import CONFIG, start_run, write_config
from infoalign_dgl.training.setup import (
    Data,
    check_shares,
    choose_device,
    describe_run,
    load_data,
    make_model,
    opening_lines,
    synchronize_batchnorm,
)
from infoalign_dgl.training.step import Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.distributed import World
    from infoalign_dgl.training.run_folder import RunConfig


@dataclass
class Run:
    """The moving parts of a run."""

    folder: Path
    description: RunConfig
    graph: ContextGraph
    data: Data
    trainer: Trainer
    progress: Progress
    console: Console

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes the run's folder."""
        return self.trainer.world.rank == 0

    def say(self, line: str) -> None:
        """Print a line, in the process that reports."""
        self.console.print(line, highlight=False, soft_wrap=True)


def start(
    world: World,
    graph: ContextGraph,
    folder: Path,
    config: PretrainConfig,
    *,
    resume: bool,
    console: Console,
) -> Run:
    """Make what the run consists of, new or as its folder has it.

    Parameters
    ----------
    world : World
        The processes that share the run.
    graph, folder, config, resume, console
        As :func:`~infoalign_dgl.training.loop.pretrain` takes them.

    Raises
    ------
    RunError
        If the folder holds a run already (or none to resume), or settings make no sense.
    """
    # Whoever starts lost processes again gives them the command that the run was started with.
    goes_on = resume or (world.restarts > 0 and (folder / CONFIG).is_file())
    earlier = world.from_first(lambda: earlier_run(folder, config, resume=goes_on))
    device = choose_device(config.device, world)
    if config.control == "permuted":
        graph = permute_responses(graph, seed=config.seed)
    reuse_freed_memory()
    bound_kernel_caches()
    with world.one_per_machine_first():  # which keeps the features for the others
        data = load_data(graph, config)
    world.from_first(lambda: check_shares(data.sampler, world))
    description = replace(describe_run(graph, config, data), processes=world.size)
    torch.manual_seed(config.seed)  # for the first weights; each step then seeds its own noise
    model = make_model(description.model, data, device).train()
    if config.sync_batchnorm and world.size > 1:
        model = synchronize_batchnorm(model, device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    total = config.epochs * data.sampler.steps_per_epoch
    total = total if config.max_steps is None else min(total, config.max_steps)
    sums = GradientSums(model.parameters()) if world.size > 1 else None
    size = config.micro_batch
    builder = data.builder if device.type == "cpu" else ResidentBuilder.of(data.builder, device)
    trainer = Trainer(model, optimizer, builder, config, device, total, size, world, sums)
    shown = console if world.rank == 0 else Console(quiet=True)
    run = Run(folder, description, graph, data, trainer, Progress(micro_batch=size), shown)
    if earlier is None:
        world.copy_first(list(model.state_dict().values()))  # other machines may round its start otherwise
        world.from_first(lambda: start_run(folder, description, graph, data.holdout.molecules))
    else:
        _go_on(run, earlier)
    for line in opening_lines(graph, data, config, device, world):
        run.say(line)
    return run


def _go_on(run: Run, earlier: RunConfig) -> None:
    """Put a run into the state that its folder has it in."""
    run.trainer.world.from_first(partial(_check_molecules, run, earlier))
    run.progress = restore(run.folder, run.trainer, run.console)
    before = None if earlier.pretrain is None else earlier.pretrain.micro_batch
    sizes = (run.trainer.config.micro_batch, before, run.progress.micro_batch)
    take_micro_batches(run, min((size for size in sizes if size is not None), default=None))
    if earlier.processes != run.description.processes:
        run.say(
            f"{run.description.processes} process(es) go on with what {earlier.processes} did: molecules and "
            "walks are those of an uninterrupted run, but not dropout, the latent's noise and what BatchNorm "
            "sees"
        )


def _check_molecules(run: Run, earlier: RunConfig) -> None:
    if earlier.graph["molecules_sha256"] != run.description.graph["molecules_sha256"]:
        raise RunError(
            f"'{run.folder}' was trained on another graph's molecules: resume with the graph it was "
            "started on"
        )


def take_micro_batches(run: Run, size: int | None) -> None:
    """Let at most ``size`` molecules through the model at once, and record it in ``config.json``."""
    run.trainer.micro_batch = run.progress.micro_batch = size
    run.description = replace(run.description, pretrain=replace(run.trainer.config, micro_batch=size))
    if run.writes:
        write_config(run.folder, run.description)
