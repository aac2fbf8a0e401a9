"""Embedding: row-aligned, the same whatever the batches and order, with reasons for rows of NaN."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

import infoalign_dgl
from infoalign_dgl.context import BuildSpec, build_context_graph
from infoalign_dgl.errors import InfoAlignError, RunError
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.molecules import standardize
from infoalign_dgl.representation import embed_table
from infoalign_dgl.training import PretrainConfig, pretrain
from infoalign_dgl.training.checkpoint import Progress, save_checkpoint
from infoalign_dgl.training.run_folder import CONFIG, RunConfig, read_config, write_config

SMILES = ["CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "C", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "OCC(O)CO"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    config = ModelConfig(hidden=24, layers=2, spaces={"a": 3}, modality={"a": "molecule"})
    write_config(folder, RunConfig(config, PretrainConfig(), {}))
    torch.manual_seed(0)
    model = InfoAlign(config)
    optimizer = torch.optim.Adam(model.parameters())
    save_checkpoint(folder, model, optimizer, Progress(1, best_step=1), keep=1)
    with torch.no_grad():
        model.bottleneck.linear.bias.add_(1)
    save_checkpoint(folder, model, optimizer, Progress(2, best_step=1), keep=2)
    return folder


@pytest.fixture(scope="module")
def representation(run):
    return infoalign_dgl.load(run)


def test_rows_do_not_depend_on_batches_or_order(representation):
    whole = representation.embed(SMILES)
    assert whole.shape == (6, 24)
    assert whole.dtype == np.float32
    assert representation.dim == 24
    scale = np.abs(whole).max()
    for batch_size in (1, 2, 5):
        assert np.abs(representation.embed(SMILES, batch_size) - whole).max() < 1e-5 * scale
    order = np.array([3, 5, 0, 1, 4, 2])
    shuffled = representation.embed([SMILES[i] for i in order])
    assert np.abs(shuffled - whole[order]).max() < 1e-5 * scale
    assert np.array_equal(representation.embed(SMILES), whole)


def test_structures_are_standardized(representation):
    salt, plain = representation.embed(["CC(=O)[O-].[Na+]", "CC(=O)O"])
    np.testing.assert_allclose(salt, plain, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs trained on graphs of one table, with canonical tautomers and without."""
    folder = tmp_path_factory.mktemp("tautomers")
    names = [f"id{number}" for number in range(24)]
    rng = np.random.default_rng(0)
    lines = [
        f"{name},{'C' * (number + 1)}O,{','.join(map(str, rng.normal(size=3)))}"
        for number, name in enumerate(names)
    ]
    (folder / "m.csv").write_text("\n".join(["id,smiles,f_1,f_2,f_3", *lines, "enol,CC(O)=CC(C)=O,1,2,3"]))
    runs = {}
    for tautomer in (True, False):
        spec = {
            "morphology": [{"file": "m.csv", "space": "f", "smiles": "smiles", "features": ["f_*"]}],
            "graph": {"tautomer": tautomer, "identity": "full"},
        }
        graph = build_context_graph(BuildSpec.model_validate(spec), data_root=folder)
        graph.save(folder / f"graph-{tautomer}")
        graph = type(graph).load(folder / f"graph-{tautomer}")
        config = PretrainConfig(epochs=1, batch_size=8, hidden=16, layers=2, device="cpu", holdout=0.0)
        runs[tautomer] = folder / f"run-{tautomer}"
        pretrain(graph, runs[tautomer], config, console=Console(quiet=True))
    return runs


KETO, ENOL = "CC(=O)CC(C)=O", "CC(O)=CC(C)=O"


