"""docs/getting-started.md, followed in an empty folder as a newcomer would, prints what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd

PAGE = Path(__file__).resolve().parents[2] / "docs" / "getting-started.md"
FENCE = re.compile(r"(?m)^```(\w+)\n(.*?)^```$", re.DOTALL)
TRAINED = "Molecules held out"  # the block of a run's losses, which are those of one processor


def test_each_step_prints_what_the_page_shows(tmp_path):
    found = FENCE.findall(PAGE.read_text())
    steps = [code for language, code in found if language == "bash" and "make install" not in code]
    (program,) = [code for language, code in found if language == "python"]
    (tmp_path / "program.py").write_text(program)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-c", "\n".join(["set -e", *steps, "python program.py"])],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    printed = {line.rstrip() for line in run.stdout.splitlines()}
    shown = [code for language, code in found if language == "text" and "walks: native" not in code]
    assert len(shown) == 5
    for block in shown:
        lines = block.splitlines()
        if block.startswith(TRAINED):
            lines = lines[:2]
        assert [line for line in lines if line.rstrip() not in printed] == []
    differences = re.findall(
        r"^(?:fingerprint|expression|simulated_\w+|gene_\w+).* (-0\.\d+)$", run.stdout, re.M
    )
    assert len(differences) == 5, "a decoder is no better than the column means"
    table = pd.read_parquet(tmp_path / "vectors.parquet")
    assert list(table.columns[:3]) == ["smiles", "error", "embedding_0"]
    assert table["embedding_63"].isna().tolist() == [False, False, True]
