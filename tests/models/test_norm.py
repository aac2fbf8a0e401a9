"""Normalization and what follows it: the native passes against torch's layers in double precision."""

from __future__ import annotations

import copy
from itertools import product
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from infoalign_dgl._extension import load_native
from infoalign_dgl.errors import RunError
from infoalign_dgl.models import norm, norm_passes
from infoalign_dgl.models.dropout import Dropout
from infoalign_dgl.models.norm import Finish, linear_norm, mlp_norm

native = load_native()
pytestmark = pytest.mark.skipif(native is None, reason="the native kernels are not built")
IN, OUT = 6, 9


@pytest.fixture
def calls(monkeypatch):
    """Names of the native functions that were called."""
    made = []

    class Recorded:
        def __init__(self, *arguments):
            self._inner = native.Activation(*arguments)

        def __getattr__(self, name):
            made.append(name)
            return getattr(self._inner, name)

    def column_moments(*arguments):
        made.append("moments")
        native.column_moments(*arguments)

    stand_in = SimpleNamespace(Activation=Recorded, column_moments=column_moments)
    monkeypatch.setattr(norm_passes, "load_native", lambda: stand_in)
    return made


def make_layers(seed=0, features=IN, width=OUT):
    torch.manual_seed(seed)
    linear, batch_norm = nn.Linear(features, width), nn.BatchNorm1d(width)
    with torch.no_grad():
        for tensor in (batch_norm.weight, batch_norm.bias, batch_norm.running_mean):
            tensor.copy_(torch.randn(width))
        batch_norm.running_var.uniform_(0.5, 2)
    return linear, batch_norm


def plainly(x, linear, batch_norm, finish):
    """The same in single layers; dropout is left out."""
    y = batch_norm(linear(x))
    y = y.relu() if finish.relu else y
    y = y if finish.residual is None else y + finish.residual
    return y if finish.per_molecule is None else y + finish.per_molecule[finish.batch.molecule]


def run_both_passes(apply, x, layers, finish, *, dtype=torch.float32, training=True, steps=2):
    """Give by name what some steps come to: the last one's values and gradients, and the running moments."""
    linear, batch_norm = (copy.deepcopy(layer).to(dtype) for layer in layers)
    batch_norm.train(training)
    tensors = {"x": x, "residual": finish.residual, "per_molecule": finish.per_molecule}
    tensors = {
        name: one.detach().to(dtype).requires_grad_() for name, one in tensors.items() if one is not None
    }
    weight = torch.linspace(-1, 2, len(x) * OUT, dtype=dtype).view(len(x), OUT)
    for step in range(steps):
        own = Finish(
            finish.relu, finish.dropout, tensors.get("residual"), tensors.get("per_molecule"), finish.batch
        )
        y = apply(tensors["x"] + step, linear, batch_norm, own)
        for one in (*tensors.values(), *linear.parameters(), *batch_norm.parameters()):
            one.grad = None
        (y * weight).sum().backward()
    parameters = {f"linear.{name}": one for name, one in linear.named_parameters()}
    parameters |= {f"norm.{name}": one for name, one in batch_norm.named_parameters()}
    gradients = {f"gradient of {name}": one.grad for name, one in (tensors | parameters).items()}
    return {"y": y.detach()} | gradients | dict(batch_norm.named_buffers())


