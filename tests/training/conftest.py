"""A small context graph whose profiles follow from the molecules' structures."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from infoalign_dgl.context import ContextGraph, FeatureSpace, MinMaxScaler
from infoalign_dgl.molecules import morgan_fingerprints, standardize
from infoalign_dgl.training import PretrainConfig

HEADS = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", "CCC", "CC(C)", "OC(=O)C", "NC(=O)C", "FC(F)(F)C"]
TAILS = ["CO", "CN", "CCl", "C#N", "C(=O)OC", "CS", "CCO", "C=C", "CNC", "CF", "CCCO", "C(C)N"]


def make_graph(seed=0):
    """96 molecules: half measured in 'cells', a sixth in 'dyes', a quarter in 'l1000'; 6 genes."""
    rng = np.random.default_rng(seed)
    found = standardize([head + tail for head, tail in product(HEADS, TAILS)])
    smiles, keys = found.smiles, found.key
    n = len(smiles)
    assert len(set(keys)) == n
    bits = morgan_fingerprints(smiles, radius=4, num_bits=64)
    dense = np.unpackbits(bits, axis=1).astype(float)

    def profiles(rows, columns):
        raw = dense[rows] @ rng.normal(size=(64, columns)) + 0.1 * rng.normal(size=(len(rows), columns))
        scaler = MinMaxScaler.fit(raw)
        return scaler.transform(raw)[0], scaler

    with_cells = np.arange(0, n, 2)
    with_dyes = np.arange(1, n, 6)
    with_expression = np.arange(0, n, 4)
    cells, cells_scaler = profiles(with_cells, 10)
    dyes, dyes_scaler = profiles(with_dyes, 7)
    expression, expression_scaler = profiles(with_expression, 8)
    num_morphology = len(with_cells) + len(with_dyes)
    cells_rows = np.full(num_morphology, -1)
    cells_rows[: len(with_cells)] = np.arange(len(with_cells))
    dyes_rows = np.full(num_morphology, -1)
    dyes_rows[len(with_cells) :] = np.arange(len(with_dyes))
    genes = rng.random((3, 5)).astype(np.float32)
    spaces = [
        FeatureSpace("fingerprint", "molecule", [f"bit{i}" for i in range(64)], bits, np.arange(n), 64),
        FeatureSpace(
            "cells", "morphology", [f"c{i}" for i in range(10)], cells, cells_rows, None, cells_scaler
        ),
        FeatureSpace("dyes", "morphology", [f"d{i}" for i in range(7)], dyes, dyes_rows, None, dyes_scaler),
        FeatureSpace(
            "l1000",
            "gene_expression",
            [f"g{i}" for i in range(8)],
            expression,
            np.arange(len(with_expression)),
            None,
            expression_scaler,
        ),
        FeatureSpace("crispr", "gene", list("abcde"), genes, np.array([0, 1, 2, -1, -1, -1])),
    ]
    ones = np.ones(n, np.float32)
    binders = np.arange(0, n - 6, 5)  # some molecules stay without any edge
    morphology_of = np.concatenate([with_cells, with_dyes])
    similar = np.arange(0, n - 8, 3)
    edges = {
        ("molecule", "perturbs", "morphology"): (
            morphology_of,
            np.arange(num_morphology),
            ones[:num_morphology],
        ),
        ("molecule", "induces", "gene_expression"): (
            with_expression,
            np.arange(len(with_expression)),
            ones[: len(with_expression)],
        ),
        ("molecule", "binds", "gene"): (binders, binders % 6, ones[: len(binders)]),
        ("molecule", "similar", "molecule"): (similar, similar + 1, 0.9 * ones[: len(similar)]),
        ("gene", "interacts", "gene"): (np.array([0, 1, 2]), np.array([3, 4, 5]), ones[:3]),
    }
    nodes = {
        "molecule": pd.DataFrame(
            {"key": [key[:14] for key in keys], "inchikey": keys, "smiles": smiles, "sources": "tiny"}
        ),
        "gene": pd.DataFrame({"key": [str(i) for i in range(6)], "symbol": [f"G{i}" for i in range(6)]}),
        "gene_expression": profile_table("l1000", with_expression, keys),
        "morphology": pd.concat(
            [profile_table("cells", with_cells, keys), profile_table("dyes", with_dyes, keys)],
            ignore_index=True,
        ),
    }
    return ContextGraph.from_edges(edges, nodes, {space.name: space for space in spaces})


def profile_table(space, molecules, keys):
    names = [keys[i][:14] for i in molecules]
    return pd.DataFrame(
        {"key": [f"{space}:{name}" for name in names], "molecule": names, "space": space, "replicates": 1}
    )


@pytest.fixture(autouse=True)
def one_thread():
    """Tensors this small only wait for a second thread, and long so where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def graph():
    return make_graph()


@pytest.fixture
def make_config():
    def make(**changes):
        small = {
            "epochs": 2,
            "batch_size": 16,
            "hidden": 16,
            "layers": 2,
            "lr": 1e-3,
            "device": "cpu",
            "holdout": 0.1,
        }
        return PretrainConfig(**{**small, **changes})

    return make


@pytest.fixture
def quiet():
    return Console(quiet=True)
