"""``init-spec`` as a process: the spec it writes is one that ``check`` accepts."""

from __future__ import annotations

import subprocess
import sys


def run(folder, *args):
    command = [sys.executable, "-m", "infoalign_dgl.cli", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_from_files_to_a_spec_that_passes(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.csv").write_text("id,structure\nM1,CC(=O)O\nM2,c1ccccc1O\n")
    (tmp_path / "data" / "cells.csv").write_text("who,Cells_a,Cells_b,Cells_c\nM1,1,2,3\nM2,3,1,2\n")
    done = run(tmp_path, "init-spec", "data/mine.csv", "data/cells.csv")
    assert done.returncode == 0, done.stderr
    assert 'file = "data/cells.csv"' in done.stdout
    done = run(
        tmp_path, "init-spec", "data/mine.csv", "data/cells.csv", "-o", "spec.toml", "--data-root", "data"
    )
    assert done.returncode == 0, done.stderr
    assert "cells.csv: morphology" in done.stdout
    assert "infoalign-dgl check spec.toml --data-root data" in done.stdout
    assert "# 'who' refers to 'id' of 'mine.csv'" in (tmp_path / "spec.toml").read_text()
    checked = run(tmp_path, "check", "spec.toml", "--data-root", "data", "--workers", "1")
    assert checked.returncode == 0, checked.stdout
    again = run(tmp_path, "init-spec", "data/mine.csv", "-o", "spec.toml")
    assert again.returncode == 1
    assert "'spec.toml' already exists" in again.stderr


def test_tables_are_never_overwritten_and_each_is_taken_once(tmp_path):
    table = tmp_path / "mine.csv"
    table.write_text("id,structure\nM1,CC(=O)O\nM2,c1ccccc1O\n")
    done = run(tmp_path, "init-spec", "mine.csv", "-o", "mine.csv", "--overwrite")
    assert done.returncode == 1
    assert "'mine.csv' is one of the tables to look at" in done.stderr
    assert table.read_text().startswith("id,structure")
    done = run(tmp_path, "init-spec", "mine.csv", "-o", "no/such/spec.toml")
    assert done.returncode == 1
    assert "'no/such/spec.toml' is in a folder that does not exist" in done.stderr
    done = run(tmp_path, "init-spec", "mine.csv", "./mine.csv")
    assert done.stdout.count("[[molecules]]") == 1


def test_what_is_commented_out_says_why_on_the_screen_too(tmp_path):
    (tmp_path / "cells.csv").write_text("who,Cells_a,Cells_b,Cells_c\nM1,1,2,3\nM2,3,1,2\n")
    (tmp_path / "notes.csv").write_text("day,remark\n1,wet\n2,dry\n")
    done = run(tmp_path, "init-spec", "cells.csv", "notes.csv", "-o", "spec.toml")
    assert done.returncode == 0, done.stderr
    assert "cells.csv: morphology (commented out: 3 columns are features" in done.stdout
    assert "; no column has structures, or ids of a table" in done.stdout
    assert "notes.csv: not recognized: no structures" in done.stdout


def test_a_first_screen_with_a_compound_bought_twice_and_control_wells(tmp_path):
    library = [f"C{n},{'C' * n}O" for n in [*range(1, 31), 1]]
    (tmp_path / "library.csv").write_text("\n".join(["broad_id,smiles", *library]) + "\n")
    who = ["DMSO"] * 8 + [f"C{n}" for n in range(1, 31)]
    wells = [f"{one},P{n % 2},{n},{n * n % 7},{n % 5}" for n, one in enumerate(who)]
    (tmp_path / "screen").mkdir()
    header = "who,Metadata_Plate,Cells_a,Cells_b,Cells_c"
    (tmp_path / "screen" / "profiles.csv").write_text("\n".join([header, *wells]) + "\n")
    done = run(tmp_path, "init-spec", "library.csv", "screen/profiles.csv", "-o", "spec.toml")
    assert "commented out" not in done.stdout
    text = (tmp_path / "spec.toml").read_text()
    assert 'space = "screen_profiles"' in text
    assert '\n# controls = { who = ["DMSO"] }\n# normalize = "robust-mad"\n' in text
    checked = run(tmp_path, "check", "spec.toml", "--workers", "1")
    assert "8 of 38 rows: unknown molecule id" in checked.stdout
    assert "'DMSO' has 8 of them: if these are control wells, controls = " in checked.stdout
    (tmp_path / "spec.toml").write_text(text.replace("# controls", "controls").replace("# norm", "norm"))
    checked = run(tmp_path, "check", "spec.toml", "--workers", "1")
    assert "0 problems" in checked.stdout
    assert "control well: 8" in checked.stdout
