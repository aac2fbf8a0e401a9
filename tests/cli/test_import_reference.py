"""``infoalign-dgl import-reference`` and what it leaves, as a user meets them."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from infoalign_dgl.cli.main import cli
from infoalign_dgl.errors import RunError
from infoalign_dgl.molecules import featurize, standardize

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "C/C=C/C#N", "[Na+].[Cl-]", "OCC1OC(O)C(O)C(O)C1O"]


def call(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture
def file(equations, tmp_path):
    path = tmp_path / "pretrain.pt"
    torch.save(equations.random_state(), path)
    return path


def test_import_then_embed_gives_the_published_vectors(equations, file, tmp_path):
    printed = call("import-reference", file, "-o", tmp_path / "run").output
    assert "3 layers of 16; decoders (columns): fingerprint 12, crispr 7, orf 5, bray 6, jump 4" in printed
    assert "3 tensors that it never reads are left out" in printed
    pd.DataFrame({"smiles": [*SMILES, "no molecule"]}).to_csv(tmp_path / "table.csv", index=False)
    finished = call("embed", tmp_path / "run", tmp_path / "table.csv", "-o", tmp_path / "out.parquet")
    assert finished.exit_code == 0
    out = pd.read_parquet(tmp_path / "out.parquet")
    vectors = out[[f"embedding_{i}" for i in range(equations.HIDDEN)]].to_numpy(np.float64)
    packed, _ = featurize(standardize(SMILES).smiles)
    state = {n: t.double() for n, t in equations.random_state().items()}
    expected, _ = equations.Equations(state).latent(equations.unpack(packed))
    np.testing.assert_allclose(vectors[:-1], expected.numpy(), rtol=1e-5, atol=1e-5)
    assert np.isnan(vectors[-1]).all()


def test_json(file, tmp_path):
    shown = json.loads(call("import-reference", file, "-o", tmp_path / "run", "--json").output)
    assert shown["run_folder"] == str(tmp_path / "run")
    assert shown["unused"] == 3
    assert shown["spaces"]["expression"] == 8


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.system, (f"touch '{self.path}'",))


def test_a_file_that_would_run_code_leaves_nothing(file, tmp_path):
    torch.save({"weight": Malicious(tmp_path / "it-ran")}, file)
    with pytest.raises(RunError, match=r"asks for posix\.system to be called while it is read"):
        call("import-reference", file, "-o", tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["pretrain.pt"]


def test_the_help_says_what_it_reads():
    shown = call("--help").output
    commands = [line.split()[0] for line in shown.splitlines() if line.startswith("  ") and line.strip()]
    assert commands.index("embed") < commands.index("import-reference") < commands.index("inspect")
    assert "pretrain.pt" in call("import-reference", "--help").output
