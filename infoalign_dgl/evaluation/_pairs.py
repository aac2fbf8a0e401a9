"""Molecules and profiles to match: read from tables or graphs, scaled as a run's, and paired."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.context.spaces import MAX_MISSING_SHARE, MinMaxScaler, settle_missing
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.sources.tables import did_you_mean, normalize_id, read_header, read_table
from infoalign_dgl.sources.task_tables import is_identifier, locate_task, structure_column
from infoalign_dgl.training.holdout import PROFILE_EDGES
from infoalign_dgl.training.run_folder import SPACES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infoalign_dgl.context import ContextGraph

PROFILES = tuple(kind[2] for kind in PROFILE_EDGES)
_BLOCK = 14  # letters of an InChIKey's first block, which says the connectivity
_SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class Space:
    """A run's feature space of profiles.

    Attributes
    ----------
    name : str
    node_type : str
        ``morphology`` or ``gene_expression``.
    columns : list of str
    scaler : MinMaxScaler
    """

    name: str
    node_type: str
    columns: list[str]
    scaler: MinMaxScaler


@dataclass(frozen=True)
class Molecules:
    """What stands on one side of a match: queries, or whose profile each candidate is.

    Attributes
    ----------
    names : list of str
        Where each is: a row of a table, a node of a graph.
    smiles : list of (str or None)
        As given.
    keys : list of (str or None)
        First blocks of InChIKeys; None where there is no structure, or none that can be read.
    ids : list of (str or None)
        By which profiles name them, where they do.
    """

    names: list[str]
    smiles: list[str | None]
    keys: list[str | None]
    ids: list[str | None]


@dataclass(frozen=True)
class Reading:
    """How to read molecules.

    Attributes
    ----------
    smiles_column : str or None
        None: found by its name.
    id_column : str or None
        By which profiles name their molecules; None: they have structures.
    tautomer : bool
        As for :func:`infoalign_dgl.molecules.standardize`.
    """

    smiles_column: str | None
    id_column: str | None
    tautomer: bool


@dataclass(frozen=True)
class Candidates:
    """Profiles as the run's decoder predicts them.

    Attributes
    ----------
    of : Molecules
        Whose they are, profile by profile.
    values : np.ndarray
        (P, d) float32 in [0, 1].
    counts : dict of str to int
        ``read``: profiles in all; ``incomplete``: of these, left out because too many entries are missing;
        ``filled``: missing entries of the others that got the column's median; ``clipped``: their entries
        outside the bounds of the run's scaler.
    """

    of: Molecules
    values: np.ndarray
    counts: dict[str, int]


@dataclass(frozen=True)
class Unseen:
    """Which molecules a run is new to, and which of the others stay.

    Attributes
    ----------
    excluded, seen, held_out : frozenset of str
        First InChIKey blocks: of what the user leaves out, and as
        :func:`infoalign_dgl.training.run_folder.read_molecules` has them.
    include_seen : bool
        Keep those seen.
    """

    excluded: frozenset[str]
    seen: frozenset[str]
    held_out: frozenset[str]
    include_seen: bool

    def keeps(self, key: str | None) -> bool:
        """Whether a molecule stays; one that is not known does not."""
        return key is not None and key not in self.excluded and (self.include_seen or key not in self.seen)

    def count(self, molecules: Molecules) -> dict[str, int]:
        """Count rows: all, of no known molecule, excluded, seen of the others, and held out of those kept."""
        known = [key for key in molecules.keys if key is not None]
        others = [key for key in known if key not in self.excluded]
        return {
            "read": len(molecules.keys),
            "unknown": len(molecules.keys) - len(known),
            "excluded": len(known) - len(others),
            "seen": sum(key in self.seen for key in others),
            "held_out": sum(key in self.held_out for key in others),
        }


def read_spaces(run: Path) -> dict[str, Space]:
    """Read a run's feature spaces of profiles, by name.

    Raises
    ------
    EvaluationError
        If the run does not say what its decoders' columns are, or has no such space.
    """
    path = run / SPACES
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EvaluationError(
            f"'{path}' cannot be read, so that nothing says what the decoders' columns are and how they are "
            "scaled: choose a run that pretrain wrote (imported weights have no such file)"
        ) from error
    spaces = {
        name: Space(name, of["node_type"], of["columns"], MinMaxScaler.from_json(of["scaler"]))
        for name, of in stored.items()
        if of["node_type"] in PROFILES and of["scaler"] is not None
    }
    if not spaces:
        raise EvaluationError(
            f"the run '{run}' has no space of morphology or expression profiles, only {', '.join(stored)}: "
            "choose a run of a graph with profiles"
        )
    return spaces


def open_source(source: str | Path) -> ContextGraph | Path:
    """Load a graph's folder, or find the table.

    Raises
    ------
    InfoAlignError
        If there is neither, or the graph is damaged.
    """
    from infoalign_dgl.context import ContextGraph

    if (Path(source) / "schema.json").is_file():
        return ContextGraph.load(source)
    return locate_task(source)[1]


def choose_space(spaces: Mapping[str, Space], candidates: ContextGraph | Path, given: str | None) -> Space:
    """Find the space that the candidates are in.

    Raises
    ------
    EvaluationError
        If it is none of the run's, or several could be meant.
    """
    if given is not None:
        if given not in spaces:
            raise EvaluationError(
                f"the run has no space of profiles '{given}': {did_you_mean(given, list(spaces))}"
            )
        return spaces[given]
    if isinstance(candidates, Path):
        header = set(read_header(candidates))
        fitting = [name for name, space in spaces.items() if header.issuperset(space.columns)]
        where = f"'{candidates}' has the columns"
    else:
        fitting = [name for name in spaces if name in candidates.spaces]
        where = f"the graph '{candidates.folder}' has the profiles"
    if len(fitting) != 1:
        raise EvaluationError(
            f"{where} of {', '.join(fitting) or 'none'} of the run's spaces {', '.join(spaces)}: name one of "
            "these with --space"
        )
    return spaces[fitting[0]]


def read_queries(source: ContextGraph | Path, space: Space, how: Reading) -> Molecules:
    """Read molecules: all of a table, or those of a graph that have a profile in the space.

    Raises
    ------
    InfoAlignError
        If a column is missing, or a graph cannot be paired by ids.
    """
    if isinstance(source, Path):
        header = read_header(source)
        return _read_molecules(source, structure_column(source, header, how.smiles_column), how)
    if how.id_column is not None:
        raise EvaluationError(
            f"the graph '{source.folder}' has no ids to pair '{how.id_column}' with: give --queries a table "
            "with that column and SMILES"
        )
    molecules = np.unique(_owners(source, space)[0])
    return _of_graph(source, molecules, source.nodes["molecule"]["key"].to_numpy()[molecules])


def read_candidates(source: ContextGraph | Path, space: Space, how: Reading) -> Candidates:
    """Read raw profiles and scale them as the run's; rows with too many gaps are left out and counted.

    A graph's profiles are brought back to raw units first, if its space is scaled otherwise.

    Raises
    ------
    InfoAlignError
        If a column of the space is missing or mostly empty, or nothing says whose the profiles are.
    """
    if isinstance(source, Path):
        return _candidates_of_table(source, space, how)
    if how.id_column is not None:
        raise EvaluationError(
            f"the graph '{source.folder}' has no column '{how.id_column}': leave --id out, its profiles know "
            "their molecules"
        )
    molecules, profiles = _owners(source, space)
    found = source.spaces[space.name]
    _check_columns(f"the graph '{source.folder}'", found.columns, space)
    values = found.dense(found.node_rows[profiles])
    clipped = 0
    same = found.scaler is not None and found.scaler.to_json() == space.scaler.to_json()
    if found.columns != space.columns or not same:
        place = {name: number for number, name in enumerate(found.columns)}
        raw = found.inverse_transform(values)[:, [place[name] for name in space.columns]]
        values, clipped = space.scaler.transform(raw)
    names = source.nodes[space.node_type]["key"].to_numpy()[profiles]
    counts = {"read": len(values), "incomplete": 0, "filled": 0, "clipped": clipped}
    return Candidates(_of_graph(source, molecules, names), values, counts)


def _owners(graph: ContextGraph, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Molecules and profiles of the space, pair by pair in the order of the profiles, local ids."""
    if space.name not in graph.spaces or graph.spaces[space.name].node_type != space.node_type:
        raise EvaluationError(
            f"the graph '{graph.folder}' has no {space.node_type} profiles of the space '{space.name}': "
            "give a graph that has them"
        )
    kind = next(kind for kind in PROFILE_EDGES if kind[2] == space.node_type)
    molecules, profiles, _ = graph.edges(kind)
    inside = np.flatnonzero(graph.spaces[space.name].node_rows[profiles] >= 0)
    inside = inside[np.argsort(profiles[inside], kind="stable")]
    return molecules[inside], profiles[inside]


