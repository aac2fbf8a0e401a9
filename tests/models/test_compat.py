"""``compat="reference"``: embeddings as torch's own ``max_norm=1`` has them, and the published start."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributed

from infoalign_dgl.errors import RunError
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.models.compat import bound_all_rows, bound_rows
from infoalign_dgl.molecules import ATOM_FEATURE_SIZES, BOND_FEATURE_SIZES

SPACES = {"fingerprint": 12, "profile": 7}
MODALITY = {"fingerprint": "molecule", "profile": "morphology"}


def make(compat="reference", hidden=16):
    torch.manual_seed(1)
    return InfoAlign(
        ModelConfig(hidden=hidden, layers=3, spaces=SPACES, modality=MODALITY, dropout=0.0, compat=compat)
    )


def linears(model):
    return [module for module in model.modules() if isinstance(module, torch.nn.Linear)]


def bond_layers(model):
    return [conv.project_in_edge_feats for conv in model.encoder.convs]


@given(st.integers(0, 2**31), st.sets(st.integers(0, 8)), st.sampled_from([torch.float32, torch.float64]))
def test_rows_are_shortened_as_by_torch(seed, used, dtype):
    generator = torch.Generator().manual_seed(seed)
    table = 0.4 * torch.randn(9, 6, generator=generator, dtype=torch.float64).to(dtype)
    table[0] = 0
    table[1] = torch.eye(6)[2]  # exactly 1
    mask = torch.zeros(9, dtype=torch.bool)
    mask[list(used)] = True
    for found in (table.clone(), table.t().clone().t()):  # rows of a table, columns of a weight
        expected = table.clone()
        bound_rows(found, mask)
        torch.embedding_renorm_(expected, torch.tensor(sorted(used), dtype=torch.int64), 1.0, 2.0)
        tight = 1e-12 if dtype == torch.float64 else 1e-6
        torch.testing.assert_close(found, expected, atol=0, rtol=tight)
        assert torch.equal(found[~mask], table[~mask])
        bound_rows(found)
        assert (found.norm(dim=1) < 1 + tight).all()


def test_only_rows_of_the_batch_are_shortened_and_only_in_training(molecules):
    model = make()
    with torch.no_grad():
        for table in (model.encoder.atom_embedding.weight, *(layer.weight for layer in bond_layers(model))):
            table.mul_(20)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    one = molecules.gather(np.array([1, 6]))  # methane, which has no bond, and HCN, which has one
    model.eval().encode(one)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_parameters())
    model.train().encode(one)
    first = np.cumsum([0, *ATOM_FEATURE_SIZES[:-1]])
    atoms = {int(f + o) for row in one.atom_features for f, o in zip(row, first, strict=True)}
    first = np.cumsum([0, *BOND_FEATURE_SIZES[:-1]])
    bonds = {int(f + o) for row in one.bond_features for f, o in zip(row, first, strict=True)}
    assert len(bonds) == 3
    name = "encoder.atom_embedding.weight"
    changed = (model.get_parameter(name) != before[name]).any(1)
    assert set(changed.nonzero().flatten().tolist()) == atoms
    for layer in range(3):
        name = f"encoder.convs.{layer}.project_in_edge_feats.weight"
        changed = (model.get_parameter(name) != before[name]).any(0)
        assert set(changed.nonzero().flatten().tolist()) == bonds
    bound_all_rows(model)
    assert (model.encoder.atom_embedding.weight.norm(dim=1) < 1 + 1e-6).all()
    assert all((layer.weight.norm(dim=0) < 1 + 1e-6).all() for layer in bond_layers(model))


def test_without_compat_nothing_is_shortened(batch):
    model = make(compat=None)
    with torch.no_grad():
        model.encoder.atom_embedding.weight.mul_(20)
    before = model.encoder.atom_embedding.weight.clone()
    model.train().encode(batch)
    assert torch.equal(model.encoder.atom_embedding.weight, before)


def test_starts_as_published():
    hidden = 300
    model = make(hidden=hidden)
    assert not model.encoder.virtual_node.any()
    assert all(not layer.bias.any() for layer in linears(model))
    assert any(layer.bias.any() for layer in linears(make(compat=None)))
    tables = list(model.encoder.atom_embedding.weight.split(ATOM_FEATURE_SIZES))
    for layer in bond_layers(model):
        tables += layer.weight.T.split(BOND_FEATURE_SIZES)
    for table in tables:  # Xavier: uniform within sqrt(6 / (rows + D)), rows and D of this table
        bound = (6 / (len(table) + hidden)) ** 0.5
        assert 0.95 * bound < table.abs().max() <= bound
        assert table.std().item() == pytest.approx(bound / 3**0.5, rel=0.06)
    for layer in linears(model):
        if layer not in bond_layers(model):  # torch's default
            bound = layer.in_features**-0.5
            assert 0.95 * bound < layer.weight.abs().max() <= bound


def test_the_bias_of_the_bond_embeddings_stays_zero(batch):
    model = make().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model.encode(batch).mu.square().sum().backward()
        optimizer.step()
    assert all(not layer.bias.any() for layer in bond_layers(model))
    assert model.bottleneck.linear.bias.any()


def test_errors():
    with pytest.raises(RunError, match="'compat' must be None or one of reference, not 'published'"):
        make(compat="published")
    with pytest.raises(RunError, match="compat='reference' is about the encoder gin-virtual, not 'gin'"):
        ModelConfig("gin", spaces=SPACES, modality=MODALITY, compat="reference")


def test_processes_that_train_together_look_at_all_rows(molecules, tmp_path):
    """So that their weights stay the same, though each has other molecules."""
    model = make()
    with torch.no_grad():
        model.encoder.atom_embedding.weight.mul_(20)
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        model.train().encode(molecules.gather(np.array([1, 6])))
    finally:
        distributed.destroy_process_group()
    assert (model.encoder.atom_embedding.weight.norm(dim=1) < 1 + 1e-6).all()
