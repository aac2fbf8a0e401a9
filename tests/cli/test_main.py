"""The command line as a user meets it: real processes, exit codes, sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = [
    "build-graph",
    "check",
    "demo",
    "doctor",
    "embed",
    "evaluate",
    "fetch",
    "import-reference",
    "init-spec",
    "inspect",
    "pretrain",
    "retrieve",
    "sweep",
    "update-graph",
]


def run(*args: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infoalign_dgl.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    program = (
        "import sys; from infoalign_dgl.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'dgl', 'rdkit', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_without_heavy_imports(name: str) -> None:
    program = (
        "import sys; from infoalign_dgl.cli import main\n"
        f"try: main(['{name}', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'dgl', 'rdkit', 'pandas'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert f"Usage: infoalign-dgl {name}" in shown
    assert "--debug" in shown
    assert shown.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "args",
    [
        ["nonsense"],
        ["build-graph"],
        ["pretrain", "g", "-o", "r", "--epochs", "many"],
        ["pretrain", "g", "-o", "r", "--sampling", "half"],
        ["embed", "--wrong"],
    ],
)
def test_wrong_use_exits_with_2(args: list[str]) -> None:
    assert run(*args).returncode == 2


def test_a_mistyped_command_is_told_the_nearest() -> None:
    finished = run("biuld-graph", "spec.toml")
    assert finished.returncode == 2
    assert "Did you mean 'build-graph'?" in finished.stderr


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["build-graph", "nowhere.toml", "-o", "graph"], "nowhere.toml"),
        (["build-graph", "simulated:many", "-o", "graph"], "many"),
        (["pretrain", "nowhere", "-o", "run"], "nowhere"),
        (["inspect", "nowhere"], "nowhere"),
        (["import-reference", "nowhere.pt", "-o", "run"], "nowhere.pt"),
        (["embed", "nowhere", "table.csv", "-o", "out.parquet"], "nowhere"),
    ],
)
def test_a_failure_is_one_sentence_and_exits_with_1(tmp_path: Path, args: list[str], named: str) -> None:
    finished = run(*args, cwd=tmp_path)
    assert finished.returncode == 1
    lines = finished.stderr.strip().splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("Error: ")
    assert named in lines[0]
    assert "unexpected" not in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    finished = run("inspect", "nowhere", "--debug", cwd=tmp_path)
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr


def test_doctor_tries_things() -> None:
    finished = run("doctor", "--json")
    assert finished.returncode == 0, finished.stdout
    checks = {check["name"]: check for check in json.loads(finished.stdout)}
    assert checks["walks: reference"]["works"]
    assert checks["dgl beside this torch"]["works"]
    assert {"walks: native", "walks: numba", "walks: native, CUDA", "torch: CUDA"} <= set(checks)
    assert all(check["details"] for check in checks.values())
