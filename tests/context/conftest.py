"""A small graph with every node type, and the tables of a graph small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import EDGE_TYPES, ContextGraph, FeatureSpace
from infoalign_dgl.context.spaces import scaled_space, settle_missing

SIZES = {"molecule": 30, "gene": 12, "gene_expression": 6, "morphology": 10}


def random_edges(rng, sizes=SIZES, per_type=15):
    """Edges of every type, without self-loops and without two edges between the same two nodes."""
    edges, taken = {}, set()
    for kind in EDGE_TYPES:
        src = rng.integers(0, sizes[kind[0]], per_type)
        dst = rng.integers(0, sizes[kind[2]], per_type)
        keep = []
        for s, d in zip(src, dst, strict=False):
            pair = frozenset([(kind[0], int(s)), (kind[2], int(d))])
            keep.append(len(pair) == 2 and pair not in taken)
            taken.add(pair)
        weight = rng.uniform(0.1, 1, per_type).astype(np.float32)
        edges[kind] = (src[keep], dst[keep], weight[keep])
    return edges


def node_tables(sizes=SIZES):
    return {
        "molecule": pd.DataFrame(
            {
                "key": [f"MOLECULE{i:06d}" for i in range(sizes["molecule"])],
                "inchikey": [f"MOLECULE{i:06d}-X" for i in range(sizes["molecule"])],
                "smiles": ["C" * (i + 1) for i in range(sizes["molecule"])],
                "sources": "t",
            }
        ),
        "gene": pd.DataFrame(
            {
                "key": [str(i + 1) for i in range(sizes["gene"])],
                "symbol": [f"G{i}" for i in range(sizes["gene"])],
            }
        ),
        **{
            kind: pd.DataFrame(
                {
                    "key": [f"{kind}:MOLECULE{i:06d}" for i in range(sizes[kind])],
                    "molecule": [f"MOLECULE{i:06d}" for i in range(sizes[kind])],
                    "space": kind,
                    "replicates": 1,
                }
            )
            for kind in ("gene_expression", "morphology")
        },
    }


def feature_spaces(rng, sizes=SIZES, *, float16=False):
    packed = np.packbits(rng.integers(0, 2, (sizes["molecule"], 1024), dtype=np.uint8), axis=1)
    spaces = {
        "fingerprint": FeatureSpace(
            "fingerprint",
            "molecule",
            [f"b{i}" for i in range(1024)],
            packed,
            np.arange(sizes["molecule"]),
            1024,
        )
    }
    rows = np.full(sizes["gene"], -1)
    rows[[7, 2, 5]] = [0, 1, 2]
    for name, node_type, node_rows in (
        ("crispr", "gene", rows),
        ("expression", "gene_expression", np.arange(sizes["gene_expression"])),
        ("painting", "morphology", np.arange(sizes["morphology"])),
    ):
        values = rng.normal(size=((node_rows >= 0).sum(), 4))
        settled = settle_missing(values, [f"{name}_{i}" for i in range(4)])
        spaces[name], _ = scaled_space(name, node_type, settled, node_rows, float16=float16)
    return spaces


@pytest.fixture
def edges():
    return random_edges(np.random.default_rng(0))


@pytest.fixture
def graph(edges):
    spaces = feature_spaces(np.random.default_rng(1))
    return ContextGraph.from_edges(edges, node_tables(), spaces, {"spec": {"similarity": {"threshold": 0.5}}})


@pytest.fixture
def make_graph():
    """Graph of given edges over the standard nodes."""

    def make(edges, **kwargs):
        return ContextGraph.from_edges(
            edges, node_tables(), feature_spaces(np.random.default_rng(1), **kwargs)
        )

    return make