def test_tautomers_have_one_vector_where_the_graph_took_the_canonical_one(trained):
    assert read_config(trained[True]).tautomer
    assert read_config(trained[True]).graph["identity"] == "full"
    assert not read_config(trained[False]).tautomer
    representation = infoalign_dgl.load(trained[True])
    keto, enol, salt = representation.embed([KETO, ENOL, "CC([O-])=CC(C)=O.[Na+]"])
    np.testing.assert_allclose(enol, keto, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(salt, keto, rtol=1e-5, atol=1e-5)
    plain = infoalign_dgl.load(trained[False])
    assert not np.allclose(*plain.embed([KETO, ENOL]), atol=1e-4)
    # Only what is embedded differs: given the canonical tautomer, the same weights give the same vector.
    as_given = replace(representation, tautomer=False)
    canonical, *others = as_given.embed([*standardize([ENOL], tautomer=True).smiles, KETO, ENOL])
    np.testing.assert_allclose(canonical, keto, rtol=1e-5, atol=1e-5)
    assert not np.allclose(*others, atol=1e-4)


def test_runs_that_do_not_say_which_tautomers_embed_as_before(trained, tmp_path):
    import shutil

    old = tmp_path / "old"
    shutil.copytree(trained[False], old)
    stored = json.loads((old / CONFIG).read_text())
    del stored["graph"]["tautomer"], stored["graph"]["identity"]
    (old / CONFIG).write_text(json.dumps(stored))
    expected = infoalign_dgl.load(trained[False]).embed([KETO, ENOL])
    assert np.array_equal(infoalign_dgl.load(old).embed([KETO, ENOL]), expected)


def test_rows_without_a_vector_say_why(representation):
    given = ["CCO", "not a molecule", None, "", float("nan"), "CCN"]
    found = representation.embed(given)
    assert np.isnan(found[1:5]).all()
    assert np.isfinite(found[[0, 5]]).all()
    assert found.errors["row"].tolist() == [1, 2, 3, 4]
    assert found.errors["smiles"].tolist()[:3] == given[1:4]
    assert found.errors["reason"].str.len().min() > 0
    assert list(found.errors.columns) == ["row", "smiles", "reason"]
    assert found[:1].errors.empty
    assert representation.embed([]).shape == (0, 24)
    assert representation.embed(["?"]).errors.shape == (1, 3)


def test_which_checkpoint(run):
    assert infoalign_dgl.load(run).checkpoint.name == "step-1"
    last = infoalign_dgl.load(run, step=2)
    assert last.checkpoint.name == "step-2"
    assert not np.allclose(last.embed(["CCO"]), infoalign_dgl.load(run).embed(["CCO"]))


def test_errors(run, tmp_path, representation):
    with pytest.raises(RunError, match=r"has no config\.json and is no run"):
        infoalign_dgl.load(tmp_path)
    (tmp_path / "config.json").write_text('{"format_version": 99}')
    with pytest.raises(RunError, match="has format version 99 and this program reads version 1"):
        infoalign_dgl.load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        infoalign_dgl.load(tmp_path)
    with pytest.raises(ValueError, match="'batch_size' must be at least 1"):
        representation.embed(["C"], 0)


def test_the_output_is_parquet_and_never_the_table_itself(run, tmp_path):
    table = tmp_path / "molecules.parquet"
    pd.DataFrame({"smiles": ["CCO"]}).to_parquet(table)
    before = table.read_bytes()
    with pytest.raises(RunError, match="is the table of molecules, which would be lost"):
        embed_table(run, table, tmp_path / "." / "molecules.parquet")
    with pytest.raises(RunError, match=r"'.*vectors.csv' will be Parquet: give it a name that ends in .parq"):
        embed_table(run, table, tmp_path / "vectors.csv")
    assert table.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["molecules.parquet"]


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "checkpoints/step-1/model.safetensors").write_bytes(b"nothing")
    with pytest.raises(InfoAlignError, match=r"step-1/model\.safetensors' is damaged"):
        infoalign_dgl.load(copy, step=1)
    with pytest.warns(UserWarning, match=r"step-1/model\.safetensors' is damaged.*step-2' is read"):
        assert infoalign_dgl.load(copy).checkpoint.name == "step-2"
