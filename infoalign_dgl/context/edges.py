"""Edges: from tables, from expression, and between similar rows of one feature space."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.context.similarity import keep_nearest, similar_pairs
from infoalign_dgl.context.vocabulary import DIRECTED
from infoalign_dgl.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.context.spec import SimilaritySettings
    from infoalign_dgl.molecules.cluster import Cluster
    from infoalign_dgl.sources.rows import GeneGeneRows, MoleculeGeneRows, TableAccount

Kind = tuple[str, str, str]
Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class EdgeBook:
    """Edges of all types while a graph is built, each part with the account of its table if it has one."""

    parts: dict[Kind, list[tuple[Triple, TableAccount | None]]] = field(default_factory=dict)
    report: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, kind: Kind, edges: Triple, account: TableAccount | None = None) -> None:
        """Add edges (src, dst, weight) of one type, local ids."""
        self.parts.setdefault(kind, []).append((edges, account))

    def merged(self) -> dict[Kind, Triple]:
        """Merge duplicates to their largest weight; a pair and its reverse are one in undirected types.

        Returns
        -------
        dict
            By type: (src, dst, weight), int64, int64 and float32, sorted by (src, dst).
        """
        result = {}
        for kind, parts in self.parts.items():
            src, dst, weight = (np.concatenate([edges[i] for edges, _ in parts]) for i in range(3))
            source = np.repeat(np.arange(len(parts)), [len(edges[0]) for edges, _ in parts])
            if kind[0] == kind[2] and kind not in DIRECTED:
                src, dst = np.minimum(src, dst), np.maximum(src, dst)
            order = np.lexsort((source, dst, src))
            src, dst, weight, source = src[order], dst[order], weight[order], source[order]
            first = np.ones(len(src), bool)
            first[1:] = (src[1:] != src[:-1]) | (dst[1:] != dst[:-1])
            for part, count in enumerate(np.bincount(source[~first], minlength=len(parts)).tolist()):
                account = parts[part][1]
                if account is not None:
                    account.merged += count
            starts = np.flatnonzero(first)
            largest = np.maximum.reduceat(weight, starts) if len(starts) else weight
            self.report[" ".join(kind)] = {"edges": len(starts), "merged": int((~first).sum())}
            result[kind] = (
                src[first].astype(np.int64),
                dst[first].astype(np.int64),
                largest.astype(np.float32),
            )
        return result


def check_weights(table: GeneGeneRows | MoleculeGeneRows) -> np.ndarray:
    """Weights of an edge table, 1 where it has none, shape (rows,), float64.

    Raises
    ------
    SourceError
        Naming the table and row of the first weight that is NaN or outside [0, 1].
    """
    if table.weights is None:
        return np.ones(len(table.numbers))
    bad = np.flatnonzero(~((table.weights >= 0) & (table.weights <= 1)))  # NaN fails both comparisons
    if len(bad):
        value = table.weights[bad[0]]
        what = "no number as weight" if np.isnan(value) else f"the weight {value:g}, which is not in [0, 1]"
        more = f" ({len(bad)} such rows in all)" if len(bad) > 1 else ""
        raise SourceError(
            f"'{table.account.table}' row {table.numbers[bad[0]]} has {what}{more}: correct the table, or "
            f"turn its "
            f"scores into weights with weight_rule"
        )
    return table.weights


def centred_rows(values: np.ndarray) -> np.ndarray:
    """Rows less their mean, over their deviation: shape (rows, d), float32; constant rows give zeros."""
    centred = _spill.empty(values.shape, np.float32)
    for part in _spill.row_parts(values):
        rows = _spill.rows_of(values, part).astype(np.float64, copy=False)
        scale = np.abs(rows).max(axis=1, keepdims=True)
        rows /= np.where(scale > 0, scale, 1.0)  # so that squares of huge values stay finite
        rows -= rows.mean(axis=1, keepdims=True)
        deviation = rows.std(axis=1, keepdims=True)
        constant = deviation <= 1e-12
        centred[part] = np.where(constant, 0.0, rows / np.where(constant, 1.0, deviation))
        _spill.release(centred)
    return centred


def similarity_edges(
    rows: np.ndarray,
    metric: Literal["cosine", "tanimoto"],
    settings: SimilaritySettings,
    *,
    progress: Callable[[int, int], None] | None = None,
    helpers: Cluster | None = None,
) -> tuple[Triple, dict[str, Any]]:
    """Pairs of similar rows: above the threshold, in the sparsity's share, near to at least one end.

    Parameters
    ----------
    rows : np.ndarray
        Bit-packed uint8 fingerprints, or float32 rows that :func:`centred_rows` made.
    metric : {"cosine", "tanimoto"}
    settings : SimilaritySettings
    progress : callable, optional
        Called with (done, total).
    helpers : Cluster, optional
        Workers of a cluster that compare the rows; by default the threads of this process do.

    Returns
    -------
    edges : (i, j, weight)
        i < j, row numbers.
    report : dict
        Pairs and effective cuts (smallest similarity kept) after the first two conditions and after the
        third.
    """
    count = len(rows)
    i, j, similarity = similar_pairs(
        rows,
        metric=metric,
        threshold=settings.threshold,
        sparsity=settings.sparsity,
        progress=progress,
        helpers=helpers,
    )
    near = keep_nearest(i, j, similarity, count, settings.max_neighbors)
    kept = similarity[near]
    report = {
        "metric": metric,
        "rows": count,
        "all_pairs": count * (count - 1) // 2,
        "similar_pairs": len(i),
        "similar_cut": float(similarity.min()) if len(i) else None,
        "edges": int(near.sum()),
        "edge_cut": float(kept.min()) if len(kept) else None,
    }
    return (i[near], j[near], np.minimum(kept, 1.0)), report
