"""Two worker processes of a real Dask scheduler, one of them killed on the way."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install '.[dask]'")

from infoalign_dgl.context import similar_pairs  # noqa: E402
from infoalign_dgl.errors import InfoAlignError  # noqa: E402
from infoalign_dgl.molecules import featurize, standardize  # noqa: E402
from infoalign_dgl.molecules.cluster import Cluster, open_cluster  # noqa: E402
from infoalign_dgl.molecules.fingerprints import fingerprints_by_radius  # noqa: E402


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


def smiles(count):
    """Different molecules with stereo marks, charges and fragments, and rows that fail."""
    ends = ["CC(=O)[O-].[Na+]", "[C@H](N)C(=O)O", "c1ccncc1", "/C=C/Cl", "C(", "C(F)(F)F"]
    return [f"[{13 + row}CH2]{ends[row % len(ends)]}" for row in range(count)] + [""]


def profiles(count, columns=40):
    """Rows in groups that are alike, a part of them twice."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(count // 20, columns))
    rows = centres[rng.integers(0, len(centres), count)] + 0.4 * rng.normal(size=(count, columns))
    rows[1::50] = rows[::50]
    return rows.astype(np.float32)


def test_molecules_are_the_same_as_without(cluster):
    texts = smiles(900)
    assert standardize(texts, helpers=cluster) == standardize(texts, num_workers=1)
    whole = [text for text in texts if text and not text.endswith("(")]
    ours = fingerprints_by_radius(whole, (4, 2), num_workers=1)
    assert all(map(np.array_equal, fingerprints_by_radius(whole, (4, 2), helpers=cluster), ours))
    (theirs, why), (graphs, reasons) = featurize(texts, helpers=cluster), featurize(texts, num_workers=1)
    assert why == reasons
    for name in graphs.__dataclass_fields__:
        assert np.array_equal(getattr(theirs, name), getattr(graphs, name)), name


@pytest.mark.parametrize("sparsity", [None, 0.999])
@pytest.mark.parametrize("kind", ["profiles", "cosine", "tanimoto"])
def test_similar_pairs_are_the_same_bits(cluster, kind, sparsity):
    rows = profiles(2500)
    metric = "cosine" if kind == "profiles" else kind
    if kind != "profiles":
        rows = np.packbits(rows > 0.7, axis=1)
    ours = similar_pairs(rows, metric=metric, threshold=0.8, sparsity=sparsity)
    theirs = similar_pairs(rows, metric=metric, threshold=0.8, sparsity=sparsity, helpers=cluster)
    assert len(ours[0]) > 1000
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def kill_one_when_called(client):
    """A progress callback that kills one worker once, and the list it notes its process id in."""
    killed = []

    def kill(done, total):
        if not killed:
            assert done < total
            killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    return kill, killed


def test_a_killed_worker_changes_nothing(client, cluster):
    kill, killed = kill_one_when_called(client)
    texts = smiles(3000)
    assert standardize(texts, helpers=cluster, progress=kill) == standardize(texts, num_workers=1)
    client.wait_for_workers(2, timeout=120)  # a busy machine imports slowly
    assert killed[0] not in client.run(os.getpid).values()


def test_a_worker_killed_with_blocks_of_rows_changes_nothing(client, cluster):
    rows = profiles(2500)
    kill, killed = kill_one_when_called(client)
    theirs = similar_pairs(rows, threshold=0.8, helpers=cluster, progress=kill)
    assert killed
    assert all(map(np.array_equal, theirs, similar_pairs(rows, threshold=0.8)))


def test_what_kills_every_worker_is_an_error_that_says_so(cluster):
    with pytest.raises(InfoAlignError, match="the Dask cluster gave up a part of the work"):
        cluster.map(die, [[1]], 1, None)


def die(rows):
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_error_of_the_function_comes_as_it_is(cluster):
    with pytest.raises(ValueError, match="row 100"):
        fingerprints_by_radius(["C"] * 100 + ["C("] + ["C"] * 200, (2,), helpers=cluster)


def test_a_scheduler_by_its_address(client):
    client.wait_for_workers(2, timeout=120)  # a busy machine imports slowly
    with open_cluster(client.scheduler.address) as cluster:
        assert len(cluster) == 2
        assert cluster.map(sorted, [[2, 1], [4, 3]], 2, None) == [[1, 2], [3, 4]]


def test_no_scheduler_is_one_sentence(monkeypatch):
    monkeypatch.setattr("infoalign_dgl.molecules.cluster._CONNECT_SECONDS", 1)
    with (
        pytest.raises(InfoAlignError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"),
        open_cluster("tcp://127.0.0.1:9"),
    ):
        pass
