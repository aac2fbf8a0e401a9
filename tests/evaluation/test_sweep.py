"""Sweeps: which settings they are made of, what leaving node types out leaves, and rows that never mix."""

from __future__ import annotations

import importlib.util
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from infoalign_dgl._dgl import dgl
from infoalign_dgl.context import EDGE_TYPES, ContextGraph
from infoalign_dgl.context.reduced import leave_out_nodes
from infoalign_dgl.errors import EvaluationError, GraphError, InfoAlignError, RunError
from infoalign_dgl.evaluation import split_molecules
from infoalign_dgl.evaluation.sweep import WITHOUT, WITHOUT_TARGETS, SweepPlan, sweep
from infoalign_dgl.evaluation.sweep_rows import Sweep, SweepRow, estimate, setting_name, take_rows
from infoalign_dgl.plots.sweep import draw_setting, save_sweep_figures
from infoalign_dgl.training import PretrainConfig
from infoalign_dgl.training.run_folder import read_config

mpl.use("Agg")
BASE = PretrainConfig(batch_size=16, hidden=16, layers=2, max_steps=3, device="cpu", holdout=0.1)


def tiny():
    path = Path(__file__).parents[1] / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_graph", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_graph()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a graph and two task sets."""
    folder = tmp_path_factory.mktemp("sweep")
    graph = tiny()
    graph.save(folder / "graph")
    smiles = list(graph.nodes["molecule"]["smiles"])
    labels = {"ring": [float("1" in s) for s in smiles], "nitrogen": [float("N" in s) for s in smiles]}
    pd.DataFrame({"smiles": smiles, **labels}).to_csv(folder / "toy.csv", index=False)
    pd.DataFrame({"smiles": smiles, "length": [len(s) + 0.5 for s in smiles]}).to_csv(
        folder / "size.csv", index=False
    )
    return folder


def plan(varied, **more):
    return SweepPlan(**{"base": BASE, "varied": varied, "split": "random", "head_seeds": 2, **more})


@pytest.fixture(scope="module")
def swept(made):
    """A sweep of five settings, twice each, on both task sets."""
    varied = {
        "beta": [1e-3],
        WITHOUT: ["gene", "gene_expression+morphology"],
        WITHOUT_TARGETS: ["morphology"],
    }
    told = []
    found = sweep(made / "graph", [made / "toy.csv"], made / "out", plan(varied, seeds=2), say=told.append)
    return found, told


def test_one_setting_differs_at_a_time_or_all_combine():
    varied = {"beta": [1e-9, 1e-6], "walk_length": [1, 2, 4], WITHOUT: ["gene"]}
    single = plan(varied).settings()
    assert single == [{}, {"beta": 1e-6}, {"walk_length": 1}, {"walk_length": 2}, {WITHOUT: "gene"}]
    grid = [setting_name(changes) for changes in plan(varied, grid=True).settings()]
    assert len(grid) == len(set(grid)) == 2 * 3 * 2
    assert grid[0] == "base"
    assert "beta=1e-06,walk-length=2,without=gene" in grid
    both = plan({WITHOUT: ["morphology+expression", "gene_expression+morphology"]})
    assert both.settings() == [{}, {WITHOUT: "gene_expression+morphology"}]


