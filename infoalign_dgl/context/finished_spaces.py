"""Feature spaces scaled, and the edges that come of them: to their molecules, and between similar nodes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.context.edges import centred_rows, similarity_edges
from infoalign_dgl.context.node_tables import PROFILE_RELATION
from infoalign_dgl.context.profiles import finish_space
from infoalign_dgl.context.scopes import Carried, similar_in_scope
from infoalign_dgl.context.spaces import FeatureSpace
from infoalign_dgl.context.vocabulary import FINGERPRINT
from infoalign_dgl.molecules.fingerprints import fingerprints_by_radius

if TYPE_CHECKING:
    import pandas as pd

    from infoalign_dgl.context.edges import EdgeBook
    from infoalign_dgl.context.means import Means
    from infoalign_dgl.context.profiles import Aggregated
    from infoalign_dgl.context.spec import BuildSettings

TARGET_RADIUS, SIMILARITY_RADIUS, FINGERPRINT_BITS = 4, 2, 1024


def finished_spaces(
    profiles: list[Aggregated],
    nodes: dict[str, pd.DataFrame],
    places: dict[str, np.ndarray],
    book: EdgeBook,
    settings: BuildSettings,
    means: Means,
) -> tuple[dict[str, FeatureSpace], dict[str, Any]]:
    """Scale every space; add the edges from molecules to their profiles and those between similar nodes."""
    target, compared = _fingerprints(nodes["molecule"], means)
    finished = {FINGERPRINT: _fingerprint_space(target)}
    report = {}
    scopes = settings.similarity.scope
    in_scope = {name for names in scopes for name in names.split("+")}
    if FINGERPRINT not in in_scope:
        edges, report[FINGERPRINT] = _similar(FINGERPRINT, compared, settings, means)
        book.add(("molecule", "similar", "molecule"), edges)
    carried = {FINGERPRINT: Carried("molecule", np.arange(len(compared)), compared)}
    for space in profiles:
        kind, local = space.node_type, places[space.name]
        if kind in PROFILE_RELATION:
            weight = np.ones(len(local))
            book.add(("molecule", PROFILE_RELATION[kind], kind), (space.owners, local, weight))
        if space.name not in in_scope:
            means.progress(f"similarity in {space.name}", 0, 1)
            rows = centred_rows(space.settled.values)
            (i, j, weight), report[space.name] = _similar(space.name, rows, settings, means)
            book.add((kind, "similar", kind), (local[i], local[j], weight))
        carried[space.name] = Carried(kind, local, space.settled.values)
        finished[space.name] = finish_space(space, local, len(nodes[kind]), float16=settings.graph.float16)
    counts = {kind: len(table) for kind, table in nodes.items()}
    smiles = nodes["molecule"]["smiles"].tolist()
    for names in scopes:
        kind, edges, report[names] = similar_in_scope(
            names, carried, counts, smiles, settings.similarity, means
        )
        book.add((kind, "similar", kind), edges)
    return finished, report


def _similar(
    space: str, rows: np.ndarray, settings: BuildSettings, means: Means
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], dict[str, Any]]:
    """Similarity edges of a feature space, and what the report says of them."""
    stage = "similarity of molecules" if space == FINGERPRINT else f"similarity in {space}"
    work = partial(
        similarity_edges,
        rows,
        settings.similarity.molecules if space == FINGERPRINT else "cosine",
        settings.similarity,
        progress=partial(means.progress, stage),
        helpers=means.helpers,
    )
    return means.reuse.similar(space, [rows], settings.similarity.model_dump(mode="json"), work)


def _fingerprints(molecules: pd.DataFrame, means: Means) -> list[np.ndarray]:
    """Morgan fingerprints of all molecules, bit-packed: what is decoded, and what is compared."""
    work = partial(
        fingerprints_by_radius,
        radii=(TARGET_RADIUS, SIMILARITY_RADIUS),
        num_bits=FINGERPRINT_BITS,
        num_workers=means.num_workers,
        progress=partial(means.progress, "fingerprints"),
        helpers=means.helpers,
    )
    return means.reuse.fingerprints(molecules["smiles"].tolist(), (TARGET_RADIUS, SIMILARITY_RADIUS), work)


def _fingerprint_space(bits: np.ndarray) -> FeatureSpace:
    columns = [f"morgan{TARGET_RADIUS}_{bit}" for bit in range(FINGERPRINT_BITS)]
    return FeatureSpace(FINGERPRINT, "molecule", columns, bits, np.arange(len(bits)), FINGERPRINT_BITS)
