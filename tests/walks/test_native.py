"""What happens where the extension, or a CUDA device, is missing; and the device walks where there is one."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from infoalign_dgl._extension import load_native
from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import WalkIndex, cuda_status, random_walks

needs_cuda = pytest.mark.skipif(
    not (torch.cuda.is_available() and cuda_status()[0]),
    reason="no CUDA device for torch and for the kernels",
)


def triangle():
    return WalkIndex.from_edges([0, 1, 2, 0], [1, 2, 0, 2], [0.5, 0.25, 1.0, 0.75], 3)


@pytest.fixture
def without_extension(monkeypatch):
    load_native.cache_clear()
    monkeypatch.setitem(sys.modules, "infoalign_dgl._native", None)
    yield
    load_native.cache_clear()


def test_numba_takes_over_with_one_warning(without_extension):
    with pytest.warns(RuntimeWarning, match="native kernels are not available"):
        index = triangle()
    for transition in ("uniform", "weight"):  # a second warning would be an error here
        walks = random_walks(index, [0, 1], 5, transition=transition, seed=3)
        expected = random_walks(index, [0, 1], 5, transition=transition, seed=3, backend="reference")
        np.testing.assert_array_equal(walks.nodes, expected.nodes)
        np.testing.assert_array_equal(walks.alpha, expected.alpha)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(WalkError, match="backend 'native' is not available"):
            random_walks(index, [0], 1, backend="native")
        assert cuda_status() == (False, "the native kernels were not built")


def test_cuda_says_why_it_cannot_run():
    available, reason = cuda_status()
    assert isinstance(available, bool)
    assert reason


@needs_cuda
@pytest.mark.parametrize("transition", ["uniform", "weight"])
def test_device_walks_equal_the_cpus(transition):
    rng = np.random.default_rng(0)
    src, dst = rng.integers(0, 500, (2, 1500))
    index = WalkIndex.from_edges(src, dst, rng.random(1500).astype(np.float32), 500)
    seeds = torch.from_numpy(rng.integers(0, 500, 20_000))
    options = dict(
        transition=transition, seed=5, stream=2, return_edges=True, walk_ids=torch.arange(20_000) + 9
    )
    cpu, device = (random_walks(index, at, 4, **options) for at in (seeds, seeds.cuda()))
    assert device.nodes.is_cuda
    assert torch.equal(device.nodes.cpu(), cpu.nodes)
    assert torch.equal(device.alpha.cpu(), cpu.alpha)
    assert torch.equal(device.edges.cpu(), cpu.edges)
    with pytest.raises(WalkError, match=r"'seeds' .* position 1 holds 500"):
        random_walks(index, torch.tensor([0, 500]).cuda(), 4)
    with pytest.raises(WalkError, match="backend 'numba' cannot run"):
        random_walks(index, seeds.cuda(), 4, backend="numba")


def test_a_forked_child_walks_on_threads_of_its_own():
    """A fork copies no thread: the child must start some, and not wait for those that it has not got."""
    code = (
        "import os, sys, numpy as np; from infoalign_dgl.walks import WalkIndex, random_walks;"
        "index = WalkIndex.from_edges(np.arange(99), np.arange(99) + 1, np.ones(99), 100);"
        "walk = lambda: random_walks(index, np.arange(99).repeat(3000), 4, num_threads=3).nodes.sum();"
        "expected = walk(); child = os.fork();"
        "status = 0 if walk() == expected and len(os.listdir('/proc/self/task')) >= 3 else 1;"
        "child == 0 and os._exit(status);"
        "sys.exit(status or os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    run = subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", code], timeout=60)
    assert run.returncode == 0


def test_results_in_use_are_never_written_to_again():
    """Memory of results is used again, but only once nothing refers to it: not even a view, or a tensor."""
    index = WalkIndex.from_edges(np.arange(999), np.arange(999) + 1, np.ones(999), 1000)
    rng = np.random.default_rng(0)
    held, addresses = [], set()
    for turn in range(60):
        seeds = rng.integers(0, 900, 5000 + turn % 3)
        walks = random_walks(index, torch.from_numpy(seeds) if turn % 2 else seeds, 4)
        addresses.add(np.asarray(walks.nodes).ctypes.data)
        kept = walks.nodes[100:] if turn % 2 else np.asarray(walks.nodes)[100:].T
        held.append((seeds[100:], kept, walks.alpha[:, 1:]))
        if turn % 4 == 3:
            del held[rng.integers(len(held))]
        del walks, kept
    for seeds, nodes, alpha in held:
        columns = np.asarray(nodes) if nodes.shape[0] == 5 else np.asarray(nodes).T
        np.testing.assert_array_equal(columns, seeds + np.arange(5)[:, None])
        assert (np.asarray(alpha) == 1).all()
    assert len(addresses) < 60  # some memory was used again
