"""The page of a run, in a browser: what it says is what the run's and the results' files say."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import timedelta

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from infoalign_dgl.cli.main import cli
from infoalign_dgl.context import build_from_rows
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.plots import draw_losses, draw_throughput
from infoalign_dgl.plots._metrics import read_metrics
from infoalign_dgl.plots.pages._run_facts import describe
from infoalign_dgl.plots.pages._run_molecules import from_graph, group_labels
from infoalign_dgl.plots.pages._run_results import read_results
from infoalign_dgl.plots.pages._run_training import _throughput_table
from infoalign_dgl.plots.pages.run_page import write_run_page
from infoalign_dgl.plots.training import draw_kl, draw_learning_rate, draw_validation
from infoalign_dgl.representation import load
from infoalign_dgl.sources.simulate import simulate
from infoalign_dgl.sources.simulated import simulation_rows
from infoalign_dgl.training import PretrainConfig, import_reference, pretrain
from infoalign_dgl.training.run_folder import read_config

mpl.use("Agg")

pytestmark = pytest.mark.timeout(900)  # seconds, with what is made once for all, on a busy machine
SETTINGS = {"hidden": 16, "layers": 2, "batch_size": 64, "lr": 3e-3, "device": "cpu", "holdout": 0.2}
STEPS, EVERY, WINDOW = 30, 10, 20


@pytest.fixture(scope="module")
def made(once):
    """A graph, a run of it, one of 0 steps, results of both, and the page of the first."""
    return once("run-page", make)


def make(folder):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    simulation = simulate(300)
    graph = build_from_rows(simulation_rows(simulation))
    graph.save(folder / "graph")
    graph.folder = folder / "graph"
    quiet = Console(quiet=True)
    config = PretrainConfig(**SETTINGS, max_steps=STEPS, checkpoint_every=EVERY)
    pretrain(graph, folder / "run", config, console=quiet)
    pretrain(graph, folder / "start", PretrainConfig(**SETTINGS, max_steps=0), console=quiet)
    smiles = simulation.molecules["smiles"]
    labels = {"ring": [float("c1" in s) for s in smiles], "nitrogen": [float("N" in s) for s in smiles]}
    pd.DataFrame({"smiles": smiles, **labels}).to_csv(folder / "toy.csv", index=False)
    call("evaluate", folder / "run", "--task", folder / "toy.csv", "--split", "random", "--seeds", 2,
         "--run", f"start={folder / 'start'}", "--method", "infoalign-linear", "--method", "start-linear",
         "--method", "morgan-linear", "-o", folder / "results")  # fmt: skip
    call("retrieve", folder / "run", "--queries", folder / "graph", "--candidates", folder / "graph",
         "--space", "simulated_painting_a", "-o", folder / "matched")  # fmt: skip
    results = (folder / "results", folder / "matched")
    write_run_page(folder / "run", folder / "page.html", results=results)
    torch.set_num_threads(threads)


def call(*words):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, (done.output, done.exception)


def tables(page):
    """Cells of each table of a page, by what its caption starts with up to a comma or colon."""
    read = """() => [...document.querySelectorAll("table")].map(table => [
        table.caption.textContent,
        [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))])"""
    found = page.evaluate(read)
    return {caption.split(":")[0].split(",")[0]: rows for caption, rows in found}


def texts(page):
    return page.locator("main").text_content()


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_headings_figures_and_facts(made, open_page):
    page = open_page(made / "page.html").page
    assert page.locator("h1").text_content() == "Run report: run"
    assert page.locator("h2").all_text_contents() == [
        "The run", "Losses", "Molecules held out", "Throughput", "Latent", "Evaluations",
    ]  # fmt: skip
    widths = page.evaluate("[...document.images].map(image => image.complete ? image.naturalWidth : 0)")
    assert len(widths) == 3 + 1 + 1 + 3 + 3 + 2  # of training, validation, speed, latent, two results folders
    assert min(widths) > 100
    assert page.evaluate("[...document.images].every(image => image.alt.length > 10)")
    facts = {row[0]: row[1] for row in tables(page)["The run"][1:]}
    config = json.loads((made / "run/config.json").read_text())
    molecules = (made / "run/molecules.txt").read_text().split()
    held_out = (made / "run/held_out.txt").read_text().split()
    assert facts["state"] == f"finished: {STEPS} steps"
    assert facts["graph"] == str(made / "graph")
    assert facts["SHA-256 of its checksums"] == config["graph"]["sums_sha256"]
    assert facts["its edges"] == f"{config['graph']['edges']:,}"
    assert facts["its nodes"].startswith(f"{config['graph']['nodes']['molecule']:,} molecules, ")
    assert facts["molecules of the graph"].split()[0] == str(len(molecules))
    assert facts["held out"] == str(len(held_out))
    assert facts["seen in training"] == str(len(molecules) - len(held_out))
    best = (made / "run/checkpoints/best").read_text().strip().removeprefix("step-")
    assert facts["checkpoint read here"].startswith(f"step {best}, the best: ")
    assert page.locator(".warning").count() == 0


def test_settings_that_are_not_the_default(made, open_page):
    shown = tables(open_page(made / "page.html").page)
    changed = {row[0]: row[1:] for row in shown["Settings that are not the default"][1:]}
    assert set(changed) == {*SETTINGS, "max_steps", "checkpoint_every"}
    assert changed["lr"] == ["0.003", "0.0001"]
    stored = json.loads((made / "run/config.json").read_text())["pretrain"]
    assert [row[0] for row in shown["All settings"][1:]] == list(stored)


def test_losses_and_speed_are_those_of_the_metrics(made, open_page):
    shown = tables(open_page(made / "page.html").page)
    lines = metrics(made / "run")
    *rows, divergence = shown["Training loss"][1:]
    assert [row[0] for row in rows] == [key[5:] for key in lines[0] if key.startswith("loss/")]
    for name, _, columns, targets, start, end, change in rows:
        values = [line[f"loss/{name}"] for line in lines if line[f"targets/{name}"]]
        assert int(targets.replace(",", "")) == sum(line[f"targets/{name}"] for line in lines)
        assert int(columns.replace(",", "")) > 0
        first, last = sum(values[:WINDOW]) / WINDOW, sum(values[-WINDOW:]) / WINDOW
        assert [float(start), float(end)] == pytest.approx([first, last], abs=6e-5)
        assert float(change) == pytest.approx(last - first, abs=6e-5)
    kl = sum(line["kl"] for line in lines[:WINDOW]) / WINDOW
    assert float(divergence[4].replace(",", "")) == pytest.approx(kl, abs=0.06)
    speed = dict(shown["Throughput"][1:])
    molecules = sum(line["molecules"] for line in lines)
    seconds = sum(line["molecules"] / line["molecules_per_second"] for line in lines)
    assert speed["steps"] == str(STEPS)
    assert speed["molecules drawn"] == f"{molecules:,}"
    assert float(speed["molecules per second, over all steps"].replace(",", "")) == pytest.approx(
        molecules / seconds, abs=0.06
    )
    hours = [int(part) for part in speed["time in training steps (h:mm:ss)"].split(":")]
    took = timedelta(hours=hours[0], minutes=hours[1], seconds=hours[2]).total_seconds()
    assert took == pytest.approx(seconds, abs=0.51)
    assert speed["parts that can be told apart"] == "1"


def test_validations_are_those_of_the_metrics(made, open_page):
    shown = tables(open_page(made / "page.html").page)
    lines = {line["step"]: line for line in metrics(made / "run") if line["step"] % EVERY == 0}
    names = [key[5:] for key in lines[EVERY] if key.startswith("loss/")]
    overall = {}
    for step, line in lines.items():
        pairs = [[line[f"validation/{n}/{key}"] for key in ("targets", "difference")] for n in names]
        overall[step] = sum(t * d for t, d in pairs) / sum(t for t, _ in pairs)
    best = min(overall, key=overall.get)
    for step in {best, STEPS}:
        *rows, total = shown[f"Step {step}"][1:]
        assert [row[0] for row in rows] == names
        for name, _, loss, mean_loss, difference, targets in rows:
            given = [lines[step][f"validation/{name}/{key}"] for key in ("loss", "mean_loss", "difference")]
            assert [float(loss), float(mean_loss), float(difference)] == pytest.approx(given, abs=6e-5)
            assert int(targets) == lines[step][f"validation/{name}/targets"]
        assert float(total[4]) == pytest.approx(overall[step], abs=6e-7)
    history = {int(row[0]): float(row[1]) for row in shown[f"All {STEPS // EVERY} validations"][1:]}
    assert history == pytest.approx(overall, abs=6e-7)


def test_the_latent_is_that_of_the_graphs_molecules(made, open_page):
    page = open_page(made / "page.html").page
    shown = dict(tables(page)["How many dimensions carry information"][1:])
    smiles = pd.read_parquet(made / "graph/nodes/molecule.parquet")["smiles"].tolist()
    run = load(made / "run", device="cpu")
    mu = np.asarray(run.embed(smiles))
    assert float(shown["median over dimensions: spread of mu"]) == pytest.approx(
        float(np.median(mu.std(axis=0))), rel=1e-3
    )
    from infoalign_dgl.molecules import standardized_graphs

    packed, _ = standardized_graphs(smiles)
    with torch.inference_mode():
        latent = run.model.encode(packed.gather(np.arange(len(smiles))))
        prior = torch.distributions.Normal(0.0, 1.0)
        kl = torch.distributions.kl_divergence(torch.distributions.Normal(latent.mu, latent.sigma), prior)
    divergence = float(shown["divergence of a molecule over all dimensions, nats"].replace(",", ""))
    assert divergence == pytest.approx(float(kl.sum(dim=1).mean()), rel=1e-4)
    assert shown["dimensions"] == "16"
    assert shown["with a mean sigma below 0.5 (the prior's is 1)"] == str(
        int((latent.sigma.mean(dim=0) < 0.5).sum())
    )
    held = PCA(2).fit(StandardScaler().fit_transform(mu.astype(float))).explained_variance_ratio_.sum()
    assert f"hold {held:.0%} of the variance" in texts(page)
    nodes = {n: pd.read_parquet(made / f"graph/nodes/{n}.parquet") for n in ("morphology", "gene_expression")}
    measured = set(nodes["morphology"]["molecule"]) | set(nodes["gene_expression"]["molecule"])
    assert f"all {len(measured)} with a profile and all {len(smiles) - len(measured)} without" in texts(page)


def test_evaluations_are_those_of_the_csv(made, open_page):
    page = open_page(made / "page.html").page
    shown = tables(page)
    with (made / "results/tables/main.csv").open() as stream:
        ours = {row["method"]: row for row in csv.DictReader(stream)}
    main = next(rows for caption, rows in shown.items() if caption.startswith("Molecular property"))
    rows = {row[0]: row[1] for row in main if len(row) == 2}
    methods = ("infoalign-linear", "start-linear", "morgan-linear")
    for method in methods:
        assert float(rows[method].split()[0]) == pytest.approx(100 * float(ours[method]["mean"]), abs=0.051)
    best = max(methods, key=lambda method: float(ours[method]["mean"]))
    assert rows[best] in page.locator("#results strong").all_text_contents()
    assert "This run is 'infoalign' there; other runs are start." in texts(page)
    with (made / "results/toy/split.csv").open() as stream:
        parts = [row["split"] for row in csv.DictReader(stream)]
    (compared,) = shown["What was compared on"][1:]
    assert compared[:7] == [
        "toy",
        "binary",
        "300",
        "2",
        *(str(parts.count(p)) for p in ("train", "valid", "test")),
    ]
    stored = json.loads((made / "matched/figures.json").read_text())
    for direction, caption in (
        ("molecule_to_profile", "Profiles ranked for each molecule"),
        ("profile_to_molecule", "Molecules ranked for each profile"),
    ):
        header, *found = shown[caption]
        scores = stored["directions"][direction]["scores"]
        assert header == ["measure", *scores, "chance"]
        for measure, *cells, chance in found:
            assert float(chance) == pytest.approx(scores["kl"][measure]["chance"], rel=1e-3)
            given = [of[measure]["value"] for of in scores.values()]
            assert [float(cell.split()[0]) for cell in cells] == pytest.approx(given, rel=1e-3)


def test_details_open_by_keyboard_and_the_page_fits_every_width(made, open_page, screenshots):
    for name, width, dark in (("desktop", 1280, False), ("phone", 390, False), ("dark", 1280, True)):
        page = open_page(made / "page.html", width=width, dark=dark).page
        for details in page.locator("details").all():
            details.locator("summary").focus()
            page.keyboard.press("Enter")
            assert details.evaluate("element => element.open")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=screenshots / f"run-{name}.png", full_page=True)


def test_a_run_of_no_steps_that_was_compared_with_another(made, tmp_path, open_page):
    write_run_page(made / "start", tmp_path / "page.html", results=[made / "results"])
    page = open_page(tmp_path / "page.html").page
    assert "not trained: 0 steps" in page.locator(".lead").text_content()
    assert "The run has no step yet, and so no metrics." in texts(page)
    assert "This run is 'start' there" in texts(page)
    with pytest.raises(InfoAlignError, match=r"has results of another run than .*, that in "):
        write_run_page(made / "start", tmp_path / "none.html", results=[made / "matched"])
    assert not (tmp_path / "none.html").exists()


def test_results_of_weights_that_are_gone_and_of_another_run(made, tmp_path):
    results = tmp_path / "results"
    shutil.copytree(made / "results", results)
    stored = json.loads((results / "manifest.json").read_text())
    stored["run"]["weights_sha256"] = "0" * 64
    (results / "manifest.json").write_text(json.dumps(stored))
    with pytest.raises(InfoAlignError, match="none of the weights compared there are this run's"):
        read_results(made / "run", results)
    stored["run"] |= {"weights": "checkpoints/step-7/model.safetensors", "weights_sha256": "0" * 64}
    (results / "manifest.json").write_text(json.dumps(stored))
    said = " ".join(read_results(made / "run", results).said)
    assert (
        "step-7/model.safetensors, which the run no longer has: settings and molecules are the same" in said
    )
    stored["run"]["config_sha256"] = "0" * 64
    (results / "manifest.json").write_text(json.dumps(stored))
    with pytest.raises(InfoAlignError, match="none of the weights compared there are this run's"):
        write_run_page(made / "run", tmp_path / "page.html", results=[results])
    with pytest.raises(InfoAlignError, match=r"has neither manifest\.json nor figures\.json"):
        write_run_page(made / "run", tmp_path / "page.html", results=[tmp_path])


def test_an_imported_run_says_what_is_not_known(equations, tmp_path, made, open_page):
    torch.save(equations.random_state(), tmp_path / "pretrain.pt")
    import_reference(tmp_path / "pretrain.pt", tmp_path / "run")
    write_run_page(tmp_path / "run", tmp_path / "page.html")
    page = open_page(tmp_path / "page.html").page
    assert "there are no metrics" in texts(page)
    assert "There is no map: nothing says which graph it was trained on. Name a table" in texts(page)
    write_run_page(tmp_path / "run", tmp_path / "map.html", molecules=made / "toy.csv", label="ring")
    page = open_page(tmp_path / "map.html").page
    assert "Molecules of 'toy.csv', 300 rows. Colours are 'ring'." in texts(page)
    assert page.evaluate("document.images.length") == 3
    with pytest.raises(InfoAlignError, match="results of another run"):
        write_run_page(tmp_path / "run", tmp_path / "none.html", results=[made / "results"])


def test_a_graph_that_is_gone_or_another(made, tmp_path, open_page):
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    config = json.loads((run / "config.json").read_text())
    config["graph"]["folder"] = str(tmp_path / "moved")
    (run / "config.json").write_text(json.dumps(config))
    write_run_page(run, tmp_path / "page.html")
    page = open_page(tmp_path / "page.html").page
    assert f"There is no map: the graph is no longer in '{tmp_path / 'moved'}'." in texts(page)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved/SHA256SUMS").write_text("of others\n")
    assert "is now another graph than the run was trained on" in from_graph(read_config(run), 0)


def test_a_run_that_was_cut_off(made, tmp_path):
    """Of 30 steps it did 17, the last of which was not written to its end; it went on once."""
    run = tmp_path / "run"
    shutil.copytree(made / "run", run)
    lines = metrics(made / "run")[:17]
    for line in lines:
        line["peak_memory_bytes"] = 2**30 + line["step"] - 500 * (line["step"] > 12)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run / "metrics.jsonl").write_text(text[:-40])
    for name in ("step-20", "step-30"):
        shutil.rmtree(run / "checkpoints" / name, ignore_errors=True)
    shutil.copytree(made / "start/checkpoints/step-0", run / "checkpoints/step-10", dirs_exist_ok=True)
    (run / "checkpoints/best").unlink()
    (run / "checkpoints/last").write_text("step-10\n")
    config = json.loads((run / "config.json").read_text())
    config["pretrain"]["max_steps"] = None  # the rate falls along a curve of 30 steps
    (run / "config.json").write_text(json.dumps(config))
    found = describe(run, read_config(run), read_metrics(run))
    facts = dict(found.facts.rows)
    assert facts["state"].startswith(f"not finished: 16 steps of {STEPS} are done, the last one at ")
    assert facts["state"].endswith("step 10 is saved")
    assert facts["checkpoint read here"].startswith("step 10, the last one whole")
    assert "it goes on, or was stopped" in found.warnings[0]
    speed = dict(_throughput_table(read_metrics(run)).rows)
    assert speed["parts that can be told apart"] == "2 (others went on at step 13)"


def test_labels_of_many_values():
    few, note = group_labels(["a", None, "b"])
    assert (few, note) == (["a", "", "b"], ", grey where there is none")
    numbers, note = group_labels([str(value) for value in range(20)])
    assert [name[0] for name in numbers] == ["1"] * 5 + ["2"] * 5 + ["3"] * 5 + ["4"] * 5
    assert note == " in quarters"
    many, note = group_labels([f"n{value}" for value in range(14)] + ["n0", "n13"])
    assert many[0] == many[14] == "n0"
    assert many[13] == "n13"
    assert many.count("") == 2
    assert "grey for the 2 others" in note
    assert group_labels([None, None]) == (["not known"] * 2, ", which is empty")


def test_figures_draw_the_metrics(tmp_path):
    """Two spaces, one validated twice; the rate over two steps is their molecules over their time."""
    lines = [
        {"step": step, "molecules": molecules, "molecules_per_second": rate, "peak_memory_bytes": memory,
         "kl": 10.0**step, "lr": 1.0 / step, "loss/a": 0.5, "targets/a": 1, "loss/b": 0.5, "targets/b": 1}
        for step, molecules, rate, memory in ((1, 10, 10.0, 5), (2, 30, 10.0, 6), (3, 20, 40.0, 4))
    ]  # fmt: skip
    for line, difference in ((lines[0], 0.25), (lines[2], -0.5)):
        found = {"loss": 1 + difference, "mean_loss": 1.0, "difference": difference, "targets": 4}
        line |= {f"validation/b/{key}": value for key, value in found.items()}
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, '
    )
    points, smooth, went_on = draw_throughput(tmp_path, window=2).get_lines()
    assert points.get_ydata().tolist() == [10, 10, 40]
    assert smooth.get_xdata().tolist() == [2, 3]
    assert smooth.get_ydata() == pytest.approx([40 / 4, 50 / 3.5])
    assert went_on.get_xdata() == [3, 3]
    line, means = draw_validation(tmp_path).get_lines()
    assert (line.get_label(), list(line.get_xdata()), list(line.get_ydata())) == ("b", [1, 3], [0.25, -0.5])
    assert line.get_color() == "C1"  # as the second space's line has in the figure of losses
    assert means.get_label() == "column means"
    assert draw_kl(tmp_path).get_lines()[0].get_ydata().tolist() == [10, 100, 1000]
    assert list(draw_learning_rate(tmp_path).get_lines()[0].get_ydata()) == [1, 0.5, pytest.approx(1 / 3)]
    assert len(draw_losses(tmp_path).get_lines()) == 2
    (tmp_path / "metrics.jsonl").write_text("")
    assert not draw_losses(tmp_path).get_lines()
    assert not draw_throughput(tmp_path).get_lines()
    plt.close("all")
