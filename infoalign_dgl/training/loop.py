"""A pretraining run from start to end."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from infoalign_dgl._durations import format_seconds
from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.training.checkpoint import save_checkpoint, saved_steps
from infoalign_dgl.training.distributed import ElsewhereError, is_idle, is_lost_process, joined, lock
from infoalign_dgl.training.failures import (
    NotFiniteError,
    describe_failure,
    is_out_of_memory,
    release_memory,
    smaller_micro_batch,
)
from infoalign_dgl.training.holdout import mean_difference
from infoalign_dgl.training.interrupts import StopRequest
from infoalign_dgl.training.prefetch import prepared_batches
from infoalign_dgl.training.reporting import ConsoleReport, MetricsLog
from infoalign_dgl.training.resident import ResidentBuilder
from infoalign_dgl.training.resume import how_to_go_on
from infoalign_dgl.training.start import start, take_micro_batches
from infoalign_dgl.training.step import take_step
from infoalign_dgl.training.step_log import StepLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.holdout import SpaceValidation
    from infoalign_dgl.training.start import Run
    from infoalign_dgl.training.step import StepReport
    from infoalign_dgl.training.targets import PreparedBatch

AS_ASKED = "stop_after"


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
        Per feature space, on the molecules held out; empty where none were, and where the run was stopped
        early.
    interrupted : str or None
        Name of the signal that stopped the run early, ``"the time limit"`` or ``"stop_after"``.
    """

    run_folder: Path
    steps: int
    total_steps: int
    seconds: float
    metrics: dict[str, Any]
    validation: dict[str, SpaceValidation]
    interrupted: str | None


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
    step), ``checkpoints/`` and, where TensorBoard is installed, ``tensorboard/``. SIGTERM, Ctrl-C and
    the time limit save a checkpoint and return. Where memory runs out within a step, the step is taken again
    in micro-batches of half the size, which stays so and is recorded in ``config.json``. A loss or gradient
    that is not finite ends the run with the weights of the step before.

    Under ``torchrun``, the processes share each step's batch: data, walks and losses are those of a single
    process, and the gradients are added up; the first process writes and reports. If one is lost, another
    saves the last step that all of them did, and processes that ``torchrun`` starts again go on from there.

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
        If the folder holds a run already (or none to resume), settings make no sense, a loss or gradient is
        not finite, memory does not hold two molecules, something cannot be written, or another process is
        lost.
    ElsewhereError
        If another process says what went wrong.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 3.2 and appendix (settings).
    """
    console = Console() if console is None else console
    started = time.monotonic()
    minutes = config.max_minutes
    with joined() as world:
        run = start(world, graph, Path(run_folder), config, resume=resume, console=console)
        locked = lock(run.folder) if world.size > 1 and run.writes else nullcontext()
        with locked, StopRequest(None if minutes is None else started + 60 * minutes) as stop:
            metrics, validation, interrupted = _train(run, stop)
    seconds = time.monotonic() - started
    _say_how_it_ended(run, validation, interrupted, seconds)
    steps, total = run.progress.step, run.trainer.total_steps
    return PretrainResult(run.folder, steps, total, seconds, metrics, validation, interrupted)


def _train(run: Run, stop: StopRequest) -> tuple[dict[str, Any], dict[str, SpaceValidation], str | None]:
    """Run the steps that are left; return the last metrics and validation, and what stopped it early."""
    trainer, data, progress = run.trainer, run.data, run.progress
    log = StepLog(
        MetricsLog(run.folder, progress.step) if run.writes else None,
        ConsoleReport(run.console, trainer.total_steps, progress.step),
        trainer.model.config.modality,
        data.sampler.steps_per_epoch,
        trainer.device,
    )
    steps = (progress.step, trainer.total_steps, trainer.world)
    if isinstance(trainer.builder, ResidentBuilder):
        batches = trainer.builder.batches(data.sampler, *steps)
    else:
        batches = prepared_batches(data.sampler, trainer.builder, *steps)
    with closing(log), closing(batches):
        try:
            try:
                return _take_steps(run, stop, log, batches)
            except RuntimeError as error:
                if trainer.world.size == 1 or not is_lost_process(error):
                    raise
                raise _after_a_loss(run, log) from error
        except NotFiniteError as error:
            if not run.writes:
                raise ElsewhereError from error
            raise RunError(_explain(run, error)) from error


def _take_steps(
    run: Run, stop: StopRequest, log: StepLog, batches: Iterable[PreparedBatch]
) -> tuple[dict[str, Any], dict[str, SpaceValidation], str | None]:
    trainer, progress = run.trainer, run.progress
    validation: dict[str, SpaceValidation] = {}
    if trainer.total_steps == 0:  # the untrained model is a run like any other
        validation = _validate_and_save(run, log)
    for batch in batches:
        log.add(_step_within_memory(run, batch))
        progress.step += 1
        is_last = progress.step == trainer.total_steps
        reason = None if is_last else stop.agreed(trainer.world)
        if not is_last and progress.step == trainer.config.stop_after:
            reason = AS_ASKED
        if is_last or progress.step % trainer.config.checkpoint_every == 0:
            validation = _validate_and_save(run, log)
        elif reason is not None:  # whoever stops a run may not wait for a validation
            log.read()
            if run.writes:
                _save(run, log)
        else:
            log.read_if_cheap()
        if reason is not None:
            return log.metrics, {}, reason
    return log.metrics, validation or _validate(run), None


def _step_within_memory(run: Run, batch: PreparedBatch) -> StepReport:
    """Take a step; where memory runs out, take it again in smaller micro-batches."""
    trainer, step = run.trainer, run.progress.step
    while True:
        try:
            return take_step(trainer, step, batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            failure = str(error)
        # Out of the handler, nothing holds on to what the failed attempt had in memory.
        molecules = max(trainer.world.share_sizes(len(batch.whole)))  # the same in every process
        molecules = min(trainer.micro_batch or molecules, molecules)
        smaller = trainer.world.from_first(partial(smaller_micro_batch, molecules, step, failure))
        release_memory(trainer.device)
        take_micro_batches(run, smaller)
        run.say(
            f"out of memory at step {step + 1:,} with {molecules:,} molecules at a time: going on with "
            f"micro-batches of {smaller:,}, which is what BatchNorm sees from here on (recorded in "
            "config.json)"
        )


def _explain(run: Run, error: NotFiniteError) -> str:
    """Save the weights of before the step that failed, where they are still there, and say what happened."""
    progress = run.progress
    is_before = error.report.step == progress.step + 1
    finite = all(bool(torch.isfinite(weight).all()) for weight in run.trainer.model.parameters())
    if is_before and finite and progress.step not in saved_steps(run.folder):
        save_checkpoint(
            run.folder, run.trainer.model, run.trainer.optimizer, progress, keep=run.trainer.config.keep
        )
    steps = saved_steps(run.folder)
    kept = f"the weights of step {steps[-1]} are saved" if steps else "no weights were saved yet"
    failure = describe_failure(error, run.folder, run.graph)
    return f"{failure}: {kept}; start again with a lower --lr, or without what the file lists"


def _after_a_loss(run: Run, log: StepLog) -> InfoAlignError:
    """Save the last step that all processes did, in the first of those that are left, and say so."""
    if run.writes:
        return _save_after_a_loss(run, log)
    if not run.folder.is_dir():  # on a machine that does not share it
        return ElsewhereError()
    with lock(run.folder) as first_is_gone:
        return _save_after_a_loss(run, log) if first_is_gone else ElsewhereError()


def _save_after_a_loss(run: Run, log: StepLog) -> RunError:
    step, total, world = run.progress.step, run.trainer.total_steps, run.trainer.world
    if step > max(saved_steps(run.folder), default=0) and is_idle(run.trainer.device):
        log.read()
        _save(run, log)
    steps = saved_steps(run.folder)
    kept = f"step {steps[-1]:,} is saved" if steps else "nothing was saved yet"
    return RunError(
        f"another process of the run was lost after step {step:,} of {total:,}: {kept}; go on with: "
        f"{how_to_go_on(run.graph.folder, run.folder, world)}"
    )


def _validate(run: Run) -> dict[str, SpaceValidation]:
    """Validate in the first process, with no more molecules at a time than in training."""
    most = run.trainer.micro_batch or run.trainer.config.batch_size
    return run.trainer.world.from_first(lambda: run.data.validator(run.trainer.model, most))


def _validate_and_save(run: Run, log: StepLog) -> dict[str, SpaceValidation]:
    """Validate, write the step's line (which checks the losses so far), and save a checkpoint."""
    with log.clock_stopped():
        validation = _validate(run)
    log.read(
        {
            f"validation/{name}/{key}": value
            for name, found in validation.items()
            for key, value in found.to_json().items()
        }
    )
    value = mean_difference(validation)
    if validation and value < run.progress.best_value:
        run.progress.best_step, run.progress.best_value = run.progress.step, value
    if run.writes:
        _save(run, log)
    return validation