@pytest.mark.parametrize("types", [["gene"], ["gene_expression"], ["morphology", "gene"]])
def test_no_node_edge_or_walk_of_a_type_that_is_left_out_stays(types):
    graph = tiny()
    reduced = leave_out_nodes(graph, types)
    # Counted on DGL's own homogeneous view, which knows nothing of this package's tables.
    flat = dgl.to_homogeneous(reduced.heterograph)
    kinds = np.array(reduced.heterograph.ntypes)[flat.ndata[dgl.NTYPE].numpy()]
    whole = dgl.to_homogeneous(graph.heterograph)
    kinds_before = np.array(graph.heterograph.ntypes)[whole.ndata[dgl.NTYPE].numpy()]
    assert not set(kinds) & set(types)
    assert len(kinds) == (~np.isin(kinds_before, types)).sum()
    ends = np.stack([end.numpy() for end in whole.edges()])
    stays = ~np.isin(kinds_before[ends], types).any(axis=0)
    assert flat.num_edges() == stays.sum()
    assert 0 < flat.num_edges() < whole.num_edges()
    assert not {space.node_type for space in reduced.spaces.values()} & set(types)
    # No walk meets one: node ids of what is left end where the types that stay end.
    walked = reduced.walks(np.arange(96), 6, walks_per_seed=20)
    assert int(np.asarray(walked.nodes).max()) < len(kinds)
    for kind in EDGE_TYPES:
        if not {kind[0], kind[2]} & set(types):
            for one, other in zip(graph.edges(kind), reduced.edges(kind), strict=True):
                np.testing.assert_array_equal(one, other)
    assert graph.num_nodes["gene"] == 6


def test_what_cannot_be_left_out_is_one_sentence():
    graph = tiny()
    with pytest.raises(GraphError, match="'molecule' cannot be left out"):
        leave_out_nodes(graph, ["molecule"])
    with pytest.raises(GraphError, match="no gene nodes to leave out"):
        leave_out_nodes(leave_out_nodes(graph, ["gene"]), ["gene"])


def test_runs_have_the_settings_they_are_named_after(made, swept):
    found, _ = swept
    assert not found.failed
    runs = made / "out/runs"
    for seed in range(2):
        configs = {path.parent.name: read_config(path) for path in runs.glob(f"*/seed-{seed}")}
        base = configs["base"]
        assert {one.pretrain.seed for one in configs.values()} == {seed}
        assert configs["beta=0.001"].pretrain == replace(base.pretrain, beta=1e-3)
        assert configs["beta=0.001"].graph == base.graph
        assert base.graph["nodes"]["gene"] == 6
        assert configs["without=gene"].graph["nodes"]["gene"] == 0
        assert set(base.model.spaces) - set(configs["without=gene"].model.spaces) == {"crispr"}
        assert set(configs["without=gene_expression+morphology"].model.spaces) == {"fingerprint", "crispr"}
        untargeted = configs["without-targets=morphology"]
        assert untargeted.graph == base.graph
        assert set(base.model.spaces) - set(untargeted.model.spaces) == {"cells", "dyes"}


def test_a_row_has_the_scores_of_its_predictions_and_the_losses_of_its_log(made, swept):
    found, told = swept
    table = pd.read_csv(made / "out/sweep.csv", keep_default_na=False)
    assert len(table) == len(found.rows) == 10
    assert table["run"].tolist()[:4] == ["base", "base", "beta=0.001", "beta=0.001"]
    assert table["without"].tolist().count("none") == 6
    labels = pd.read_csv(made / "toy.csv")[["ring", "nitrogen"]].to_numpy()
    row = table.query("run == 'without=gene' and seed == 1").iloc[0]
    means = []
    for head in range(2):
        path = made / f"out/results/without=gene/seed-1/toy/infoalign-mlp/seed-{head}.npz"
        with np.load(path) as stored:
            rows, values = stored["rows"], stored["values"]
        test = split_molecules(list(pd.read_csv(made / "toy.csv")["smiles"]), "random", 0).test
        values = values[np.searchsorted(rows, test)]
        means.append(np.mean([roc_auc_score(labels[test, t], values[:, t]) for t in range(2)]))
    assert row["toy roc_auc"] == pytest.approx(np.mean(means))
    assert float(row["toy std"]) == pytest.approx(np.std(means, ddof=1))
    log = pd.read_json(made / "out/runs/without=gene/seed-1/metrics.jsonl", lines=True)
    assert row["step"] == 3
    assert float(row["loss"]) == log["loss"].iloc[-1]
    names = [name.split("/")[1] for name in log if name.endswith("/difference")]
    counts = np.array([log[f"validation/{name}/targets"].iloc[-1] for name in names])
    differences = np.array([log[f"validation/{name}/difference"].iloc[-1] for name in names])
    assert float(row["validation"]) == pytest.approx((counts * differences).sum() / counts.sum())
    assert float(row["seconds"]) > 0
    assert any("10 of 10 runs" in line for line in told)
    assert "about" in told[-2] + told[-3]


