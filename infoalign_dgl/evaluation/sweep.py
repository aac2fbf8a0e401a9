"""Pretraining and its frozen evaluation, once for each of many settings: ablations and hyperparameters.

A folder holds ``sweep.json`` (what all its runs have in common), ``runs/<setting>/seed-<k>`` (run folders),
``results/<setting>/seed-<k>`` (predictions, and ``row.json`` once the run is judged) and ``sweep.csv``.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from infoalign_dgl._folders import replace_text
from infoalign_dgl.context.exclusion import BLOCK
from infoalign_dgl.context.reduced import leave_out_nodes
from infoalign_dgl.errors import EvaluationError, RunError
from infoalign_dgl.evaluation.cells import cell_key
from infoalign_dgl.evaluation.experiment import Plan, introduce, judge, make_split, read_task_sets
from infoalign_dgl.evaluation.keys import MoleculeKeys
from infoalign_dgl.evaluation.methods import MODALITIES, THIS_RUN, Inputs, Method
from infoalign_dgl.evaluation.schedule import Part, Schedule
from infoalign_dgl.evaluation.sweep_rows import (
    ROW,
    Sweep,
    SweepRow,
    estimate,
    option_name,
    setting_name,
    take_rows,
)
from infoalign_dgl.evaluation.tasks import trainable_tasks
from infoalign_dgl.representation import load
from infoalign_dgl.training.checkpoint import saved_steps
from infoalign_dgl.training.holdout import SpaceValidation, mean_difference
from infoalign_dgl.training.reporting import METRICS
from infoalign_dgl.training.run_folder import CONFIG
from infoalign_dgl.training.setup import describe_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.sweep_rows import Changes, Value
    from infoalign_dgl.evaluation.tasks import TaskSet
    from infoalign_dgl.training.config import PretrainConfig

    Progress = Callable[[str, int, int], None]

WITHOUT, WITHOUT_TARGETS = "without", "without_targets"
"""Settings of a sweep that pretraining has not: node types left out of the graph, or of the targets alone."""

FACTS = "sweep.json"
_MAY_DIFFER = ("device", "keep", "seed")  # between calls: where runs are trained, and what stays of them


@dataclass(frozen=True)
class SweepPlan:
    """What is varied, from where, and how each run is judged.

    Attributes
    ----------
    base : PretrainConfig
        The settings that are not varied; its seed is not used.
    varied : mapping of str to sequence
        Values by the name of a setting of ``PretrainConfig``, or `WITHOUT` or `WITHOUT_TARGETS`, whose values
        are node types joined by ``+``, or None.
    grid : bool
        Take all combinations of values; else one setting at a time differs from the base. The base's value
        is always one of them.
    seeds : int
        Pretraining runs of each setting: seeds 0, 1, ...
    split, split_seed
        As in :class:`~infoalign_dgl.evaluation.experiment.Plan`.
    head_seeds : int
        How often the published MLP is trained on each run's fixed embedding.
    """

    base: PretrainConfig
    varied: Mapping[str, Sequence[Value]]
    grid: bool = False
    seeds: int = 1
    split: str = "scaffold"
    split_seed: int = 0
    head_seeds: int = 10

    def base_value(self, name: str) -> Value:
        """Value of a setting in the base; None for node types left out."""
        value: Value = getattr(self.base, name, None)
        return value

    def settings(self) -> list[Changes]:
        """Give what differs from the base in each setting, first the base itself (nothing)."""
        values = {
            name: list(dict.fromkeys((self.base_value(name), *(_read(name, value) for value in given))))
            for name, given in self.varied.items()
        }
        if self.grid:
            found = [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]
        else:
            found = [{}, *({name: value} for name, given in values.items() for value in given[1:])]
        return [
            {name: value for name, value in one.items() if value != self.base_value(name)} for one in found
        ]


def _read(name: str, value: Any) -> Any:
    """Give node types in full and sorted, so that they have one name; other values as they are."""
    if name not in (WITHOUT, WITHOUT_TARGETS):
        return value
    return "+".join(sorted({MODALITIES.get(word, word) for word in value.split("+")}))


@dataclass(frozen=True)
class _Setting:
    """A setting, ready to be pretrained."""

    changes: Changes
    graph: ContextGraph
    config: PretrainConfig

    @property
    def steps(self) -> int:
        """Steps of a run, give or take the molecules held out."""
        per_epoch = math.ceil(self.graph.num_nodes["molecule"] / self.config.batch_size)
        limits = (self.config.epochs * per_epoch, self.config.max_steps, self.config.stop_after)
        return min(limit for limit in limits if limit is not None)


@dataclass(frozen=True)
class _Work:
    """Where runs are made, what they are judged on, and who is told of it."""

    folder: Path
    tasks: list[tuple[TaskSet, Split]]
    judging: Plan
    progress: Progress
    schedule: Schedule

    def expect(self, name: str, setting: _Setting) -> None:
        """Note what a run asks for; it counts once it is judged."""
        steps = max(setting.steps - max(saved_steps(self.folder / "runs" / name), default=0), 0)
        self.schedule.expect(f"{name} pretraining", Part("pretraining", steps * setting.config.batch_size, 0))
        self.schedule.expect(f"{name} evaluation", Part("evaluation", 1.0))

    def finish(self, name: str, setting: _Setting, seed: int) -> SweepRow | str:
        """Pretrain a run, or go on with it, and judge it; or say why it cannot be trained.

        Raises
        ------
        RunError
            If it is stopped.
        """
        from rich.console import Console

        from infoalign_dgl.training.loop import AS_ASKED, pretrain

        run, part = self.folder / "runs" / name, f"{name} pretraining"
        self.schedule.begin(part)
        config = replace(setting.config, seed=seed)
        console = Console(stderr=True)  # progress; standard output is for the result
        try:
            result = pretrain(setting.graph, run, config, resume=(run / CONFIG).is_file(), console=console)
        except RunError as error:
            self.schedule.finish(part, trained=False)
            self.schedule.finish(f"{name} evaluation", trained=False)
            return str(error)
        if result.interrupted not in (None, AS_ASKED):
            raise RunError(
                f"stopped by {result.interrupted} in the run '{name}', which is saved: the same call goes on "
                "with it"
            )
        self.schedule.finish(part)
        self.schedule.begin(f"{name} evaluation")
        row = self._judge(name, setting, seed)
        self.schedule.finish(f"{name} evaluation")
        return row

    def _judge(self, name: str, setting: _Setting, seed: int) -> SweepRow:
        run, results = self.folder / "runs" / name, self.folder / "results" / name
        loaded = load(run)
        scores = {}
        for task_set, split in self.tasks:
            inputs = Inputs(task_set, split, {THIS_RUN: loaded})
            told = partial(_told, self.progress, name)
            (found,) = judge(inputs, self.judging, results, progress=told).results
            if found.scores is None:
                raise EvaluationError(f"'{name}' cannot be judged on '{task_set.name}': {found.note}")
            scores[task_set.name] = found.scores.mean().tolist()
        step = int(loaded.checkpoint.name.removeprefix("step-"))
        row = SweepRow(setting.changes, seed, scores, step, *_training(run, step))
        replace_text(results / ROW, json.dumps(asdict(row)) + "\n")
        return row


def _told(progress: Progress, name: str, stage: str, done: int, total: int) -> None:
    progress(f"{name}: {stage}", done, total)


def sweep(
    graph: Path,
    sources: Sequence[str | Path],
    folder: Path,
    plan: SweepPlan,
    *,
    smiles_column: str | None = None,
    columns: Sequence[str] | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
    schedule: Schedule | None = None,
    say: Callable[[str], None] = lambda _sentence: None,
) -> Sweep:
    """Pretrain and judge every setting that is not there yet.

    Parameters
    ----------
    graph : Path
        Folder of a context graph.
    sources : sequence of str or Path
        Task sets, as for :func:`~infoalign_dgl.evaluation.read_task_set`.
    folder : Path
        Of the sweep. Runs that are finished there are taken over, one that was stopped goes on, and rows of
        other settings stay in the table.
    plan : SweepPlan
    smiles_column, columns
        As for :func:`~infoalign_dgl.evaluation.read_task_set`.
    progress : callable
        Called with (stage, done, total) while a run is judged.
    schedule : Schedule, optional
        Is told what is to be done, and what is done.
    say : callable
        Gets a sentence for whatever a user should know.

    Returns
    -------
    Sweep
        A run that cannot be trained (its loss is not finite, say) has no row, and the others go on.

    Raises
    ------
    EvaluationError
        If the folder's runs have another base, graph, task sets or split; or a setting or a task set makes
        no sense.
    RunError
        If a run is stopped by a signal; the same call goes on with it.

    References
    ----------
    Liu et al. 2024, "Learning Molecular Representation in a Cell", Table 5 (node types left out) and Figure 4
    (hyperparameters).
    """
    from infoalign_dgl.context import ContextGraph

    context = ContextGraph.load(graph)
    settings = _prepare(context, plan)
    judging = Plan([Method(THIS_RUN, "mlp")], plan.split, plan.split_seed, plan.head_seeds)
    task_sets = read_task_sets(sources, smiles_column=smiles_column, columns=columns)
    tasks = _split_tasks(task_sets, judging, context, say)
    folder.mkdir(parents=True, exist_ok=True)
    _check_same(folder, plan, context, tasks)
    work = _Work(folder, tasks, judging, progress, schedule or Schedule(unit="runs"))
    places = {
        f"{setting_name(setting.changes)}/seed-{seed}": (setting, seed)
        for seed in range(plan.seeds)
        for setting in settings
    }
    missing = {name: one for name, one in places.items() if not (folder / "results" / name / ROW).is_file()}
    for name, (setting, _) in missing.items():
        work.expect(name, setting)
    say(f"{len(places):,} runs, {len(places) - len(missing):,} of them finished before")
    found = Sweep(
        {**plan.base.to_json(), WITHOUT: None, WITHOUT_TARGETS: None},
        {one.name: one.kind for one in task_sets},
    )
    for name, (setting, seed) in missing.items():
        say(f"{name}: pretraining")
        row = work.finish(name, setting, seed)
        if isinstance(row, str):
            found.failed[name] = row
            say(f"{name}: no row, because {row}")
            continue
        take_rows(found, folder)
        scores = ", ".join(f"{task} {estimate([row], task).mean:.4f}" for task in row.scores)
        say(f"{name}: {scores}; {work.schedule.line()}")
    return take_rows(found, folder)


def _prepare(graph: ContextGraph, plan: SweepPlan) -> list[_Setting]:
    """Make each setting's graph and configuration, so that what makes no sense is known before any run."""
    graphs = {"": graph}
    found = []
    for changes in plan.settings():
        out, untargeted = changes.get(WITHOUT, ""), changes.get(WITHOUT_TARGETS)
        if out not in graphs:
            graphs[out] = leave_out_nodes(graph, out.split("+"))
        others = {name: value for name, value in changes.items() if name not in (WITHOUT, WITHOUT_TARGETS)}
        config = replace(plan.base, **others)
        if untargeted is not None:
            kinds = set(untargeted.split("+")) - set(out.split("+"))
            if not kinds:  # the targets went with the nodes: the setting without the nodes is the same
                continue
            config = replace(config, spaces=_spaces_left(graphs[out], config.spaces, kinds))
        found.append(_Setting(changes, graphs[out], config))
    return found


