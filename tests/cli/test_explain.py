"""`explain` on a tiny run: tables, JSON and a page, and one sentence for what is wrong."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from infoalign_dgl.cli.main import cli
from infoalign_dgl.context import ContextGraph
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.training import PretrainConfig, pretrain


@pytest.fixture(scope="module")
def made(once, tiny):
    """A graph and a run of it, in which no molecule is held out."""
    config = PretrainConfig(batch_size=16, hidden=16, layers=2, max_steps=4, holdout=0.0, device="cpu")

    def make(folder):
        tiny.make_graph().save(folder / "graph")
        graph = ContextGraph.load(folder / "graph")
        pretrain(graph, folder / "run", config, console=Console(quiet=True))

    folder = once("explain", make)
    return folder, ContextGraph.load(folder / "graph")


def call(made, *words):
    args = ["explain", str(made[0] / "run"), *map(str, words)]
    result = CliRunner().invoke(cli, args)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.stderr
    return result


def test_tables_json_and_page_say_the_same(made, tmp_path):
    key = made[1].nodes["molecule"]["key"][0]
    words = ["--molecule", key, "--walks", "200", "--draws", "3", "--top", "4"]
    found = json.loads(call(made, *words, "--json").stdout)
    assert found["subject"]["status"] == "training"
    assert found["alpha_mass"]["walks"] == 200
    assert all(len(space["up"]) <= 4 for space in found["predictions"])
    page = tmp_path / "page.html"
    result = call(made, *words, "--html", page)
    assert f"Wrote {page}." in result.stderr
    assert key in page.read_text()
    out = " ".join(result.stdout.split())
    for name, space in ((space["space"], space) for space in found["predictions"]):
        assert f"{name}: furthest up" in out
        first = space["up"][0]
        assert f"{first['label']} {first['predicted']:.4g}" in out
        assert space["said"] in out
    assert f"cells:{key}" in out
    for note in found["notes"]:
        assert note in out
    assert "Paths that carry most alpha" in out


def test_a_new_molecule_has_neighbours_and_no_walks(made):
    out = call(made, "--molecule", "CC(=O)Oc1ccccc1C(=O)O", "--draws", "2", "--top", "1").stdout
    assert "It is not in the graph" in out
    assert "Nearest molecules in the graph" in out
    assert "Alpha mass by feature space" not in out
    assert "measured " not in out.split("furthest up")[1].splitlines()[1]


def test_what_is_wrong_is_said(made):
    with pytest.raises(InfoAlignError, match="does not parse as SMILES"):
        call(made, "--molecule", "nonsense")
    with pytest.raises(InfoAlignError, match="given by --graph is not in 'nowhere'"):
        call(made, "--molecule", "CC", "--graph", "nowhere")
    refused = CliRunner().invoke(cli, ["explain", str(made[0] / "run")])
    assert refused.exit_code == 2
    assert "--molecule" in refused.stderr
