"""Methods compared on task sets: trained and judged, going on where an earlier call stopped."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl import __version__
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.cells import Cell, cell_key, cell_path, judged_rows, read_cell, write_cell
from infoalign_dgl.evaluation.controls import train_controls
from infoalign_dgl.evaluation.features import fall_back
from infoalign_dgl.evaluation.keys import MoleculeKeys
from infoalign_dgl.evaluation.manifest import seen_molecules, write_manifest
from infoalign_dgl.evaluation.methods import MODALITIES, STRUCTURE, THIS_RUN, Inputs, Method
from infoalign_dgl.evaluation.metrics import bootstrap_scores, task_scores
from infoalign_dgl.evaluation.nearest import nearest_molecules
from infoalign_dgl.evaluation.predictions import Predictions
from infoalign_dgl.evaluation.report import write_tables
from infoalign_dgl.evaluation.schedule import Part, Schedule
from infoalign_dgl.evaluation.splits import read_split, split_molecules, stereo_leakage
from infoalign_dgl.evaluation.tables import MethodResult
from infoalign_dgl.evaluation.tasks import read_task_set, trainable_tasks
from infoalign_dgl.evaluation.uncertainty_table import judge_certainty
from infoalign_dgl.representation import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from infoalign_dgl.evaluation.features import Features
    from infoalign_dgl.evaluation.splits import Leakage, Split
    from infoalign_dgl.evaluation.tasks import TaskSet
    from infoalign_dgl.evaluation.uncertainty_table import Certainty

    Progress = Callable[[str, int, int], None]

LEAST_COVERAGE = 0.05
"""Share of rows that must have a profile for a method on profiles to be scored, as in the paper."""


@dataclass(frozen=True)
class Plan:
    """What is compared, and how often.

    Attributes
    ----------
    methods : sequence of Method
    split : str
        A method of :func:`~infoalign_dgl.evaluation.split_molecules`, or the path of a file for
        :func:`~infoalign_dgl.evaluation.splits.read_split`.
    split_seed : int
        Of the split.
    seeds : int
        How often MLPs are trained.
    baseline_seeds : int
        How often forests are grown. What is not random is fitted once.
    """

    methods: Sequence[Method]
    split: str = "reference"
    split_seed: int = 0
    seeds: int = 10
    baseline_seeds: int = 1

    def seeds_of(self, method: Method) -> list[int]:
        """Seeds that a method is trained with."""
        if not method.is_random:
            return [0]
        return list(range(self.seeds if method.head == "mlp" else self.baseline_seeds))


@dataclass(frozen=True)
class Judged:
    """What was found on one task set.

    Attributes
    ----------
    task_set : TaskSet
    split : Split
    leakage : Leakage
        Rows of valid and test whose first InChIKey block is in train.
    results : list of MethodResult
        In the order of the methods, on all test rows.
    measured : dict of str to list of MethodResult
        By modality: all methods on the test rows that have a profile.
    cells : dict of str to list of Path
        By method, the files of its predictions.
    certainty : list of Certainty
        Of all methods, where that was asked for.
    seen : dict of str to (int or None)
        By run, how many rows are molecules that it saw in pretraining; None where nobody can say.
    """

    task_set: TaskSet
    split: Split
    leakage: Leakage
    results: list[MethodResult]
    measured: dict[str, list[MethodResult]] = field(default_factory=dict)
    cells: dict[str, list[Path]] = field(default_factory=dict)
    certainty: list[Certainty] = field(default_factory=list)
    seen: dict[str, int | None] = field(default_factory=dict)


def evaluate(
    run: Path,
    sources: Sequence[str | Path],
    folder: Path,
    plan: Plan,
    *,
    profiles: Path | None = None,
    files: Mapping[str, Path] | None = None,
    runs: Mapping[str, Path] | None = None,
    controls: bool = False,
    graph: Path | None = None,
    smiles_column: str | None = None,
    columns: Sequence[str] | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
    schedule: Schedule | None = None,
    say: Callable[[str], None] = lambda _sentence: None,
) -> list[Judged]:
    """Compare a run with baselines on task sets, and write predictions, tables and a manifest.

    Parameters
    ----------
    run : Path
        Folder of a pretraining run.
    sources : sequence of str or Path
        Task sets, as for :func:`~infoalign_dgl.evaluation.read_task_set`.
    folder : Path
        Of the results. Predictions that an earlier call left there, of the same inputs, are taken over.
    plan : Plan
    profiles : Path, optional
        Folder of a context graph with the measured profiles of the task sets' molecules.
    files : mapping of str to Path, optional
        Embedding files, row-aligned with the one task set that is compared.
    runs : mapping of str to Path, optional
        Other runs, by the names that methods have them as sources.
    controls : bool
        Pretrain the run's controls first, the sources ``"permuted"`` and ``"fingerprints"``; see
        :func:`~infoalign_dgl.evaluation.controls.train_controls`.
    graph : Path, optional
        Where the graph of the run is now, for its controls; by default where it was.
    smiles_column, columns
        As for :func:`~infoalign_dgl.evaluation.read_task_set`.
    progress : callable
        Called with (stage, done, total).
    schedule : Schedule, optional
        Is told what is to be trained, and what is done.
    say : callable
        Gets a sentence for whatever a user should know.

    Raises
    ------
    EvaluationError
        If a task set cannot be read or split, two have one name, or there is no such method.
    InfoAlignError
        If the run or the graph cannot be read, or the results cannot be written.

    References
    ----------
    Liu et al. 2024, "Learning Molecular Representation in a Cell", section 6.1.
    """
    from infoalign_dgl.context import ContextGraph

    schedule = schedule or Schedule()
    folders = {THIS_RUN: run, **(runs or {})}
    loaded = {name: load(path) for name, path in folders.items()}
    measured = None if profiles is None else ContextGraph.load(profiles)
    task_sets = read_task_sets(sources, smiles_column=smiles_column, columns=columns)
    certainty = find_spec("mapie") is not None
    if not certainty:
        say("no table of certainty: mapie is not installed (pip install 'infoalign-dgl[evaluation]')")
    folder.mkdir(parents=True, exist_ok=True)
    for task_set in task_sets:
        _expect(schedule, task_set, plan, folder)
    if controls:
        trained = train_controls(run, folder, graph=graph, schedule=schedule, say=say)
        folders |= trained
        loaded |= {name: load(path) for name, path in trained.items()}
    seen = {name: seen_molecules(path) for name, path in folders.items()}
    found = []
    for task_set in task_sets:
        split = make_split(task_set, plan)
        keys = MoleculeKeys(task_set, partial(progress, f"{task_set.name}: keys of tautomers"))
        met = {name: keys.overlap(seen[name], tautomer=one.tautomer) for name, one in loaded.items()}
        introduce(task_set, split, met, say)
        of_profiles = None if measured is None else keys.of(tautomer=measured.tautomer)
        inputs = Inputs(task_set, split, loaded, measured, files or {}, of_profiles)
        judged = judge(inputs, plan, folder, progress=progress, schedule=schedule, certainty=certainty)
        judged.seen.update(met)
        found.append(judged)
    write_tables(folder, found, plan.methods[0].name)
    weights = {name: (path, loaded[name].checkpoint) for name, path in folders.items()}
    write_manifest(folder, weights, plan, found)
    return found


def read_task_sets(
    sources: Sequence[str | Path], *, smiles_column: str | None = None, columns: Sequence[str] | None = None
) -> list[TaskSet]:
    """Read task sets, which have to have different names; see `read_task_set`."""
    task_sets = [read_task_set(source, smiles_column=smiles_column, columns=columns) for source in sources]
    names = [task_set.name for task_set in task_sets]
    if len(set(names)) < len(names):
        raise EvaluationError(f"two task sets are named '{max(names, key=names.count)}': rename a folder")
    return task_sets


def _expect(schedule: Schedule, task_set: TaskSet, plan: Plan, folder: Path) -> None:
    """Note what a task set asks for, with the structure that methods on profiles fall back to.

    Cells that are there are taken for good, since their keys are known only once there are features.
    """
    for method in plan.methods:
        needed = [method]
        if method.source in MODALITIES:
            needed.append(Method(STRUCTURE, method.head))
        for one in needed:
            seeds = plan.seeds_of(one)
            missing = sum(not cell_path(folder, task_set.name, one.name, seed).is_file() for seed in seeds)
            part = Part(one.head, missing * _work(one, task_set), len(seeds))
            schedule.expect(f"{task_set.name} {one.name}", part)


def _work(method: Method, task_set: TaskSet) -> int:
    """How much a seed of a method has to do: rows for an MLP of all tasks, else labels."""
    return len(task_set.smiles) if method.head == "mlp" else int((~np.isnan(task_set.labels)).sum())


def introduce(
    task_set: TaskSet, split: Split, seen: Mapping[str, int | None], say: Callable[[str], None]
) -> None:
    """Say what is compared on, and how much of it each run saw before."""
    rows, tasks = task_set.labels.shape
    leaked = stereo_leakage(task_set.keys, split)
    say(
        f"{task_set.name}: {rows:,} rows, {tasks:,} {task_set.kind} tasks; {len(split.train):,} train, "
        f"{len(split.valid):,} valid, {len(split.test):,} test, {len(split.left_out):,} in none"
    )
    for name, count in seen.items():
        met = "nobody can say which rows are" if count is None else f"{count:,} rows are"
        which = "the run" if name == THIS_RUN else f"the run '{name}'"
        say(f"{task_set.name}: {met} molecules that {which} saw in pretraining")
    say(
        f"{task_set.name}: {leaked.valid:,} rows of valid and {leaked.test:,} of test have the first "
        "InChIKey block of a train row"
    )
    for note in task_set.notes:
        say(f"{task_set.name}: {note}")


def make_split(task_set: TaskSet, plan: Plan) -> Split:
    """Split a task set's rows as a plan says."""
    from infoalign_dgl.evaluation.splits import METHODS

    if plan.split not in METHODS:
        return read_split(plan.split, len(task_set.smiles))
    groups = task_set.keys if plan.split in ("scaffold", "group") else None
    return split_molecules(task_set.smiles, plan.split, plan.split_seed, groups=groups)