def _save(run: Run, log: StepLog) -> None:
    """Save a checkpoint, after the lines of the steps that are in it."""
    with log.clock_stopped():
        if log.log is not None:
            log.log.sync()
        save_checkpoint(
            run.folder, run.trainer.model, run.trainer.optimizer, run.progress, keep=run.trainer.config.keep
        )


def _say_how_it_ended(
    run: Run, validation: dict[str, SpaceValidation], interrupted: str | None, seconds: float
) -> None:
    """Print the last lines: how to go on where the run was stopped, else the validation per feature space."""
    step, total = run.progress.step, run.trainer.total_steps
    if interrupted == AS_ASKED:
        run.say(f"stopped after step {step:,} of {total:,}, as it was to, which is saved")
        return
    if interrupted is not None:
        run.say(
            f"stopped by {interrupted} after step {step:,} of {total:,}, which is saved; go on with: "
            f"{how_to_go_on(run.graph.folder, run.folder, run.trainer.world)}"
        )
        return
    table = "; ".join(
        f"{name} {found.loss:.4f} (means {found.mean_loss:.4f}, {found.difference:+.4f})"
        for name, found in validation.items()
    )
    run.say(f"{step:,} steps in {format_seconds(seconds)}; on molecules held out: {table or 'none held out'}")
