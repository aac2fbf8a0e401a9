"""The pretraining loop."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from infoalign_dgl.errors import RunError
from infoalign_dgl.models.objective import LossTerms, objective
from infoalign_dgl.training.checkpoint import (
    Progress,
    load_model,
    load_training,
    newest_whole,
    save_checkpoint,
)
from infoalign_dgl.training.interrupts import StopRequest
from infoalign_dgl.training.reporting import ConsoleReport, MetricsLog, format_seconds, peak_memory_bytes
from infoalign_dgl.training.run_folder import CONFIG, read_config, start_run, write_config
from infoalign_dgl.training.schedule import cosine_factor
from infoalign_dgl.training.setup import (
    Data,
    choose_device,
    describe_run,
    load_data,
    make_model,
    opening_lines,
    set_seeds,
)

if TYPE_CHECKING:
    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.models import InfoAlign
    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.holdout import SpaceValidation
    from infoalign_dgl.training.run_folder import RunConfig
    from infoalign_dgl.training.sampler import EpochPlan
    from infoalign_dgl.training.targets import PreparedBatch

_STEPS_PER_READ_ON_GPU = 20  # reading a loss waits for the device


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
    config: PretrainConfig
    data: Data
    model: InfoAlign
    optimizer: torch.optim.Optimizer
    device: torch.device
    total_steps: int
    progress: Progress
    pending: list[tuple[dict[str, Any], torch.Tensor]] = field(default_factory=list)
    last_read: float = field(default_factory=time.monotonic)
    metrics: dict[str, Any] = field(default_factory=dict)
    plan: tuple[int, EpochPlan] | None = None


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
    set_seeds(config.seed)
    data = load_data(graph, config)
    description = describe_run(graph, config, data)
    if earlier is not None and earlier.graph["molecules_sha256"] != description.graph["molecules_sha256"]:
        raise RunError(
            f"'{folder}' was trained on another graph's molecules: resume with the graph it was started on"
        )
    model = make_model(description.model, data, device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    total = config.epochs * data.sampler.steps_per_epoch
    total = total if config.max_steps is None else min(total, config.max_steps)
    run = _Run(folder, config, data, model, optimizer, device, total, Progress())
    if earlier is None:
        start_run(folder, description, graph)
    else:
        write_config(folder, description)
        _restore(run, console)
    for line in opening_lines(graph, data, config, device):
        console.print(line, highlight=False, soft_wrap=True)
    with StopRequest() as stop:
        validation = _train(run, console, stop)
    seconds = time.monotonic() - started
    _say_how_it_ended(run, console, validation, stop.received, seconds)
    return PretrainResult(folder, run.progress.step, total, seconds, run.metrics, validation, stop.received)


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
    load_model(checkpoint, run.model)
    run.progress = load_training(checkpoint, run.optimizer)
    console.print(f"resuming after step {run.progress.step:,} of {run.total_steps:,}", highlight=False)


def _train(run: _Run, console: Console, stop: StopRequest) -> dict[str, SpaceValidation]:
    """Run the steps that are left, and return the last validation."""
    log = MetricsLog(run.folder, run.progress.step)
    report = ConsoleReport(console, run.total_steps, run.progress.step)
    validation: dict[str, SpaceValidation] = {}
    run.model.train()
    with ThreadPoolExecutor(max_workers=1) as background:
        try:
            ended = run.progress.step >= run.total_steps
            ready = None if ended else background.submit(_prepare, run, run.progress.step)
            if run.total_steps == 0:  # the untrained model is a run like any other
                validation = _validate_and_save(run, log, report)
            while ready is not None:
                batch = ready.result().to(run.device)
                following = run.progress.step + 1
                ready = background.submit(_prepare, run, following) if following < run.total_steps else None
                _note(run, batch, _step(run, batch))
                if stop.received is not None:
                    ready = None
                if ready is None or run.progress.step % run.config.checkpoint_every == 0:
                    validation = _validate_and_save(run, log, report)
                elif run.device.type == "cpu" or len(run.pending) >= _STEPS_PER_READ_ON_GPU:
                    _read_losses(run, log, report, {})
        finally:
            report.close()
            log.close()
    return validation or run.data.validator(run.model)


def _prepare(run: _Run, step: int) -> PreparedBatch:
    """Prepare a step's batch; called by one background thread at a time."""
    epoch, position = divmod(step, run.data.sampler.steps_per_epoch)
    if run.plan is None or run.plan[0] != epoch:
        run.plan = (epoch, run.data.sampler.epoch(epoch))
    plan = run.plan[1]
    return run.data.builder.prepare(plan.batches[position], plan.walk_ids[position], epoch)


