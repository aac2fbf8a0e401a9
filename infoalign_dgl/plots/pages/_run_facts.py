"""What a run is: its settings, how far it came, and what it was trained on."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.models.config import ModelConfig
from infoalign_dgl.plots._metrics import METRICS, validated
from infoalign_dgl.plots.pages._parts import Grid
from infoalign_dgl.training.checkpoint import BEST, FOLDER, checkpoint_folder, saved_steps
from infoalign_dgl.training.config import PretrainConfig
from infoalign_dgl.training.holdout import SpaceValidation, mean_difference
from infoalign_dgl.training.run_folder import CONFIG, MOLECULES, read_molecules
from infoalign_dgl.training.schedule import CYCLES

if TYPE_CHECKING:
    from pathlib import Path

    from infoalign_dgl.training.run_folder import RunConfig

_CONTROLS = {
    "permuted": "every molecule has another one's responses, so that what it learns of cells is of no use",
    "fingerprints": "the molecules' fingerprints are its only targets, so that it learns nothing of cells",
}

_NODES = {
    "molecule": "molecules",
    "gene": "genes",
    "gene_expression": "gene expression profiles",
    "morphology": "morphology profiles",
}


@dataclass(frozen=True)
class RunFacts:
    """The head of a run's page.

    Attributes
    ----------
    lead : str
        What kind of run it is and how far it came, a sentence or two.
    warnings : list of str
        What a reader has to know before the rest.
    facts : Grid
    differing, settings : Grid
        Settings that are not the default, and all of them.
    """

    lead: str
    warnings: list[str]
    facts: Grid
    differing: Grid
    settings: Grid


def describe(run: Path, config: RunConfig, lines: list[dict[str, Any]]) -> RunFacts:
    """Say what a run is.

    Parameters
    ----------
    run : Path
    config : RunConfig
        Of the run.
    lines : list of dict
        Its metrics.
    """
    state, warnings = _state(run, config, lines)
    facts = [
        ["what it is", kind_of(config)],
        ["state", state],
        ["checkpoint read here", _checkpoint(run, lines)],
        ["checkpoints kept", ", ".join(f"step {step:,}" for step in saved_steps(run)) or "none yet"],
        *_graph(config),
        *_molecules(run),
        ["processes", f"{config.processes}"],
        ["written by", _versions(run)],
    ]
    if config.pretrain is None:
        values, defaults = config.model.to_json(), ModelConfig().to_json()
        values.pop("spaces"), values.pop("modality")
    else:
        values, defaults = config.pretrain.to_json(), PretrainConfig().to_json()
    rows = [[name, plain(value), plain(defaults[name])] for name, value in values.items()]
    columns = ["setting", "value", "default"]
    return RunFacts(
        f"{kind_of(config)}; {state}.",
        warnings,
        Grid("The run", ["", ""], facts),
        Grid(
            "Settings that are not the default",
            columns,
            [row for row in rows if values[row[0]] != defaults[row[0]]],
        ),
        Grid("All settings", columns, rows),
    )


def kind_of(config: RunConfig) -> str:
    """Say what kind of run it is, without a full stop."""
    if config.imported is not None:
        return (
            f"weights imported from {config.imported['file']} (SHA-256 {config.imported['sha256']}): nobody "
            "can say how they were trained"
        )
    control = None if config.pretrain is None else config.pretrain.control
    if control is not None:
        return f"the control '{control}': {_CONTROLS.get(control, 'one thing is changed')}"
    return "a pretraining run"


def total_steps(config: RunConfig, lines: list[dict[str, Any]]) -> int | None:
    """Tell how many steps the whole run has; None where nothing says so.

    It is not written down, but the learning rate falls to its end along a curve that is known.
    """
    settings = config.pretrain
    if settings is None:
        return None
    if lines and settings.lr > 0:
        done, share = lines[-1]["step"] - 1, lines[-1]["lr"] / settings.lr
        if done > 0 and 0 < share < 1:
            return round(math.pi * CYCLES * done / math.acos(share))  # the inverse of cosine_factor
    return settings.max_steps


def _state(run: Path, config: RunConfig, lines: list[dict[str, Any]]) -> tuple[str, list[str]]:
    if config.pretrain is None:
        return "it has no metrics", []
    saved, total = max(saved_steps(run), default=None), total_steps(config, lines)
    failed = sorted(path.name for path in run.glob("failed-step-*.json"))
    warnings = [
        f"A step failed because a number was not finite: see {name} in the run folder." for name in failed
    ]
    of = "of a number that is not known yet" if total is None else f"of {total:,}"
    done = lines[-1]["step"] if lines else 0
    if saved is not None and saved == total:
        finished = (
            f"finished: {saved:,} steps" if total else "not trained: 0 steps, the weights it starts with"
        )
        return finished, warnings
    kept = "nothing is saved yet" if saved is None else f"step {saved:,} is saved"
    if saved == config.pretrain.stop_after and saved is not None:
        return f"stopped after step {saved:,} {of}, as it was to", warnings
    when = ""
    if (run / METRICS).is_file() and lines:
        moment = datetime.fromtimestamp((run / METRICS).stat().st_mtime, UTC)
        when = f", the last one at {moment:%Y-%m-%d %H:%M} UTC"
    warnings.append(
        "The run is not finished: it goes on, or was stopped. One that was stopped goes on with "
        "pretrain --resume."
    )
    return f"not finished: {done:,} steps {of} are done{when}; {kept}", warnings


def _checkpoint(run: Path, lines: list[dict[str, Any]]) -> str:
    try:
        chosen = checkpoint_folder(run).name
    except InfoAlignError as error:
        return str(error)
    step = int(chosen.removeprefix("step-"))
    is_best = (run / FOLDER / BEST).is_file() and (run / FOLDER / BEST).read_text().strip() == chosen
    if not is_best:
        return (
            f"step {step:,}, the last one whole: nothing says which is the best, no molecules being validated"
        )
    value = dict(mean_differences(lines)).get(step)
    by = "" if value is None else f" ({value:+.6f} nats per column)"
    return (
        f"step {step:,}, the best: over all targets of the molecules held out, its loss less that of column "
        f"means is the lowest{by}"
    )


def mean_differences(lines: list[dict[str, Any]]) -> list[tuple[int, float]]:
    """Give for each validation its step and the figure by which checkpoints are compared."""
    return [
        (step, mean_difference({name: SpaceValidation(**values) for name, values in spaces.items()}))  # type: ignore[arg-type]
        for step, spaces in validated(lines)
    ]


def _graph(config: RunConfig) -> list[list[str]]:
    graph = config.graph
    if not graph:
        return [["graph", "not known: the weights were imported"]]
    nodes = ", ".join(f"{count:,} {_NODES.get(name, name)}" for name, count in graph["nodes"].items())
    rows = [
        ["graph", str(graph.get("folder", "was never saved"))],
        ["its nodes", nodes],
        ["its edges", f"{graph['edges']:,}"],
    ]
    if "sums_sha256" in graph:
        rows.append(["SHA-256 of its checksums", graph["sums_sha256"]])
    rows.append(["SHA-256 of its structures", graph["molecules_sha256"]])
    if "identity" in graph:
        tautomers = "canonical tautomers" if graph.get("tautomer") else "as drawn"
        rows.append(["its molecules are told apart by", f"{graph['identity']} of the InChIKey, {tautomers}"])
    return rows


def _molecules(run: Path) -> list[list[str]]:
    if not (run / MOLECULES).is_file():
        return [["molecules seen", "not known: evaluations cannot check that theirs are new to it"]]
    seen, held_out = read_molecules(run)
    return [
        ["molecules of the graph", f"{len(seen) + len(held_out):,} (by first InChIKey block)"],
        ["seen in training", f"{len(seen):,}"],
        ["held out", f"{len(held_out):,}"],
    ]


def _versions(run: Path) -> str:
    versions = json.loads((run / CONFIG).read_text()).get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "not known"


def plain(value: Any) -> str:
    """Write a setting as text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
