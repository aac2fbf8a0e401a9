"""``check`` as a process: what it prints, and its exit code."""

from __future__ import annotations

import json
import subprocess
import sys

SPEC = '[[molecules]]\nname = "mine"\nfile = "molecules.csv"\nid = "id"\nsmiles = "smiles"\n'
EDGES = '[[gene_gene]]\nfile = "genes.csv"\nkind = "interacts"\nsource = "a"\ntarget = "b"\nweight = "w"\n'


def run(folder, *args):
    command = [sys.executable, "-m", "infoalign_dgl.cli", "check", "spec.toml", "--workers", "1", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def write(folder, *, weight):
    (folder / "data").mkdir()
    (folder / "data" / "molecules.csv").write_text("id,smiles\n1,CCO\n2,nonsense\n")
    (folder / "data" / "genes.csv").write_text(f"a,b,w\n1,2,{weight}\n")
    (folder / "spec.toml").write_text(SPEC + EDGES)


def test_remarks_alone_are_no_failure(tmp_path):
    write(tmp_path, weight=1)
    done = run(tmp_path, "--data-root", "data")
    assert done.returncode == 0, done.stderr
    assert "Problems" not in done.stdout
    assert "'molecules.csv' would lose 1 of 2 rows: structure does not parse as SMILES" in done.stdout
    assert "0 problems and 1 remark; 2 tables with 3 rows could be read." in done.stdout
    assert not list(tmp_path.glob("*graph*"))


def test_problems_are_all_printed_and_fail(tmp_path):
    write(tmp_path, weight=2)
    done = run(tmp_path)  # where the paths do not start
    assert done.returncode == 1
    assert "'molecules.csv' does not exist" in done.stdout
    assert "'genes.csv' does not exist" in done.stdout
    done = run(tmp_path, "--data-root", "data", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [finding["is_problem"] for finding in found["findings"]] == [True, False]
    assert found["findings"][1] | {"message": ""} == {
        "message": "",
        "file": "molecules.csv",
        "count": 1,
        "rows": [[3, "nonsense"]],
        "is_problem": False,
    }
    assert [table["rows"] for table in found["tables"]] == [2, 1]
