"""``inspect`` says what explains the profiles' similarity, in words and as JSON."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from infoalign_dgl.cli.inspect import command
from infoalign_dgl.context import build_context_graph
from infoalign_dgl.errors import InfoAlignError


@pytest.fixture
def folder(tmp_path):
    """A graph of 60 molecules on 6 plates, whose profiles are their plates'."""
    rng = np.random.default_rng(0)
    effect = rng.normal(size=(6, 20))
    lines = ["smiles,plate," + ",".join(f"Cells_{i}" for i in range(20))]
    for i in range(60):
        values = effect[i // 10] + 0.3 * rng.normal(size=20)
        lines.append(f"{'C' * (i + 1)}O,p{i // 10}," + ",".join(map(str, values)))
    (tmp_path / "wells.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "spec.toml").write_text(
        '[[morphology]]\nspace = "painting"\nfile = "wells.csv"\nsmiles = "smiles"\nplate = "plate"\n'
        "[similarity]\nsparsity = 0.9\n"
    )
    build_context_graph(tmp_path / "spec.toml").save(tmp_path / "graph")
    return tmp_path / "graph"


def test_confounding_is_shown(folder):
    shown = CliRunner().invoke(command, [str(folder)])
    assert shown.exit_code == 0, shown.output
    assert "Similarity that a factor explains (chance: the mean of 200 permutations)" in shown.output
    assert "connect profiles of one plate, where chance gives" in " ".join(shown.output.split())
    found = json.loads(CliRunner().invoke(command, [str(folder), "--json"]).output)
    (plate,) = found["confounding"]["spaces"]
    assert (plate["space"], plate["factor"], plate["labels"]) == ("painting", "plate", 6)
    assert plate["share"] > 0.8
    assert plate["p"] == pytest.approx(1 / 201)
    assert found["num_nodes"]["morphology"] == 60


def test_a_page_is_written_instead(folder, tmp_path):
    page = tmp_path / "report.html"
    shown = CliRunner().invoke(command, [str(folder), "--html", str(page), "--walk-length", "2"])
    assert shown.exit_code == 0, shown.output
    assert shown.output == f"Wrote {page} ({page.stat().st_size / 1e6:.1f} MB).\n"
    text = page.read_text()
    assert text.endswith("</html>")
    assert "What walks of 2 steps meet" in text
    assert "connect profiles of one plate, where chance gives" in text
    assert "wells.csv" in text


@pytest.mark.parametrize("option", [["--json"], ["--node", "gene:1"]])
def test_a_page_is_of_the_whole_graph(folder, tmp_path, option):
    shown = CliRunner().invoke(command, [str(folder), "--html", str(tmp_path / "page.html"), *option])
    assert shown.exit_code == 2
    assert f"leave out {option[0]}" in shown.output
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_what_a_page_needs_is_said(folder, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    shown = CliRunner().invoke(command, [str(folder), "--html", str(tmp_path / "page.html")])
    assert isinstance(shown.exception, InfoAlignError)
    assert str(shown.exception) == (
        f"a page needs {package}, which is not installed: pip install 'infoalign-dgl[plots]'"
    )


def test_a_page_that_cannot_be_written_is_said(folder, tmp_path):
    shown = CliRunner().invoke(command, [str(folder), "--html", str(tmp_path / "nowhere" / "page.html")])
    assert isinstance(shown.exception, InfoAlignError)
    assert "could not write" in str(shown.exception)
