"""Results folders of a run: what ``evaluate`` and ``retrieve`` wrote."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.manifest import MANIFEST
from infoalign_dgl.evaluation.report import TABLES
from infoalign_dgl.evaluation.retrieval import FIGURES
from infoalign_dgl.plots.pages._markdown import read_markdown_table
from infoalign_dgl.plots.pages._parts import Chart, Grid, GroupedGrid
from infoalign_dgl.training.run_folder import CONFIG, MOLECULES

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIRST = ("main", "shares", "compared", "uncertainty")  # the others are folded
_LARGEST_SVG = 400_000  # bytes; a figure of more is shown as the PNG beside it
_KINDS = {"png": "png", "svg": "svg+xml"}
_SHOWN = {
    "best": "on which share of the tasks each method is best",
    "spread": "how the methods' scores spread over tasks",
    "pair": "the first method against the best of the others, task by task",
}
_DIRECTIONS = {
    "molecule_to_profile": "Profiles ranked for each molecule",
    "profile_to_molecule": "Molecules ranked for each profile",
}
_COUNTS = {
    "read": "rows read",
    "incomplete": "left out: more than 5 % of the entries missing",
    "unknown": "left out: no structure that can be read",
    "excluded": "left out by --exclude",
    "seen": "seen in pretraining",
    "repeated": "repeat a molecule",
    "ranked": "ranked",
    "held_out": "in the run's graph, held out",
}


@dataclass(frozen=True)
class Results:
    """One results folder on the page.

    Attributes
    ----------
    title : str
    said : list of str
        What a reader should know, sentences.
    grids : list of Grid
        What was compared on, or figures of matching.
    tables, folded : list of GroupedGrid
        Tables of an evaluation: those shown, and those behind a heading that opens.
    charts : list of Chart
    """

    title: str
    said: list[str]
    grids: list[Grid]
    tables: list[GroupedGrid]
    folded: list[GroupedGrid]
    charts: list[Chart]


def read_results(run: Path, folder: Path) -> Results:
    """Read a folder that ``evaluate`` or ``retrieve`` wrote.

    Parameters
    ----------
    run : Path
        The run of the page.
    folder : Path

    Raises
    ------
    EvaluationError
        If it is neither, or of another run.
    """
    if (folder / MANIFEST).is_file():
        return _evaluation(run, folder)
    if (folder / FIGURES).is_file():
        return _matching(run, folder)
    raise EvaluationError(
        f"'{folder}' has neither {MANIFEST} nor {FIGURES}: pass a folder that evaluate or retrieve wrote"
    )


def _evaluation(run: Path, folder: Path) -> Results:
    stored = _read_json(folder / MANIFEST, ("run", "plan", "task_sets"))
    said = _whose(run, folder, stored)
    plan = stored["plan"]
    seeds = max(len(seeds) for seeds in plan["seeds"].values())
    often = f"with up to {seeds} seeds" if seeds > 1 else "once"
    said.append(f"Split: {plan['split']} (seed {plan['split_seed']}); methods were fitted {often}.")
    task_sets = [
        [
            name,
            one["kind"],
            f"{one['molecules']:,}",
            f"{one['tasks']:,}",
            *(f"{one['split'][part]['rows']:,}" for part in ("train", "valid", "test")),
            "not known" if one["seen_in_pretraining"] is None else f"{one['seen_in_pretraining']:,}",
        ]
        for name, one in stored["task_sets"].items()
    ]
    columns = ["task set", "kind", "molecules", "tasks", "train", "valid", "test", "seen in pretraining"]
    grid = Grid("What was compared on", columns, task_sets, (2, 3, 4, 5, 6, 7))
    found = {path.stem: path for path in sorted((folder / TABLES).glob("*.md"))}
    order = sorted(found, key=lambda name: (_place(name), name))
    tables = {name: read_markdown_table(found[name]) for name in order}
    charts = [
        Chart(stem, inline_file(path, _alt(stem)), f"{_alt(stem)}.")
        for stem, path in _figures(folder / "figures")
    ]
    if not charts:
        said.append("The folder has no figures: evaluate draws them where matplotlib is installed.")
    return Results(
        f"Evaluation in {folder.resolve().name}",
        said,
        [grid],
        [table for name, table in tables.items() if _place(name) < len(_FIRST)],
        [table for name, table in tables.items() if _place(name) == len(_FIRST)],
        charts,
    )


def _place(name: str) -> int:
    """Where a table stands on the page: among the first ones, or after them."""
    return next((place for place, first in enumerate(_FIRST) if name.split("-")[0] == first), len(_FIRST))


def _whose(run: Path, folder: Path, stored: dict[str, Any]) -> list[str]:
    """Check that a manifest is of a run, and say as what it was compared.

    Raises
    ------
    EvaluationError
        If the run is not among those compared.
    """
    others = stored.get("other_runs", {})
    named = {"": stored["run"], **others}
    step_gone = None
    for name, one in named.items():
        weights = run / one["weights"]
        if weights.is_file():
            if _sha256(weights) == one["weights_sha256"]:
                return _called(name, one, others)
        elif _is_trained_alike(run, one):
            step_gone = (name, one)
    if step_gone is not None:
        return [
            *_called(*step_gone, others),
            f"Of the weights {step_gone[1]['weights']}, which the run no longer has: settings and molecules "
            "are the same.",
        ]
    raise EvaluationError(
        f"'{folder}' has results of another run than '{run}': none of the weights compared there are this "
        "run's; pass the results of this run, or report on that one"
    )


def _called(name: str, one: dict[str, Any], others: dict[str, Any]) -> list[str]:
    step = Path(one["weights"]).parent.name.replace("-", " ")
    said = [f"Compared with this run's weights of {step}."]
    if name:
        said.append(f"This run is '{name}' there; the run that others are compared with is another.")
    elif others:
        said.append(f"This run is 'infoalign' there; other runs are {', '.join(others)}.")
    return said


def _is_trained_alike(run: Path, one: dict[str, Any]) -> bool:
    """Whether a run has the settings and molecules that a manifest describes."""
    pairs = ((CONFIG, "config_sha256"), (MOLECULES, "molecules_sha256"))
    return all(
        one[key] is not None and (run / name).is_file() and _sha256(run / name) == one[key]
        for name, key in pairs
    )


def _matching(run: Path, folder: Path) -> Results:
    stored = _read_json(folder / FIGURES, ("run", "checkpoint", "space", "counts", "directions"))
    said = [f"Feature space {stored['space']}, by the weights of {stored['checkpoint'].replace('-', ' ')}."]
    was = Path(stored["run"])
    if was.is_dir():
        is_this = was.resolve() == run.resolve()
    else:
        is_this = was.name == run.resolve().name
        said.append(
            f"They were written for the run in '{was}', which is not there any more; that it is this one is "
            "known by its name alone."
        )
    if not is_this:
        raise EvaluationError(
            f"'{folder}' has results of another run than '{run}', that in '{was}': pass the results of this "
            "run, or report on that one"
        )
    seen = "kept" if stored["include_seen"] else "left out"
    said.append(
        f"Molecules seen in pretraining were {seen}. Intervals hold 95 % of bootstrap samples of molecules."
    )
    sides = ("queries", "candidates")
    counts = [
        [text, *(_count(stored["counts"][side].get(name)) for side in sides)]
        for name, text in _COUNTS.items()
        if any(name in stored["counts"][side] for side in sides)
    ]
    grids = [_direction(name, found) for name, found in stored["directions"].items()]
    grids.append(Grid("What was matched", ["", "molecules", "profiles"], counts, (1, 2)))
    charts = [
        Chart(
            stem,
            inline_file(
                path,
                f"{_DIRECTIONS.get(stem, stem)}: share of queries with a right answer among "
                "the first k, beside random order",
            ),
            _DIRECTIONS.get(stem, stem) + ".",
        )
        for stem, path in _figures(folder)
    ]
    return Results(f"Matching in {folder.resolve().name}", said, grids, [], [], charts)


def _direction(name: str, found: dict[str, Any]) -> Grid:
    """Make a row a measure: each score's figure with its interval, and chance beside it."""
    scores = found["scores"]
    measures = next(iter(scores.values()))
    rows = [
        [measure, *(_figure(of[measure]) for of in scores.values()), f"{measures[measure]['chance']:.4g}"]
        for measure in measures
    ]
    return Grid(
        f"{_DIRECTIONS.get(name, name)}: {found['queries']:,} queries, {found['candidates']:,} candidates",
        ["measure", *scores, "chance"],
        rows,
        tuple(range(1, 2 + len(scores))),
    )


