"""A pretraining run from start to end."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from infoalign_dgl.errors import RunError
from infoalign_dgl.training.checkpoint import (
    Progress,
    load_model,
    load_training,
    newest_whole,
    save_checkpoint,
)
from infoalign_dgl.training.interrupts import StopRequest
from infoalign_dgl.training.prefetch import prepared_batches
from infoalign_dgl.training.reporting import ConsoleReport, MetricsLog, format_seconds
from infoalign_dgl.training.run_folder import CONFIG, read_config, start_run, write_config
from infoalign_dgl.training.setup import (
    Data,
    choose_device,
    describe_run,
    load_data,
    make_model,
    opening_lines,
)
from infoalign_dgl.training.step import Trainer, take_step
from infoalign_dgl.training.step_log import StepLog

if TYPE_CHECKING:
    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.holdout import SpaceValidation
    from infoalign_dgl.training.run_folder import RunConfig


@dataclass(frozen=True)
class PretrainResult:
    """How a run ended.

    Attributes
    ----------
    run_folder : Path
    steps : int
        Steps done in all.
    total_steps : int
        Steps of the whole run.
    seconds : float
        Wall clock of this call.
    metrics : dict
        The last line of ``metrics.jsonl``.
    validation : dict of str to SpaceValidation
        Per feature space, on the molecules held out; empty where none were.
    interrupted : str or None
        Name of the signal that stopped the run early.
    """

    run_folder: Path
    steps: int
    total_steps: int
    seconds: float
    metrics: dict[str, Any]
    validation: dict[str, SpaceValidation]
    interrupted: str | None


@dataclass
class _Run:
    """The moving parts of a run."""

    folder: Path
    data: Data
    trainer: Trainer
    progress: Progress


def pretrain(
    graph: ContextGraph,
    run_folder: str | Path,
    config: PretrainConfig,
    *,
    resume: bool = False,
    console: Console | None = None,
) -> PretrainResult:
    """Pretrain on a context graph.

    The run folder gets ``config.json``, ``spaces.json``, ``molecules.txt``, ``metrics.jsonl`` (a line per
    step), ``checkpoints/`` and, where TensorBoard is installed, ``tensorboard/``. SIGTERM and Ctrl-C save a
    checkpoint first.

    Parameters
    ----------
    graph : ContextGraph
        What walks go over.
    run_folder : str or Path
        A new folder, or with ``resume`` one that an earlier call wrote.
    config : PretrainConfig
        Settings; with ``resume`` those of the earlier call, but for how long and where to train.
    resume : bool
        Go on from the newest whole checkpoint, bit for bit as if the run had not stopped (on a CPU in fp32).
    console : rich.console.Console, optional
        Where progress is shown.

    Returns
    -------
    PretrainResult

    Raises
    ------
    RunError
        If the folder holds a run already (or none to resume), settings make no sense, or a loss is not
        finite.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 3.2 and appendix (settings).
    """
    console = Console() if console is None else console
    started = time.monotonic()
    folder = Path(run_folder)
    earlier = _earlier_run(folder, config, resume=resume)
    device = choose_device(config.device)
    data = load_data(graph, config)
    description = describe_run(graph, config, data)
    if earlier is not None and earlier.graph["molecules_sha256"] != description.graph["molecules_sha256"]:
        raise RunError(
            f"'{folder}' was trained on another graph's molecules: resume with the graph it was started on"
        )
    torch.manual_seed(config.seed)  # for the first weights; each step then seeds its own noise
    model = make_model(description.model, data, device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    total = config.epochs * data.sampler.steps_per_epoch
    total = total if config.max_steps is None else min(total, config.max_steps)
    run = _Run(folder, data, Trainer(model, optimizer, data.builder, config, device, total), Progress())
    if earlier is None:
        start_run(folder, description, graph)
    else:
        write_config(folder, description)
        _restore(run, console)
    for line in opening_lines(graph, data, config, device):
        console.print(line, highlight=False, soft_wrap=True)
    with StopRequest() as stop:
        metrics, validation = _train(run, console, stop)
    seconds = time.monotonic() - started
    _say_how_it_ended(run, console, validation, stop.received, seconds)
    return PretrainResult(folder, run.progress.step, total, seconds, metrics, validation, stop.received)


def _earlier_run(folder: Path, config: PretrainConfig, *, resume: bool) -> RunConfig | None:
    """Return what the folder's run was started with; None for a new run."""
    if not resume:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(
                f"'{folder}' is not empty: pass --resume to go on with its run, or choose another folder"
            )
        return None
    if not (folder / CONFIG).is_file():
        raise RunError(
            f"'{folder}' has no {CONFIG}, so there is no run to resume: leave --resume out to start one"
        )
    earlier = read_config(folder)
    config.check_resumes(earlier.pretrain)
    return earlier


