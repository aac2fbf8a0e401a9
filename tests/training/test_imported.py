"""Imported runs embed and cannot be resumed; ``compat`` runs start as published and resume like others."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from infoalign_dgl.errors import RunError
from infoalign_dgl.representation import load
from infoalign_dgl.training import import_reference, pretrain
from infoalign_dgl.training.checkpoint import checkpoint_folder


@pytest.fixture
def file(equations, tmp_path):
    path = tmp_path / "pretrain.pt"
    torch.save(equations.random_state(), path)
    return path


def test_an_imported_run(equations, file, tmp_path):
    imported = import_reference(file, tmp_path / "run")
    assert (imported.hidden, imported.layers) == (equations.HIDDEN, equations.LAYERS)
    stored = json.loads((tmp_path / "run/config.json").read_text())
    assert stored["imported"]["file"] == "pretrain.pt"
    assert len(stored["imported"]["sha256"]) == 64
    assert stored["pretrain"] is None
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoints", "config.json"]
    found = load(tmp_path / "run", device="cpu")
    assert found.checkpoint.name == "step-0"
    assert found.embed(["CCO", "c1ccccc1"]).shape == (2, equations.HIDDEN)


def test_an_imported_run_cannot_be_resumed(graph, make_config, file, tmp_path, quiet):
    import_reference(file, tmp_path / "run")
    with pytest.raises(RunError, match="imported without the state of an optimizer"):
        pretrain(graph, tmp_path / "run", make_config(), resume=True, console=quiet)


def test_where_a_run_cannot_be_put(file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty: choose another folder"):
        import_reference(file, tmp_path / "run")
    with pytest.raises(RunError, match="is not empty"):
        import_reference(file, file)


def test_compat_runs_start_as_published_and_resume(graph, make_config, tmp_path, quiet):
    def config(**changes):
        return make_config(compat="reference", loss="reference", lr=1e-2, checkpoint_every=2, **changes)

    pretrain(graph, tmp_path / "start", config(max_steps=0), console=quiet)
    start = load_file(checkpoint_folder(tmp_path / "start") / "model.safetensors")
    assert not any(start[f"decoders.{space}.output.bias"].any() for space in graph.spaces)
    assert json.loads((tmp_path / "start/config.json").read_text())["model"]["compat"] == "reference"
    pretrain(graph, tmp_path / "whole", config(max_steps=6), console=quiet)
    whole = load_file(checkpoint_folder(tmp_path / "whole", 6) / "model.safetensors")
    bias = "encoder.convs.0.project_in_edge_feats.bias"
    assert not whole[bias].any()
    pretrain(graph, tmp_path / "parts", config(max_steps=6), console=quiet)
    shutil.rmtree(tmp_path / "parts/checkpoints/step-6")
    pretrain(graph, tmp_path / "parts", config(max_steps=6), resume=True, console=quiet)
    parts = load_file(checkpoint_folder(tmp_path / "parts", 6) / "model.safetensors")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert whole["encoder.atom_embedding.weight"].norm(dim=1).max() > 1.01
    loaded = load(tmp_path / "whole", step=6, device="cpu").model.encoder.atom_embedding.weight
    assert loaded.norm(dim=1).max() < 1 + 1e-6
