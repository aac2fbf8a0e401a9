"""Both backends against each other, and the default encoder against a transcription per molecule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from infoalign_dgl.errors import RunError
from infoalign_dgl.models.config import ENCODER_NAMES
from infoalign_dgl.models.encoder import ENCODERS, make_encoder
from infoalign_dgl.molecules import ATOM_FEATURE_SIZES, featurize


def shake(model):
    """Give every parameter and every running statistic a value that is not its initial one."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                noise = 0.1 * torch.randn(tensor.shape, generator=generator)
                tensor.add_(noise.abs() if "running_var" in name else noise)


def mu_and_gradients(model, batch, backend):
    model.zero_grad(set_to_none=True)
    mu = model.encode(batch, backend=backend).mu
    (mu * torch.linspace(-1, 1, mu.numel()).view(mu.shape)).sum().backward()
    return mu.detach(), {name: p.grad.clone() for name, p in model.encoder.named_parameters()}


@pytest.mark.parametrize("encoder", ENCODER_NAMES)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_backends_agree(make_model, batch, encoder, training, dtype):
    model = make_model(encoder, dropout=0.0).to(dtype)
    shake(model)
    model.train(training)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    dgl_mu, dgl_gradients = mu_and_gradients(model, batch, "dgl")
    torch_mu, torch_gradients = mu_and_gradients(model, batch, "torch")
    torch.testing.assert_close(torch_mu, dgl_mu, atol=tolerance * float(dgl_mu.abs().max()), rtol=tolerance)
    # A bias before a BatchNorm has gradient 0 up to the rounding of sums as large as the other gradients.
    scale = max(float(gradient.abs().max()) for gradient in dgl_gradients.values())
    for name, expected in dgl_gradients.items():
        torch.testing.assert_close(
            torch_gradients[name], expected, atol=tolerance * scale, rtol=10 * tolerance, msg=name
        )


def test_gin_virtual_follows_the_published_order(make_model, molecules):
    """Written per molecule with loops over atoms and bonds, in eval mode."""
    model = make_model().double().eval()
    shake(model)
    net = model.encoder
    expected = []
    for i in range(len(molecules)):
        one = molecules.gather(np.array([i]))
        first = np.cumsum([0, *ATOM_FEATURE_SIZES[:-1]])
        atoms = [
            sum(net.atom_embedding.weight[int(f) + o] for f, o in zip(row, first, strict=True))
            for row in one.atom_features
        ]
        virtual = net.virtual_node[0]
        for layer in range(3):
            atoms = [h + virtual for h in atoms]
            conv = net.convs[layer]
            heard = [torch.zeros_like(h) for h in atoms]
            for u, v, bond in zip(one.edge_src, one.edge_dst, one.bond_features, strict=True):
                onehot = torch.cat([one_hot(bond[k], size) for k, size in enumerate((5, 6, 2))]).double()
                heard[v] = heard[v] + torch.relu(atoms[u] + conv.project_in_edge_feats(onehot))
            new = [
                conv.project_out(((1 + conv.eps) * h + m)[None]) for h, m in zip(atoms, heard, strict=True)
            ]
            new = [net.norms[layer](h)[0] for h in new]
            if layer < 2:
                summed = torch.stack(atoms).sum(0) + virtual
                virtual = virtual + net.virtual_mlps[layer](summed[None])[0]
                new = [torch.relu(h) for h in new]
            atoms = [h + old for h, old in zip(new, atoms, strict=True)]
        expected.append(torch.stack(atoms).sum(0))
    found = net(molecules.gather(np.arange(len(molecules))), "torch")
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("encoder", ENCODER_NAMES)
@pytest.mark.parametrize("backend", ["dgl", "torch"])
def test_molecules_without_bonds(make_model, encoder, backend):
    packed, _ = featurize(["C", "[Na+]", "O"])
    model = make_model(encoder)
    for training in (True, False):
        mu = model.train(training).encode(packed.gather(np.arange(3)), backend=backend).mu
        assert mu.shape == (3, 16)
        assert torch.isfinite(mu).all()
    assert not torch.allclose(mu[0], mu[1])


@pytest.mark.parametrize("encoder", ENCODER_NAMES)
def test_a_molecule_without_atoms_gets_no_atoms_of_another(make_model, encoder):
    packed, reasons = featurize(["CCO", "not a molecule", "CCN"])
    assert reasons[1] is not None
    model = make_model(encoder).eval()
    together = model.encode(packed.gather(np.arange(3))).mu
    alone = model.encode(packed.gather(np.array([2]))).mu
    torch.testing.assert_close(together[2:], alone)


@pytest.mark.parametrize("encoder", ENCODER_NAMES)
def test_a_molecule_does_not_depend_on_its_batch(make_model, molecules, encoder):
    model = make_model(encoder).eval()
    order = np.random.default_rng(0).permutation(len(molecules))
    together = model.encode(molecules.gather(order)).mu
    alone = torch.cat([model.encode(molecules.gather(np.array([i]))).mu for i in order])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_one_molecule_cannot_train(make_model, molecules):
    one = molecules.gather(np.array([0]))
    with pytest.raises(RunError, match="BatchNorm needs at least 2"):
        make_model().train().encode(one)
    make_model().eval().encode(one)


def test_unknown_names(make_model, batch):
    assert tuple(ENCODERS) == ENCODER_NAMES
    with pytest.raises(RunError, match="'encoder' must be one of gin-virtual, gin, not 'gat'"):
        make_encoder("gat", hidden=4, layers=2, dropout=0.0)
    with pytest.raises(RunError, match="'backend' must be one of dgl, torch"):
        make_model().encode(batch, backend="pyg")
