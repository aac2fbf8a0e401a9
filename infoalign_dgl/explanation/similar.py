"""Molecules of a graph that are like a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl._folders import replace_file
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.explanation.results import Similar
from infoalign_dgl.molecules import morgan_fingerprints
from infoalign_dgl.training.features import digest, structures
from infoalign_dgl.training.holdout import PROFILE_EDGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.context import ContextGraph

RADIUS, NUM_BITS = 2, 2048


def similar_molecules(
    graph: ContextGraph,
    smiles: str,
    *,
    top: int = 10,
    tell: Callable[[str], None] = lambda _sentence: None,
) -> list[Similar]:
    """Find the molecules of a graph with the largest Tanimoto similarity to a structure, exactly.

    Parameters
    ----------
    graph : ContextGraph
        Its molecules' fingerprints are calculated once and kept in ``cache/`` of its folder, where that can
        be written.
    smiles : str
        Standardized.
    top : int
        How many; of equals the first by node id.
    tell : callable
        Gets a sentence before what takes long.

    Returns
    -------
    list of Similar
        The most similar first.
    """
    query = morgan_fingerprints([smiles], radius=RADIUS, num_bits=NUM_BITS)[0]
    similarity = tanimoto(query, _fingerprints(graph, tell))
    nearest = np.argsort(-similarity, kind="stable")[:top]
    measured = {int(node): measured_spaces(graph, int(node)) for node in nearest}
    table = graph.nodes["molecule"].iloc[nearest]
    ids = table["ids"] if "ids" in table else [""] * len(table)
    return [
        Similar(
            str(key), str(structure), [name for name in of.split(";") if name], float(value), measured[node]
        )
        for node, key, structure, of, value in zip(
            nearest.tolist(), table["key"], table["smiles"], ids, similarity[nearest], strict=True
        )
    ]


def tanimoto(query: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Give the Tanimoto similarity of one packed fingerprint (b,) to many (m, b): (m,) float64.

    It is 0 where neither has a bit.
    """
    common = np.bitwise_count(references & query).sum(axis=1, dtype=np.int64)
    either = np.bitwise_count(references | query).sum(axis=1, dtype=np.int64)
    return common / np.maximum(either, 1)


def measured_spaces(graph: ContextGraph, molecule: int) -> list[str]:
    """Name the feature spaces in which a molecule has a profile."""
    found = []
    for kind in PROFILE_EDGES:
        source, target, _ = graph.edges(kind)
        own = target[source == molecule]
        for space in graph.spaces.values():
            if space.node_type == kind[2] and (space.node_rows[own] >= 0).any():
                found.append(space.name)
    return found


def _fingerprints(graph: ContextGraph, tell: Callable[[str], None]) -> np.ndarray:
    """Read or calculate the fingerprints of a graph's molecules, packed, (molecules, 256) uint8."""
    smiles = structures(graph)
    path = None
    if graph.folder is not None:
        path = graph.folder / "cache" / f"morgan{RADIUS}-{NUM_BITS}-{digest(smiles)[:16]}.npy"
        if path.is_file():
            try:
                kept: np.ndarray = np.load(path, allow_pickle=False)
            except (OSError, ValueError):
                path.unlink(missing_ok=True)  # a damaged cache is no reason to stop
            else:
                if kept.shape == (len(smiles), NUM_BITS // 8) and kept.dtype == np.uint8:
                    return kept
    if len(smiles) > 10_000:
        tell(
            f"calculating fingerprints of the graph's {len(smiles):,} molecules, which are kept for next time"
        )
    made = morgan_fingerprints(smiles, radius=RADIUS, num_bits=NUM_BITS)
    if path is not None:
        try:
            path.parent.mkdir(exist_ok=True)
            replace_file(path, lambda stream: np.save(stream, made))
        except (OSError, InfoAlignError):
            pass  # a read-only or full graph folder costs the time of calculating again and nothing else
    return made