def test_a_second_call_trains_nothing_and_more_values_add_rows(made, swept):
    before = {path: path.stat().st_mtime_ns for path in (made / "out/runs").rglob("model.safetensors")}
    told = []
    sources = [made / "toy.csv"]
    found = sweep(made / "graph", sources, made / "out", plan({"beta": [1e-3, 1e-2]}), say=told.append)
    assert "3 runs, 2 of them finished before" in told
    assert len(found.rows) == 11
    assert len(pd.read_csv(made / "out/sweep.csv")) == 11
    after = {path: path.stat().st_mtime_ns for path in (made / "out/runs").rglob("model.safetensors")}
    assert {path: after[path] for path in before} == before
    assert {path.relative_to(made / "out/runs").parts[0] for path in set(after) - set(before)} == {
        "beta=0.01"
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base": replace(BASE, lr=0.5)}, r"have lr 0.0001, not 0.5: pass the former"),
        ({"split": "group"}, "have split 'random', not 'group'"),
        ({"head_seeds": 3}, "have head-seeds 2, not 3"),
    ],
)
def test_another_base_is_refused(made, swept, changed, said):
    sources = [made / "toy.csv"]
    before = (made / "out/sweep.csv").read_bytes()
    with pytest.raises(EvaluationError, match=said):
        sweep(made / "graph", sources, made / "out", plan({"beta": [1e-3]}, **changed))
    other = made / "other"
    if not other.is_dir():
        leave_out_nodes(ContextGraph.load(made / "graph"), ["gene"]).save(other)
    with pytest.raises(EvaluationError, match="have graph '"):
        sweep(other, sources, made / "out", plan({"beta": [1e-3]}))
    with pytest.raises(EvaluationError, match="have tasks "):
        sweep(made / "graph", [*sources, made / "size.csv"], made / "out", plan({"beta": [1e-3]}))
    assert (made / "out/sweep.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("varied", "error", "said"),
    [
        (
            {WITHOUT: ["cells"]},
            GraphError,
            "'cells' cannot be left out: use gene, gene_expression, morphology",
        ),
        ({WITHOUT_TARGETS: ["rna"]}, EvaluationError, "targets of rna cannot be left out"),
        ({"walk_length": [-1]}, RunError, "'walk_length' must be at least 0"),
        (
            {WITHOUT: ["gene+gene_expression+morphology"], WITHOUT_TARGETS: ["molecule"]},
            EvaluationError,
            "name some of these, and not all",
        ),
    ],
)
def test_settings_that_make_no_sense_are_known_before_any_run(made, tmp_path, varied, error, said):
    with pytest.raises(error, match=said):
        sweep(made / "graph", [made / "toy.csv"], tmp_path / "out", plan(varied, grid=True))
    assert not (tmp_path / "out").exists()


def test_task_sets_that_cannot_be_scored_are_known_before_any_run(made, tmp_path):
    pd.read_csv(made / "toy.csv").assign(ring=1, nitrogen=0).to_csv(tmp_path / "same.csv", index=False)
    with pytest.raises(InfoAlignError, match="no task of 'same' can be scored"):
        sweep(made / "graph", [tmp_path / "same.csv"], tmp_path / "out", plan({}))
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_stopped_is_gone_on_with_by_the_same_call(made, tmp_path):
    given = plan({}, base=replace(BASE, max_steps=2, max_minutes=1e-9))
    with pytest.raises(RunError, match="stopped by the time limit in the run 'base/seed-0', which is saved"):
        sweep(made / "graph", [made / "toy.csv"], tmp_path / "out", given)
    assert not (tmp_path / "out/sweep.csv").exists()
    (row,) = sweep(made / "graph", [made / "toy.csv"], tmp_path / "out", given).rows
    assert row.step == 2