def assert_near(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, theirs in expected.items():
        scale = max(1.0, float(theirs.abs().max()))
        torch.testing.assert_close(
            found[name].double(),
            theirs.double(),
            rtol=0,
            atol=tolerance * scale,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def make_finish(batch, *, relu=True, residual=False, per_molecule=False, dropout=None, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return Finish(
        relu,
        dropout,
        torch.randn(batch.num_atoms, OUT, generator=generator) if residual else None,
        torch.randn(batch.num_molecules, OUT, generator=generator) if per_molecule else None,
        batch if per_molecule else None,
    )


def make_rows(batch, seed=4):
    return torch.randn(batch.num_atoms, IN, generator=torch.Generator().manual_seed(seed))


ALL_WAYS = list(product([False, True], repeat=4))


@pytest.mark.parametrize(("training", "relu", "residual", "per_molecule"), ALL_WAYS)
def test_torchs_layers_in_double_precision(batch, calls, training, relu, residual, per_molecule):
    finish = make_finish(batch, relu=relu, residual=residual, per_molecule=per_molecule)
    given = (make_rows(batch), make_layers(), finish)
    expected = run_both_passes(plainly, *given, dtype=torch.float64, training=training)
    found = run_both_passes(linear_norm, *given, training=training)
    assert_near(found, expected, 3e-6)
    assert found["num_batches_tracked"] == (2 if training else 0)
    if training:  # normalization takes the bias out again, and no rounding is left of it
        assert not found["gradient of linear.bias"].any()
    assert calls == [*(["moments"] if training else []), "forward", "sums", "backward"] * 2


@pytest.mark.parametrize(("training", "relu", "residual", "per_molecule"), ALL_WAYS)
def test_torch_alone(batch, monkeypatch, training, relu, residual, per_molecule):
    finish = make_finish(batch, relu=relu, residual=residual, per_molecule=per_molecule)
    given = (make_rows(batch), make_layers(), finish)
    expected = run_both_passes(linear_norm, *given, training=training)
    monkeypatch.setattr(norm, "load_native", lambda: None)
    found = run_both_passes(linear_norm, *given, training=training)
    if training:  # here it is what rounding leaves of a sum that is 0
        assert float(found.pop("gradient of linear.bias").abs().max()) < 1e-4
        expected.pop("gradient of linear.bias")
    assert_near(found, expected, 3e-6)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("residual", "per_molecule"), [(False, False), (True, False), (True, True)])
def test_bfloat16(batch, calls, training, residual, per_molecule):
    # Values that bfloat16 holds, so that only what is computed is rounded.
    finish = make_finish(batch, relu=False, residual=residual, per_molecule=per_molecule)
    linear, batch_norm = make_layers()
    with torch.no_grad():
        linear.weight.copy_(linear.weight.bfloat16())
        linear.bias.zero_()
    given = (make_rows(batch).bfloat16().float(), (linear, batch_norm), finish)
    expected = run_both_passes(plainly, *given, dtype=torch.float64, training=training)
    with torch.autocast("cpu", torch.bfloat16):
        found = run_both_passes(linear_norm, *given, training=training)
    assert found["y"].dtype == (torch.float32 if residual else torch.bfloat16)
    assert all(one.dtype == torch.float32 for name, one in found.items() if name.startswith("gradient"))
    assert all(found[name].dtype == torch.float32 for name in ("running_mean", "running_var"))
    assert_near(found, expected, 1 / 64)
    assert calls.count("sums") == 2


def make_mlp():
    """A GIN layer's MLP and its normalization, whose weights and biases bfloat16 holds."""
    (widen, inner), (narrow, norm) = make_layers(0, IN, 2 * IN), make_layers(1, 2 * IN, OUT)
    with torch.no_grad():
        for parameter in (*widen.parameters(), *narrow.parameters()):
            parameter.copy_(parameter.bfloat16())
        widen.bias.zero_()
        narrow.bias.zero_()
    return nn.Sequential(widen, inner, nn.ReLU(), narrow), norm


def run_mlp(apply, batch, layers, *, dtype=torch.float32, training=True, frozen=False):
    """Give by name what an MLP's values, gradients and running moments come to."""
    mlp, norm = (copy.deepcopy(layer).to(dtype).train(training) for layer in layers)
    finish = make_finish(batch, residual=True, per_molecule=True)
    residual, per_molecule = (
        one.to(dtype).requires_grad_() for one in (finish.residual, finish.per_molecule)
    )
    x = make_rows(batch).bfloat16().to(dtype).requires_grad_()
    for parameter in (*mlp.parameters(), *norm.parameters()):
        parameter.requires_grad_(not frozen)
    y = apply(x, mlp, norm, Finish(True, None, residual, per_molecule, batch))
    (y * torch.linspace(-1, 2, y.numel(), dtype=dtype).view_as(y)).sum().backward()
    found = {"y": y.detach(), "gradient of x": x.grad, "gradient of residual": residual.grad}
    found["gradient of per_molecule"] = per_molecule.grad
    for name, layer in (("mlp", mlp), ("norm", norm)):
        found |= {f"{name}.{key}": value for key, value in layer.named_buffers()}
        if not frozen:
            found |= {f"gradient of {name}.{key}": one.grad for key, one in layer.named_parameters()}
    return found


def plain_mlp(x, mlp, norm, finish):
    return plainly(mlp[:3](x), mlp[3], norm, finish)


@pytest.mark.parametrize("training", [False, True])
def test_an_mlp_that_keeps_no_hidden_units(batch, calls, training):
    given = (batch, make_mlp())
    expected = run_mlp(plain_mlp, *given, dtype=torch.float64, training=training)
    assert_near(run_mlp(mlp_norm, *given, training=training), expected, 3e-6)
    moments = ["moments"] if training else []
    assert calls == [*moments, "forward", *moments, "forward", *["sums", "backward"] * 2]


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_an_mlp_is_the_same_in_parts_and_frozen(batch, training, bf16):
    def in_parts(x, mlp, norm, finish):
        return linear_norm(linear_norm(x, mlp[0], mlp[1], Finish(relu=True)), mlp[3], norm, finish)

    given = (batch, make_mlp())
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found, expected = (run_mlp(apply, *given, training=training) for apply in (mlp_norm, in_parts))
        frozen = run_mlp(mlp_norm, *given, training=training, frozen=True)
    assert all(one.dtype == torch.float32 for name, one in found.items() if name.startswith("gradient"))
    assert found.keys() == expected.keys() > frozen.keys()
    assert all(torch.equal(found[name], value) for name, value in (*expected.items(), *frozen.items()))


def test_hidden_units_are_not_kept(batch):
    """Of a forward pass there remain what was read, the two products, and vectors."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: (kept.append(one), one)[1], lambda one: one):
        run_mlp(mlp_norm, batch, make_mlp())
    assert sum(one.shape == (batch.num_atoms, 2 * IN) for one in kept) == 1


def apply_to(x, *, dropout=None, relu=False, training=True):
    """Normalize columns as they are: by a linear layer that changes nothing."""
    width = x.shape[1]
    linear, batch_norm = nn.Linear(width, width).to(x.dtype), nn.BatchNorm1d(width).to(x.dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(width))
        linear.bias.zero_()
        batch_norm.weight.copy_(torch.linspace(0.5, 2, width))
        batch_norm.bias.copy_(torch.linspace(-1, 1, width))
    batch_norm.train(training)
    return linear_norm(x, linear, batch_norm, Finish(relu, dropout)), batch_norm


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("p", [0.5, 0.1, 0.3])
def test_dropout_scales_what_it_keeps(p, relu):
    torch.manual_seed(0)
    x = torch.randn(300, 40, requires_grad=True)
    whole, _ = apply_to(x, relu=relu)
    dropped, _ = apply_to(x, relu=relu, dropout=Dropout(p))
    kept = dropped != 0
    exact = 65536 / (65536 - round(p * 65536))
    assert exact == pytest.approx(1 / (1 - p), rel=2e-5)
    torch.testing.assert_close(dropped[kept], exact * whole[kept], rtol=1e-6, atol=0)
    # The same mask, with the same factor, in the backward pass.
    weight = torch.randn(300, 40)
    (found,) = torch.autograd.grad((dropped * weight).sum(), x)
    (expected,) = torch.autograd.grad((whole * weight * kept * exact).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    if not relu:  # so few values are 0 by themselves that none is
        sigma = (p * (1 - p) / x.numel()) ** 0.5
        assert abs(float(kept.float().mean()) - (1 - p)) < 4 * sigma


@pytest.mark.parametrize("p", [0.5, 0.1, 0.02])
def test_dropouts_rate(p):
    torch.manual_seed(1)
    dropped, _ = apply_to(torch.randn(20000, 200), dropout=Dropout(p))
    entries = dropped.numel()
    share = float((dropped == 0).double().mean())
    # 4e6 entries: at p = 0.5 this is 0.001, and a rate that is off by 1 % fails.
    assert abs(share - p) < 4 * (p * (1 - p) / entries) ** 0.5
    by_column = (dropped == 0).double().mean(0)
    assert float((by_column - p).abs().max()) < 5 * (p * (1 - p) / len(dropped)) ** 0.5


def test_masks_follow_torchs_seed():
    x = torch.randn(50, 40)

    def mask():
        return apply_to(x, dropout=Dropout(0.5))[0] != 0

    torch.manual_seed(5)
    first, second = mask(), mask()
    torch.manual_seed(5)
    again = mask(), mask()
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert 0.4 < float((first == second).float().mean()) < 0.6


def test_dropout_where_there_is_none():
    x = torch.randn(50, 40)

    def values_and_state(dropout):
        torch.manual_seed(0)
        return apply_to(x, dropout=dropout)[0], torch.get_rng_state()

    whole, state = values_and_state(None)
    for dropout in (Dropout(0.5).eval(), Dropout(0.0), Dropout(1e-6)):
        values, state_after = values_and_state(dropout)
        assert torch.equal(values, whole)
        assert torch.equal(state_after, state)
    nearly_all, _ = values_and_state(Dropout(1 - 1e-6))
    assert float((nearly_all == 0).float().mean()) > 0.99


def test_constant_columns():
    x = torch.randn(3000, 4)
    x[:, 0], x[:, 1], x[:, 2] = 0.3, -1234.567, 0.0
    y, batch_norm = apply_to(x)
    for column in range(3):
        # The variance is 0, so that what a float32 is off by is divided by the root of eps, which is 1/316.
        unit = float(x[0, column].abs()) * 2.0**-23 * 316 * float(batch_norm.weight.detach()[column])
        expected = batch_norm.bias[column].expand(3000)
        torch.testing.assert_close(y[:, column], expected, rtol=0, atol=unit + 1e-7)
    # The running variance starts at 1 and takes a tenth of the batch's.
    torch.testing.assert_close(batch_norm.running_var[:3], torch.full((3,), 0.9), rtol=1e-6, atol=0)


@pytest.mark.parametrize("mean", [1e2, 1e4])
def test_columns_far_from_zero(mean):
    torch.manual_seed(2)
    x = (torch.randn(3000, 5) + mean).requires_grad_()
    exact = x.detach().double().requires_grad_()
    weight = torch.rand(3000, 5)
    found, batch_norm = apply_to(x, relu=True)
    expected = (exact - exact.mean(0)) / (exact.var(0, unbiased=False) + batch_norm.eps).sqrt()
    expected = (expected * batch_norm.weight.double() + batch_norm.bias.double()).relu()
    # How far a float32 of size `mean` is from the next; columns have a deviation of 1, a weight of up to 2.
    unit = 2 * mean * 2.0**-23
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2 * unit)
    torch.testing.assert_close(batch_norm.running_mean, 0.1 * exact.mean(0).float(), rtol=1e-7, atol=0)
    variance = 0.9 + 0.1 * exact.var(0)
    torch.testing.assert_close(batch_norm.running_var, variance.float(), rtol=1e-6, atol=0)
    (ours,) = torch.autograd.grad((found * weight).sum(), x)
    (theirs,) = torch.autograd.grad((expected * weight.double()).sum(), exact)
    # All but entries next to ReLU's kink, which may fall on its other side.
    near = (ours.double() - theirs).abs() < 10 * unit
    assert float(near.float().mean()) > 1 - unit


def test_a_nan_shows():
    x = torch.randn(20, 3)
    x[4, 1] = float("nan")  # and so the moments of all columns
    assert apply_to(x, relu=True)[0].isnan().all()
    assert apply_to(x, relu=True, dropout=Dropout(0.5))[0].isnan().any()


def test_one_row_is_refused_in_training():
    x = torch.randn(1, 3)
    with pytest.raises(RunError, match="BatchNorm needs at least 2 rows in training, not 1"):
        apply_to(x)
    apply_to(x, training=False)


@pytest.mark.parametrize("training", [False, True])
def test_frozen_parameters(batch, training):
    finish = make_finish(batch, residual=True, per_molecule=True)
    x = make_rows(batch)

    def run(*, frozen):
        linear, batch_norm = make_layers()
        batch_norm.train(training)
        for parameter in (*linear.parameters(), *batch_norm.parameters()):
            parameter.requires_grad_(not frozen)
        own = x.clone().requires_grad_()
        y = linear_norm(own, linear, batch_norm, finish)
        (y * torch.linspace(-1, 1, OUT)).sum().backward()
        return y.detach(), own.grad, [one.grad for one in (*linear.parameters(), *batch_norm.parameters())]

    values, gradient, of_parameters = run(frozen=False)
    frozen_values, frozen_gradient, nothing = run(frozen=True)
    assert torch.equal(values, frozen_values)
    assert torch.equal(gradient, frozen_gradient)
    assert nothing == [None] * 4
    assert None not in of_parameters
    with torch.no_grad():
        linear, batch_norm = make_layers()
        assert torch.equal(linear_norm(x, linear, batch_norm.train(training), finish), values)


def test_tensors_that_do_not_fit_are_refused(batch):
    linear, batch_norm = make_layers()
    rows, molecules = torch.zeros(batch.num_atoms, OUT), torch.zeros(batch.num_molecules, OUT)
    for finish in (
        Finish(residual=rows.double()),
        Finish(residual=rows[1:]),
        Finish(per_molecule=molecules),
        Finish(per_molecule=molecules[1:], batch=batch),
        Finish(per_molecule=molecules.bfloat16(), batch=batch),
    ):
        with pytest.raises(AssertionError):
            linear_norm(make_rows(batch), linear, batch_norm, finish)
    with pytest.raises(AssertionError):
        linear_norm(make_rows(batch)[1:], linear, batch_norm, Finish(per_molecule=molecules, batch=batch))


def test_threads_change_no_bit():
    x = torch.randn(3000, 40)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            torch.manual_seed(0)
            own = x.clone().requires_grad_()
            y, batch_norm = apply_to(own, relu=True, dropout=Dropout(0.5))
            y.square().sum().backward()
            results.append(
                [y, own.grad, batch_norm.weight.grad, batch_norm.bias.grad, batch_norm.running_var]
            )
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        for ours, theirs in zip(result, results[0], strict=True):
            assert torch.equal(ours, theirs)
