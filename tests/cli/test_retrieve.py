"""`retrieve` on a tiny run: graphs and tables give the same figures, and every row is used or counted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from rich.console import Console

from infoalign_dgl.cli.main import cli
from infoalign_dgl.context import ContextGraph
from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.evaluation import retrieve
from infoalign_dgl.evaluation.matching import score_pairs
from infoalign_dgl.representation import load
from infoalign_dgl.training import PretrainConfig, pretrain
from infoalign_dgl.training.run_folder import read_molecules

COLUMNS = [f"c{i}" for i in range(10)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A graph's folder, a run that held a third of it out, and the graph's 'cells' profiles as a table."""
    path = Path(__file__).parents[1] / "training" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    folder = tmp_path_factory.mktemp("retrieve")
    tiny.make_graph().save(folder / "graph")
    graph = ContextGraph.load(folder / "graph")
    config = PretrainConfig(
        batch_size=16, hidden=16, layers=2, lr=1e-2, dropout=0.0, max_steps=60, holdout=0.3, device="cpu"
    )
    pretrain(graph, folder / "run", config, console=Console(quiet=True))
    molecules, profiles, _ = graph.edges(("molecule", "perturbs", "morphology"))
    space = graph.spaces["cells"]
    inside = space.node_rows[profiles] >= 0
    rows = space.node_rows[profiles[inside]]
    values = np.clip(
        space.inverse_transform(space.dense(rows)), space.scaler.minimum, space.scaler.maximum
    )  # float32 has moved the extremes by a rounding error
    raw = pd.DataFrame(values, columns=COLUMNS)
    raw.insert(0, "SMILES", graph.nodes["molecule"]["smiles"].to_numpy()[molecules[inside]])
    raw.insert(1, "well_id", [f"w{number}" for number in range(len(raw))])
    return folder, graph, raw


