"""The model's names, its configuration, and the errors of wrong use."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from infoalign_dgl.errors import RunError
from infoalign_dgl.models import InfoAlign, ModelConfig


def test_state_dict_names_are_stable(make_model):
    names = set(make_model().state_dict())
    assert {
        "encoder.atom_embedding.weight",
        "encoder.virtual_node",
        "encoder.convs.0.eps",
        "encoder.convs.2.project_in_edge_feats.weight",
        "encoder.convs.2.project_out.3.bias",
        "encoder.norms.2.running_var",
        "encoder.virtual_mlps.1.4.weight",
        "bottleneck.linear.weight",
        "decoders.profile.expand.weight",
        "decoders.profile.norm.running_mean",
        "decoders.profile.output.bias",
    } <= names
    assert {name.split(".")[0] for name in names} == {"encoder", "bottleneck", "decoders"}
    assert "encoder.gin.gnn_layers.0.mlp.0.weight" in make_model("gin").state_dict()


def test_config_survives_json(make_model, batch):
    config = make_model().config
    again = ModelConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    other = InfoAlign(again)
    other.load_state_dict(make_model().state_dict())
    torch.testing.assert_close(
        other.eval().encode(batch).mu, make_model().eval().encode(batch).mu, rtol=0, atol=0
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder": "gat"}, "'encoder' must be one of"),
        ({"hidden": 0}, "'hidden' must be at least 1, not 0"),
        ({"layers": 1}, "'layers' must be at least 2"),
        ({"dropout": 1.0}, "'dropout' must be in"),
        ({"spaces": {"a": 1}}, "must name the same feature spaces"),
        ({"spaces": {"a.b": 1}, "modality": {"a.b": "gene"}}, "without dots"),
    ],
)
def test_config_errors(values, message):
    with pytest.raises(RunError, match=message):
        ModelConfig(**values)
    with pytest.raises(RunError, match="unknown model setting 'wings'"):
        ModelConfig.from_json({"wings": 2})


def test_outputs_start_at_means_and_unknown_spaces_are_named(make_model, batch):
    model = make_model().train()
    means = {name: np.full(columns, 0.2) for name, columns in model.config.spaces.items()}
    model.initialise_outputs(means, dict.fromkeys(means, 100))
    latent = model.encode(batch)
    assert (torch.sigmoid(model.decode("profile", latent.mu)) - 0.2).abs().max() < 0.1
    with pytest.raises(RunError, match="no decoder for feature space 'jump'"):
        model.decode("jump", latent.mu)
