"""``inspect`` says what explains the profiles' similarity, in words and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from infoalign_dgl.cli.inspect import command
from infoalign_dgl.context import build_context_graph


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
