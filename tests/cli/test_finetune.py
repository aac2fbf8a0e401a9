"""`finetune` and `predict` one after the other."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from infoalign_dgl.cli.main import cli
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.models import InfoAlign, ModelConfig
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
    assert "1 tasks could not be trained" in said
    found = pd.read_csv(files / "out.csv")
    assert found["smiles"].tolist() == SMILES
    assert found["active_mean"].between(0, 1).all()
    assert found["active_std"].isna().all()  # one seed