def run(made, *args):
    folder = made[0]
    words = ["retrieve", str(folder / "run"), *map(str, args)]
    result = CliRunner().invoke(cli, words, catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def figures(folder):
    return json.loads((folder / "figures.json").read_text())


def test_a_graph_and_its_table_give_the_same_figures(made, tmp_path):
    folder, graph, raw = made
    raw.to_csv(tmp_path / "profiles.csv", index=False)
    by_graph = run(
        made, "--queries", folder / "graph", "--candidates", folder / "graph", "--space", "cells",
        "--k", 1, "--k", 5, "-o", tmp_path / "a",
    )  # fmt: skip
    assert by_graph.exit_code == 0, by_graph.output
    table = tmp_path / "profiles.csv"
    as_json = run(
        made, "--queries", table, "--candidates", table, "--k", 1, "--k", 5, "-o", tmp_path / "b", "--json"
    )
    found = figures(tmp_path / "a")
    assert json.loads(as_json.stdout) == figures(tmp_path / "b")
    for name, direction in figures(tmp_path / "b")["directions"].items():
        for score, measures in direction["scores"].items():
            for measure, figure in measures.items():
                expected = found["directions"][name]["scores"][score][measure]
                assert figure == pytest.approx(expected), (name, score, measure)
    seen, held_out = read_molecules(folder / "run")
    measured = set(graph.nodes["morphology"]["molecule"][graph.nodes["morphology"]["space"] == "cells"])
    expected = {"read": 48, "unknown": 0, "excluded": 0, "seen": len(measured & seen)}
    for side in ("queries", "candidates"):
        counts = found["counts"][side]
        assert expected.items() <= counts.items()
        assert counts["ranked"] == counts["held_out"] == len(measured & held_out) > 10
    kept = len(measured & held_out)
    assert found["space"] == "cells"
    assert found["directions"]["molecule_to_profile"]["queries"] == kept
    assert found["directions"]["molecule_to_profile"]["scores"]["kl"]["HIT@5"]["chance"] == pytest.approx(
        5 / kept
    )
    for part in ("Profiles ranked for each molecule", "seen in pretraining, left out", "NDCG@5", "chance"):
        assert part in by_graph.stdout
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {
        "figures.json", "per_query.csv", "SHA256SUMS", "molecule_to_profile.png", "molecule_to_profile.svg",
        "profile_to_molecule.png", "profile_to_molecule.svg",
    }  # fmt: skip
    with pytest.raises(InfoAlignError, match="already exists: choose another folder, or pass --overwrite"):
        run(made, "--queries", table, "--candidates", table, "-o", tmp_path / "a")


def test_ranks_are_those_of_the_runs_own_decoder(made, tmp_path):
    """Each query's rank counted from the model, by hand."""
    folder, graph, raw = made
    raw.to_csv(tmp_path / "profiles.csv", index=False)
    table = tmp_path / "profiles.csv"
    run(made, "--queries", table, "--candidates", table, "--include-seen", "-o", tmp_path / "out")
    rows = pd.read_csv(tmp_path / "out" / "per_query.csv")
    representation = load(folder / "run", device="cpu")
    import torch

    with torch.inference_mode():
        mu = torch.from_numpy(np.asarray(representation.embed(raw["SMILES"].tolist())))
        logits = representation.model.decode("cells", mu).numpy()
    values, _ = graph.spaces["cells"].transform(raw[COLUMNS].to_numpy())
    for score in ("paper", "kl", "gaussian"):
        scores = score_pairs(logits, values, score)
        own = scores.diagonal()
        forward = 1 + (scores > own[:, None] + 1e-5).sum(axis=1)
        backward = 1 + (scores > own[None] + 1e-5).sum(axis=0)
        np.testing.assert_allclose(rows[f"rank_{score}"], [*forward, *backward])
    assert rows["query"].tolist() == [f"row {row}" for row in range(2, 50)] * 2
    assert rows["smiles"].tolist() == raw["SMILES"].tolist() * 2
    counts = figures(tmp_path / "out")["counts"]["queries"]
    assert (counts["ranked"], counts["read"]) == (48, 48)
    assert counts["seen"] + counts["held_out"] == 48


def test_every_row_is_used_or_counted(made, tmp_path):
    """Unreadable structures, gaps, repeats, clipped entries, molecules to exclude; profiles named by ids."""
    folder, _, raw = made
    _, held_out = read_molecules(folder / "run")
    from infoalign_dgl.molecules import standardize

    keys = [key[:14] for key in standardize(raw["SMILES"].tolist()).key]
    new = raw[[key in held_out for key in keys]].reset_index(drop=True)
    profiles = pd.concat([new, new.iloc[[0, 0]]], ignore_index=True)  # the first molecule has three
    profiles.loc[1, "c3"] = 1e9
    profiles.loc[2, ["c1", "c2"]] = np.nan
    profiles.loc[len(profiles)] = ["", "w999", *raw[COLUMNS].median()]
    queries = pd.concat([new[["SMILES", "well_id"]], new[["SMILES", "well_id"]].iloc[:1]], ignore_index=True)
    queries.loc[len(queries)] = ["not a molecule", "w1000"]
    queries.loc[len(queries)] = ["CCCCCCCCCCCCO", "w1001"]  # no profile, but a candidate for each
    queries.to_csv(tmp_path / "queries.csv", index=False)
    profiles.drop(columns="SMILES").to_csv(tmp_path / "profiles.tsv", index=False, sep="\t")
    new[["SMILES"]].iloc[3:5].to_csv(tmp_path / "exclude.csv", index=False)
    result = run(
        made, "--queries", tmp_path / "queries.csv", "--candidates", tmp_path / "profiles.tsv",
        "--id", "well_id", "--exclude", tmp_path / "exclude.csv", "--scores", "kl", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    counts, n = figures(tmp_path / "out")["counts"], len(new)
    assert counts["queries"] == {
        "read": n + 3, "unknown": 1, "excluded": 2, "seen": 0, "held_out": n - 1, "repeated": 1,
        "ranked": n - 1,
    }  # fmt: skip
    profile_counts = {"incomplete": 1, "unknown": 1, "excluded": 2, "clipped": 1, "filled": 0, "seen": 0}
    assert profile_counts.items() <= counts["candidates"].items()
    assert (counts["candidates"]["read"], counts["candidates"]["ranked"]) == (n + 3, n - 1)
    rows = pd.read_csv(tmp_path / "out" / "per_query.csv")
    forward = rows[rows["direction"] == "molecule_to_profile"]
    assert forward["right_answers"].tolist() == [3] + [1] * (n - 4)
    assert (rows["candidates"] == n - 1).all()
    assert list(rows.columns)[-1] == "rank_kl"


def test_another_graphs_scaling_is_undone(made, tmp_path):
    """The same profiles, scaled by other bounds and with other columns first, rank as they did."""
    folder, graph, _ = made
    from dataclasses import replace

    from infoalign_dgl.context import MinMaxScaler

    space = graph.spaces["cells"]
    raw = space.inverse_transform(space.dense(slice(None)))[:, ::-1]
    scaler = MinMaxScaler(raw.min(axis=0) - 1, raw.max(axis=0) + 2)
    other = replace(space, columns=COLUMNS[::-1], values=scaler.transform(raw)[0], scaler=scaler)
    edges = {kind: graph.edges(kind) for kind in graph.num_edges}
    spaces = {**graph.spaces, "cells": other}
    ContextGraph.from_edges(edges, graph.nodes, spaces).save(tmp_path / "other")
    found = retrieve(folder / "run", folder / "graph", tmp_path / "other", space="cells", device="cpu")
    own = retrieve(folder / "run", folder / "graph", folder / "graph", space="cells", device="cpu")
    assert found.to_json()["directions"] == own.to_json()["directions"]
    expression = retrieve(folder / "run", folder / "graph", folder / "graph", space="l1000", device="cpu")
    assert expression.counts["queries"]["read"] == 24


def test_one_sentence_for_what_is_wrong(made, tmp_path):
    folder, _, raw = made
    graph, table = folder / "graph", tmp_path / "profiles.csv"
    raw.to_csv(table, index=False)

    def fails(message, queries=table, candidates=table, *more):
        with pytest.raises(InfoAlignError, match=message):
            run(made, "--queries", queries, "--candidates", candidates, "-o", tmp_path / "out", *more)
        assert not (tmp_path / "out").exists()

    fails(r"has the profiles of cells, dyes, l1000 of the run's spaces .* with --space", graph, graph)
    fails("has no space of profiles 'fingerprint': there is: cells", graph, graph, "--space", "fingerprint")
    fails("did you mean 'cells'", graph, graph, "--space", "cell")
    raw.drop(columns=["c4", "c7"]).to_csv(tmp_path / "short.csv", index=False)
    fails(r"has the columns of none of the run's spaces", table, tmp_path / "short.csv")
    fails(r"short\.csv' lacks 2 of the 10 columns of the space 'cells' \('c4', 'c7'\)",
          table, tmp_path / "short.csv", "--space", "cells")  # fmt: skip
    raw.drop(columns="SMILES").to_csv(tmp_path / "ids.csv", index=False)
    fails(r"no column of SMILES.* with --id \(say well_id\)", table, tmp_path / "ids.csv")
    fails("has no ids to pair 'well_id' with", graph, tmp_path / "ids.csv", "--id", "well_id")
    fails("leave --id out", table, graph, "--id", "well_id", "--space", "cells")
    raw.assign(well_id="w").to_csv(tmp_path / "same.csv", index=False)
    fails("has two different molecules with the id 'w'", tmp_path / "same.csv", table, "--id", "well_id")
    raw.assign(c5=np.where(raw.index < 20, np.nan, 1)).to_csv(tmp_path / "gaps.csv", index=False)
    fails("are left", table, tmp_path / "gaps.csv", "--exclude", table)
    seen = raw[raw["well_id"] == "w999"].assign(SMILES="")
    seen.to_csv(tmp_path / "empty.csv", index=False)
    fails("has a header and no rows", table, tmp_path / "empty.csv")
    fails("is no file, no folder and no data set", "nowhere.csv", table)
    (tmp_path / "imported").mkdir()
    with pytest.raises(InfoAlignError, match=r"has no config\.json and is no run"):
        retrieve(tmp_path / "imported", table, table)


def test_wide_gaps_in_a_column_are_named(made, tmp_path):
    """In a space wide enough that one gap does not take a row out."""
    from infoalign_dgl.context import MinMaxScaler
    from infoalign_dgl.evaluation._pairs import Reading, Space, read_candidates

    columns = [f"f{i}" for i in range(40)]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((30, 40)), columns=columns)
    table.insert(0, "smiles", ["C" * (row + 1) for row in range(30)])
    space = Space("wide", "morphology", columns, MinMaxScaler(np.zeros(40), np.ones(40)))
    table.loc[4, "f9"] = np.nan
    table.to_csv(tmp_path / "t.csv", index=False)
    found = read_candidates(tmp_path / "t.csv", space, Reading(None, None, tautomer=False))
    assert found.counts == {"read": 30, "incomplete": 0, "filled": 1, "clipped": 0}
    assert found.values[4, 9] == pytest.approx(table["f9"].median())
    table.loc[:10, "f9"] = np.nan
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        InfoAlignError, match="no number in 37% of the rows of column 'f9', of the space 'wid"
    ):
        read_candidates(tmp_path / "t.csv", space, Reading(None, None, tautomer=False))
    table.loc[:, columns[:5]] = np.nan
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InfoAlignError, match="no row with numbers in 95% of the columns"):
        read_candidates(tmp_path / "t.csv", space, Reading(None, None, tautomer=False))
