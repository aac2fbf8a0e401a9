"""``infoalign-dgl sweep`` as users call it: killed in the middle, called again, and wrong use."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from infoalign_dgl.cli.main import cli
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.training.checkpoint import saved_steps

STEPS = 30


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a graph and a task set."""
    folder = tmp_path_factory.mktemp("sweep")
    path = Path(__file__).parents[1] / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_graph", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    graph = module.make_graph()
    graph.save(folder / "graph")
    smiles = list(graph.nodes["molecule"]["smiles"])
    pd.DataFrame({"smiles": smiles, "n": [int("N" in s) for s in smiles]}).to_csv(
        folder / "toy.csv", index=False
    )
    return folder


def words(made, out, *more):
    base = {"hidden": 16, "layers": 2, "batch-size": 16, "max-steps": STEPS, "checkpoint-every": 5}
    given = ["sweep", made / "graph", "--task", made / "toy.csv", "-o", out, "--device", "cpu"]
    given += ["--split", "random", "--head-seeds", "2", *more]
    return [*map(str, given), *(str(word) for name, value in base.items() for word in (f"--{name}", value))]


def call(given):
    result = CliRunner().invoke(cli, given)
    assert not result.exception or isinstance(result.exception, SystemExit), result.exception
    return result


def table(out):
    return pd.read_csv(out / "sweep.csv").drop(columns="seconds")


def test_a_sweep_that_was_killed_goes_on_to_the_table_of_one_in_a_single_go(made, tmp_path):
    varied = ["--without", "gene"]
    given = [sys.executable, "-m", "infoalign_dgl.cli", *words(made, tmp_path / "killed", *varied)]
    second = tmp_path / "killed/runs/without=gene/seed-0"
    process = subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = time.monotonic()
    while not saved_steps(second) and time.monotonic() - started < 60:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = max(saved_steps(second))
    assert 0 < left < STEPS
    assert len(table(tmp_path / "killed")) == 1
    weights = tmp_path / f"killed/runs/base/seed-0/checkpoints/step-{STEPS}/model.safetensors"
    before = weights.stat().st_mtime_ns
    again = call(words(made, tmp_path / "killed", *varied))
    assert "2 runs, 1 of them finished before" in again.stderr
    assert f"resuming after step {left} of {STEPS}" in again.stderr
    assert "base/seed-0: pretraining" not in again.stderr
    assert weights.stat().st_mtime_ns == before
    alone = call(words(made, tmp_path / "alone", *varied))
    assert "0:00:" in alone.stderr
    pd.testing.assert_frame_equal(table(tmp_path / "killed"), table(tmp_path / "alone"), check_exact=True)
    assert table(tmp_path / "alone")["run"].tolist() == ["base", "without=gene"]
    names = {path.name for path in (tmp_path / "alone/figures").iterdir()}
    assert names == {"without-toy.png", "without-toy.svg"}
    assert "without=gene" in alone.stdout
    shown = json.loads(call(words(made, tmp_path / "alone", *varied, "--json")).stdout)
    assert [row["changes"] for row in shown["rows"]] == [{}, {"without": "gene"}]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--vary", "bata=1,2"], "there is no setting 'bata' to vary, did you mean 'beta'?"),
        (["--vary", "seed=1,2"], "there is no setting 'seed' to vary"),
        (["--vary", "beta"], "give values too, as in --vary beta=1e-9,1e-6"),
        (["--vary", "walk-length=1,x"], "Invalid value for '--walk-length': 'x' is not a valid integer"),
        (["--vary", "transition=both"], "'both' is not one of 'uniform', 'weight'"),
        (["--sampling", "some"], "'sampling' must be uniform or measured=S"),
    ],
)
def test_wrong_use_is_one_sentence(made, tmp_path, more, said):
    done = call(words(made, tmp_path / "out", *more))
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_run_that_cannot_be_trained_has_no_row_and_the_others_go_on(made, tmp_path):
    given = words(made, tmp_path / "out", "--vary", "lr=1e30", "--vary", "--compat=none,reference")
    done = CliRunner().invoke(cli, [*given, "--max-steps", "2"])
    assert isinstance(done.exception, EvaluationError)  # exit code 1
    said = str(done.exception)
    assert said.startswith("1 of the runs could not be trained, 'lr=1e+30/seed-0' first: ")
    assert "not finite" in said
    assert table(tmp_path / "out")["run"].tolist() == ["base", "compat=reference"]
