"""One node for what a molecule shows in several feature spaces, as the published graph has it.

By default a molecule has a profile node per feature space. The published graph joins its two morphology
tables on the molecule: a node carries the features of both where the molecule is in both, and a molecule with
rows has a node for every combination of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from infoalign_dgl import _spill
from infoalign_dgl.sources.rows import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.profiles import Aggregated


def join_profiles(
    spaces: Sequence[Aggregated], molecule_keys: Sequence[str]
) -> tuple[list[Aggregated], list[np.ndarray], pd.DataFrame]:
    """Join the profiles of one node type, but of several feature spaces, on their molecules.

    Parameters
    ----------
    spaces : sequence of Aggregated
        At least one.
    molecule_keys : sequence of str
        By local id.

    Returns
    -------
    spaces : list of Aggregated
        The same, a profile repeated for each node that carries it.
    nodes : list of np.ndarray
        For each space the local ids of its profiles' nodes, shape (profiles,), int64, ascending.
    table : pandas.DataFrame
        One row per node, by molecule: the columns of :func:`~infoalign_dgl.context.profiles.profile_nodes`,
        several spaces and labels joined by ``;``.
    """
    molecules = np.unique(np.concatenate([space.owners for space in spaces]))
    places = [np.searchsorted(molecules, space.owners) for space in spaces]
    counts = np.array([np.bincount(place, minlength=len(molecules)) for place in places])
    per_molecule = np.maximum(counts, 1).prod(axis=0)
    owner = np.repeat(np.arange(len(molecules)), per_molecule)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(per_molecule) - per_molecule, per_molecule)
    placed, nodes, stride = [], [], np.ones(len(molecules), np.int64)
    table = pd.DataFrame({"molecule": [molecule_keys[m] for m in molecules[owner]]}, dtype=object)
    for space, count in zip(spaces, counts, strict=True):
        first = np.cumsum(count) - count
        row = (first[owner] + number // stride[owner] % np.maximum(count, 1)[owner])[count[owner] > 0]
        stride = stride * np.maximum(count, 1)
        nodes.append(np.flatnonzero(count[owner] > 0))
        placed.append(_take(space, row))
    table = _describe(table, placed, nodes)
    kind = spaces[0].node_type
    table["key"] = [
        f"{kind}:{molecule}" + (f"#{n + 1}" if n else "")
        for molecule, n in zip(table["molecule"], number, strict=True)
    ]
    return placed, nodes, table[["key", "molecule", "space", "replicates", "table", *LABELS]]


def _take(space: Aggregated, rows: np.ndarray) -> Aggregated:
    """Profiles by row number; nothing is copied where each is taken once."""
    if np.array_equal(rows, np.arange(len(space.owners))):
        return space
    values = _spill.empty((len(rows), space.settled.values.shape[1]), by_column=True)
    for part in _spill.column_parts(space.settled.values):
        values[:, part] = space.settled.values[rows, part]
        _spill.release(values)
    return replace(
        space,
        settled=replace(space.settled, values=values),
        owners=space.owners[rows],
        replicates=space.replicates[rows],
        labels=space.labels.iloc[rows].reset_index(drop=True),
    )


def _describe(table: pd.DataFrame, spaces: Sequence[Aggregated], nodes: list[np.ndarray]) -> pd.DataFrame:
    """Add for each node its spaces, its number of rows, and where they were measured."""
    told: dict[str, list[list[str]]] = {
        name: [[] for _ in range(len(table))] for name in ("space", "table", *LABELS)
    }
    replicates = np.zeros(len(table), np.int64)
    for space, local in zip(spaces, nodes, strict=True):
        replicates[local] += space.replicates
        for name, found in told.items():
            values = [space.name] * len(local) if name == "space" else space.labels[name].tolist()
            for node, value in zip(local.tolist(), values, strict=True):
                if value and value not in found[node]:
                    found[node].append(value)
    table["replicates"] = replicates
    for name, found in told.items():
        table[name] = pd.Series([";".join(values) for values in found], dtype=object)
    return table
