"""Methods compared on task sets: trained and judged, going on where an earlier call stopped."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl import __version__
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.cells import Cell, cell_key, cell_path, judged_rows, read_cell, write_cell
from infoalign_dgl.evaluation.features import fall_back
from infoalign_dgl.evaluation.manifest import overlap, seen_molecules, write_manifest
from infoalign_dgl.evaluation.methods import MODALITIES, STRUCTURE, Inputs, Method
from infoalign_dgl.evaluation.metrics import bootstrap_scores, task_scores
from infoalign_dgl.evaluation.predictions import Predictions
from infoalign_dgl.evaluation.report import write_tables
from infoalign_dgl.evaluation.splits import read_split, split_molecules, stereo_leakage
from infoalign_dgl.evaluation.tables import MethodResult
from infoalign_dgl.evaluation.tasks import read_task_set, trainable_tasks
from infoalign_dgl.representation import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from infoalign_dgl.evaluation.features import Features
    from infoalign_dgl.evaluation.splits import Leakage, Split
    from infoalign_dgl.evaluation.tasks import TaskSet

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
    """

    task_set: TaskSet
    split: Split
    leakage: Leakage
    results: list[MethodResult]
    measured: dict[str, list[MethodResult]] = field(default_factory=dict)
    cells: dict[str, list[Path]] = field(default_factory=dict)


def evaluate(
    run: Path,
    sources: Sequence[str | Path],
    folder: Path,
    plan: Plan,
    *,
    profiles: Path | None = None,
    files: Mapping[str, Path] | None = None,
    smiles_column: str | None = None,
    columns: Sequence[str] | None = None,
    progress: Progress = lambda _stage, _done, _total: None,
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
    smiles_column, columns
        As for :func:`~infoalign_dgl.evaluation.read_task_set`.
    progress : callable
        Called with (stage, done, total).
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

    representation = load(run)
    graph = None if profiles is None else ContextGraph.load(profiles)
    seen = seen_molecules(run)
    task_sets = [read_task_set(source, smiles_column=smiles_column, columns=columns) for source in sources]
    names = [task_set.name for task_set in task_sets]
    if len(set(names)) < len(names):
        raise EvaluationError(f"two task sets are named '{max(names, key=names.count)}': rename a folder")
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for task_set in task_sets:
        split = make_split(task_set, plan)
        inputs = Inputs(task_set, split, representation, graph, files or {})
        _introduce(task_set, split, overlap(task_set, seen), say)
        found.append(judge(inputs, plan, folder, progress=progress))
    write_tables(folder, found, plan.methods[0].name)
    write_manifest(folder, run, representation.checkpoint, plan, found)
    return found


def _introduce(task_set: TaskSet, split: Split, seen: int | None, say: Callable[[str], None]) -> None:
    """Say what is compared on, and what of it was seen before."""
    rows, tasks = task_set.labels.shape
    leaked = stereo_leakage(task_set.keys, split)
    say(
        f"{task_set.name}: {rows:,} rows, {tasks:,} {task_set.kind} tasks; {len(split.train):,} train, "
        f"{len(split.valid):,} valid, {len(split.test):,} test, {len(split.left_out):,} in none"
    )
    met = "nobody can say which rows are" if seen is None else f"{seen:,} rows are"
    say(
        f"{task_set.name}: {met} molecules that the run saw in pretraining; {leaked.valid:,} rows of valid "
        f"and {leaked.test:,} of test have the first InChIKey block of a train row"
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


def judge(inputs: Inputs, plan: Plan, folder: Path, *, progress: Progress) -> Judged:
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
    """
    task_set, split = inputs.task_set, inputs.split
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
            predicted[method.name] = _predictions(method, features, inputs, plan, folder, judged, progress)
        except EvaluationError as error:
            predicted[method.name] = str(error)
    for method in plan.methods:
        judged.results.append(_result(method, predicted[method.name], plan, judged, split.test))
    for modality, has in has_profile.items():
        rows = split.test[has[split.test]]
        if has.mean() >= LEAST_COVERAGE and len(rows):
            judged.measured[modality] = [
                _result(method, predicted[method.name], plan, judged, rows) for method in plan.methods
            ]
    return judged


def _check_coverage(features: Features) -> None:
    if features.coverage < LEAST_COVERAGE:
        raise EvaluationError(
            f"{features.coverage:.1%} of the rows have a profile, and methods on profiles need "
            f"{LEAST_COVERAGE:.0%}"
        )


def _predictions(
    method: Method,
    features: Features,
    inputs: Inputs,
    plan: Plan,
    folder: Path,
    judged: Judged,
    progress: Progress,
) -> Predictions:
    """Predictions of all seeds of a method, from its features, and from structure where there are none."""
    own = _train(method, features, inputs, plan, folder, judged, progress)
    if method.source not in MODALITIES:
        return own
    structure = Method(STRUCTURE, method.head)
    other = _train(structure, inputs.of(structure), inputs, plan, folder, judged, progress)
    return replace(fall_back(own, other), notes=features.notes + own.notes)


def _train(
    method: Method,
    features: Features,
    inputs: Inputs,
    plan: Plan,
    folder: Path,
    judged: Judged,
    progress: Progress,
) -> Predictions:
    """Predictions from features alone: those stored, and the others trained and stored."""
    task_set, split, seeds = inputs.task_set, inputs.split, plan.seeds_of(method)
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
    paths = {seed: cell_path(folder, task_set.name, method.name, seed) for seed in seeds}
    cells = {seed: read_cell(paths[seed], keys[seed]) for seed in seeds}
    missing = [seed for seed in seeds if cells[seed] is None]
    if missing:
        stage = f"{task_set.name} {method.name}"
        found = method.fit(
            features.values,
            task_set.labels,
            split,
            task_set.kind,
            missing,
            progress=partial(progress, stage),
        )
        rows = judged_rows(split)
        for place, seed in enumerate(missing):
            spread = None if found.spread is None else found.spread[place, rows]
            cells[seed] = cell = Cell(rows, found.values[place, rows], spread, found.notes)
            write_cell(paths[seed], keys[seed], cell)
    judged.cells[method.name] = list(paths.values())
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
