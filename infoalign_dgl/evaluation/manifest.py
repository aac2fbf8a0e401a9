"""What a comparison used and made, so that anyone can check that its tables are those of its predictions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl import __version__
from infoalign_dgl._folders import replace_text
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.training.run_folder import MOLECULES, read_molecules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from infoalign_dgl.evaluation.experiment import Judged, Plan
    from infoalign_dgl.evaluation.tasks import TaskSet

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
_VERSIONED = ("dgl", "numpy", "rdkit", "scikit-learn", "torch")


def seen_molecules(run: Path) -> frozenset[str] | None:
    """First InChIKey blocks of all molecules of the graph that a run was pretrained on.

    None for weights that were imported, of which nobody can say what they have seen.
    """
    return read_molecules(run)[0] if (run / MOLECULES).is_file() else None


def overlap(task_set: TaskSet, seen: frozenset[str] | None) -> int | None:
    """Rows of a task set whose molecule a run has seen in pretraining, None where nobody can say."""
    return None if seen is None else sum(key in seen for key in task_set.keys)


def write_manifest(folder: Path, run: Path, checkpoint: Path, plan: Plan, judged: Sequence[Judged]) -> None:
    """Write ``manifest.json`` into a results folder.

    Parameters
    ----------
    folder : Path
    run : Path
        Folder of the run that was compared.
    checkpoint : Path
        Folder of its weights.
    plan : Plan
    judged : sequence of Judged
        One for each task set.

    Raises
    ------
    InfoAlignError
        If it cannot be written.
    """
    seen = seen_molecules(run)
    found = {
        "format_version": FORMAT_VERSION,
        "versions": {
            "infoalign-dgl": __version__,
            **{name: importlib.metadata.version(name) for name in _VERSIONED},
        },
        "run": {
            "weights": str((checkpoint / "model.safetensors").relative_to(run)),
            "weights_sha256": _sha256(checkpoint / "model.safetensors"),
            "config_sha256": _sha256(run / "config.json"),
            "molecules_seen": None if seen is None else len(seen),
            "molecules_sha256": None if seen is None else _sha256(run / MOLECULES),
        },
        "plan": {
            "methods": [method.name for method in plan.methods],
            "split": plan.split,
            "split_seed": plan.split_seed,
            "seeds": {method.name: plan.seeds_of(method) for method in plan.methods},
        },
        "task_sets": {one.task_set.name: _describe(folder, one, seen) for one in judged},
    }
    replace_text(folder / MANIFEST, json.dumps(found, indent=1) + "\n")


def _describe(folder: Path, judged: Judged, seen: frozenset[str] | None) -> dict[str, Any]:
    task_set, split = judged.task_set, judged.split
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    return {
        "labels_sha256": _array(task_set.labels),
        "kind": task_set.kind,
        "molecules": len(task_set.smiles),
        "tasks": len(task_set.tasks),
        "seen_in_pretraining": overlap(task_set, seen),
        "split": {name: {"rows": len(rows), "sha256": _array(rows)} for name, rows in parts.items()},
        "rows_of_train_molecules": {"valid": judged.leakage.valid, "test": judged.leakage.test},
        "scores": {result.method: _mean(result) for result in judged.results},
        "predictions": {
            path.relative_to(folder).as_posix(): _sha256(path)
            for paths in judged.cells.values()
            for path in paths
        },
    }


def _mean(result: Any) -> float | None:
    if result.scores is None or not result.scores.scored.any():
        return None
    return float(result.scores.mean().mean())


def verify_manifest(path: Path, run: Path | None = None) -> list[str]:
    """Check that what a manifest lists is there and unchanged.

    Parameters
    ----------
    path : Path
        The manifest, or the results folder that holds it.
    run : Path, optional
        The run that was compared: its weights and its list of molecules are checked too.

    Returns
    -------
    list of str
        What differs, a sentence each; none if all is as it was.

    Raises
    ------
    EvaluationError
        If the manifest cannot be read.
    """
    path = path / MANIFEST if path.is_dir() else path
    try:
        stored = json.loads(path.read_text())
        task_sets, of_run = stored["task_sets"], stored["run"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"'{path}' is no manifest of an evaluation ({error}): pass its folder"
        ) from error
    listed = {name: digest for one in task_sets.values() for name, digest in one["predictions"].items()}
    wanted = [(path.parent / name, digest) for name, digest in listed.items()]
    if run is not None:
        wanted += [
            (run / of_run["weights"], of_run["weights_sha256"]),
            (run / "config.json", of_run["config_sha256"]),
        ]
        wanted += [(run / MOLECULES, digest)] if (digest := of_run["molecules_sha256"]) else []
    found = []
    for file, digest in wanted:
        if not file.is_file():
            found.append(f"'{file}' is missing")
        elif _sha256(file) != digest:
            found.append(f"'{file}' is another file than it was")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _array(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
