"""Task sets: molecules and the labels that methods are to predict, from any table with a column of SMILES."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.sources.tables import did_you_mean, read_header, read_table
from infoalign_dgl.sources.task_tables import REPEAT, is_identifier, locate_task, structure_column

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from infoalign_dgl.evaluation.splits import Split

Kind = Literal["binary", "regression"]

_BLOCK = 14  # letters of an InChIKey's first block, which says the connectivity
_TRUTH = {"true": 1.0, "false": 0.0}
_SHOWN = 5  # names or cases in a note


@dataclass(frozen=True)
class TaskSet:
    """Molecules and their labels, row for row as in the file.

    Attributes
    ----------
    name : str
        Of the data set, its folder or its file.
    file : str
        Path of the table.
    smiles : list of (str or None)
        n structures as given.
    keys : list of (str or None)
        n first blocks (14 letters) of the InChIKeys of the standardized structures.
    tasks : list of str
        T different names.
    labels : numpy.ndarray
        (n, T) float64, NaN where unmeasured.
    kind : {"binary", "regression"}
        Binary where every label is 0 or 1.
    unreadable : dict of int to str
        By row, counted from 0: why its structure cannot be read; its key is None.
    notes : list of str
        What a user should know of how the table was read, a sentence each.
    """

    name: str
    file: str
    smiles: list[str | None]
    keys: list[str | None]
    tasks: list[str]
    labels: np.ndarray
    kind: Kind
    unreadable: dict[int, str]
    notes: list[str]


def read_task_set(
    source: str | Path,
    *,
    smiles_column: str | None = None,
    columns: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TaskSet:
    """Read a task set.

    Parameters
    ----------
    source : str or Path
        A table; a folder with ``assays.csv.gz`` or a single table; or the name of a data set that
        ``infoalign-dgl fetch`` brought into the user's cache. What exists as a path is taken as a path.
    smiles_column : str, optional
        The column of structures; by default found by its name.
    columns : sequence of str, optional
        The columns of tasks; by default all columns of numbers (or of true and false) whose names are not
        those of identifiers, and columns without any cell.
    progress : callable, optional
        Called with (structures standardized, different structures in all).

    Returns
    -------
    TaskSet
        The second of two columns ``x`` is the task ``x#2``.

    Raises
    ------
    EvaluationError
        If there is no such source, no column of structures or of tasks, or no structure can be read.
    SourceError, DownloadError
        If the file cannot be read as a table, or is not what was downloaded.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from infoalign_dgl.evaluation import read_task_set
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "mine.csv")
    ...     rows = {"smiles": ["CCO", "C1CC", "CCN"], "plate_id": [7, 8, 9], "toxic": [0, 1, None]}
    ...     pd.DataFrame(rows).to_csv(path, index=False)
    ...     tasks = read_task_set(path)
    >>> tasks.name, tasks.tasks, tasks.kind
    ('mine', ['toxic'], 'binary')
    >>> tasks.labels.tolist(), tasks.unreadable
    ([[0.0], [1.0], [nan]], {1: 'does not parse as SMILES'})
    """
    name, path = locate_task(source)
    header = read_header(path, repeated=True)
    structures = structure_column(path, header, smiles_column)
    notes: list[str] = []
    wanted = _candidates(path, header, structures, columns, notes)
    frame = read_table(path, text=[structures], numbers=wanted, repeated=True)
    smiles = frame[structures].tolist()
    values = frame[wanted].to_numpy(np.float64)
    tasks, labels = _labels(path, wanted, values, frame.index, notes, named=columns is not None)
    if not tasks:
        raise EvaluationError(
            f"'{path}' has no column of numbers besides its identifiers: add one, or name the tasks' columns"
        )
    kind = _kind(tasks, labels, notes)
    keys, unreadable = _keys(path, structures, smiles, frame.index, notes, progress)
    notes += _conflict_notes(keys, tasks, labels, frame.index)
    return TaskSet(name, str(path), smiles, keys, tasks, labels, kind, unreadable, notes)


def trainable_tasks(labels: np.ndarray, kind: Kind, split: Split) -> list[str | None]:
    """Say for each task why no method can be trained or judged on it.

    Parameters
    ----------
    labels : numpy.ndarray
        (n, T), NaN where unmeasured.
    kind : {"binary", "regression"}
    split : Split

    Returns
    -------
    list of (str or None)
        T reasons; None where the task has labels in train and test, of both classes each if it is binary, of
        at least two values in train if it is a regression. Valid may lack labels.
    """
    reasons = np.full(labels.shape[1], None, object)
    train, test = labels[split.train], labels[split.test]
    # The first reason that holds is given, so the later ones are written first.
    if kind == "binary":
        reasons[_constant(test)] = "one class in test"
        reasons[_constant(train)] = "one class in train"
    else:
        reasons[_constant(train)] = "constant in train"
    reasons[np.isnan(test).all(axis=0)] = "no label in test"
    reasons[np.isnan(train).all(axis=0)] = "no label in train"
    reasons[np.isnan(labels).all(axis=0)] = "no label"
    return reasons.tolist()


def conflicting_labels(keys: Sequence[str | None], labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Find structures that have different labels for one task.

    Parameters
    ----------
    keys : sequence of (str or None)
        n first blocks; rows without one are compared with none.
    labels : numpy.ndarray
        (n, T), NaN where unmeasured.

    Returns
    -------
    list of (int, numpy.ndarray)
        Of each task and structure with such labels: the task's number, and the rows of the structure that
        have a label for it, ascending. In the order of tasks and first rows.
    """
    codes = pd.factorize(pd.Series(list(keys), dtype=object))[0]
    repeated = np.flatnonzero((codes >= 0) & (np.bincount(codes[codes >= 0], minlength=1)[codes] > 1))
    rows = repeated[np.argsort(codes[repeated], kind="stable")]
    if not len(rows):
        return []
    starts = np.flatnonzero(np.diff(codes[rows], prepend=-1))
    groups = np.split(rows, starts[1:])
    values = labels[rows]
    lowest, highest = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    tasks, places = np.nonzero((highest > lowest).T)
    measured = ((int(task), groups[place]) for task, place in zip(tasks, places, strict=True))
    return [(task, group[~np.isnan(labels[group, task])]) for task, group in measured]


