"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for path in (ROOT / "infoalign_dgl").rglob("*.py") if ">>> " in path.read_text()]
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    shown, tried = [], 0
    for test in doctest.DocTestFinder().find(importlib.import_module(name), name):
        tried += doctest.DocTestRunner().run(test, out=shown.append).attempted
    assert "".join(shown) == ""
    assert tried > 0


def test_there_are_examples():
    assert len(MODULES) >= 15
