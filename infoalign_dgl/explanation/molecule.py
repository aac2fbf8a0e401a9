"""Finding the molecule that is asked for: by an id of the graph, or by its structure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import MoleculeError
from infoalign_dgl.explanation.results import Status, Subject
from infoalign_dgl.molecules import standardize
from infoalign_dgl.sources.tables import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from infoalign_dgl.context import ContextGraph

_BLOCK = 14  # letters of an InChIKey's first block, which says the connectivity
_INCHIKEY = re.compile(r"[A-Z]{14}(-[A-Z]{10}-[A-Z])?")
_SAME_START = 3  # letters that a mistyped id shares with the one that is meant


def find_molecule(graph: ContextGraph | None, given: str, held_out: np.ndarray, *, tautomer: bool) -> Subject:
    """Find a molecule in the graph, or read it as one that is new.

    What is given may be a node's key, an InChIKey (whole, or its first block), one of the ids that tables
    give the molecule, SMILES, or InChI. Structures are standardized as the graph's were, and are the node's
    if the first blocks of their InChIKeys are equal.

    Parameters
    ----------
    graph : ContextGraph or None
    given : str
    held_out : np.ndarray
        Node ids of the molecules that training never saw, int64.
    tautomer : bool
        As for :func:`infoalign_dgl.molecules.standardize`.

    Returns
    -------
    Subject

    Raises
    ------
    MoleculeError
        If it is neither in the graph nor a structure that can be read.
    """
    text = given.strip()
    node = None if graph is None else _node_of_name(graph.nodes["molecule"], text)
    if graph is not None and node is not None:
        return _of_graph(graph, given, node, held_out)
    kind = "inchi" if text.startswith("InChI=") else "smiles"
    found = standardize([text], kind=kind, tautomer=tautomer)
    smiles, inchikey = found.smiles[0], found.key[0]
    if smiles is None or inchikey is None:
        raise MoleculeError(_why_not(graph, text, str(found.reason[0])))
    if graph is not None:
        node = _node_of_block(graph.nodes["molecule"], inchikey)
        if node is not None:
            return _of_graph(graph, given, node, held_out)
    return Subject(given, smiles, inchikey, None, None, [], "new", _said_of_new(graph))


def _node_of_name(table: pd.DataFrame, name: str) -> int | None:
    for column in ("key", "inchikey"):
        found = np.flatnonzero((table[column] == name).to_numpy())
        if len(found):
            return int(found[0])
    if _INCHIKEY.fullmatch(name):
        return _node_of_block(table, name)
    if not name or "ids" not in table:  # a graph of before they were kept has none
        return None
    maybe = np.flatnonzero(table["ids"].str.contains(name, regex=False).to_numpy())
    return next((int(node) for node in maybe if name in table["ids"].iloc[node].split(";")), None)


def _node_of_block(table: pd.DataFrame, inchikey: str) -> int | None:
    """Find the molecule of that InChIKey, or else the first with the same connectivity."""
    same = np.flatnonzero((table["inchikey"].astype("string").str[:_BLOCK] == inchikey[:_BLOCK]).to_numpy())
    exact = [node for node in same if table["inchikey"].iloc[node] == inchikey]
    return int([*exact, *same][0]) if len(same) else None


def _of_graph(graph: ContextGraph, given: str, node: int, held_out: np.ndarray) -> Subject:
    row = graph.nodes["molecule"].iloc[node]
    ids = [name for name in str(row.get("ids", "")).split(";") if name]
    status: Status = "held out" if node in held_out else "training"
    said = {
        "training": "Its targets were trained on.",
        "held out": "It was held out: neither it nor its own profiles were trained on, and what is said of "
        "its targets is what validation compares with.",
    }[status]
    return Subject(given, str(row["smiles"]), str(row["inchikey"]), node, str(row["key"]), ids, status, said)


def _said_of_new(graph: ContextGraph | None) -> str:
    if graph is None:
        return "Nothing says whether it was trained on, since the graph is not there."
    excluded = graph.schema.get("excluded") or {}
    if excluded.get("molecules"):
        return (
            f"It is not in the graph, which was built without the {excluded['molecules']:,} molecules of "
            f"{', '.join(excluded['tasks'])}: it may be one of these. No target of it was trained on."
        )
    return "It is not in the graph: no target of it was trained on."


def _why_not(graph: ContextGraph | None, text: str, reason: str) -> str:
    if graph is None:
        return f"'{text}' {reason}, and ids cannot be looked up without the graph: name it with --graph"
    table = graph.nodes["molecule"]
    names = {*table["key"], *table["inchikey"]}
    for ids in table.get("ids", ()):
        names.update(ids.split(";"))
    names.discard("")
    near = sorted(name for name in names if name[:_SAME_START].lower() == text[:_SAME_START].lower())
    what = "SMILES, InChI, an InChIKey, or an id of the graph's tables"
    if not near:
        return f"'{text}' is no molecule of the graph and {reason}: give {what}"
    hint = did_you_mean(text, near)
    end = "" if hint.endswith("?") else "."
    return f"'{text}' is no molecule of the graph and {reason}: {hint}{end} Give {what}"
