"""Checkpoints: whole or not there, checked when read, and complete enough to go on bit for bit.

A checkpoint is a folder ``checkpoints/step-N`` with ``model.safetensors``, ``training.pt`` (optimizer and
progress; readable with ``weights_only=True``) and ``SHA256SUMS``. No random state is kept: a
step's is a function of the run's seed and the step. ``checkpoints/last`` and ``checkpoints/best`` are text
files that name one.
"""

from __future__ import annotations

import os
import re
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from infoalign_dgl._folders import (
    atomic_folder,
    clear_leftovers,
    remove_folder,
    replace_text,
    verify_folder,
)
from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.models.config import ENCODER_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER = "checkpoints"
MODEL = "model.safetensors"
TRAINING = "training.pt"
LAST = "last"
BEST = "best"
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
        Its :func:`~infoalign_dgl.training.holdout.mean_difference`.
    micro_batch: int | None
        Most molecules that went through the model at once; None for whole batches.
    """

    step: int = 0
    best_step: int | None = None
    best_value: float = float("inf")
    micro_batch: int | None = None


def save_checkpoint(
    run: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None,
    progress: Progress,
    *,
    keep: int,
) -> Path:
    """Save a checkpoint, name it as the last one (and the best, if it is), and drop older ones.

    Parameters
    ----------
    run : Path
        The run folder.
    model, optimizer, progress
        What is saved; without an optimizer only the model, which cannot be resumed.
    keep : int
        How many of the newest stay; the best one does anyway.

    Returns
    -------
    Path
        The checkpoint's folder.

    Raises
    ------
    InfoAlignError
        If it cannot be written; earlier checkpoints are untouched then.
    """
    target = run / FOLDER / f"step-{progress.step}"
    with atomic_folder(target, overwrite=True) as partial, _errors_of_the_system():
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, partial / MODEL)
        if optimizer is not None:
            state = {"optimizer": optimizer.state_dict(), **vars(progress)}
            with (partial / TRAINING).open("wb") as stream:
                torch.save(state, stream)
    _name_and_drop(run, progress, keep)
    return target


@contextmanager
def _errors_of_the_system() -> Iterator[None]:
    """Turn what safetensors and torch make of a failed write back into the system's error."""
    try:
        yield
    except (SafetensorError, RuntimeError) as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        number = int(found[1]) if found else getattr(error.__context__, "errno", None)
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error


def _name_and_drop(run: Path, progress: Progress, keep: int) -> None:
    """Let ``last`` and ``best`` name what ``progress`` says, and drop older checkpoints."""
    for name, step in ((BEST, progress.best_step), (LAST, progress.step)):
        if step is None:
            (run / FOLDER / name).unlink(missing_ok=True)
        elif _named(run, name) != step:
            replace_text(run / FOLDER / name, f"step-{step}\n")
    for step in saved_steps(run)[:-keep]:
        if step != progress.best_step:
            with suppress(OSError):  # one that stays costs room and nothing else
                remove_folder(run / FOLDER / f"step-{step}")


def saved_steps(run: Path) -> list[int]:
    """Return the steps of the checkpoints that stand in a run folder, ascending."""
    folder = run / FOLDER
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in found if match)


def _named(run: Path, name: str) -> int | None:
    """Return the step that ``last`` or ``best`` names; None where there is no such file or it names none."""
    try:
        match = _NAME.fullmatch((run / FOLDER / name).read_text().strip())
    except OSError:
        return None
    return int(match[1]) if match else None


def checkpoint_folder(run: Path, step: int | None = None) -> Path:
    """Return a checkpoint's folder, checked against its checksums.

    Parameters
    ----------
    run : Path
        The run folder.
    step : int or None
        The checkpoint of that step. By default the best one, or the last where there is none; where that is
        damaged, a warning says so and the newest whole one is taken.

    Raises
    ------
    InfoAlignError
        If there is no such checkpoint, or a file of it is damaged.
    """
    steps = saved_steps(run)
    if step is not None:
        if step not in steps:
            raise RunError(f"'{run}' has no checkpoint of step {step}: it has those of steps {steps}")
        return _whole(run, step)
    if not steps:
        raise RunError(f"'{run}' has no checkpoint yet: go on with pretrain --resume, or choose another run")
    named = [found for found in (_named(run, BEST), _named(run, LAST)) if found in steps]
    complaints = []
    for chosen in dict.fromkeys([*named[:1], *reversed(steps)]):
        try:
            folder = _whole(run, chosen)
        except InfoAlignError as error:
            complaints.append(str(error))
        else:
            for complaint in complaints:
                warnings.warn(f"{complaint}; until then '{folder}' is read", stacklevel=2)
            return folder
    raise RunError(f"no checkpoint of '{run}' is whole: {complaints[0]}")


def _whole(run: Path, step: int) -> Path:
    """Return the folder of a step's checkpoint if its files are what was written."""
    folder = run / FOLDER / f"step-{step}"
    verify_folder(folder, required=(MODEL,))
    return folder


def newest_whole(run: Path) -> tuple[Path | None, list[str]]:
    """Clear up what a killed run left, and return the newest checkpoint that is whole.

    Newer ones, which are damaged, are renamed to ``step-N.damaged``.

    Parameters
    ----------
    run : Path
        The run folder, in which nobody else is writing.

    Returns
    -------
    folder : Path or None
        None where there is no whole checkpoint.
    complaints : list of str
        One sentence for each damaged checkpoint.
    """
    if (run / FOLDER).is_dir():
        clear_leftovers(run / FOLDER)
    complaints: list[str] = []
    for step in reversed(saved_steps(run)):
        try:
            return _whole(run, step), complaints
        except InfoAlignError as error:
            folder = run / FOLDER / f"step-{step}"
            aside = folder.with_name(f"{folder.name}.damaged")
            if aside.exists():
                remove_folder(aside)
            folder.rename(aside)
            complaints.append(f"{error} (it is '{aside.name}' now)")
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
        from infoalign_dgl.models import InfoAlign

        remedy = "restore the run folder from a copy"
        if isinstance(model, InfoAlign) and model.config.encoder not in ENCODER_NAMES:
            remedy = f"register the encoder '{model.config.encoder}' as it was when the run was trained"
        raise RunError(
            f"'{folder / MODEL}' does not fit the run's config.json ({reason}): {remedy}"
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
        optimizer.load_state_dict(state.pop("optimizer"))
        return Progress(**state)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise RunError(f"'{path}' cannot be resumed from ({error}): start another run folder") from error


def settle(run: Path, progress: Progress, *, keep: int) -> Progress:
    """Do what a run that was killed did not come to after its newest checkpoint, which ``progress`` is of.

    ``last`` and ``best`` then name what they should, and older checkpoints are dropped. A best checkpoint
    that is damaged is the best no longer, which the progress returned says.
    """
    if progress.best_step is not None:
        try:
            _whole(run, progress.best_step)
        except InfoAlignError:
            progress.best_step, progress.best_value = None, float("inf")
    _name_and_drop(run, progress, keep)
    return progress