def _candidates(
    path: Path, header: list[str], structures: str, given: Sequence[str] | None, notes: list[str]
) -> list[str]:
    """Columns that may be tasks: those given, or all whose names are not those of identifiers."""
    if given is not None:
        for name in given:
            if name not in header:
                raise EvaluationError(f"'{path}' has no column '{name}': {did_you_mean(name, header)}")
        if len(set(given)) < len(given) or structures in given:
            raise EvaluationError(
                f"the columns of tasks must be different, none of them '{structures}' (the structures), not "
                f"{', '.join(given)}"
            )
        return list(given)
    others = [name for name in header if name != structures]
    repeats = [name for name in others if (found := REPEAT.fullmatch(name)) and found[1] in header]
    if repeats:
        notes.append(f"The number after # counts columns of the same name: {_some(repeats)}.")
    identifiers = {name for name in others if is_identifier(name)}
    if identifiers:
        left_out = [name for name in others if name in identifiers]
        notes.append(f"Left out as identifiers by their names: {_some(left_out)}.")
    return [name for name in others if name not in identifiers]


def _labels(
    path: Path, columns: list[str], values: np.ndarray, rows: pd.Index, notes: list[str], *, named: bool
) -> tuple[list[str], np.ndarray]:
    """Take the columns of numbers; cells that are none, of true and false first, are looked at as text."""
    values = np.where(np.isfinite(values), values, np.nan)
    gaps = np.isnan(values)
    partial = [column for column, gap in zip(columns, gaps.any(axis=0), strict=True) if gap]
    cells = read_table(path, text=partial, repeated=True) if partial else pd.DataFrame()
    tasks, taken, text, broken = [], [], [], []
    for number, column in enumerate(columns):
        other = gaps[:, number] & cells[column].notna().to_numpy() if column in cells else gaps[:, number]
        if other.any():
            found = cells[column][other]
            truth = found.str.strip().str.lower().map(_TRUTH)
            if truth.notna().all():
                values[other, number] = truth.to_numpy(np.float64)
            else:
                first = f"row {rows[other.argmax()]}: '{found.iloc[0]}'"
                count, numbers = len(found), int((~gaps[:, number]).sum())
                if named and not numbers:
                    raise EvaluationError(
                        f"'{path}' has no number in column '{column}' ({first}): name another"
                    )
                if not named and numbers <= count:
                    text.append(column)
                    continue
                broken.append(f"{count:,} in '{column}' ({first})")
        tasks.append(column)
        taken.append(number)
    if text:
        notes.append(f"Left out because they hold more text than numbers: {_some(text)}.")
    if broken:
        notes.append(f"Cells that are no finite number are taken as unmeasured: {_some(broken)}.")
    return tasks, values[:, taken]


