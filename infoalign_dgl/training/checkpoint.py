"""Checkpoints: whole or not there, checked when read, and complete enough to go on bit for bit.

A checkpoint is a folder ``checkpoints/step-N`` with ``model.safetensors``, ``training.pt`` (optimizer and
progress; readable with ``weights_only=True``) and ``SHA256SUMS``. No random state is kept: a
step's is a function of the run's seed and the step. ``checkpoints/last`` and ``checkpoints/best`` are text
files that name one.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file

from infoalign_dgl._folders import atomic_folder, verify_folder
from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.training.run_folder import replace_text

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "checkpoints"
MODEL = "model.safetensors"
TRAINING = "training.pt"
LAST = "last"
BEST = "best"
KEEP = 2
_NAME = re.compile(r"step-(\d+)")


@dataclass
class Progress:
    """How far a run is.

    Attributes
    ----------
    step : int
        Steps done.
    best_step : int or None
        The checkpoint with the lowest validation so far.
    best_value : float
        Its validation: losses minus those of the column means, summed over feature spaces.
    """

    step: int = 0
    best_step: int | None = None
    best_value: float = float("inf")


def save_checkpoint(
    run: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None,
    progress: Progress,
    *,
    is_best: bool,
) -> Path:
    """Save a checkpoint, name it as the last (and the best) one, and drop older ones.

    Parameters
    ----------
    run : Path
        The run folder.
    model, optimizer, progress
        What is saved; without an optimizer only the model, which cannot be resumed.
    is_best : bool
        Whether it is the best so far.

    Returns
    -------
    Path
        The checkpoint's folder.

    Raises
    ------
    InfoAlignError
        If it cannot be written; earlier checkpoints are untouched then.
    """
    folder = run / FOLDER
    target = folder / f"step-{progress.step}"
    with atomic_folder(target, overwrite=True) as partial:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, partial / MODEL)
        if optimizer is not None:
            state = {
                "optimizer": optimizer.state_dict(),
                "step": progress.step,
                "best_step": progress.best_step,
                "best_value": progress.best_value,
            }
            torch.save(state, partial / TRAINING)
    try:
        if is_best:
            replace_text(folder / BEST, f"{target.name}\n")
        replace_text(folder / LAST, f"{target.name}\n")
    except OSError as error:
        raise RunError(
            f"could not write '{folder / LAST}': {error.strerror or error}; the checkpoint '{target}' is "
            "whole"
        ) from error
    _drop_old(run)
    return target


def saved_steps(run: Path) -> list[int]:
    """Return the steps of the checkpoints that stand in a run folder, ascending."""
    folder = run / FOLDER
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in found if match)


def _drop_old(run: Path) -> None:
    """Keep the newest checkpoints and the best one."""
    best = _named(run, BEST)
    for step in saved_steps(run)[:-KEEP]:
        if step != best:
            shutil.rmtree(run / FOLDER / f"step-{step}", ignore_errors=True)


def _named(run: Path, name: str) -> int | None:
    """Return the step that ``last`` or ``best`` names; None where there is no such file or it names none."""
    try:
        match = _NAME.fullmatch((run / FOLDER / name).read_text().strip())
    except OSError:
        return None
    return int(match[1]) if match else None


def checkpoint_folder(run: Path, step: int | None = None) -> Path:
    """Return a checkpoint's folder, checked against its checksums: ``best``, or ``last`` where there is none.

    Parameters
    ----------
    run : Path
        The run folder.
    step : int or None
        The checkpoint of that step instead.

    Raises
    ------
    InfoAlignError
        If there is no such checkpoint, or a file of it is damaged.
    """
    steps = saved_steps(run)
    chosen = step
    for name in (BEST, LAST):
        chosen = _named(run, name) if chosen is None else chosen
    if chosen is None and steps:
        chosen = steps[-1]
    if chosen is None:
        raise RunError(f"'{run}' has no checkpoint: go on with pretrain --resume, or choose another run")
    if chosen not in steps:
        raise RunError(f"'{run}' has no checkpoint of step {chosen}: it has those of steps {steps}")
    folder = run / FOLDER / f"step-{chosen}"
    verify_folder(folder)
    return folder


def newest_whole(run: Path) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint that is whole, and one sentence for each newer one that is not."""
    complaints = []
    for step in reversed(saved_steps(run)):
        folder = run / FOLDER / f"step-{step}"
        try:
            verify_folder(folder)
        except InfoAlignError as error:
            complaints.append(str(error))
        else:
            return folder, complaints
    return None, complaints


def load_model(folder: Path, model: torch.nn.Module) -> None:
    """Read a checkpoint's weights into a model of the same configuration.

    Raises
    ------
    RunError
        If names or shapes differ.
    """
    try:
        model.load_state_dict(load_file(folder / MODEL))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"'{folder / MODEL}' does not fit the run's config.json ({reason}): restore the run folder "
            "from a copy"
        ) from error


def load_training(folder: Path, optimizer: torch.optim.Optimizer) -> Progress:
    """Read a checkpoint's optimizer, and return the progress.

    Raises
    ------
    RunError
        If the file is not what this program writes.
    """
    path = folder / TRAINING
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        return Progress(state["step"], state["best_step"], state["best_value"])
    except (KeyError, ValueError, RuntimeError, OSError) as error:
        raise RunError(f"'{path}' cannot be resumed from ({error}): start another run folder") from error
