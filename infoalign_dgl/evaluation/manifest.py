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
from infoalign_dgl.training.checkpoint import MODEL as WEIGHTS
from infoalign_dgl.training.run_folder import CONFIG, MOLECULES, read_config, read_molecules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from infoalign_dgl.evaluation.experiment import Judged, Plan

MANIFEST = "manifest.json"
FORMAT_VERSION = 1
_VERSIONED = ("dgl", "numpy", "rdkit", "scikit-learn", "torch")


def seen_molecules(run: Path) -> frozenset[str] | None:
    """First InChIKey blocks of all molecules of the graph that a run was pretrained on.

    None for weights that were imported, of which nobody can say what they have seen.
    """
    return read_molecules(run)[0] if (run / MOLECULES).is_file() else None


def write_manifest(
    folder: Path, runs: Mapping[str, tuple[Path, Path]], plan: Plan, judged: Sequence[Judged]
) -> None:
    """Write ``manifest.json`` into a results folder.

    Parameters
    ----------
    folder : Path
    runs : mapping of str to (Path, Path)
        By name, the folders of each run that was compared and of its weights; the first is the one that was
        compared with the others.
    plan : Plan
    judged : sequence of Judged
        One for each task set.

    Raises
    ------
    InfoAlignError
        If it cannot be written.
    """
    run, *others = runs
    found = {
        "format_version": FORMAT_VERSION,
        "versions": {
            "infoalign-dgl": __version__,
            **{name: importlib.metadata.version(name) for name in _VERSIONED},
        },
        "run": _describe_run(*runs[run]),
        "other_runs": {
            name: {"folder": _folder_of(runs[name][0], folder), **_describe_run(*runs[name])}
            for name in others
        },
        "plan": {
            "methods": [method.name for method in plan.methods],
            "split": plan.split,
            "split_seed": plan.split_seed,
            "seeds": {method.name: plan.seeds_of(method) for method in plan.methods},
        },
        "task_sets": {one.task_set.name: _describe(folder, one, run) for one in judged},
    }
    replace_text(folder / MANIFEST, json.dumps(found, indent=1) + "\n")


def _describe_run(run: Path, checkpoint: Path) -> dict[str, Any]:
    seen, config = seen_molecules(run), read_config(run)
    return {
        "weights": str((checkpoint / WEIGHTS).relative_to(run)),
        "weights_sha256": _sha256(checkpoint / WEIGHTS),
        "config_sha256": _sha256(run / CONFIG),
        "control": None if config.pretrain is None else config.pretrain.control,
        "graph_sha256": config.graph.get("sums_sha256"),
        "molecules_seen": None if seen is None else len(seen),
        "molecules_sha256": None if seen is None else _sha256(run / MOLECULES),
    }


def _folder_of(run: Path, folder: Path) -> str | None:
    """Say where a run stands in the results; None if it is elsewhere, where it may not be for ever."""
    inside = run.resolve().is_relative_to(folder.resolve())
    return run.resolve().relative_to(folder.resolve()).as_posix() if inside else None


def _describe(folder: Path, judged: Judged, run: str) -> dict[str, Any]:
    task_set, split = judged.task_set, judged.split
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    return {
        "labels_sha256": _array(task_set.labels),
        "kind": task_set.kind,
        "molecules": len(task_set.smiles),
        "tasks": len(task_set.tasks),
        "seen_in_pretraining": judged.seen[run],
        "seen_by_other_runs": {name: count for name, count in judged.seen.items() if name != run},
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


def verify_manifest(path: Path, run: Path | None = None, runs: Mapping[str, Path] | None = None) -> list[str]:
    """Check that what a manifest lists is there and unchanged.

    Parameters
    ----------
    path : Path
        The manifest, or the results folder that holds it.
    run : Path, optional
        The run that was compared: its weights and its list of molecules are checked too.
    runs : mapping of str to Path, optional
        Other runs, by the names they were compared as, to be checked too; those in the results folder are
        checked anyway.

    Returns
    -------
    list of str
        What differs, a sentence each; none if all is as it was.

    Raises
    ------
    EvaluationError
        If the manifest cannot be read, or has no run of such a name.
    """
    path = path / MANIFEST if path.is_dir() else path
    try:
        stored = json.loads(path.read_text())
        task_sets, described = stored["task_sets"], stored.get("other_runs", {})
        of_run = stored["run"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(
            f"'{path}' is no manifest of an evaluation ({error}): pass its folder"
        ) from error
    listed = {name: digest for one in task_sets.values() for name, digest in one["predictions"].items()}
    wanted = [(path.parent / name, digest) for name, digest in listed.items()]
    if run is not None:
        wanted += _files_of(run, of_run)
    unknown = set(runs or {}) - set(described)
    if unknown:
        raise EvaluationError(
            f"'{path}' has no run '{min(unknown)}' but {', '.join(described) or 'none'}: name it as it was"
        )
    for name, one in described.items():
        inside = None if one["folder"] is None else path.parent / one["folder"]
        where = (runs or {}).get(name, inside)
        wanted += [] if where is None else _files_of(where, one)
    found = []
    for file, digest in wanted:
        if not file.is_file():
            found.append(f"'{file}' is missing")
        elif _sha256(file) != digest:
            found.append(f"'{file}' is another file than it was")
    return found


def _files_of(run: Path, described: dict[str, Any]) -> list[tuple[Path, str]]:
    """List the files of a run that a manifest has hashes of."""
    names = {described["weights"]: "weights_sha256", CONFIG: "config_sha256", MOLECULES: "molecules_sha256"}
    return [(run / name, described[key]) for name, key in names.items() if described[key] is not None]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _array(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