def judge(
    inputs: Inputs,
    plan: Plan,
    folder: Path,
    *,
    progress: Progress,
    schedule: Schedule | None = None,
    certainty: bool = False,
) -> Judged:
    """Train and judge all methods on one task set.

    Parameters
    ----------
    inputs : Inputs
        The task set, its split, and what features come from.
    plan : Plan
    folder : Path
        Of the results; predictions that are there already are not made again.
    progress : callable
        Called with (stage, done, total).
    schedule : Schedule, optional
        Is told what is done.
    certainty : bool
        Judge too how far the certainty of methods can be believed.
    """
    schedule = schedule or Schedule()
    task_set, split = inputs.task_set, inputs.split
    _expect(schedule, task_set, plan, folder)
    judged = Judged(task_set, split, stereo_leakage(task_set.keys, split), [])
    predicted: dict[str, Predictions | str] = {}
    has_profile: dict[str, np.ndarray] = {}
    for method in plan.methods:
        stage = f"{task_set.name} {method.name}"
        try:
            features = inputs.of(method, partial(progress, f"{stage}: features"))
            if method.source in MODALITIES:
                has_profile[method.source] = features.has
                _check_coverage(features)
            training = _Training(inputs, plan, folder, judged, progress, schedule)
            predicted[method.name] = _predictions(method, features, training)
        except EvaluationError as error:
            predicted[method.name] = str(error)
            schedule.finish(stage, trained=False)
    for method in plan.methods:
        judged.results.append(_result(method, predicted[method.name], plan, judged, split.test))
    for modality, has in has_profile.items():
        rows = split.test[has[split.test]]
        if has.mean() >= LEAST_COVERAGE and len(rows):
            judged.measured[modality] = [
                _result(method, predicted[method.name], plan, judged, rows) for method in plan.methods
            ]
    if certainty:
        judged.certainty.extend(_certainty(inputs, plan, predicted))
    return judged


