"""`pretrain` as a process: it is told to stop, says how to go on, and what it says works."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infoalign_dgl.training.run_folder import read_config

SMALL = "--batch-size 16 --hidden 16 --layers 2 --device cpu --epochs 100000 --max-steps 4000 --micro-batch 8"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(*args):
    return [sys.executable, "-W", "ignore", "-m", "infoalign_dgl.cli", *map(str, args)]


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = Path(__file__).parents[1] / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    folder = tmp_path_factory.mktemp("graphs") / "a graph"
    tiny.make_graph().save(folder)
    return folder


def test_stopped_and_gone_on_with(graph, tmp_path):
    """SIGTERM, then the very command that was printed, with a time limit: both exit with 0."""
    run = tmp_path / "run"
    metrics = run / "metrics.jsonl"
    with subprocess.Popen(
        command("pretrain", graph, "-o", run, *SMALL.split(), "--checkpoint-every", 2, "--keep", 1),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        deadline = time.monotonic() + 100
        while not (metrics.is_file() and metrics.read_text().count("\n") >= 3):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    said = next(line for line in output.splitlines() if "stopped by SIGTERM" in line)
    done = len(metrics.read_text().splitlines())
    assert f"after step {done:,} of 4,000, which is saved" in said
    assert read_config(run).pretrain.micro_batch == 8
    words = shlex.split(said.partition("go on with: ")[2])
    assert words == ["infoalign-dgl", "pretrain", str(graph), "-o", str(run), "--resume"]
    again = subprocess.run(
        command(*words[1:], "--max-minutes", "0.0001", "--json"),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    result = json.loads(again.stdout)
    assert (result["steps"], result["interrupted"]) == (done + 1, "the time limit")
    assert [json.loads(line)["step"] for line in metrics.read_text().splitlines()] == list(range(1, done + 2))
    assert read_config(run).pretrain.batch_size == 16


def test_a_setting_that_cannot_change(graph, tmp_path):
    """Options that are left out are the run's own; one that is given and differs is named."""
    from infoalign_dgl.cli.main import cli

    with pytest.raises(SystemExit):
        cli(["pretrain", str(graph), "-o", str(tmp_path / "run"), *SMALL.split(), "--max-steps", "1"])
    with pytest.raises(Exception, match="was started with batch_size=16 and cannot go on with 8"):
        cli(["pretrain", str(graph), "-o", str(tmp_path / "run"), "--resume", "--batch-size", "8"])
    with pytest.raises(SystemExit) as finished:
        cli(["pretrain", str(graph), "-o", str(tmp_path / "run"), "--resume"])
    assert finished.value.code == 0
