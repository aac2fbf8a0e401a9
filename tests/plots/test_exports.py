"""What the package names is there, every figure is named, and naming costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from infoalign_dgl import plots

mpl.use("Agg")
FOLDER = Path(plots.__file__).parent


@pytest.mark.parametrize("name", plots.__all__)
def test_every_name_is_there(name):
    assert getattr(plots, name).__name__ == name


def test_every_figure_is_named():
    drawn = {
        node.name
        for path in FOLDER.glob("[!_]*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("draw_")
    }
    assert drawn <= set(plots.__all__)
    assert len(drawn) > 10


def test_names_cost_nothing_until_they_are_used():
    program = "import sys, infoalign_dgl.plots\nprint(*{'matplotlib', 'torch', 'jinja2'} & set(sys.modules))"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout == "\n"
