"""Which molecules are drawn on the map of a run's latent, and what they are coloured by."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl._folders import CHECKSUMS
from infoalign_dgl.errors import InfoAlignError, RunError

if TYPE_CHECKING:
    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.run_folder import RunConfig

MOST_MOLECULES = 2_000
"""Most molecules of the graph on a map; the rest of a larger graph is left out at random."""
MOST_ROWS = 5_000
"""Most rows of a user's table on a map."""
_MOST_LABELS = 12


@dataclass(frozen=True)
class Chosen:
    """The molecules of a map.

    Attributes
    ----------
    smiles : list of (str or None)
    labels : list of str
        What they are coloured by; the empty string is drawn in grey.
    said : str
        Where they are from, how many of how many, and what colours mean: sentences.
    """

    smiles: list[str | None]
    labels: list[str]
    said: str


def from_table(path: Path, label: str | None, seed: int) -> Chosen:
    """Choose molecules of a table.

    Raises
    ------
    InfoAlignError
        If it cannot be read, or has no column of SMILES or no such label.
    """
    from infoalign_dgl.sources.tables import did_you_mean, read_header, read_table
    from infoalign_dgl.sources.task_tables import structure_column

    header = read_header(path)
    column = structure_column(path, header)
    if label is not None and label not in header:
        raise RunError(f"'{path}' has no column '{label}': {did_you_mean(label, header)}")
    table = read_table(path, text=list(dict.fromkeys([column, *([] if label is None else [label])])))
    rows = _sample(np.arange(len(table)), MOST_ROWS, seed)
    smiles = table[column].iloc[rows].tolist()
    lot = (
        f", {len(rows):,} of its {len(table):,} rows, drawn at random (seed {seed})"
        if len(rows) < len(table)
        else ""
    )
    said = f"Molecules of '{path.name}'{lot or f', {len(rows):,} rows'}."
    if label is None:
        return Chosen(smiles, ["molecules"] * len(smiles), said)
    labels, note = group_labels(table[label].iloc[rows].tolist())
    return Chosen(smiles, labels, f"{said} Colours are '{label}'{note}.")


def group_labels(values: list[str | None]) -> tuple[list[str], str]:
    """Make labels of a column: as they are where they are few, quarters of many numbers, else the commonest.

    Returns
    -------
    labels : list of str
        One for each value; empty for a value that is missing, and for rare ones of many.
    note : str
        What was done, as the end of a sentence.
    """
    texts = ["" if value is None else str(value).strip() for value in values]
    counts = Counter(text for text in texts if text)
    if not counts:
        return ["not known"] * len(texts), ", which is empty"
    missing = ", grey where there is none" if "" in texts else ""
    if len(counts) <= _MOST_LABELS:
        return texts, missing
    try:
        numbers = np.array([float(text) if text else np.nan for text in texts])
    except ValueError:
        common = {name for name, _ in counts.most_common(_MOST_LABELS)}
        note = f": the {_MOST_LABELS} commonest values, grey for the {len(counts) - len(common):,} others"
        return [text if text in common else "" for text in texts], note
    return _quarters(numbers), f" in quarters{missing}"


def _quarters(numbers: np.ndarray) -> list[str]:
    """Name the quarter that each number is in; empty for one that is not known, or not finite."""
    known = np.isfinite(numbers)
    edges = np.quantile(numbers[known], [0.25, 0.5, 0.75])
    names = [f"{place}: up to {edge:.3g}" for place, edge in enumerate(edges, 1)]
    names.append(f"4: above {edges[2]:.3g}")
    places = (numbers[:, None] > edges).sum(axis=1)
    return [names[place] if ok else "" for place, ok in zip(places, known, strict=True)]


def from_graph(config: RunConfig, seed: int) -> Chosen | str:
    """Choose molecules of the graph that a run was trained on; say why if they cannot be had."""
    instead = "Name a table of molecules with --molecules."
    folder = config.graph.get("folder")
    if folder is None:
        what = "its graph was never saved" if config.graph else "nothing says which graph it was trained on"
        return f"There is no map: {what}. {instead}"
    path = Path(folder)
    if not (path / CHECKSUMS).is_file():
        return f"There is no map: the graph is no longer in '{path}'. {instead}"
    sums = hashlib.sha256((path / CHECKSUMS).read_bytes()).hexdigest()
    if sums != config.graph.get("sums_sha256"):
        return f"There is no map: '{path}' is now another graph than the run was trained on. {instead}"
    from infoalign_dgl.context import ContextGraph

    try:
        # The checksums are the run's; whether every large file is as they say would take longer than the map.
        graph = ContextGraph.load(path, verify=False)
    except InfoAlignError as error:
        return f"There is no map: {error}. {instead}"
    return _of_graph(graph, seed)


def _of_graph(graph: ContextGraph, seed: int) -> Chosen:
    """Draw molecules: of a large graph, half of them with a profile, if there are as many."""
    kinds = profile_kinds(graph)
    with_profile, without = (np.flatnonzero((kinds != "") == flag) for flag in (True, False))
    half = max(MOST_MOLECULES // 2, MOST_MOLECULES - len(without))
    drawn = _sample(with_profile, half, seed)
    others = _sample(without, MOST_MOLECULES - len(drawn), seed)
    rows = np.concatenate([others, drawn])
    said = (
        f"Molecules of the graph: {_of(len(drawn), len(with_profile))} with a profile and "
        f"{_of(len(others), len(without))} without one"
    )
    all_drawn = len(rows) == len(kinds)
    said += "." if all_drawn else f", drawn at random (seed {seed})."
    labels = kinds[rows].tolist()
    if not len(drawn):
        labels = ["no profile"] * len(rows)
    else:
        said += " Colours say which kinds of profile a molecule has" + (
            ", grey none." if len(others) else "."
        )
    return Chosen(graph.nodes["molecule"]["smiles"].iloc[rows].tolist(), labels, said)


def profile_kinds(graph: ContextGraph) -> np.ndarray:
    """Name the kinds of profile that each molecule has: (molecules,) text, empty for none."""
    from infoalign_dgl.training.holdout import PROFILE_EDGES

    kinds = np.full(graph.num_nodes["molecule"], "", dtype=object)
    for kind in PROFILE_EDGES:
        has = np.zeros(len(kinds), bool)
        has[graph.edges(kind)[0]] = True
        name = kind[2].replace("_", " ")
        kinds[has] = [f"{before} and {name}" if before else name for before in kinds[has]]
    return kinds


def _of(some: int, of: int) -> str:
    return f"all {of:,}" if some == of else f"{some:,} of the {of:,}"


def _sample(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Draw at most so many, in their order."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
