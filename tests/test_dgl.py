"""The DGL shim: what the package needs of DGL works with the release that this environment holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from infoalign_dgl._dgl import dgl


def test_release_is_the_expected_one() -> None:
    expected = os.environ.get("INFOALIGN_EXPECT_DGL", dgl.__version__)
    assert dgl.__version__ == expected
    assert dgl.__version__ in {"1.1.3", "2.1.0"}


def test_heterograph_survives_save_and_load(tmp_path: Path) -> None:
    edges = {("molecule", "perturbs", "morphology"): (torch.tensor([0, 2]), torch.tensor([1, 0]))}
    graph = dgl.heterograph(edges, num_nodes_dict={"molecule": 3, "morphology": 2})
    graph.edata["weight"] = torch.tensor([0.25, 1.0])
    dgl.save_graphs(str(tmp_path / "graph.bin"), [graph])
    loaded = dgl.load_graphs(str(tmp_path / "graph.bin"))[0][0]
    assert loaded.canonical_etypes == [("molecule", "perturbs", "morphology")]
    assert loaded.num_nodes("molecule") == 3
    assert loaded.edata["weight"].tolist() == [0.25, 1.0]


def test_message_passing_sums_neighbours() -> None:
    graph = dgl.graph((torch.tensor([0, 1, 1]), torch.tensor([2, 2, 0])), num_nodes=3)
    graph.ndata["h"] = torch.tensor([[1.0], [10.0], [100.0]])
    graph.update_all(dgl.function.copy_u("h", "m"), dgl.function.sum("m", "s"))
    assert graph.ndata["s"].squeeze(1).tolist() == [10.0, 0.0, 11.0]


def test_import_is_silent_and_writes_nothing_at_home(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("DGLBACKEND", None)
    program = "import infoalign_dgl._dgl"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout == ""
    assert run.stderr == ""
    assert not (tmp_path / ".dgl").exists()


def test_nothing_else_imports_dgl() -> None:
    package = Path(__file__).resolve().parents[1] / "infoalign_dgl"
    importers = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(
            line.strip().startswith(("import dgl", "from dgl ", "from dgl."))
            for line in path.read_text().splitlines()
        )
    ]
    assert importers == ["_dgl.py"]
