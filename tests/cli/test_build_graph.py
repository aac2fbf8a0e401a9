"""``build-graph`` and ``update-graph`` as processes: stages with counts, workers, a scheduler."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

SPEC = '[[molecules]]\nname = "mine"\nfile = "molecules.csv"\nid = "id"\nsmiles = "smiles"\n'


def run(*args, cwd):
    command = [sys.executable, "-m", "infoalign_dgl.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def write(folder, count):
    rows = [f"{n},{'C' * (1 + n % 20)}O{'C' * (21 + n // 20)}" for n in range(count)]
    (folder / "molecules.csv").write_text("\n".join(["id,smiles", *rows, ""]))
    (folder / "spec.toml").write_text(SPEC)


def sums(graph):
    return [line for line in (graph / "SHA256SUMS").read_text().splitlines() if "heterograph" not in line]


def stages(text):
    """Each stage's count, by its name."""
    return {
        name: int(n.replace(",", "")) for name, n in re.findall(r"(?m)^(.+): ([\d,]+) in [\d.]+ s$", text)
    }


def test_stages_come_with_counts_and_an_update_says_what_it_took_over(tmp_path):
    write(tmp_path, 300)
    built = run("build-graph", "spec.toml", "-o", "old", "--workers", 2, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    found = stages(built.stderr)
    assert found["reading tables"] == 1
    assert found["standardizing molecules"] == found["fingerprints"] == 300
    assert found["writing files"] == 1

    write(tmp_path, 310)
    updated = run("update-graph", "old", "spec.toml", "-o", "new", cwd=tmp_path)
    assert updated.returncode == 0, updated.stderr
    assert updated.stderr.splitlines()[-1] == (
        "Taken over: 300 of 310 structures; 300 of 310 fingerprints; 0 of 1 feature spaces' similarity edges."
    )
    assert stages(updated.stderr)["fingerprints"] == 10
    fresh = run("build-graph", "spec.toml", "-o", "fresh", cwd=tmp_path)
    assert fresh.returncode == 0
    assert sums(tmp_path / "new") == sums(tmp_path / "fresh") != sums(tmp_path / "old")


def test_a_graph_that_stands_there_is_no_surprise(tmp_path):
    write(tmp_path, 3)
    (tmp_path / "there").mkdir()
    built = run("build-graph", "spec.toml", "-o", "there", cwd=tmp_path)
    updated = run("update-graph", "there", "spec.toml", "-o", "x", cwd=tmp_path)
    assert built.returncode == updated.returncode == 1
    assert built.stderr.startswith("Error: 'there' already exists: ")
    assert updated.stderr.startswith("Error: 'there' has no SHA256SUMS: ")
    assert len(built.stderr.splitlines()) == len(updated.stderr.splitlines()) == 1


@pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason="distributed is not installed: pip install '.[dask]'",
)
def test_a_local_scheduler_gives_the_same_graph(tmp_path):
    write(tmp_path, 300)
    for name, options in (("one", ["--workers", 1]), ("two", ["--scheduler", "local", "--workers", 2])):
        done = run("build-graph", "spec.toml", "-o", name, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if " in " not in line] == []
    assert sums(tmp_path / "one") == sums(tmp_path / "two")


def test_no_scheduler_there_is_one_sentence(tmp_path):
    write(tmp_path, 3)
    done = run("build-graph", "spec.toml", "-o", "g", "--scheduler", "nonsense://x", cwd=tmp_path)
    assert done.returncode == 1
    assert "nonsense" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
