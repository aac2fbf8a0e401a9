"""The encoder without gradients against itself with them, and environments against their definition."""

import numpy as np
import pytest
import torch

from infoalign_dgl.models import InfoAlign, ModelConfig, inference
from infoalign_dgl.models.inference import environments
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
        monkeypatch.setattr(inference, "_LARGEST", 1000)
        assert environments(batch) is None
        found = model.encoder(batch, "torch")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_training_and_gradients_take_the_other_way(batch, monkeypatch):
    model = trained_model(2)
    monkeypatch.setattr("infoalign_dgl.models.encoder.vectors_of", None)
    assert model.encoder(batch, "torch").requires_grad
    with torch.no_grad():
        model.train().encoder(batch, "torch")


def test_environments_by_their_definition(batch):
    atoms, bonds = batch.atom_features.tolist(), batch.bond_features.tolist()
    around = [[] for _ in atoms]
    for src, dst, bond in zip(batch.edge_src.tolist(), batch.edge_dst.tolist(), bonds, strict=True):
        around[dst].append((*bond, *atoms[src]))
    described = [(*atom, *sorted(near)) for atom, near in zip(atoms, around, strict=True)]
    examples, environment = environments(batch)
    assert len(examples) == len(set(described))
    assert [described[examples[e]] for e in environment.tolist()] == described


def test_environments_of_no_atoms():
    packed, _ = featurize(["", ""])
    examples, environment = environments(packed.gather(np.arange(2)))
    assert len(examples) == len(environment) == 0
