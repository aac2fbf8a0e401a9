"""What atoms hear: native passes against dgllife's layer, finite differences and torch; and its CUDA side."""

from __future__ import annotations

import ctypes
import dataclasses
import inspect
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from infoalign_dgl._dgl import dgl
from infoalign_dgl._extension import load_native
from infoalign_dgl.models import messages
from infoalign_dgl.models.encoder import GINOGBLayer
from infoalign_dgl.models.messages import hear
from infoalign_dgl.molecules import BOND_FEATURE_SIZES, featurize

native = load_native()
needs_native = pytest.mark.skipif(native is None, reason="the native kernels are not built")
needs_cuda = pytest.mark.skipif(
    not (torch.cuda.is_available() and hasattr(native, "hear_cuda")),
    reason="no CUDA device for torch and for the kernels",
)


def bonds_of(layer, features):
    columns = [one_hot(features[:, k], size) for k, size in enumerate(BOND_FEATURE_SIZES)]
    return layer.project_in_edge_feats(torch.cat(columns, dim=1).to(layer.eps.dtype))


def random_inputs(batch, width=7, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch.num_atoms, width), (len(batch.bond_kinds), width), (1,)]
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def random_weights(batch, width=7, dtype=torch.float32, seed=1):
    """Give a number for each entry of what `hear` returns, so that a loss can tell them apart."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch.num_atoms, width), (batch.num_molecules, width), (batch.num_atoms, width)]
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]


def run_both_passes(inputs, batch, weights=None):
    """Give the outputs, then the gradients; a weight of None leaves its output out of the loss."""
    inputs = [one.detach().clone().requires_grad_() for one in inputs]
    outputs = hear(*inputs, batch)
    weights = random_weights(batch, inputs[0].shape[1], inputs[0].dtype) if weights is None else weights
    terms = [(out * weight).sum() for out, weight in zip(outputs, weights, strict=True) if weight is not None]
    sum(terms).backward()
    return [*(out.detach() for out in outputs), *(one.grad for one in inputs)]


@pytest.fixture
def calls(monkeypatch):
    """Names of the native functions that were called."""
    assert native is not None
    made = []

    def recorded(name):
        def call(*arguments):
            made.append(name)
            return getattr(native, name)(*arguments)

        return call

    names = ("hear", "hear_backward", "MoleculeArcs")
    monkeypatch.setattr(
        messages, "load_native", lambda: SimpleNamespace(**{name: recorded(name) for name in names})
    )
    return made


@needs_native
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_dgllifes_layer(batch, calls, dtype, tolerance):
    torch.manual_seed(0)
    layer = GINOGBLayer(24, sum(BOND_FEATURE_SIZES)).to(dtype)
    layer.project_out = nn.Identity()
    with torch.no_grad():
        layer.eps.fill_(0.3)
    graph = dgl.graph((batch.edge_src, batch.edge_dst), num_nodes=batch.num_atoms)
    weight = torch.randn(batch.num_atoms, 24, dtype=dtype)
    atoms = torch.randn(batch.num_atoms, 24, dtype=dtype)

    def run(forward):
        layer.zero_grad(set_to_none=True)
        own = atoms.clone().requires_grad_()
        heard = forward(own)
        (heard * weight).sum().backward()
        return [heard.detach(), own.grad, *(parameter.grad for parameter in layer.parameters())]

    one_hots = torch.cat(
        [one_hot(batch.bond_features[:, k], size) for k, size in enumerate((5, 6, 2))], dim=1
    )
    expected = run(lambda own: layer(graph, own, one_hots.to(dtype)))
    found = run(lambda own: hear(own, bonds_of(layer, batch.bond_kinds), layer.eps, batch)[0])
    assert calls == ["MoleculeArcs", "hear", "MoleculeArcs", "hear_backward"]
    assert len(found) == 5  # eps, and weight and bias of the bonds' linear layer
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


@needs_native
def test_gradcheck(molecules, calls):
    batch = molecules.gather(np.array([5, 4, 6, 1, 5]))
    inputs = random_inputs(batch, width=3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *given: hear(*given, batch), inputs)
    assert {"hear", "hear_backward"} <= set(calls)


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_each_output_alone(batch, used):
    inputs = random_inputs(batch, dtype=torch.float64)
    weights = [one if k in used else None for k, one in enumerate(random_weights(batch, dtype=torch.float64))]
    found = run_both_passes(inputs, batch, weights)
    every = random_weights(batch, dtype=torch.float64)
    zeros = [one if k in used else torch.zeros_like(one) for k, one in enumerate(every)]
    expected = run_both_passes(inputs, batch, zeros)
    for ours, theirs in zip(found, expected, strict=True):
        # Where only h itself is used, nothing is left for the bonds, which torch says with None.
        torch.testing.assert_close(torch.zeros_like(theirs) if ours is None else ours, theirs)


@needs_native
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_torch_alone(batch, monkeypatch, dtype, tolerance):
    inputs = random_inputs(batch, width=33, dtype=dtype)
    found = run_both_passes(inputs, batch)
    monkeypatch.setattr(messages, "load_native", lambda: None)
    expected = run_both_passes(inputs, batch)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(1.0, float(theirs.abs().max())))


@needs_native
def test_bfloat16_is_the_rounded_float32(batch, calls):
    inputs = random_inputs(batch, width=33)
    # Weights that bfloat16 holds, as gradients of a bfloat16 result are bfloat16.
    weights = [one.bfloat16().float() for one in random_weights(batch, width=33)]
    heard, *others = run_both_passes(inputs, batch, weights)
    calls.clear()
    with torch.autocast("cpu", torch.bfloat16):
        rounded, *others_too = run_both_passes(inputs, batch, weights)
    assert calls.count("hear") == calls.count("hear_backward") == 1
    assert torch.equal(rounded, heard.bfloat16())
    for ours, theirs in zip(others_too, others, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("smiles", [["C", "O", "[Na+]"], ["not a molecule", "C", "not one either"]])
def test_without_arcs(smiles):
    packed, _ = featurize(smiles, num_workers=1)
    batch = packed.gather(np.arange(len(smiles)))
    inputs = random_inputs(batch)
    heard, pooled, passed, of_atoms, of_bonds, of_eps = run_both_passes(inputs, batch)
    atoms, _, eps = inputs
    of_heard, of_pooled, of_passed = random_weights(batch)
    torch.testing.assert_close(heard, (1 + eps) * atoms)
    torch.testing.assert_close(pooled, torch.zeros_like(pooled).index_add(0, batch.molecule, atoms))
    assert torch.equal(passed, atoms)
    torch.testing.assert_close(of_atoms, (1 + eps) * of_heard + of_pooled[batch.molecule] + of_passed)
    assert of_bonds.shape == (0, 7)
    torch.testing.assert_close(of_eps, (atoms * of_heard).sum().view(1))


@needs_native
def test_threads_change_no_bit(molecules):
    batch = molecules.gather(np.random.default_rng(0).integers(0, len(molecules), 200))
    inputs = random_inputs(batch, width=40)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run_both_passes(inputs, batch))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        for ours, theirs in zip(result, results[0], strict=True):
            assert torch.equal(ours, theirs)


@needs_native
def test_tensors_that_do_not_fit_are_refused(batch):
    atoms, bonds, eps = (one.detach() for one in random_inputs(batch))
    for wrong in (
        (atoms[1:], bonds, eps),
        (atoms[:, 1:], bonds, eps),
        (atoms, bonds[1:], eps),
        (atoms, bonds.double(), eps),
        (atoms, bonds, torch.zeros(2)),
    ):
        with pytest.raises(AssertionError):
            hear(*wrong, batch)


IN_A_PROCESS_OF_ITS_OWN = """
import os, sys, time
import sklearn._loss._loss  # brings an OpenMP runtime of its own, and comes first
import numpy as np
import torch
from infoalign_dgl.models.messages import hear
from infoalign_dgl.molecules import featurize

