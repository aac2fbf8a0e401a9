"""Going on with a run: what it was started with, and where it was."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from infoalign_dgl.errors import RunError
from infoalign_dgl.training.checkpoint import Progress, load_model, load_training, newest_whole, settle
from infoalign_dgl.training.run_folder import CONFIG, is_unstarted, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.distributed import World
    from infoalign_dgl.training.run_folder import RunConfig
    from infoalign_dgl.training.step import Trainer


def earlier_run(folder: Path, config: PretrainConfig, *, resume: bool) -> RunConfig | None:
    """Return what the folder's run was started with; None for a new run.

    Raises
    ------
    RunError
        If a new run finds the folder taken, or there is no run to resume, or one with other settings.
    """
    if not resume:
        if not is_unstarted(folder):
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


def restore(folder: Path, trainer: Trainer, console: Console) -> Progress:
    """Load the newest whole checkpoint into a trainer, clear up after what cut the run off, and say so.

    Of several processes, the first chooses and clears up, and all of them load.

    Returns
    -------
    Progress
        From the start where there is no checkpoint yet.
    """
    first = trainer.world.from_first
    checkpoint, complaints = first(lambda: newest_whole(folder))
    for complaint in complaints:
        console.print(f"skipped a checkpoint: {complaint}", highlight=False, soft_wrap=True)
    if checkpoint is None:
        console.print("no checkpoint yet: starting at step 0", highlight=False)
        return Progress()
    load_model(checkpoint, trainer.model)
    progress = load_training(checkpoint, trainer.optimizer)
    progress = first(lambda: settle(folder, progress, keep=trainer.config.keep))
    console.print(f"resuming after step {progress.step:,} of {trainer.total_steps:,}", highlight=False)
    return progress


def how_to_go_on(graph_folder: Path | None, folder: Path, world: World) -> str:
    """Return the command that goes on with a run."""
    graph = "GRAPH" if graph_folder is None else shlex.quote(str(graph_folder))
    several = f" --nproc {world.size}" if world.size > 1 else ""
    return f"infoalign-dgl pretrain {graph} -o {shlex.quote(str(folder))} --resume{several}"
