"""The worked examples of docs/extending.md, taken out of the page: they run, and do what the page says."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from infoalign_dgl import extensions
from infoalign_dgl.molecules import featurize

pytestmark = pytest.mark.timeout(900)  # seconds, with what is made once for all, on a busy machine
PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
FENCE = re.compile(r"(?m)^```(\w+)\n(.*?)^```$", re.DOTALL)
SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C", "c1ccccc1"]


def blocks(language):
    return [code for found, code in FENCE.findall(PAGE.read_text()) if found == language]


FILES = {code.split("\n", 1)[0][2:]: code for code in blocks("python") if re.match(r"# \w+\.py\n", code)}


@pytest.fixture
def load_example(tmp_path, monkeypatch):
    """Execute a file of the page in this process; what it registers is forgotten afterwards."""
    monkeypatch.setattr(extensions, "_registered", {kind: {} for kind in extensions._registered})

    def load(name):
        path = tmp_path / name
        path.write_text(FILES[name])
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_the_page_from_top_to_bottom(tmp_path, followed):
    """Its files are written, its commands run in their order in one shell, its Python program comes last."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    pd.DataFrame({"smiles": SMILES}).to_csv(tmp_path / "molecules.csv", index=False)
    *commands, failing = blocks("bash")
    program = next(code for code in blocks("python") if "infoalign_dgl.load" in code)
    (tmp_path / "program.py").write_text(program)
    shutil.copytree(followed / "graph", tmp_path / "graph")
    script = ["set -e", *commands, f"! {failing}"]
    script.append("env -u INFOALIGN_EXTENSIONS python program.py")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (message,) = [text for text in blocks("text") if text.startswith("Error")]
    assert message in run.stderr
    assert len(pd.read_parquet(tmp_path / "bag.parquet")) == len(SMILES)
    assert "painting" in run.stdout


def test_the_reader_reads_what_pandas_does(tmp_path, load_example):
    from infoalign_dgl.sources.tables import read_table

    load_example("jsonl_reader.py")
    frame = pd.DataFrame({"id": ["a", "b", "c"], "x": [1.5, np.nan, -2.0], "n": [1, 2, 3]})
    path = tmp_path / "t.jsonl.gz"
    frame.to_json(path, orient="records", lines=True)
    table = read_table(path, text=["id", "n"], numbers=["x"])
    assert table.index.tolist() == [1, 2, 3]
    assert table["n"].tolist() == ["1", "2", "3"]
    pd.testing.assert_series_equal(table["x"].reset_index(drop=True), frame["x"])
    (tmp_path / "bad.jsonl").write_text('{"id": "a"}\n{"id": \n')
    with pytest.raises(Exception, match=r"bad\.jsonl' line 2 is no JSON"):
        read_table(tmp_path / "bad.jsonl", text=["id"])


def test_the_encoder_adds_up_atoms(load_example):
    encoder = load_example("atom_bag.py").AtomBag(8, 2, 0.0)
    packed, _ = featurize(SMILES)
    whole = encoder(packed.gather(np.arange(4)), "torch")
    for i in range(4):
        batch = packed.gather(np.array([i]))
        atoms = [
            encoder.mlp(sum(table(value) for table, value in zip(encoder.tables, row, strict=True)))
            for row in batch.atom_features
        ]
        torch.testing.assert_close(whole[i], torch.stack(atoms).sum(0))


def test_the_loss_has_the_gradients_of_the_loss_over_nodes(load_example):
    """Of 3 molecules the walks visit 2, 1 and 0 nodes of one space, and nobody visits the other space."""
    from infoalign_dgl.models.bottleneck import Latent
    from infoalign_dgl.models.objective import BatchTotals, SpaceTargets

    brier = load_example("brier.py").brier_loss
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(3, 5, generator=generator)
    alpha, owner = torch.tensor([0.9, 0.2, 0.5]), torch.tensor([0, 0, 1])
    sums = torch.tensor([1.1, 0.5])
    mean = torch.stack([(alpha[:2, None] * y[:2]).sum(0) / 1.1, y[2]])
    nobody = SpaceTargets(
        torch.zeros(0, dtype=torch.int64), torch.zeros(0), torch.zeros(0), torch.zeros(0, 2)
    )
    targets = {
        "seen": SpaceTargets(torch.tensor([0, 1]), sums, torch.tensor([2.0, 1.0]), mean),
        "unseen": nobody,
    }
    logits = torch.randn(3, 5, generator=generator, requires_grad=True)
    widths = {"seen": logits, "unseen": torch.zeros(3, 2, requires_grad=True)}
    model = SimpleNamespace(decode=lambda space, z, rows: widths[space][rows])
    mu = torch.randn(3, 4, generator=generator, requires_grad=True)
    latent = Latent(mu, torch.full((3, 4), 0.5))
    terms = brier(model, latent, targets, BatchTotals.of(targets, 3), beta=0.25, path_nodes=5)
    got = torch.autograd.grad(terms.total, [logits, mu], retain_graph=True)

    over_nodes = (alpha * (torch.sigmoid(logits)[owner] - y).square().mean(1)).sum() / alpha.sum()
    expected = torch.autograd.grad(over_nodes + 0.25 * latent.kl(), [logits, mu])
    torch.testing.assert_close(got, expected)
    assert terms.spaces["unseen"] == 0
    torch.testing.assert_close(terms.kl, latent.kl())

    half = brier(model, latent, targets, BatchTotals.of(targets, 6), beta=0.25, path_nodes=5)
    torch.testing.assert_close(half.kl, latent.kl() / 2)  # a part of a batch of twice as many
