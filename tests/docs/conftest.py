"""The documentation, built once; getting started, followed once; a folder with what other pages name."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

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
def site(once):
    """The documentation as HTML, built with warnings as errors."""

    def build(folder):
        command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
        done = subprocess.run([*command, ROOT / "docs", folder], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return once("site", build)


@pytest.fixture(scope="session")
def followed(once, blocks):
    """A folder in which docs/getting-started.md was followed; what that printed is in printed.txt."""

    def follow(folder):
        printed = io.StringIO()
        with contextlib.chdir(folder):
            for block in blocks.blocks_of((ROOT / "docs/getting-started.md").read_text()):
                if block.language == "bash" and "make install" not in block.text:
                    printed.write(blocks.run_shell(block.text))
                elif block.language == "python":
                    with contextlib.redirect_stdout(printed):
                        exec(compile(block.text, "getting-started.md", "exec"), {"__name__": "__main__"})
        (folder / "printed.txt").write_text(printed.getvalue())

    return once("followed", follow)


@pytest.fixture(scope="session")
def stand_ins(once, followed):
    """A folder to copy: the ``graph`` and ``run`` of getting started, molecules, labels."""

    def make(folder):
        for name in ("graph", "run"):
            shutil.copytree(followed / name, folder / name)
        molecules = pd.read_parquet(folder / "graph/nodes/molecule.parquet")["smiles"].iloc[:60]
        table = pd.DataFrame({"id": [f"M{n}" for n in range(60)], "smiles": list(molecules)})
        table.to_csv(folder / "molecules.csv", index=False)
        table.iloc[:10].to_csv(folder / "new_molecules.csv", index=False)
        labels = {"ring": [int("c1" in s) for s in molecules], "size": [float(len(s)) for s in molecules]}
        table.drop(columns="id").assign(**labels).to_csv(folder / "my_assays.csv", index=False)
        (folder / "examples").symlink_to(ROOT / "examples")

    return lambda: once("stand-ins", make)