def _of_graph(graph: ContextGraph, molecules: np.ndarray, names: np.ndarray) -> Molecules:
    table = graph.nodes["molecule"].iloc[molecules]
    keys = [key[:_BLOCK] if isinstance(key, str) else None for key in table["inchikey"]]
    return Molecules([str(name) for name in names], table["smiles"].tolist(), keys, [None] * len(table))


def _candidates_of_table(path: Path, space: Space, how: Reading) -> Candidates:
    header = read_header(path)
    _check_columns(f"'{path}'", header, space)
    structures = None
    if how.id_column is None:
        others = [name for name in header if name not in set(space.columns)]
        try:
            structures = structure_column(path, others, how.smiles_column)
        except EvaluationError as error:
            ids = [name for name in others if is_identifier(name)][:_SHOWN]
            raise EvaluationError(
                f"{error}, or the column of ids that --queries has too with --id"
                + (f" (say {' or '.join(ids)})" if ids else "")
            ) from error
    of = _read_molecules(path, structures, how)
    raw = read_table(path, numbers=space.columns)[space.columns].to_numpy(np.float64)
    gaps = ~np.isfinite(raw)
    whole = np.flatnonzero(gaps.mean(axis=1) <= MAX_MISSING_SHARE)
    if not len(whole):
        raise EvaluationError(
            f"'{path}' has no row with numbers in {1 - MAX_MISSING_SHARE:.0%} of the columns of the space "
            f"'{space.name}': give complete profiles"
        )
    settled = settle_missing(raw[whole], space.columns)
    if settled.dropped_columns:
        name, share = next(iter(settled.dropped_columns.items()))
        raise EvaluationError(
            f"'{path}' has no number in {share:.0%} of the rows of column '{name}', of the space "
            f"'{space.name}': give profiles in which at most {MAX_MISSING_SHARE:.0%} are missing"
        )
    values, clipped = space.scaler.transform(settled.values)
    counts = {
        "read": len(raw),
        "incomplete": len(raw) - len(whole),
        "filled": settled.num_imputed,
        "clipped": clipped,
    }
    return Candidates(take(of, whole), values, counts)


