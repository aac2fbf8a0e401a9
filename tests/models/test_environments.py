"""Environments against their definition; the encoder with and without them, and without gradients."""

import numpy as np
import pytest
import torch

from infoalign_dgl.models import InfoAlign, ModelConfig, encoder
from infoalign_dgl.models import environments as module
from infoalign_dgl.models.environments import environments
from infoalign_dgl.molecules import featurize
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

SMILES = [*SEED_DRUGS.values(), "C", "[Na+]", "S(F)(F)(F)(F)(F)F", "", "CC", "C[Si](C)(C)C"]


@pytest.fixture(scope="module")
def batch():
    packed, _ = featurize(SMILES)
    return packed.gather(np.arange(len(SMILES)))


def trained_model(layers):
    torch.manual_seed(0)
    config = ModelConfig(hidden=32, layers=layers, spaces={"a": 3}, modality={"a": "molecule"})
    model = InfoAlign(config)
    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, torch.nn.BatchNorm1d):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)
                norm.weight.normal_()
                norm.bias.normal_()
        model.encoder.virtual_node.normal_()
        for conv in model.encoder.convs:
            conv.eps.normal_()
    return model.eval()


@pytest.mark.parametrize("layers", [2, 3, 5])
def test_vectors_are_those_with_gradients(batch, layers):
    model = trained_model(layers)
    expected = model.encoder(batch, "torch").detach()
    through_dgl = model.encoder(batch, "dgl").detach()
    with torch.no_grad():
        found = model.encoder(batch, "torch")
    scale = expected.abs().amax(1, keepdim=True) + 1
    assert ((found - expected).abs() / scale).max() < 1e-5
    assert ((found - through_dgl).abs() / scale).max() < 1e-5


def test_vectors_where_environments_do_not_fit(batch, monkeypatch):
    model = trained_model(3)
    with torch.no_grad():
        expected = model.encoder(batch, "torch")
        monkeypatch.setattr(module, "_LARGEST", 1000)
        assert environments(batch) is None
        found = model.encoder(batch, "torch")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def run_in_training(batch, dtype=torch.float32):
    """mu, gradients and running moments of one training pass without dropout."""
    torch.manual_seed(0)
    model = trained_model(3).train()
    model.encoder.dropout.p = 0.0
    vectors = model.encoder(batch, "torch")
    (vectors * torch.linspace(-1, 1, vectors.numel()).view(vectors.shape)).sum().backward()
    gradients = {name: p.grad for name, p in model.encoder.named_parameters()}
    return vectors.detach(), gradients, dict(model.encoder.named_buffers())


def test_training_with_each_environment_multiplied_once(batch, monkeypatch):
    found, gradients, buffers = run_in_training(batch)
    used = []
    monkeypatch.setattr(encoder, "environments", lambda batch: used.append(batch))
    expected, every_gradient, every_buffer = run_in_training(batch)
    assert len(used) == 1
    scale = expected.abs().max()
    assert (found - expected).abs().max() < 1e-5 * scale
    largest = max(float(gradient.abs().max()) for gradient in every_gradient.values())
    for name, gradient in every_gradient.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=2e-5 * largest, msg=name)
    for name, buffer in every_buffer.items():
        torch.testing.assert_close(buffers[name], buffer, rtol=1e-4, atol=1e-5, msg=name)


def test_environments_by_their_definition(batch):
    atoms, bonds = batch.atom_features.tolist(), batch.bond_features.tolist()
    around = [[] for _ in atoms]
    for src, dst, bond in zip(batch.edge_src.tolist(), batch.edge_dst.tolist(), bonds, strict=True):
        around[dst].append((*bond, *atoms[src]))
    described = [(*atom, *sorted(near)) for atom, near in zip(atoms, around, strict=True)]
    same = environments(batch)
    assert len(same.examples) == len(set(described))
    assert [described[same.examples[e]] for e in same.atoms.group.tolist()] == described
    assert same.examples.tolist() == [described.index(described[first]) for first in same.examples.tolist()]
    assert same.counts.tolist() == [described.count(described[first]) for first in same.examples.tolist()]


def test_environments_of_no_atoms():
    packed, _ = featurize(["", ""])
    same = environments(packed.gather(np.arange(2)))
    assert len(same.examples) == len(same.atoms.group) == 0
