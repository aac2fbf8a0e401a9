"""A comparison on a small task set: its scores are those of its predictions, and nothing is done twice."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.cells import read_cell
from infoalign_dgl.evaluation.experiment import Plan, evaluate
from infoalign_dgl.evaluation.manifest import verify_manifest
from infoalign_dgl.evaluation.methods import DEFAULT_METHODS, choose_methods
from infoalign_dgl.evaluation.splits import split_molecules
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.molecules import standardize
from infoalign_dgl.training import PretrainConfig
from infoalign_dgl.training.checkpoint import Progress, save_checkpoint
from infoalign_dgl.training.run_folder import MOLECULES, RunConfig, write_config

ENDS = ("O", "N", "C(=O)O", "c1ccccc1", "F", "C#N", "Cl", "c1ccncc1", "S", "C(=O)N")
SMILES = [f"{'C' * n}{end}" for n in range(1, 10) for end in ENDS]
NAMES = ["infoalign-mlp", "morgan-rf", "morgan-linear", "morphology-linear"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    config = ModelConfig(hidden=16, layers=2, spaces={"a": 3}, modality={"a": "molecule"})
    write_config(folder, RunConfig(config, PretrainConfig(), {}))
    torch.manual_seed(0)
    model = InfoAlign(config)
    save_checkpoint(folder, model, torch.optim.Adam(model.parameters()), Progress(1, best_step=1), keep=1)
    seen = standardize(SMILES[:3]).key
    (folder / MOLECULES).write_text("".join(f"{key[:14]}\n" for key in seen))
    return folder


@pytest.fixture
def task(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"smiles": SMILES})
    table["oxygen"] = [float("O" in s) for s in SMILES]
    table.loc[rng.random(len(table)) < 0.2, "oxygen"] = np.nan
    table["ring"] = [float("c1" in s) for s in SMILES]
    table["empty"] = np.nan
    table["same"] = 1.0
    table.to_csv(tmp_path / "toy.csv", index=False)
    return tmp_path / "toy.csv"


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    """A graph with profiles of half of the molecules, which tell oxygen."""
    folder = tmp_path_factory.mktemp("profiles")
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(45, 4)), columns=[f"Cells_{i}" for i in range(4)])
    table["Cells_0"] += [4 * ("O" in s) for s in SMILES[::2]]
    table.assign(smiles=SMILES[::2]).to_csv(folder / "painting.csv", index=False)
    (folder / "spec.toml").write_text(
        '[[morphology]]\nspace = "p"\nfile = "painting.csv"\nsmiles = "smiles"\n'
    )
    build_context_graph(folder / "spec.toml").save(folder / "graph")
    return folder / "graph"


def compare(run, task, folder, *, names=NAMES, **more):
    said, stages = [], []
    plan = Plan(choose_methods(names), split="random", seeds=2)
    (judged,) = evaluate(
        run, [task], folder, plan, progress=lambda *told: stages.append(told[0]), say=said.append, **more
    )
    return judged, said, {stage for stage in stages if "features" not in stage}


def test_scores_are_those_of_the_stored_predictions(run, task, profiles, tmp_path):
    judged, said, _ = compare(run, task, tmp_path / "out", profiles=profiles)
    table = pd.read_csv(task)
    split = split_molecules(SMILES, "random", 0)
    assert (tmp_path / "out/toy/split.csv").is_file()
    np.testing.assert_array_equal(judged.split.test, split.test)
    per_task = pd.read_csv(tmp_path / "out/toy/per_task.csv")
    for name in NAMES[:3]:
        for path in judged.cells[name]:
            cell, seed = read_cell(path), int(path.stem.removeprefix("seed-"))
            assert seed < 2
            assert cell.rows.tolist() == sorted([*split.valid, *split.test])
            for number, column in enumerate(["oxygen", "ring"]):
                rows = [r for r in split.test if not np.isnan(table[column][r])]
                values = cell.values[np.searchsorted(cell.rows, rows), number]
                expected = roc_auc_score(table[column][rows], values)
                shown = per_task.query("method == @name and seed == @seed and task == @column")
                assert shown["roc_auc"].item() == pytest.approx(expected)
    assert [len(judged.cells[name]) for name in NAMES] == [2, 1, 1, 1]
    assert "3 rows are molecules that the run saw in pretraining" in " ".join(said)


def test_tasks_without_a_score_say_why(run, task, tmp_path):
    compare(run, task, tmp_path / "out", names=["morgan-rf"])
    shown = pd.read_csv(tmp_path / "out/toy/per_task.csv").set_index("task")
    assert shown.loc["empty", "roc_auc"] != shown.loc["empty", "roc_auc"]
    assert "no label" in " ".join(map(str, shown.loc["empty"]))
    assert "one class" in " ".join(map(str, shown.loc["same"]))


def test_a_second_call_takes_over_what_is_done(run, task, profiles, tmp_path):
    first, _, stages = compare(run, task, tmp_path / "out", profiles=profiles)
    assert {stage.split()[1] for stage in stages} == set(NAMES)
    second, _, stages = compare(run, task, tmp_path / "out", profiles=profiles)
    assert stages == set()
    for one, other in zip(first.results, second.results, strict=True):
        np.testing.assert_array_equal(one.scores.main, other.scores.main)
    # A seed that is gone, and only it, is trained again, to the same predictions.
    path = tmp_path / "out/toy/infoalign-mlp/seed-1.npz"
    before = read_cell(path)
    path.unlink()
    _, _, stages = compare(run, task, tmp_path / "out", profiles=profiles)
    assert stages == {"toy infoalign-mlp"}
    np.testing.assert_allclose(read_cell(path).values, before.values, atol=1e-4)
    # Other labels are other predictions.
    table = pd.read_csv(task)
    table.loc[0, "ring"] = 1 - table.loc[0, "ring"]
    table.to_csv(task, index=False)
    _, _, stages = compare(run, task, tmp_path / "out", profiles=profiles)
    assert {stage.split()[1] for stage in stages} == {*NAMES, "morgan-linear"}


def test_profiles_fall_back_to_structure_and_are_judged_alone_too(run, task, profiles, tmp_path):
    judged, _, _ = compare(run, task, tmp_path / "out", profiles=profiles)
    by_name = {result.method: result for result in judged.results}
    assert "Rows of 90 with a profile, by feature space: p 45" in by_name["morphology-linear"].note
    alone = {result.method: result for result in judged.measured["morphology"]}
    measured = [row for row in judged.split.test if row % 2 == 0]
    labels = pd.read_csv(task)["oxygen"]
    assert alone["morgan-rf"].scores.labelled[0] == sum(not np.isnan(labels[row]) for row in measured)
    assert (tmp_path / "out/tables/measured-morphology-toy.md").is_file()
    certainty = pd.read_csv(tmp_path / "out/tables/uncertainty.csv").set_index("method")
    assert set(certainty.index) == set(alone)
    without, _, _ = compare(run, task, tmp_path / "none", names=["morphology-rf", "morgan-rf"])
    assert without.results[0].scores is None
    assert "no measured profiles were given" in without.results[0].note
    assert "N.A." in (tmp_path / "none/tables/main.md").read_text()


def test_a_manifest_finds_what_changed(run, task, tmp_path):
    folder = tmp_path / "out"
    compare(run, task, folder, names=["morgan-rf", "morgan-linear"])
    stored = json.loads((folder / "manifest.json").read_text())
    assert stored["task_sets"]["toy"]["seen_in_pretraining"] == 3
    assert stored["plan"]["seeds"] == {"morgan-rf": [0], "morgan-linear": [0]}
    assert verify_manifest(folder, run) == verify_manifest(folder / "manifest.json") == []
    cell = folder / "toy/morgan-rf/seed-0.npz"
    whole = cell.read_bytes()
    cell.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert verify_manifest(folder) == [f"'{cell}' is another file than it was"]
    cell.unlink()
    assert verify_manifest(folder) == [f"'{cell}' is missing"]
    cell.write_bytes(whole)
    molecules = (run / MOLECULES).read_text()
    (run / MOLECULES).write_text(molecules + "AAAAAAAAAAAAAA\n")
    assert verify_manifest(folder, run) == [f"'{run / MOLECULES}' is another file than it was"]
    (run / MOLECULES).write_text(molecules)
    with pytest.raises(EvaluationError, match="is no manifest of an evaluation"):
        verify_manifest(tmp_path)


def test_methods_by_name():
    assert choose_methods([]) == list(DEFAULT_METHODS)
    assert choose_methods([], ["mine"])[-1].name == "mine-mlp"
    assert choose_methods(["mine-rf", "morgan-gp"], ["mine"])[0].source == "mine"
    with pytest.raises(EvaluationError, match="there is no method 'morgan-svm': did you mean"):
        choose_methods(["morgan-svm"])