def named_by_ids(profiles: Molecules, molecules: Molecules, where: str) -> Molecules:
    """Give profiles the keys of the molecules that have their ids; None where none has.

    Raises
    ------
    EvaluationError
        If two different molecules have one id.
    """
    known: dict[str, str] = {}
    for name, key in zip(molecules.ids, molecules.keys, strict=True):
        if name is not None and key is not None and known.setdefault(name, key) != key:
            raise EvaluationError(
                f"'{where}' has two different molecules with the id '{name}': give each an id of its own"
            )
    keys = [None if name is None else known.get(name) for name in profiles.ids]
    return replace(profiles, keys=keys)


def take(molecules: Molecules, rows: np.ndarray) -> Molecules:
    """Keep some rows, in the order given."""
    columns = (molecules.names, molecules.smiles, molecules.keys, molecules.ids)
    return Molecules(*([column[row] for row in rows] for column in columns))


def _read_molecules(path: Path, structures: str | None, how: Reading) -> Molecules:
    """Read the columns of structures and ids, either of which may not be there."""
    from infoalign_dgl.molecules import standardize

    ids = how.id_column
    frame = read_table(path, text=list(dict.fromkeys(name for name in (structures, ids) if name is not None)))
    empty: list[str | None] = [None] * len(frame)
    smiles = frame[structures].tolist() if structures is not None else empty
    found = standardize(smiles, tautomer=how.tautomer)
    return Molecules(
        [f"row {row}" for row in frame.index],
        smiles,
        [key and key[:_BLOCK] for key in found.key],
        [normalize_id(name) for name in frame[ids]] if ids is not None else empty,
    )


def _check_columns(where: str, columns: Sequence[str], space: Space) -> None:
    known = set(columns)
    missing = [name for name in space.columns if name not in known]
    if missing:
        shown = ", ".join(f"'{name}'" for name in missing[:_SHOWN]) + (
            ", ..." if len(missing) > _SHOWN else ""
        )
        raise EvaluationError(
            f"{where} lacks {len(missing):,} of the {len(space.columns):,} columns of the space "
            f"'{space.name}' ({shown}): give profiles with the columns that the run's graph was built from"
        )