def _kind(tasks: list[str], labels: np.ndarray, notes: list[str]) -> Kind:
    known = ~np.isnan(labels)
    classes = ((labels == 0) | (labels == 1) | ~known).all(axis=0)
    if classes.all():
        return "binary"
    lowest, highest = np.fmin.reduce(labels, axis=0), np.fmax.reduce(labels, axis=0)
    few = ((labels == lowest) | (labels == highest) | ~known).all(axis=0)
    mixed = [task for task, only, has in zip(tasks, classes, known.any(axis=0), strict=True) if only and has]
    if mixed:
        notes.append(
            f"Taken as regression, though {_some(mixed)} hold only 0 and 1: name their columns to evaluate "
            "them apart as binary tasks."
        )
    elif few.all() and (lowest < highest).any():
        notes.append(
            f"Taken as regression, though no task has more than two different labels ({lowest[few][0]:g} and "
            f"{highest[few][0]:g} in '{tasks[0]}'): write 0 and 1 if they are classes."
        )
    return "regression"


def _keys(
    path: Path,
    column: str,
    smiles: list[str | None],
    rows: pd.Index,
    notes: list[str],
    progress: Callable[[int, int], None] | None,
) -> tuple[list[str | None], dict[int, str]]:
    """First block of each structure's InChIKey, and why some have none."""
    from infoalign_dgl.molecules import standardize

    standard = standardize(smiles, progress=progress)
    unreadable = {row: reason for row, reason in enumerate(standard.reason) if reason is not None}
    if unreadable:
        first, reason = next(iter(unreadable.items()))
        what = f"row {rows[first]}: '{smiles[first] or ''}': {reason}"
        if len(unreadable) == len(smiles):
            raise EvaluationError(
                f"'{path}' has no structure that can be read in column '{column}' ({what}): name the "
                "column of SMILES"
            )
        notes.append(
            f"{len(unreadable):,} of {len(smiles):,} structures cannot be read and are in no part ({what})."
        )
    return [key and key[:_BLOCK] for key in standard.key], unreadable


def _conflict_notes(
    keys: list[str | None], tasks: list[str], labels: np.ndarray, rows: pd.Index
) -> list[str]:
    known = [key for key in keys if key is not None]
    repeats = len(known) - len(set(known))
    if not repeats:
        return []
    notes = [f"{repeats:,} rows repeat the structure (InChIKey first block) of an earlier row."]
    conflicts = conflicting_labels(keys, labels)
    if conflicts:
        shown = []
        for task, same in conflicts[:_SHOWN]:
            each = ", ".join(f"{labels[row, task]:g} in row {rows[row]}" for row in same[:_SHOWN])
            shown.append(f"{keys[same[0]]} has '{tasks[task]}' {each}")
        more = f"; and {len(conflicts) - _SHOWN:,} more" if len(conflicts) > _SHOWN else ""
        structures = len({keys[same[0]] for _, same in conflicts})
        notes.append(
            f"{structures:,} structures have different labels for one task in several rows, in "
            f"{len(conflicts):,} cases, and all are kept: {'; '.join(shown)}{more}."
        )
    return notes


def _constant(labels: np.ndarray) -> np.ndarray:
    """Whether each column has less than two different values, (T,) bool."""
    lowest = np.fmin.reduce(labels, axis=0, initial=np.inf)
    return ~(np.fmax.reduce(labels, axis=0, initial=-np.inf) > lowest)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
