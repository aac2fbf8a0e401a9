"""The build where a compiler is missing, and what INFOALIGN_CUDA may say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(folder, **environment):
    command = [
        sys.executable,
        "setup.py",
        "build_ext",
        "--build-temp",
        folder / "temp",
        "--build-lib",
        folder / "lib",
    ]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


def test_without_a_compiler_the_build_goes_on(tmp_path):
    done = build(tmp_path, CC="false", CXX="false", INFOALIGN_CUDA="0")
    assert done.returncode == 0, done.stderr
    assert "_native" in done.stderr
    assert not list(tmp_path.rglob("*.so"))


def test_an_unknown_cuda_setting_is_refused(tmp_path):
    done = build(tmp_path, INFOALIGN_CUDA="yes")
    assert done.returncode != 0
    assert "INFOALIGN_CUDA is 'yes': set it to auto, 0 or 1" in done.stderr


def test_cuda_that_is_asked_for_must_work(tmp_path):
    done = build(tmp_path, INFOALIGN_CUDA="1", PATH="/usr/bin:/bin")
    assert done.returncode != 0
    assert "no nvcc was found" in done.stderr
