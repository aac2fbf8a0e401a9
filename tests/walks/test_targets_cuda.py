"""Collapsed targets of CUDA tensors: on a device where there is one, and their Python side without."""

from __future__ import annotations

import ctypes
import inspect
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infoalign_dgl._extension import load_native
from infoalign_dgl.errors import WalkError
from infoalign_dgl.walks import collapse_targets, cuda_status, targets

needs_cuda = pytest.mark.skipif(
    not (torch.cuda.is_available() and cuda_status()[0]),
    reason="no CUDA device for torch and for the kernels",
)


def example(kind, *, dim, num_nodes=300, num_rows=120, num_walks=2000, steps=5, seed=0):
    rng = np.random.default_rng(seed)
    row_index = rng.integers(-1, num_rows, num_nodes)
    nodes = rng.integers(-1, num_nodes, (num_walks, steps))
    alpha = rng.random((num_walks, steps)).astype(np.float32)
    alpha[rng.random(alpha.shape) < 0.3] = 0
    if kind == "bits":
        return nodes, alpha, row_index, rng.integers(0, 256, (num_rows, -(-dim // 8))).astype(np.uint8), dim
    return nodes, alpha, row_index, rng.random((num_rows, dim)).astype(kind), None


def assert_same(left, right):
    for part in ("molecule", "alpha", "count", "mean"):
        a, b = (torch.as_tensor(getattr(found, part)).cpu() for found in (left, right))
        assert a.dtype == b.dtype, part
        assert torch.equal(a, b), part


@needs_cuda
@pytest.mark.parametrize("kind", ["float32", "float16", "bits"])
@pytest.mark.parametrize("dim", [1, 37, 512, 1783])
def test_device_targets_equal_the_cpus(kind, dim):
    *arrays, num_bits = example(kind, dim=dim)
    tensors = [torch.from_numpy(array).cuda() for array in arrays]
    found = collapse_targets(*tensors, num_bits=num_bits)
    assert all(getattr(found, part).is_cuda for part in ("molecule", "alpha", "count", "mean"))
    assert_same(found, collapse_targets(*arrays, num_bits=num_bits))


@needs_cuda
def test_device_targets_on_another_stream_and_without_any():
    nodes, alpha, row_index, values = (torch.from_numpy(a).cuda() for a in example("float32", dim=37)[:4])
    expected = collapse_targets(nodes, alpha, row_index, values)
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        assert_same(collapse_targets(nodes, alpha, row_index, values), expected)
    assert len(collapse_targets(torch.full_like(nodes, -1), alpha, row_index, values)) == 0
    assert len(collapse_targets(nodes[:0], alpha[:0], row_index, values)) == 0


@needs_cuda
def test_device_faults_are_the_cpus():
    nodes, alpha, row_index, values = (torch.from_numpy(a) for a in example("float32", dim=3)[:4])
    for broken in (dict(nodes=nodes + 7), dict(values=values[:50])):
        arguments = dict(nodes=nodes, alpha=alpha, row_index=row_index, values=values) | broken
        messages = []
        for device in ("cpu", "cuda"):
            with pytest.raises(WalkError) as raised:
                collapse_targets(**{name: value.to(device) for name, value in arguments.items()})
            messages.append(str(raised.value))
        assert messages[0] == messages[1]
    with pytest.raises(WalkError, match="'values' is on cpu but 'nodes' is on cuda:0"):
        collapse_targets(nodes.cuda(), alpha.cuda(), row_index.cuda(), values)
    with pytest.raises(WalkError, match="'row_index' is on cpu but 'nodes' is on cuda:0"):
        collapse_targets(nodes.cuda(), alpha.cuda(), row_index.numpy(), values.cuda())
    with pytest.raises(WalkError, match="'alpha' is on cuda:0 but 'nodes' is on cpu"):
        collapse_targets(nodes, alpha.cuda(), row_index, values)


def memory_at(address, shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address) if size else b"", dtype).reshape(shape)


def visits_at(walk, nodes, alpha, num_walks, num_steps, row_index, num_nodes, num_rows):
    path = memory_at(nodes, (num_walks, num_steps), np.int64)[walk]
    weights = memory_at(alpha, (num_walks, num_steps), np.float32)[walk]
    rows = memory_at(row_index, (num_nodes,), np.int64)
    visited = [(v, w) for v, w in zip(path, weights, strict=True) if v >= 0]
    return [(num_rows if v >= num_nodes else rows[v], w) for v, w in visited]


# Both kernels in numpy, on the same addresses: what is left to test without a device is all but them.


def sum_walks_cuda(
    *,
    nodes,
    alpha,
    num_walks,
    num_steps,
    row_index,
    num_nodes,
    num_rows,
    total,
    count,
    device,
    queue,
):
    totals = memory_at(total, (num_walks,), np.float32)
    counts = memory_at(count, (num_walks,), np.int64)
    for walk in range(num_walks):
        visits = visits_at(walk, nodes, alpha, num_walks, num_steps, row_index, num_nodes, num_rows)
        weights = [w for row, w in visits if row >= 0]
        totals[walk] = sum(weights, np.float32(0))
        counts[walk] = -2 if any(row >= num_rows for row, _ in visits) else len(weights)


def average_targets_cuda(
    *,
    nodes,
    alpha,
    num_walks,
    num_steps,
    row_index,
    num_nodes,
    values,
    num_rows,
    num_columns,
    format,
    molecule,
    total,
    num_targets,
    mean,
    device,
    queue,
):
    packed = format == 2
    width = -(-num_columns // 8) if packed else num_columns
    table = memory_at(values, (num_rows, width), [np.float32, np.float16, np.uint8][format])
    table = np.unpackbits(table, axis=1, count=num_columns) if packed else table
    means = memory_at(mean, (num_targets, num_columns), np.float32)
    totals = memory_at(total, (num_targets,), np.float32)
    for target, walk in enumerate(memory_at(molecule, (num_targets,), np.int64)):
        means[target] = 0
        for row, w in visits_at(walk, nodes, alpha, num_walks, num_steps, row_index, num_nodes, num_rows):
            if row >= 0 and w != 0:
                means[target] += (w / totals[target]) * table[row].astype(np.float32)


KERNELS = {"sum_walks_cuda": sum_walks_cuda, "average_targets_cuda": average_targets_cuda}


@contextmanager
def standing_in(**kernels):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "cuda_status", lambda: (True, ""))
        patch.setattr(targets, "require_native", lambda: SimpleNamespace(**kernels))
        patch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
        yield


@given(
    kind=st.sampled_from(["float32", "float16", "bits"]),
    dim=st.integers(1, 20),
    num_walks=st.integers(0, 6),
    steps=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_what_surrounds_the_kernels(kind, dim, num_walks, steps, seed):
    *arrays, num_bits = example(
        kind, dim=dim, num_nodes=8, num_rows=4, num_walks=num_walks, steps=steps, seed=seed
    )
    with standing_in(**KERNELS):
        tensors = [torch.from_numpy(array) for array in arrays]
        found = [targets._collapse_cuda(*tensors, dim, compact=compact) for compact in (True, False)]
    for compact, one in zip((True, False), found, strict=True):
        assert_same(one, collapse_targets(*arrays, num_bits=num_bits, compact=compact))


def test_faults_around_the_kernels():
    nodes, alpha, row_index, values = (torch.from_numpy(a) for a in example("float32", dim=3)[:4])
    for path, rows in ((nodes + 7, values), (nodes, values[:50])):
        with pytest.raises(WalkError) as expected:
            collapse_targets(path, alpha, row_index, rows)
        with pytest.raises(WalkError) as raised, standing_in(**KERNELS):
            targets._collapse_cuda(path, alpha, row_index, rows, 3, compact=True)
        assert str(raised.value) == str(expected.value)


def test_device_arguments_are_made_what_the_kernels_read():
    given_arrays = {
        "nodes": torch.tensor([[0, 1], [2, 3]], dtype=torch.int32).t(),
        "alpha": torch.tensor([[0.5, 1], [0, 1]], dtype=torch.float64, requires_grad=True),
        "row_index": torch.tensor([0, 9, 1, 9])[::2],
        "values": torch.ones(4, 6, dtype=torch.float16)[:, ::2],
    }
    made = targets._cuda_arguments(given_arrays)
    assert [array.dtype for array in made] == [torch.int64, torch.float32, torch.int64, torch.float16]
    for array, original in zip(made, given_arrays.values(), strict=True):
        assert array.is_contiguous()
        assert not array.requires_grad
        assert array.tolist() == original.tolist()


def test_a_failed_launch_is_worded():
    def fail(**_):
        raise RuntimeError("an illegal memory access was encountered")

    with (
        pytest.raises(WalkError, match=r"collapsing targets failed on cpu \(an illegal memory access"),
        standing_in(sum_walks_cuda=fail),
    ):
        nothing = (torch.zeros(1, 1), torch.ones(1, 1), torch.zeros(1), torch.ones(1, 1))
        targets._collapse_cuda(*nothing, 1, compact=True)


def test_a_device_that_cannot_run_is_named(monkeypatch):
    monkeypatch.setattr(targets, "cuda_status", lambda: (False, "no NVIDIA driver is installed"))
    with pytest.raises(
        WalkError, match=r"cannot be collapsed there \(no NVIDIA driver is installed\): move it"
    ):
        nothing = (torch.zeros(1, 1), torch.ones(1, 1), torch.zeros(1), torch.ones(1, 1))
        targets._collapse_cuda(*nothing, 1, compact=True)


@pytest.mark.skipif(not hasattr(load_native(), "sum_walks_cuda"), reason="built without CUDA")
@pytest.mark.parametrize("name", list(KERNELS))
def test_the_bindings_take_the_names_that_are_passed(name):
    # With nothing to do they return before they ask for a device.
    nothing = dict.fromkeys(inspect.signature(KERNELS[name]).parameters, 0)
    assert getattr(load_native(), name)(**nothing) is None