def _restore(run: _Run, console: Console) -> None:
    checkpoint, complaints = newest_whole(run.folder)
    for complaint in complaints:
        console.print(f"skipped a checkpoint: {complaint}", highlight=False, soft_wrap=True)
    if checkpoint is None:
        console.print("no checkpoint yet: starting at step 0", highlight=False)
        return
    load_model(checkpoint, run.trainer.model)
    run.progress = load_training(checkpoint, run.trainer.optimizer)
    console.print(
        f"resuming after step {run.progress.step:,} of {run.trainer.total_steps:,}", highlight=False
    )


def _train(
    run: _Run, console: Console, stop: StopRequest
) -> tuple[dict[str, Any], dict[str, SpaceValidation]]:
    """Run the steps that are left, and return the last line of metrics and the last validation."""
    trainer, data, progress = run.trainer, run.data, run.progress
    validation: dict[str, SpaceValidation] = {}
    trainer.model.train()
    log = StepLog(
        MetricsLog(run.folder, progress.step),
        ConsoleReport(console, trainer.total_steps, progress.step),
        trainer.model.config.modality,
        data.sampler.steps_per_epoch,
        trainer.device,
    )
    batches = prepared_batches(data.sampler, data.builder, progress.step, trainer.total_steps)
    with closing(log), closing(batches):
        if trainer.total_steps == 0:  # the untrained model is a run like any other
            validation = _validate_and_save(run, log)
        for batch in batches:
            log.add(take_step(trainer, progress.step, batch))
            progress.step += 1
            ends = stop.received is not None or progress.step == trainer.total_steps
            if ends or progress.step % trainer.config.checkpoint_every == 0:
                validation = _validate_and_save(run, log)
            else:
                log.read_if_cheap()
            if ends:
                break
    return log.metrics, validation or data.validator(trainer.model)


def _validate_and_save(run: _Run, log: StepLog) -> dict[str, SpaceValidation]:
    """Validate, write the step's line (which checks the losses so far), and save a checkpoint."""
    progress = run.progress
    with log.clock_stopped():
        validation = run.data.validator(run.trainer.model)
    log.read(
        {
            f"validation/{name}/{key}": value
            for name, found in validation.items()
            for key, value in found.to_json().items()
        }
    )
    value = sum(found.difference for found in validation.values())
    is_best = bool(validation) and value < progress.best_value
    if is_best:
        progress.best_step, progress.best_value = progress.step, value
    with log.clock_stopped():
        save_checkpoint(run.folder, run.trainer.model, run.trainer.optimizer, progress, is_best=is_best)
    return validation


def _say_how_it_ended(
    run: _Run, console: Console, validation: dict[str, SpaceValidation], signal: str | None, seconds: float
) -> None:
    """Print the last lines: how to go on where the run was stopped, and the validation per feature space."""
    step, total = run.progress.step, run.trainer.total_steps
    if signal is not None and step < total:
        console.print(
            f"stopped by {signal} after step {step:,} of {total:,}, which is saved: go on "
            f"with --resume on the run folder '{run.folder}'",
            highlight=False,
            soft_wrap=True,
        )
    table = "; ".join(
        f"{name} {found.loss:.4f} (means {found.mean_loss:.4f}, {found.difference:+.4f})"
        for name, found in validation.items()
    )
    console.print(
        f"{step:,} steps in {format_seconds(seconds)}; on molecules held out: {table or 'none held out'}",
        highlight=False,
        soft_wrap=True,
    )