def _spaces_left(graph: ContextGraph, wanted: Sequence[str] | None, untargeted: set[str]) -> tuple[str, ...]:
    """Feature spaces that are targets where those of some node types are not."""
    targets = {n: space.node_type for n, space in graph.spaces.items() if wanted is None or n in wanted}
    left = tuple(name for name, kind in targets.items() if kind not in untargeted)
    unknown = untargeted - set(targets.values())
    if unknown or not left:
        raise EvaluationError(
            f"the targets of {' and '.join(sorted(untargeted))} cannot be left out, since there are those of "
            f"{', '.join(sorted(set(targets.values())))}: name some of these, and not all"
        )
    return left


def _split_tasks(
    task_sets: list[TaskSet], judging: Plan, graph: ContextGraph, say: Callable[[str], None]
) -> list[tuple[TaskSet, Split]]:
    """Split task sets, and check that runs can be scored on them, before the first is pretrained."""
    found = []
    seen = frozenset(graph.nodes["molecule"]["inchikey"].astype("string").str[:BLOCK].dropna())
    for task_set in task_sets:
        split = make_split(task_set, judging)
        reasons = trainable_tasks(task_set.labels, task_set.kind, split)
        if None not in reasons:
            raise EvaluationError(
                f"no task of '{task_set.name}' can be scored ({reasons[0]}, for the first): choose another "
                "split or task set"
            )
        met = MoleculeKeys(task_set).overlap(seen, tautomer=graph.tautomer)
        introduce(task_set, split, {THIS_RUN: met}, say)
        found.append((task_set, split))
    return found


