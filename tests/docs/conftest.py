"""The documentation, built once; and a folder with small stand-ins for what its commands name."""

from __future__ import annotations

import fcntl
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def blocks():
    """The module ``blocks.py`` beside this file."""
    path = Path(__file__).with_name("blocks.py")
    spec = importlib.util.spec_from_file_location("docs_blocks", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def once(tmp_path_factory, request):
    """A function that makes a folder once for all test processes: ``once(name, make)``."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base

    def make_once(name, make):
        folder = shared / name
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / f"{name}.done").exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a process left that failed
                folder.mkdir()
                make(folder)
                (shared / f"{name}.done").touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def site(once):
    """The documentation as HTML, built with warnings as errors."""

    def build(folder):
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
        done = subprocess.run([*command, ROOT / "docs", folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return once("site", build)


def call(*words):
    from infoalign_dgl.cli.main import cli

    done = CliRunner().invoke(cli, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="session")
def stand_ins(once):
    """A function that gives a folder to copy: a small ``graph``, a ``run``, molecules, labels."""

    def make(folder):
        call("build-graph", "simulated:500", "-o", folder / "graph")
        small = "--max-steps 30 --batch-size 64 --hidden 64 --layers 3 --lr 2e-3 --dropout 0.1 --device cpu"
        call("pretrain", folder / "graph", "-o", folder / "run", *small.split())
        molecules = pd.read_parquet(folder / "graph/nodes/molecule.parquet")["smiles"].iloc[:60]
        table = pd.DataFrame({"id": [f"M{n}" for n in range(60)], "smiles": list(molecules)})
        table.to_csv(folder / "molecules.csv", index=False)
        table.iloc[:10].to_csv(folder / "new_molecules.csv", index=False)
        labels = {"ring": [int("c1" in s) for s in molecules], "size": [float(len(s)) for s in molecules]}
        table.drop(columns="id").assign(**labels).to_csv(folder / "my_assays.csv", index=False)
        (folder / "examples").symlink_to(ROOT / "examples")

    return lambda: once("stand-ins", make)
