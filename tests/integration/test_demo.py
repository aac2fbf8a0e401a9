"""The demo: its controls change only what they should, and the whole tour runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from infoalign_dgl.demo import (
    FINGERPRINTS_ONLY,
    MORGAN,
    PERMUTED,
    PRETRAINED,
    UNTRAINED,
    DemoConfig,
    run_demo,
    without_molecules,
)
from infoalign_dgl.sources.simulate import Simulation, simulate
from infoalign_dgl.training import PretrainConfig


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(500)


def _responses(simulation: Simulation) -> dict[str, list[bytes]]:
    """All that was measured of each molecule, by id."""
    found: dict[str, list[bytes]] = {}
    for table in (*simulation.morphology.values(), simulation.expression, simulation.molecule_gene):
        for molecule, rows in table.groupby("id"):
            found.setdefault(str(molecule), []).append(rows.drop(columns="id").to_numpy().tobytes())
    return found


def test_left_out_molecules_leave_no_trace(simulation: Simulation) -> None:
    gone = set(simulation.molecules["id"].iloc[::3])
    rest = without_molecules(simulation, gone)
    tables = [rest.molecules, rest.expression, rest.molecule_gene, *rest.morphology.values()]
    assert all(not set(table["id"]) & gone for table in tables)
    assert len(rest.molecules) == len(rest.labels) == len(rest.activity) == 500 - len(gone)
    kept = ~simulation.molecules["id"].isin(gone).to_numpy()
    np.testing.assert_array_equal(rest.labels, simulation.labels[kept])
    assert _responses(rest) == {k: v for k, v in _responses(simulation).items() if k not in gone}


def test_the_tour_runs_and_leaves_runs_that_load(tmp_path: Path) -> None:
    quick = PretrainConfig(hidden=16, layers=2, dropout=0.0, batch_size=64, max_steps=3)
    result = run_demo(tmp_path, DemoConfig(num_molecules=500, num_labels=4, pretraining=quick))
    methods = [PRETRAINED, PERMUTED, FINGERPRINTS_ONLY, UNTRAINED, MORGAN]
    assert sorted(result.table.methods) == sorted(methods)
    assert result.table.reference == PRETRAINED
    assert len(result.table.seeds) == 10
    assert result.vectors.shape == (150, 16)
    assert np.isfinite(result.vectors).all()
    assert not set(result.graph.nodes["molecule"]["key"]) & _keys(result)
    spaces = json.loads((result.runs[FINGERPRINTS_ONLY] / "config.json").read_text())["model"]["spaces"]
    assert list(spaces) == ["fingerprint"]


def _keys(result: object) -> set[str]:
    """First InChIKey blocks of the molecules that the demo held back."""
    from infoalign_dgl.demo import held_out_molecules
    from infoalign_dgl.molecules import standardize

    simulation = simulate(500)
    smiles = simulation.molecules["smiles"][held_out_molecules(simulation, 0.3)].tolist()
    return {str(key)[:14] for key in standardize(smiles).key}


@pytest.mark.slow
def test_cell_data_do_the_work(tmp_path: Path) -> None:
    """`make demo` itself: pretraining is ahead of all others, its controls are not ahead of fingerprints."""
    words = [sys.executable, "-m", "infoalign_dgl.cli", "demo", "-o", str(tmp_path / "demo"), "--json"]
    finished = subprocess.run(words, capture_output=True, text=True, check=True)
    shown = json.loads(finished.stdout)
    assert shown["simulated"]
    rows = {row["method"]: row for row in shown["methods"]}
    for method in (UNTRAINED, PERMUTED, FINGERPRINTS_ONLY, MORGAN):
        assert rows[method]["difference"] - rows[method]["difference_half_width"] > 0, method
    assert rows[PERMUTED]["auc"] < rows[MORGAN]["auc"]
    assert all(Path(picture).stat().st_size > 10_000 for picture in shown["pictures"])
