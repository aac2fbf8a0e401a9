"""``report`` writes one page of a run, or says in one sentence why not."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner
from rich.console import Console

from infoalign_dgl.cli.main import cli
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.training import PretrainConfig, pretrain


@pytest.fixture(scope="module")
def run(once, tiny):
    """A run of a few steps, on a graph that was never saved."""
    config = PretrainConfig(batch_size=16, hidden=16, layers=2, max_steps=4, device="cpu")

    def make(folder):
        pretrain(tiny.make_graph(), folder / "run", config, console=Console(quiet=True))

    return once("report", make) / "run"


def call(*words):
    result = CliRunner().invoke(cli, ["report", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, (SystemExit, InfoAlignError)):
        raise result.exception
    said = str(result.exception) if isinstance(result.exception, InfoAlignError) else result.output
    return result.exit_code, " ".join(said.split())


def test_a_page_and_one_line(run, tmp_path):
    (tmp_path / "mine.csv").write_text(
        "name,SMILES,class\na,CCO,x\nb,c1ccccc1O,y\nc,CCN,x\nd,no structure,y\ne,CC(=O)O,\n"
    )
    page = tmp_path / "page.html"
    code, said = call(run, "--html", page, "--molecules", tmp_path / "mine.csv", "--label", "class")
    assert (code, said) == (0, f"Wrote {page} ({page.stat().st_size / 1e6:.1f} MB).")
    text = page.read_text()
    assert "Colours are &#39;class&#39;, grey where there is none." in text
    assert "1 of them have a structure that cannot be read." in text
    assert text.count('<img class="figure"') == 3 + 1 + 1 + 3
    assert "http" not in text.replace("http://www.w3.org/", "").split("<footer>")[0].split("</style>")[1]


def test_without_a_graph_the_page_has_no_map(run, tmp_path):
    assert call(run, "--html", tmp_path / "page.html")[0] == 0
    assert "There is no map: its graph was never saved." in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--label", "class"], "--label is a column of --molecules: pass both, or neither"),
        (["--molecules", "{tmp}/a.csv", "--label", "clas"], "has no column 'clas': did you mean 'class'?"),
        (["--molecules", "{tmp}/missing.csv"], "missing.csv' does not exist"),
        (["--results", "{tmp}"], "has neither manifest.json nor figures.json: pass a folder that evaluate"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(run, tmp_path, more, said):
    (tmp_path / "a.csv").write_text("smiles,class\nCCO,x\n")
    code, found = call(run, "--html", tmp_path / "page.html", *(word.format(tmp=tmp_path) for word in more))
    assert code != 0
    assert said in found
    assert not (tmp_path / "page.html").exists()


def test_no_run_and_nothing_to_draw_with(run, tmp_path, monkeypatch):
    assert (
        "is no run: pass the folder that pretrain wrote" in call(tmp_path, "--html", tmp_path / "a.html")[1]
    )
    monkeypatch.setitem(sys.modules, "jinja2", None)
    said = call(run, "--html", tmp_path / "page.html")[1]
    assert said == "a page needs jinja2, which is not installed: pip install 'infoalign-dgl[plots]'"