def _figure(of: dict[str, Any]) -> str:
    interval = "" if of["low"] is None else f" [{of['low']:.3g}, {of['high']:.3g}]"
    return f"{of['value']:.4g}{interval}"


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _figures(folder: Path) -> Iterable[tuple[str, Path]]:
    """Name each figure of a folder and the file to show: the SVG, or the PNG where that is too large."""
    for stem in sorted({path.stem for path in folder.glob("*.*") if path.suffix in (".svg", ".png")}):
        svg, png = folder / f"{stem}.svg", folder / f"{stem}.png"
        too_large = svg.is_file() and svg.stat().st_size > _LARGEST_SVG and png.is_file()
        yield stem, svg if svg.is_file() and not too_large else png


def inline_file(path: Path, alt: str) -> Markup:
    """Give a figure's file as an ``<img>`` that holds it."""
    data = base64.b64encode(path.read_bytes()).decode()
    kind = _KINDS[path.suffix.removeprefix(".")]
    return Markup('<img class="figure" alt="{}" src="data:image/{};base64,{}">').format(alt, kind, data)


def _alt(stem: str) -> str:
    kind, _, task_set = stem.partition("-")
    return f"{task_set}: {_SHOWN[kind]}" if kind in _SHOWN else stem


def _read_json(path: Path, keys: Iterable[str]) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EvaluationError(f"'{path}' cannot be read ({error}): make the results again") from error
    if not isinstance(stored, dict) or any(key not in stored for key in keys):
        raise EvaluationError(f"'{path}' is not what evaluate or retrieve writes: make the results again")
    return stored


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
