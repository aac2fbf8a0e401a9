"""``infoalign-dgl evaluate`` as users call it: controls, other runs, a kill in the middle."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from safetensors.torch import load_file
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from infoalign_dgl.cli.main import cli
from infoalign_dgl.context import build_from_rows
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.evaluation.cells import read_cell
from infoalign_dgl.sources.simulate import simulate
from infoalign_dgl.sources.simulated import simulation_rows
from infoalign_dgl.training import PretrainConfig, pretrain
from infoalign_dgl.training.checkpoint import saved_steps

STEPS, TOTAL = 30, 50
SETTINGS = {
    "hidden": 16,
    "layers": 2,
    "batch_size": 64,
    "max_steps": TOTAL,
    "checkpoint_every": 5,
    "device": "cpu",
}
CONTROLS = ("permuted", "fingerprints")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a graph, a run that was stopped before its end, and a task set."""
    folder = tmp_path_factory.mktemp("evaluate")
    simulation = simulate(500)
    graph = build_from_rows(simulation_rows(simulation))
    graph.save(folder / "graph")
    graph.folder = folder / "graph"
    pretrain(graph, folder / "run", PretrainConfig(**SETTINGS, stop_after=STEPS))
    smiles = simulation.molecules["smiles"][:80]
    labels = {"ring": [float("c1" in s) for s in smiles], "nitrogen": [float("N" in s) for s in smiles]}
    pd.DataFrame({"smiles": smiles, **labels}).to_csv(folder / "toy.csv", index=False)
    return folder


def words(made, out, *more, run="run"):
    given = ["evaluate", made / run, "--task", made / "toy.csv", "--split", "random", "--seeds", "2"]
    return [*map(str, given), "--method", "infoalign-mlp", "-o", str(out), *map(str, more)]


@dataclass
class Called:
    """How a command ended, as a user sees it."""

    code: int
    stdout: str
    stderr: str


def call(given):
    result = CliRunner().invoke(cli, given)
    if result.exception is not None and not isinstance(result.exception, (SystemExit, InfoAlignError)):
        raise result.exception
    error = str(result.exception) if isinstance(result.exception, InfoAlignError) else ""
    return Called(result.exit_code, result.stdout, result.stderr + error)


def weights(run):
    found = load_file(run / f"checkpoints/step-{STEPS}/model.safetensors")
    return {name: tensor.tolist() for name, tensor in found.items()}


@pytest.fixture(scope="module")
def killed(made):
    """What a call with --controls that was killed within the first control left, and the call after it."""
    out = made / "out"
    given = [sys.executable, "-m", "infoalign_dgl.cli", *words(made, out, "--controls")]
    process = subprocess.Popen(given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = time.monotonic()
    while not saved_steps(out / "controls/permuted") and time.monotonic() - started < 60:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = saved_steps(out / "controls/permuted")
    return left, call(words(made, out, "--controls"))


def test_a_killed_control_goes_on_to_what_one_in_a_single_go_is(made, killed, tmp_path):
    left, second = killed
    assert second.code == 0, second.stderr
    assert 0 < max(left) < STEPS
    assert f"resuming after step {max(left)} of {TOTAL}" in second.stderr
    words_alone = ["pretrain", made / "graph", "-o", tmp_path / "alone", "--control", "permuted"]
    for name, value in {**SETTINGS, "stop_after": STEPS}.items():
        words_alone += [f"--{name.replace('_', '-')}", value]
    assert call([str(word) for word in words_alone]).code == 0
    assert weights(made / "out/controls/permuted") == weights(tmp_path / "alone")


def test_controls_have_the_settings_steps_and_schedule_of_the_run(made, killed):
    config = json.loads((made / "run/config.json").read_text())
    rates = pd.read_json(made / "run/metrics.jsonl", lines=True)["lr"].tolist()
    for name in CONTROLS:
        folder = made / "out/controls" / name
        control = json.loads((folder / "config.json").read_text())
        assert control["pretrain"].pop("control") == name
        assert control["pretrain"] == {k: v for k, v in config["pretrain"].items() if k != "control"}
        assert control["graph"] == config["graph"]
        assert saved_steps(folder)[-1] == STEPS
        assert pd.read_json(folder / "metrics.jsonl", lines=True)["lr"].tolist() == rates
    assert list(control["model"]["spaces"]) == ["fingerprint"]


def test_controls_are_in_tables_comparisons_and_manifest_and_are_made_once(made, killed):
    out = made / "out"
    main = (out / "tables/main.md").read_text()
    compared = (out / "tables/compared-toy.md").read_text()
    stored = json.loads((out / "manifest.json").read_text())
    for name in CONTROLS:
        assert f"{name}-mlp" in main.split("*Controls*")[1]
        assert f"{name}-mlp" in compared
        assert stored["other_runs"][name]["folder"] == f"controls/{name}"
        assert stored["other_runs"][name]["control"] == name
        assert stored["task_sets"]["toy"]["seen_by_other_runs"][name] > 0
    assert stored["run"]["graph_sha256"]
    before = {path: path.stat().st_mtime_ns for path in (out / "controls").rglob("model.safetensors")}
    again = call(words(made, out, "--controls", "--json"))
    assert set(json.loads(again.stdout)["toy"]) == {"infoalign-mlp", "permuted-mlp", "fingerprints-mlp"}
    assert "steps" not in again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (out / "controls").rglob("model.safetensors")}
    verify = [*words(made, out)[:4], "--verify", str(out)]
    assert "as the manifest says" in call(verify).stdout
    damaged = out / stored["other_runs"]["permuted"]["folder"] / "config.json"
    whole = damaged.read_text()
    damaged.write_text(whole + "\n")
    assert "is another file than it was" in call(verify).stderr
    damaged.write_text(whole)


