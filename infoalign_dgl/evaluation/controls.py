"""The control runs of a comparison: what the same pretraining gives where it learns nothing of cells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from infoalign_dgl.errors import EvaluationError, RunError
from infoalign_dgl.evaluation.methods import CONTROL_RUNS, OTHER_RUNS
from infoalign_dgl.evaluation.schedule import Part, Schedule
from infoalign_dgl.training.checkpoint import saved_steps
from infoalign_dgl.training.config import CONTROLS
from infoalign_dgl.training.run_folder import CONFIG, read_config
from infoalign_dgl.training.run_graph import differs, load_graph_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.run_folder import RunConfig

FOLDER = "controls"


def headings(runs: Mapping[str, Path], *, controls: bool) -> dict[str, str]:
    """Say what tables put other runs under: controls, made here or apart, by themselves.

    Parameters
    ----------
    runs : mapping of str to Path
        Run folders by name.
    controls : bool
        Whether the controls that `train_controls` makes are compared too.

    Raises
    ------
    EvaluationError
        If a run has the name of such a control.
    """
    found = {}
    for name, path in runs.items():
        if controls and name in CONTROLS:
            raise EvaluationError(f"--controls makes a run '{name}': give your run '{path}' another name")
        settings = read_config(path).pretrain
        is_control = settings is not None and settings.control is not None
        found[name] = CONTROL_RUNS if is_control else OTHER_RUNS
    return found | (dict.fromkeys(CONTROLS, CONTROL_RUNS) if controls else {})


def train_controls(
    run: Path,
    folder: Path,
    *,
    graph: Path | None = None,
    schedule: Schedule | None = None,
    say: Callable[[str], None] = lambda _sentence: None,
) -> dict[str, Path]:
    """Pretrain a run's controls: its settings, graph and number of steps, with one thing changed.

    Parameters
    ----------
    run : Path
        The run that is evaluated.
    folder : Path
        Of the results: gets ``controls/permuted`` (every molecule has another one's responses) and
        ``controls/fingerprints`` (the molecules' fingerprints are the only targets). One that is there is
        kept; one that was stopped goes on.
    graph : Path, optional
        Where the graph is now; by default where it was when the run was pretrained.
    schedule : Schedule, optional
        Is told what is trained.
    say : callable
        Gets a sentence for whatever a user should know.

    Returns
    -------
    dict of str to Path
        Run folders by name.

    Raises
    ------
    EvaluationError
        If nothing says how the run was trained, or the folder has another run's controls.
    RunError
        If the run's graph is not there, or pretraining fails or is stopped.
    """
    schedule = schedule or Schedule()
    config = read_config(run)
    settings = _settings(run, config)
    steps = saved_steps(run)[-1]
    plans = {
        name: replace(
            settings,
            control=name,
            stop_after=steps or None,
            max_minutes=None,
            device="cpu" if settings.device == "cpu" else "auto",
        )
        for name in CONTROLS
    }
    targets = {name: folder / FOLDER / name for name in plans}
    missing = [name for name in plans if not _is_done(targets[name], plans[name], config, steps)]
    for name in missing:
        left = steps - max(saved_steps(targets[name]), default=0)
        schedule.expect(f"control {name}", Part("pretraining", max(left, 1)))
    if not missing:
        return targets
    context = load_graph_of(run, graph)
    if config.processes > 1:
        say(
            f"The run was pretrained by {config.processes} processes and its controls are by one, whose "
            "BatchNorm sees whole batches."
        )
    for name in missing:
        schedule.begin(f"control {name}")
        _pretrain(context, targets[name], plans[name])
        schedule.finish(f"control {name}")
        say(f"control {name}: {steps:,} steps; {schedule.line()}")
    return targets


def _settings(run: Path, config: RunConfig) -> PretrainConfig:
    if config.pretrain is None:
        raise EvaluationError(
            f"the weights of '{run}' were imported and nothing says how they were trained: leave --controls "
            "out, or compare runs of your own with --run NAME=RUN"
        )
    if config.pretrain.control is not None:
        raise EvaluationError(
            f"'{run}' is itself the control '{config.pretrain.control}': pass the run that it is a control of"
        )
    return config.pretrain


def _is_done(target: Path, settings: PretrainConfig, config: RunConfig, steps: int) -> bool:
    """Whether a control is there in full; one of another run is an error."""
    if not (target / CONFIG).is_file():
        return False
    earlier = read_config(target)
    done = max(saved_steps(target), default=0 if steps else -1)
    try:
        settings.check_resumes(earlier.pretrain)
    except RunError as error:
        raise _is_another(target, str(error)) from error
    if differs(earlier.graph, config.graph) or done > steps:
        what = "graph" if done <= steps else "number of steps"
        raise _is_another(target, f"the run has another {what}")
    return done == steps


def _is_another(target: Path, why: str) -> EvaluationError:
    return EvaluationError(
        f"'{target}' is a control of another run ({why}): choose another folder for the results, or delete it"
    )


def _pretrain(graph: ContextGraph, target: Path, settings: PretrainConfig) -> None:
    from rich.console import Console

    from infoalign_dgl.training.loop import AS_ASKED, pretrain

    console = Console(stderr=True)  # progress; standard output is for the result
    result = pretrain(graph, target, settings, resume=(target / CONFIG).is_file(), console=console)
    if result.interrupted not in (None, AS_ASKED):
        raise RunError(
            f"stopped by {result.interrupted} in a control run, which is saved: the same call goes on with it"
        )