def _certainty(inputs: Inputs, plan: Plan, predicted: Mapping[str, Predictions | str]) -> Iterator[Certainty]:
    """Judge the certainty of all methods; one without predictions has no figures."""
    task_set, split = inputs.task_set, inputs.split
    reasons = trainable_tasks(task_set.labels, task_set.kind, split)
    bits = np.packbits(inputs.of(Method(STRUCTURE, "mlp")).values > 0, axis=1)
    similarity = nearest_molecules(bits[split.test], bits[split.train]).similarity
    nothing = Predictions(np.full((1, *task_set.labels.shape), np.nan, np.float32))
    for method in plan.methods:
        found = predicted[method.name]
        given = nothing if isinstance(found, str) else found
        yield judge_certainty(method, given, task_set, split, similarity, reasons)


def _check_coverage(features: Features) -> None:
    if features.coverage < LEAST_COVERAGE:
        raise EvaluationError(
            f"{features.coverage:.1%} of the rows have a profile, and methods on profiles need "
            f"{LEAST_COVERAGE:.0%}"
        )


@dataclass(frozen=True)
class _Training:
    """What training a method asks for besides its features."""

    inputs: Inputs
    plan: Plan
    folder: Path
    judged: Judged
    progress: Progress
    schedule: Schedule


def _predictions(method: Method, features: Features, training: _Training) -> Predictions:
    """Predictions of all seeds of a method, from its features, and from structure where there are none."""
    own = _train(method, features, training)
    if method.source not in MODALITIES:
        return own
    structure = Method(STRUCTURE, method.head)
    other = _train(structure, training.inputs.of(structure), training)
    return replace(fall_back(own, other), notes=features.notes + own.notes)