def test_other_runs_are_compared_by_their_names(made, killed, tmp_path):
    control = made / "out/controls/fingerprints"
    done = call(words(made, tmp_path / "out", "--run", f"same={made / 'run'}", "--run", f"fp={control}"))
    assert done.code == 0, done.stderr
    main = (tmp_path / "out/tables/main.md").read_text()
    cells = [[cell.strip(" *") for cell in line.split("|")] for line in main.splitlines() if "|" in line]
    rows = {row[1]: row[2] for row in cells}
    assert rows["same-mlp"] == rows["infoalign-mlp"]
    places = [main.index(text) for text in ("*Other runs*", "same-mlp", "*Controls*", "fp-mlp")]
    assert places == sorted(places)
    stored = json.loads((tmp_path / "out/manifest.json").read_text())
    assert stored["other_runs"]["fp"]["folder"] is None
    verify = [*words(made, tmp_path)[:4], "--verify", str(tmp_path / "out"), "--run", f"same={control}"]
    assert "is another file than it was" in call(verify).stderr


def test_every_stage_has_a_line_with_its_seconds_and_what_is_left(killed):
    said = killed[1].stderr
    assert "control permuted: 30 steps; 1 of 8 cells in 0:00:" in said
    assert "left, 6 not timed yet" in said
    ends = [line for line in said.splitlines() if line.startswith("toy ") and "features" not in line]
    assert [line.split(":")[0] for line in ends] == [f"toy {n}-mlp" for n in ("infoalign", *CONTROLS)]
    assert all(" s | " in line for line in ends)
    assert "4 of 8 cells" in ends[0]
    assert "about 0:00:0" in ends[0]
    assert "8 of 8 cells" in ends[2]
    assert "left" not in ends[2]


