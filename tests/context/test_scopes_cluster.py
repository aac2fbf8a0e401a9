"""Comparison within scopes by two worker processes of a real Dask scheduler: the same bits."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install '.[dask]'")

from infoalign_dgl.context.edges import centred_rows  # noqa: E402
from infoalign_dgl.context.means import Means  # noqa: E402
from infoalign_dgl.context.scopes import (  # noqa: E402
    Carried,
    scaffold_blocks,
    scoped_edges,
    similar_in_scope,
)
from infoalign_dgl.context.spec import SimilaritySettings  # noqa: E402
from infoalign_dgl.molecules import morgan_fingerprints  # noqa: E402
from infoalign_dgl.molecules.cluster import Cluster  # noqa: E402


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.fixture
def cluster(client):
    client.wait_for_workers(2, timeout=120)  # a busy machine imports slowly
    return Cluster(client)


def profiles(count, columns=40):
    """Rows in groups that are alike, some of them zero."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count // 20, columns))[rng.integers(0, count // 20, count)]
    rows += 0.4 * rng.normal(size=rows.shape)
    rows[::97] = 0
    return centred_rows(rows)


def many_blocks(count):
    """Small blocks, a single one that no task takes whole, and one of rows that are all zero."""
    shuffled = np.random.default_rng(1).permutation(count)
    small = [np.sort(block) for block in np.array_split(shuffled[: count // 2], count // 20)]
    return [*small, np.sort(shuffled[count // 2 :]), np.arange(0, count, 97)]


def same(ours, theirs):
    (edges, report), (others, other) = ours, theirs
    assert report == other
    for one, two in zip(edges, others, strict=True):
        assert one.dtype == two.dtype
        assert np.array_equal(one, two)


@pytest.mark.parametrize("sparsity", [0.0, 0.99])
@pytest.mark.parametrize("kind", ["profiles", "fingerprints"])
def test_scoped_edges_are_the_same_bits(monkeypatch, cluster, kind, sparsity):
    rows = profiles(2500)
    if kind == "fingerprints":
        rows = np.packbits(rows > 0.7, axis=1)
    monkeypatch.setattr("infoalign_dgl.context.scopes._TASK_BYTES", 200 * rows.shape[1] * rows.itemsize)
    blocks, told = many_blocks(2500), []
    ours = scoped_edges(rows, blocks, threshold=0.5, sparsity=sparsity)
    theirs = scoped_edges(
        rows,
        blocks,
        threshold=0.5,
        sparsity=sparsity,
        helpers=cluster,
        progress=lambda done, total: told.append((done, total)),
    )
    same(ours, theirs)
    assert ours[1]["edges"] > 500
    assert told[-1] == (len(blocks), len(blocks))
    assert told == sorted(set(told))


def test_scaffolds_are_the_same(cluster):
    rings = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", ""]
    smiles = [f"{'C' * (1 + number % 30)}O{'C' * (number // 30)}{rings[number % 4]}" for number in range(600)]
    ours, theirs = scaffold_blocks(smiles, num_workers=1), scaffold_blocks(smiles, helpers=cluster)
    assert len(ours) > 3
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("space", "scope"), [("fingerprint", "scaffold"), ("jump", "kmeans"), ("jump", "whole")]
)
def test_a_builds_means_reach_the_comparison(monkeypatch, cluster, space, scope):
    monkeypatch.setattr("infoalign_dgl.context.scopes._FEW_ROWS", 100)
    smiles = [f"{'C' * n}{ring}" for n in range(1, 101) for ring in ("c1ccccc1", "C1CCCCC1", "O")]
    spaces = {
        "fingerprint": Carried("molecule", np.arange(300), morgan_fingerprints(smiles, radius=2)),
        "jump": Carried("molecule", np.arange(10, 290), profiles(280).astype(np.float64)),
    }
    settings = SimilaritySettings(scope={space: scope}, threshold=0.3, sparsity=0.3)
    called = []
    for name in ("map", "map_pairs"):
        method = getattr(cluster, name)
        monkeypatch.setattr(cluster, name, lambda *args, m=method: called.append(m.__name__) or m(*args))
    found = [
        similar_in_scope(space, spaces, {"molecule": 300}, smiles, settings, means)[1:]
        for means in (Means(num_workers=1), Means(helpers=cluster))
    ]
    same(*found)
    assert called
    assert found[0][1]["edges"] > 20


def test_a_worker_killed_on_the_way_changes_nothing(monkeypatch, client, cluster):
    rows, blocks, killed = profiles(2500), many_blocks(2500), []
    monkeypatch.setattr("infoalign_dgl.context.scopes._TASK_BYTES", 50 * rows.shape[1] * rows.itemsize)

    def kill(done, total):
        if not killed:
            assert done < total
            killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    theirs = scoped_edges(rows, blocks, threshold=0.5, sparsity=0.9, helpers=cluster, progress=kill)
    assert killed
    same(scoped_edges(rows, blocks, threshold=0.5, sparsity=0.9), theirs)