def _train(method: Method, features: Features, training: _Training) -> Predictions:
    """Predictions from features alone: those stored, and the others trained and stored."""
    task_set, split, seeds = training.inputs.task_set, training.inputs.split, training.plan.seeds_of(method)
    facts = {
        "features": features.values,
        "labels": task_set.labels,
        "train": split.train,
        "valid": split.valid,
        "test": split.test,
        "head": method.head,
        "settings": method.settings(len(task_set.tasks)),
        "version": __version__,
    }
    keys = {seed: cell_key(seed=seed, **facts) for seed in seeds}
    paths = {seed: cell_path(training.folder, task_set.name, method.name, seed) for seed in seeds}
    cells = {seed: read_cell(paths[seed], keys[seed]) for seed in seeds}
    missing = [seed for seed in seeds if cells[seed] is None]
    stage = f"{task_set.name} {method.name}"
    if missing:
        training.schedule.begin(stage, work=len(missing) * _work(method, task_set))
        training.progress(stage, 0, 0)
        found = method.fit(
            features.values,
            task_set.labels,
            split,
            task_set.kind,
            missing,
            progress=partial(training.progress, stage),
        )
        rows = judged_rows(split)
        for place, seed in enumerate(missing):
            spread = None if found.spread is None else found.spread[place, rows]
            cells[seed] = cell = Cell(rows, found.values[place, rows], spread, found.notes)
            write_cell(paths[seed], keys[seed], cell)
    training.schedule.finish(stage)
    training.judged.cells[method.name] = list(paths.values())
    return _joined([cell for cell in cells.values() if cell is not None], len(task_set.smiles))


def _joined(cells: list[Cell], num_rows: int) -> Predictions:
    """Cells of several seeds as predictions for all rows, NaN where nothing was kept."""

    def placed(parts: list[np.ndarray]) -> np.ndarray:
        values = np.full((len(cells), num_rows, parts[0].shape[1]), np.nan, np.float32)
        values[:, cells[0].rows] = np.stack(parts)
        return values

    spreads = [cell.spread for cell in cells if cell.spread is not None]
    spread = placed(spreads) if len(spreads) == len(cells) else None
    notes = list(dict.fromkeys(note for cell in cells for note in cell.notes))
    return Predictions(placed([cell.values for cell in cells]), spread, notes)


def _result(
    method: Method, predicted: Predictions | str, plan: Plan, judged: Judged, rows: np.ndarray
) -> MethodResult:
    """Score a method's predictions on some of the test rows, or say why there are none."""
    task_set, split = judged.task_set, judged.split
    given = (task_set.name, method.name, method.group, task_set.tasks)
    if isinstance(predicted, str):
        return MethodResult(*given, [], None, note=predicted)
    reasons = trainable_tasks(task_set.labels, task_set.kind, split)
    judged_on = (task_set.labels, predicted.values, rows, task_set.kind)
    scores = task_scores(*judged_on, reasons=reasons)
    replicates = bootstrap_scores(*judged_on, reasons=reasons, keys=task_set.keys)
    return MethodResult(
        *given, plan.seeds_of(method), scores, replicates, note=" ".join(predicted.notes) or None
    )