def _step(run: _Run, batch: PreparedBatch) -> LossTerms:
    """Take one optimizer step."""
    for group in run.optimizer.param_groups:
        group["lr"] = run.config.lr * cosine_factor(run.progress.step, run.total_steps)
    run.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(run.device.type, dtype=torch.bfloat16, enabled=run.config.precision == "bf16"):
        terms = objective(
            run.config.loss,
            run.model,
            run.model.encode(batch.graphs),
            batch.targets,
            beta=run.config.beta,
            path_nodes=run.config.walk_length + 1,
        )
    terms.total.backward()
    run.optimizer.step()
    run.progress.step += 1
    return terms


def _note(run: _Run, batch: PreparedBatch, terms: LossTerms) -> None:
    """Keep what the step's line will say; the losses stay on the device."""
    values = {
        "step": run.progress.step,
        "epoch": (run.progress.step - 1) // run.data.sampler.steps_per_epoch,
        "molecules": len(batch.molecules),
        "lr": run.optimizer.param_groups[0]["lr"],
    }
    values |= {f"targets/{name}": len(rows) for name, rows in batch.targets.items()}
    losses = torch.stack([terms.total, terms.kl, *terms.spaces.values()]).detach()
    run.pending.append((values, losses))


def _read_losses(run: _Run, log: MetricsLog, report: ConsoleReport, extra: dict[str, Any]) -> None:
    """Write the pending steps' lines, ``extra`` on the last one, and stop where a loss is not finite."""
    if not run.pending:
        return
    rows = torch.stack([losses for _, losses in run.pending]).tolist()
    now = time.monotonic()
    rate = sum(values["molecules"] for values, _ in run.pending) / max(now - run.last_read, 1e-9)
    names = list(run.model.config.spaces)
    memory = peak_memory_bytes(run.device)
    for (values, _), (total, kl, *losses) in zip(run.pending, rows, strict=True):
        spaces = dict(zip(names, losses, strict=True))
        _check_finite(values["step"], total, kl, spaces)
        is_last = values is run.pending[-1][0]
        run.metrics = {
            **values,
            "loss": total,
            "kl": kl,
            **{f"loss/{name}": loss for name, loss in spaces.items()},
            "molecules_per_second": rate,
            "peak_memory_bytes": memory,
            **(extra if is_last else {}),
        }
        log.write(run.metrics)
        report.step(values["step"], _by_modality(run, values, spaces), rate)
    run.pending.clear()
    run.last_read = time.monotonic()


def _by_modality(run: _Run, values: dict[str, Any], spaces: dict[str, float]) -> dict[str, float]:
    """Sum the losses of the spaces that the batch visited, per modality."""
    summed: dict[str, float] = {}
    for name, loss in spaces.items():
        if values[f"targets/{name}"]:
            modality = run.model.config.modality[name]
            summed[modality] = summed.get(modality, 0.0) + loss
    return summed


def _check_finite(step: int, total: float, kl: float, spaces: dict[str, float]) -> None:
    if math.isfinite(total) and math.isfinite(kl):
        return
    broken = [f"feature space '{name}'" for name, loss in spaces.items() if not math.isfinite(loss)]
    if not math.isfinite(kl):
        broken.append("the KL term")
    raise RunError(
        f"the loss of {' and '.join(broken) or 'the sum of all spaces'} is not finite at step {step}: "
        f"start again with a lower --lr; what was saved before is untouched"
    )


def _validate_and_save(run: _Run, log: MetricsLog, report: ConsoleReport) -> dict[str, SpaceValidation]:
    """Validate, write the step's line (which checks the losses so far), and save a checkpoint."""
    seconds = time.monotonic() - run.last_read
    validation = run.data.validator(run.model)
    extra = {
        f"validation/{name}/{key}": value
        for name, found in validation.items()
        for key, value in found.to_json().items()
    }
    run.last_read = time.monotonic() - seconds  # validation is no part of the training rate
    _read_losses(run, log, report, extra)
    value = sum(found.difference for found in validation.values())
    is_best = bool(validation) and value < run.progress.best_value
    if is_best:
        run.progress.best_step, run.progress.best_value = run.progress.step, value
    save_checkpoint(run.folder, run.model, run.optimizer, run.progress, is_best=is_best)
    run.last_read = time.monotonic()
    return validation


def _say_how_it_ended(
    run: _Run, console: Console, validation: dict[str, SpaceValidation], signal: str | None, seconds: float
) -> None:
    """Print the last lines: how to go on where the run was stopped, and the validation per feature space."""
    if signal is not None and run.progress.step < run.total_steps:
        console.print(
            f"stopped by {signal} after step {run.progress.step:,} of {run.total_steps:,}, which is saved: "
            f"go on with --resume on the run folder '{run.folder}'",
            highlight=False,
            soft_wrap=True,
        )
    table = "; ".join(
        f"{name} {found.loss:.4f} (means {found.mean_loss:.4f}, {found.difference:+.4f})"
        for name, found in validation.items()
    )
    console.print(
        f"{run.progress.step:,} steps in {format_seconds(seconds)}; on molecules held out: "
        f"{table or 'none held out'}",
        highlight=False,
        soft_wrap=True,
    )