def test_vectors_of_ones_own_are_compared(made, tmp_path):
    """The labels themselves, which a linear model cannot miss."""
    labels = pd.read_csv(made / "toy.csv")[["ring", "nitrogen"]].to_numpy()
    np.save(tmp_path / "own.npy", labels)
    more = ["--embedding", f"own={tmp_path / 'own.npy'}", "--method", "own-linear", "--json"]
    done = call(words(made, tmp_path / "out", *more))
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["toy"]["own-linear"] == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--controls"], "say where it is now with --graph"),
        (["--controls", "--graph", "nowhere"], "is not in 'nowhere'"),
        (["--controls", "--run", "permuted={run}"], "--controls makes a run 'permuted'"),
        (["--run", "morgan={run}"], "two sources are named 'morgan'"),
        (["--run", "only-a-name"], "--run only-a-name: give NAME=PATH"),
        (["--embedding", "=own.npy"], "--embedding =own.npy: give NAME=PATH"),
        (["--graph", "graph"], "pass both, or neither"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(made, tmp_path, more, said):
    shutil.copytree(made / "run", tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["graph"]["folder"] = str(tmp_path / "moved")
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    given = [word.format(run=made / "run") for word in more]
    done = call(words(made, tmp_path / "out", *given, run=tmp_path / "run"))
    assert done.code != 0
    assert said in " ".join(done.stderr.split())


def test_a_graph_that_moved_is_found_where_it_is_said_to_be_and_no_other(made, killed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    shutil.copytree(made / "out/controls", tmp_path / "out/controls")
    shutil.rmtree(tmp_path / "out/controls/permuted/checkpoints")
    shutil.move(made / "graph", made / "moved")
    try:
        moved = ["--controls", "--graph", str(made / "moved")]
        assert call(words(made, tmp_path / "out", *moved, run=run)).code == 0
    finally:
        shutil.move(made / "moved", made / "graph")
    build_from_rows(simulation_rows(simulate(500, seed=1))).save(tmp_path / "other")
    wrong = call(words(made, tmp_path / "new", "--controls", "--graph", str(tmp_path / "other"), run=run))
    assert "is not the graph that" in wrong.stderr
    control = made / "out/controls/permuted"
    itself = call(words(made, tmp_path / "new", "--controls", run=control))
    assert "is itself the control 'permuted'" in itself.stderr


def stored_predictions(folder, rows, tasks):
    """Of all seeds, (S, rows, tasks), NaN in train rows."""
    cells = [read_cell(path) for path in sorted(folder.glob("seed-*.npz"))]
    values = np.full((len(cells), rows, tasks), np.nan)
    for place, cell in enumerate(cells):
        values[place, cell.rows] = cell.values
    return values


def figures_of(labels, seeds, valid, test, quarter):
    """Coverage, classes per set, calibration error, and ROC-AUC by quarter of the test rows, of one task."""
    valid, known = valid[~np.isnan(labels[valid])], ~np.isnan(labels[test])
    mean = seeds.mean(axis=0)
    rank = int(np.ceil(0.9 * (len(valid) + 1)))
    radius = np.sort(np.abs(labels[valid] - mean[valid]))[rank - 1] + 1e-9
    rows, quarter = test[known], quarter[known]
    y, p = labels[rows], mean[rows]
    classes = (p <= radius).astype(int) + (1 - p <= radius)
    bins = np.floor((rankdata(p) - 0.5) / len(p) * 10)
    error = sum(abs((y - p)[bins == each].sum()) for each in np.unique(bins)) / len(p)
    scores = [
        np.mean([roc_auc_score(y[quarter == each], seed[rows][quarter == each]) for seed in seeds])
        for each in range(4)
    ]
    return [(np.abs(y - p) <= radius).mean(), classes.mean(), error, *scores]


def test_the_table_of_uncertainty_is_that_of_the_stored_predictions(made, tmp_path):
    """Every figure once more from the files of the results, by order statistics, RDKit and scikit-learn."""
    smiles = simulate(500).molecules["smiles"]
    rng = np.random.default_rng(0)
    labels = np.array([["c1" in text, "N" in text] for text in smiles], float)
    labels = np.where(rng.random(labels.shape) < 0.2, 1 - labels, labels)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    table = pd.DataFrame({"smiles": smiles, "ring": labels[:, 0], "nitrogen": labels[:, 1]})
    table.to_csv(tmp_path / "toy.csv", index=False)
    given = ["evaluate", made / "run", "--task", tmp_path / "toy.csv", "--split", "random", "--seeds", 2]
    for method in ("infoalign-mlp", "morgan-rf", "morphology-rf"):
        given += ["--method", method]
    done = call([*map(str, given), "-o", str(tmp_path / "out")])
    assert done.code == 0, done.stderr
    assert len(list((tmp_path / "out/tables").glob("uncertainty.*"))) == 3
    found = pd.read_csv(tmp_path / "out/tables/uncertainty.csv").set_index("method")

    part = pd.read_csv(tmp_path / "out/toy/split.csv")["split"].to_numpy()
    train, valid, test = (np.flatnonzero(part == name) for name in ("train", "valid", "test"))
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    known = [bits[row] for row in train]
    similar = np.array([max(DataStructs.BulkTanimotoSimilarity(bits[row], known)) for row in test])
    edges = np.quantile(similar, [0.25, 0.5, 0.75])
    quarter = (similar[:, None] > edges).sum(axis=1)
    names = ["coverage", "size", "calibration_error", *(f"score_quarter_{place}" for place in range(1, 5))]
    for method in ("infoalign-mlp", "morgan-rf"):
        seeds = stored_predictions(tmp_path / "out/toy" / method, *labels.shape)
        want = [figures_of(labels[:, t], seeds[..., t], valid, test, quarter) for t in range(2)]
        np.testing.assert_allclose(found.loc[method, names].astype(float), np.mean(want, axis=0), rtol=1e-6)
        assert found.loc[method, "tasks_by_similarity"] == 2
    for place, edge in enumerate(edges, 1):
        assert found[f"similarity_edge_{place}"].to_list() == pytest.approx([edge] * 3)
    assert found.loc["morphology-rf", names].isna().all()  # no profiles were given