torch.set_num_threads(2)
packed, _ = featurize(["CCO", "c1ccccc1", "CCCC"], num_workers=1)
batch = packed.gather(np.arange(120) % 3)
atoms, bonds = torch.randn(batch.num_atoms, 300), torch.randn(len(batch.bond_kinds), 300)
torch.randn(2000, 1000).add(1)  # starts torch's threads
before = len(os.listdir("/proc/self/task"))
heard = hear(atoms, bonds, torch.zeros(1), batch)[0].numpy()
assert len(os.listdir("/proc/self/task")) == before, "the kernel started threads beside torch's"
child = os.fork()
if child == 0:
    os._exit(int(not np.array_equal(hear(atoms, bonds, torch.zeros(1), batch)[0].numpy(), heard)))
for _ in range(600):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
sys.exit("the child hangs")
"""


@needs_native
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_the_threads_are_torchs_and_a_forked_child_does_without():
    command = [sys.executable, "-W", "ignore", "-c", IN_A_PROCESS_OF_ITS_OWN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


# What surrounds the functions for a GPU, without one: those for a CPU do it, at the same addresses.


def hear_cuda(arcs, atoms, bonds, self_weight, width, number, x, pooled, device, queue):
    assert (device, queue) == (0, 77)
    weight = ctypes.c_float.from_address(self_weight).value
    native.hear(arcs, atoms, bonds, weight, width, number, x, pooled, 1)


def hear_backward_cuda(
    arcs,
    atoms,
    bonds,
    self_weight,
    width,
    number,
    x,
    residual,
    pooled,
    atoms_gradient,
    bonds_gradient,
    self_gradient,
    scratch,
    device,
    queue,
):
    assert (device, queue) == (0, 77)
    ctypes.memset(scratch, 0xFF, 4 * 1000)
    weight = ctypes.c_float.from_address(self_weight).value
    of_weight = native.hear_backward(
        arcs, atoms, bonds, weight, width, number, x, residual, pooled, atoms_gradient, bonds_gradient, 1
    )
    ctypes.c_float.from_address(self_gradient).value = of_weight


@needs_native
@pytest.mark.parametrize("bfloat16", [False, True])
def test_what_surrounds_the_kernels(batch, monkeypatch, bfloat16):
    inputs = random_inputs(batch)
    weights = [one.bfloat16().float() for one in random_weights(batch)]
    context = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16)
    with context:
        expected = run_both_passes(inputs, batch, weights)
    stand_in = SimpleNamespace(
        MoleculeArcs=native.MoleculeArcs,
        hear_scratch=lambda arcs, width: 1000,
        hear_cuda=hear_cuda,
        hear_backward_cuda=hear_backward_cuda,
    )
    monkeypatch.setattr(messages, "load_native", lambda: stand_in)
    monkeypatch.setattr(messages, "_CpuKernel", messages._CudaKernel)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=77))

    def wait(tensor):
        raise AssertionError("this would wait for the GPU")

    for name in ("__float__", "item", "tolist", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, wait)
    with context:
        found = run_both_passes(inputs, batch, weights)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.skipif(not hasattr(native, "hear_cuda"), reason="built without CUDA")
@pytest.mark.parametrize("stand_in", [hear_cuda, hear_backward_cuda])
def test_the_bindings_take_as_many_arguments(stand_in):
    signature = getattr(native, stand_in.__name__).__doc__.splitlines()[0]
    assert signature.count("arg") == len(inspect.signature(stand_in).parameters)


@needs_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "kinds", [None, 300]
)  # the batch's own, or more than fit into a block's shared memory
def test_a_device_gives_the_cpus_numbers(molecules, dtype, kinds):
    batch = molecules.gather(np.random.default_rng(0).integers(0, len(molecules), 1100))
    if kinds is not None:
        ends = batch.neighbor.long(), batch.edge_dst
        arc_kind = ((7 * torch.minimum(*ends) + 13 * torch.maximum(*ends)) % kinds).int()
        batch = dataclasses.replace(
            batch, arc_kind=arc_kind, bond_kinds=torch.zeros(kinds, 3, dtype=torch.int64)
        )
    inputs = random_inputs(batch, width=300)
    weights = [one.bfloat16().float() for one in random_weights(batch, width=300)]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        expected = run_both_passes(inputs, batch, weights)
    on_device = batch.to("cuda"), [one.cuda() for one in weights]
    inputs = [one.detach().cuda() for one in inputs]
    runs = []
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):
            with (
                torch.cuda.stream(torch.cuda.Stream()),
                torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16),
            ):
                runs.append(run_both_passes(inputs, *on_device))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    for ours, again in zip(*runs, strict=True):
        assert torch.equal(ours, again)
    for k, (ours, theirs) in enumerate(zip(runs[0], expected, strict=True)):
        if k < 4:  # the outputs, and the gradient of h
            assert torch.equal(ours.cpu(), theirs)
        else:  # sums in another order
            torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
