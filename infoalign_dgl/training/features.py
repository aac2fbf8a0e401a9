"""The graph's molecules as the encoder reads them, featurized once and kept beside the graph."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from infoalign_dgl.errors import SourceError
from infoalign_dgl.molecules import PackedMolecules, featurize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from infoalign_dgl.context import ContextGraph

FEATURE_VERSION = (
    1  # raise it when featurization changes, so that no cached features of the old kind are read
)


def structures(graph: ContextGraph) -> list[str]:
    """SMILES of the graph's molecules by node id."""
    return [str(smiles) for smiles in graph.nodes["molecule"]["smiles"]]


def digest(smiles: list[str]) -> str:
    """Hash structures and the version of their features."""
    text = "\n".join([f"features {FEATURE_VERSION}", *smiles])
    return hashlib.sha256(text.encode()).hexdigest()


def packed_molecules(
    graph: ContextGraph, *, progress: Callable[[int, int], None] | None = None
) -> PackedMolecules:
    """Return the graph's molecules by node id; one that cannot be featurized has no atoms.

    They are kept in ``cache/molecules-<hash>.npz`` of the folder that the graph was loaded from, where it can
    be written.

    Parameters
    ----------
    graph : ContextGraph
        The graph.
    progress : callable, optional
        Called with (molecules done, all) while featurizing.
    """
    smiles = structures(graph)
    path = None if graph.folder is None else graph.folder / "cache" / f"molecules-{digest(smiles)[:16]}.npz"
    if path is not None and path.is_file():
        try:
            return PackedMolecules.load(path)
        except SourceError:
            path.unlink(missing_ok=True)  # a damaged cache is no reason to stop
    packed, _ = featurize(smiles, progress=progress)
    if path is not None:
        _keep(packed, path)
    return packed


def _keep(packed: PackedMolecules, path: Path) -> None:
    try:
        path.parent.mkdir(exist_ok=True)
        packed.save(path)
    except OSError:
        return  # a read-only or full graph folder costs the time of featurizing again and nothing else