def _check_same(
    folder: Path, plan: SweepPlan, graph: ContextGraph, tasks: list[tuple[TaskSet, Split]]
) -> None:
    """Write down what all runs of a folder have in common, or check that it is what is there.

    Raises
    ------
    EvaluationError
        Naming the first thing that differs.
    """
    base = {option_name(k): v for k, v in plan.base.to_json().items() if k not in _MAY_DIFFER}
    facts = {
        **base,
        "graph": describe_graph(graph)["sums_sha256"],
        "split": plan.split,
        "split-seed": plan.split_seed,
        "head-seeds": plan.head_seeds,
        "tasks": {
            task_set.name: cell_key(
                smiles=task_set.smiles,
                labels=task_set.labels,
                train=split.train,
                valid=split.valid,
                test=split.test,
            )
            for task_set, split in tasks
        },
    }
    facts = json.loads(json.dumps(facts))
    path = folder / FACTS
    if not path.is_file():
        replace_text(path, json.dumps(facts, indent=1) + "\n")
        return
    try:
        stored = dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise EvaluationError(f"'{path}' cannot be read ({error}): choose another folder") from error
    for name in facts | stored:
        if stored.get(name) != facts.get(name):
            raise EvaluationError(
                f"the runs in '{folder}' have {name} {stored.get(name)!r}, not {facts.get(name)!r}: pass the "
                "former, or choose another folder"
            )


def _training(run: Path, step: int) -> tuple[float | None, float | None, float]:
    """Training loss and validation at a step, where there were any, and the seconds of all steps."""
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    seconds = sum(line["molecules"] / line["molecules_per_second"] for line in lines)
    at: dict[str, Any] = next((line for line in lines if line["step"] == step), {})
    spaces: dict[str, dict[str, Any]] = {}
    for key, value in at.items():
        if key.startswith("validation/"):
            space, figure = key.removeprefix("validation/").rsplit("/", 1)
            spaces.setdefault(space, {})[figure] = value
    validation = {space: SpaceValidation(**figures) for space, figures in spaces.items()}
    return at.get("loss"), mean_difference(validation) if validation else None, seconds