def test_targets_that_went_with_their_nodes_are_no_setting_of_their_own(made, tmp_path):
    given = plan({WITHOUT: ["gene"], WITHOUT_TARGETS: ["gene"]}, grid=True)
    found = sweep(made / "graph", [made / "toy.csv"], tmp_path / "out", given)
    assert [setting_name(row.changes) for row in found.rows] == [
        "base",
        "without=gene",
        "without-targets=gene",
    ]


def rows_of(values, *, name="beta", seeds=(0, 1)):
    """Rows whose scores are closed forms of the setting and the seed."""
    base = {"beta": 1e-9, "walk_length": 4, WITHOUT: None}
    rows = []
    for length in (4, 2):
        for number, value in enumerate(values):
            changes = {name: value, "walk_length": length}
            changes = {key: value for key, value in changes.items() if value != base[key]}
            for seed in seeds:
                scores = [0.6 + 0.1 * number + 0.02 * seed + (0.05 if length == 2 else 0), 0.6 + 0.1 * number]
                rows.append(SweepRow(changes, seed, {"toy": scores}, 3, 1.0, None, 1.0))
    return Sweep(base, {"toy": "binary"}, rows)


def test_curves_have_the_mean_and_deviation_over_runs_or_else_over_heads():
    found = rows_of([1e-9, 1e-6, 0.0])
    axes = draw_setting(found, "beta", "toy")
    assert axes.get_xscale() == "symlog"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["base", "walk-length=2"]
    curve, _, (bars,) = axes.containers[0]
    at, means = curve.get_data(orig=False)
    assert list(at) == [0.0, 1e-9, 1e-6]
    np.testing.assert_allclose(means, [0.805, 0.605, 0.705])
    half = np.array([(segment[1, 1] - segment[0, 1]) / 2 for segment in bars.get_segments()])
    np.testing.assert_allclose(half, np.std([0, 0.01], ddof=1))  # means of runs differ by 0.01
    alone = rows_of([1e-9, 1e-6], seeds=[1])
    np.testing.assert_allclose(estimate(alone.rows[:1], "toy").sd, np.std([0.62, 0.6], ddof=1))
    assert draw_setting(alone, "beta", "toy").get_xscale() == "log"


def test_bars_stand_for_what_is_left_out(tmp_path):
    found = rows_of([None, "gene", "gene+morphology"], name=WITHOUT)
    axes = draw_setting(found, WITHOUT, "toy")
    assert [text.get_text() for text in axes.get_xticklabels()] == ["none", "gene", "gene\n+ morphology"]
    tops = [patch.get_y() + patch.get_height() for patch in axes.patches]
    np.testing.assert_allclose(tops[:3], [0.605, 0.705, 0.805])
    np.testing.assert_allclose(tops[3:], np.array([0.605, 0.705, 0.805]) + 0.025)
    save_sweep_figures(found, tmp_path)
    names = {f"{name}-toy.{kind}" for name in ("without", "walk-length") for kind in ("png", "svg")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_the_table_is_ordered_by_value_and_reads_back(tmp_path):
    rows = [SweepRow({"beta": b}, s, {"toy": [0.5]}, 1, None, None, 0.5) for s in (1, 0) for b in (10.0, 9.0)]
    table = Sweep({"beta": 1.0}, {"toy": "regression"}, rows).table()
    read = pd.read_csv(io.StringIO(table.to_csv(index=False)))
    assert list(read) == [
        "run",
        "beta",
        "seed",
        "toy mae",
        "toy std",
        "step",
        "loss",
        "validation",
        "seconds",
    ]
    for row in rows:
        place = tmp_path / "results" / setting_name(row.changes) / f"seed-{row.seed}"
        place.mkdir(parents=True)
        (place / "row.json").write_text(json.dumps(asdict(row)))
    found = take_rows(Sweep({"beta": 1.0}, {"toy": "regression"}), tmp_path)
    assert [(row.changes["beta"], row.seed) for row in found.rows] == [(9, 0), (9, 1), (10, 0), (10, 1)]
    assert pd.read_csv(tmp_path / "sweep.csv")["beta"].tolist() == [9, 9, 10, 10]
