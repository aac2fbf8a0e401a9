"""`finetune` and `predict` one after the other."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import beta, norm

from infoalign_dgl.cli.main import cli
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.evaluation.predictor import Calibration, load_predictor
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.molecules import standardized_graphs
from infoalign_dgl.training import PretrainConfig
from infoalign_dgl.training.checkpoint import Progress, save_checkpoint
from infoalign_dgl.training.run_folder import RunConfig, write_config

RINGS = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", "C1CCNCC1", "c1ccsc1", "C1CCOC1"]
SMILES = [f"{'C' * length}{ring}" for ring in RINGS for length in range(1, 8)]


@pytest.fixture
def files(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = ModelConfig(hidden=12, layers=2, spaces={"a": 3}, modality={"a": "molecule"})
    write_config(run, RunConfig(config, PretrainConfig(), {}))
    torch.manual_seed(0)
    save_checkpoint(run, InfoAlign(config), None, Progress(1, best_step=1), keep=1)
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"smiles": SMILES, "active": rng.permutation(len(SMILES)) % 2, "empty": np.nan})
    table.to_csv(tmp_path / "tasks.csv", index=False)
    parts = np.resize(["train", "train", "valid", "test"], len(SMILES))
    pd.DataFrame({"split": parts}).to_csv(tmp_path / "split.csv", index=False)
    return tmp_path


def call(*args):
    result = CliRunner().invoke(cli, [str(each) for each in args])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("protocol", ["frozen", "finetune"])
def test_finetune_then_predict(files, protocol):
    shared = [
        "finetune",
        files / "run",
        "--task",
        files / "tasks.csv",
        "--protocol",
        protocol,
        "--device",
        "cpu",
    ]
    said = call(*shared, "--split", "random", "--seeds", 2, "-o", files / "model")
    assert "2 binary tasks" in said
    assert "On test: mean ROC-AUC 0." in said
    with pytest.raises(InfoAlignError, match="already exists"):
        call(*shared, "-o", files / "model")
    told = json.loads(
        call(
            *shared,
            "--split",
            files / "split.csv",
            "--seeds",
            1,
            "-o",
            files / "model",
            "--overwrite",
            "--json",
        )
    )
    assert told["split"] == {"train": 22, "valid": 10, "test": 10}
    assert told["seeds"] == [0]
    assert len(told["test"]) == 1
    said = call("predict", files / "model", files / "tasks.csv", "-o", files / "out.csv", "--device", "cpu")
    assert "Wrote 42 rows of 2 tasks" in said
    assert "1 task could not be trained" in said
    found = pd.read_csv(files / "out.csv")
    assert found["smiles"].tolist() == SMILES
    assert found["active_mean"].between(0, 1).all()
    assert found["active_std"].isna().all()  # one seed


def test_predict_says_how_sure_it_is(files):
    """Against closed forms, of a predictor whose heads are linear and whose errors are normal."""
    table = pd.read_csv(files / "tasks.csv").drop(columns="empty")
    table["active"] = [text.count("C") / 7 for text in SMILES]
    table["few"] = np.where(np.arange(len(SMILES)) < 30, table["active"], np.nan)
    table.to_csv(files / "tasks.csv", index=False)
    shared = ["--task", files / "tasks.csv", "--split", files / "split.csv", "--seeds", 1, "--device", "cpu"]
    call("finetune", files / "run", *shared, "-o", files / "trained")
    trained = load_predictor(files / "trained", device="cpu")
    rng = np.random.default_rng(0)
    slope = rng.standard_normal(12).astype(np.float32) * 0.3
    weights = {name: torch.zeros_like(each) for name, each in trained.heads.weights.items()}
    weights["expand"][0, :, 0] = torch.from_numpy(slope)
    weights["shift"][0, 0, 0] = 50.0  # there GELU is the identity
    weights["output"][0, 0, :] = 1.0
    weights["bias"] -= 50.0
    errors = rng.normal(0, 3, (999, 2))
    errors[15:, 1] = np.nan
    calibration = Calibration(errors, np.zeros((1, 999, 2), np.float32))
    linear = replace(trained, heads=replace(trained.heads, weights=weights), calibration=calibration)
    linear.save(files / "linear")

    given = ["predict", files / "linear", files / "tasks.csv", "-o", files / "out.csv", "--device", "cpu"]
    said = call(*given, "--draws", 2000, "--confidence", 0.95)
    assert "1 tasks have too few labels in the test rows of finetune for a confidence of 95%" in said
    found = pd.read_csv(files / "out.csv")
    packed, _ = standardized_graphs(SMILES)
    mu, sigma = trained.encoders[0].latents(packed, np.arange(len(SMILES)))
    unit = trained.heads.scale[0]
    mean = trained.heads.mean[0] + unit * ((mu - trained.mean) / trained.scale) @ slope
    np.testing.assert_allclose(found["active_mean"], mean, rtol=1e-3, atol=1e-3)
    carried = unit * np.linalg.norm(slope * sigma / trained.scale, axis=1)
    np.testing.assert_allclose(found["active_std_latent"], carried, rtol=5 / np.sqrt(2 * 2000))
    # The share of new labels that an interval holds is Beta(950, 50) over draws of the 999 that calibrate it.
    radius = (found["active_high"] - found["active_low"]).to_numpy() / 2
    np.testing.assert_allclose(radius, radius[0], rtol=1e-5)
    held = 2 * norm.cdf(radius[0] / 3) - 1
    assert abs(held - 0.95) < 4 * beta(950, 50).std()
    assert found["few_low"].isna().all()
    assert found["few_std_latent"].notna().all()

    told = json.loads(call(*given, "--draws", 0, "--json"))  # 15 labels are enough for 90 %
    assert told == {"rows": 42, "failed": 0, "tasks": 2, "untrained": 0, "uncalibrated": 0}
    found = pd.read_csv(files / "out.csv")
    assert "active_std_latent" not in found
    assert found["few_low"].notna().all()
    train = found["nearest_similarity"] == 1
    assert train[pd.read_csv(files / "split.csv")["split"] == "train"].all()
