"""Tables show the numbers they are given, the paper's as the paper's."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.comparisons import comparison_table
from infoalign_dgl.evaluation.metrics import TaskScores, bootstrap_scores, task_scores
from infoalign_dgl.evaluation.paper import read_paper_results
from infoalign_dgl.evaluation.tables import (
    MethodResult,
    endpoint_table,
    per_task_csv,
    shares_table,
    summary_table,
    write_table,
)


def _scores(values: list[list[float]], kind: str = "binary", reasons: list[str | None] | None = None):
    main = np.array(values, dtype=float)
    nothing = np.full(main.shape, np.nan)
    tasks = main.shape[1]
    counts = [np.full(tasks, fill) for fill in (20, 5, 0)]
    binary = kind == "binary"
    parts = (main, main / 2, nothing) if binary else (nothing, nothing, main)
    return TaskScores(kind, *parts, *counts, reasons or [None] * tasks)


def _result(method: str, scores: TaskScores | None, task_set: str = "chembl2k", **other) -> MethodResult:
    settings = {
        "group": "Ours" if method == "infoalign" else "Base_lines",
        "tasks": ["a", "b"],
        "seeds": [0, 1],
    }
    return MethodResult(task_set=task_set, method=method, scores=scores, **(settings | other))


RESULTS = [
    _result("infoalign", _scores([[0.9, 0.8], [0.8, 0.7]])),
    _result("morgan & rf", _scores([[0.7, 0.6], [0.7, 0.6]])),
    _result("infoalign", _scores([[0.5, 0.3], [0.5, 0.3]], "regression"), "own|set"),
    _result("morgan & rf", _scores([[0.3, 0.3], [0.3, 0.3]], "regression"), "own|set"),
    _result("profile", None, note="2 % of molecules have a profile.", seeds=[]),
]


def _records(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_main_table_in_the_papers_shape() -> None:
    lines = summary_table(RESULTS).to_markdown().splitlines()
    assert lines[2] == r"| Method | ChEMBL2K, ROC-AUC % | own\|set, MAE x 100 |"
    assert lines[4:] == [
        "| *Ours* |  |  |",
        "| infoalign | **80.0 ± 7.1** | 40.0 ± 0.0 |",
        "| *Base_lines* |  |  |",
        "| morgan & rf | 65.0 ± 0.0 | **30.0 ± 0.0** |",
        "| profile | N.A. | - |",
        "",
        "- profile on ChEMBL2K: 2 % of molecules have a profile.",
    ]


def test_latex_is_escaped_and_has_as_many_cells_as_columns() -> None:
    text = summary_table(RESULTS).to_latex()
    assert r"morgan \& rf & 65.0 $\pm$ 0.0 & \textbf{30.0 $\pm$ 0.0} \\" in text
    assert r"\multicolumn{3}{l}{\emph{Base\_lines}} \\" in text
    assert r"Method & ChEMBL2K, ROC-AUC \% & own|set, MAE x 100 \\" in text
    assert text.count("{") == text.count("}")


def test_csv_is_unrounded_and_has_intervals() -> None:
    replicates = np.linspace(0, 1, 101)[:, None] + np.zeros((1, 2))
    ours = _result("infoalign", _scores([[1 / 3, 2 / 3], [1 / 3, 1 / 3]]), replicates=replicates)
    (row,) = _records(summary_table([ours]).to_csv())
    assert float(row["mean"]) == pytest.approx((1 / 2 + 1 / 3) / 2, abs=1e-15)
    assert (float(row["low"]), float(row["high"])) == (pytest.approx(0.025), pytest.approx(0.975))
    assert (row["source"], row["seeds"], row["tasks_scored"], row["tasks"]) == ("here", "2", "2", "2")


def test_one_seed_has_no_spread() -> None:
    table = summary_table([_result("infoalign", _scores([[0.9, 0.8]]), seeds=[0])])
    assert "| **85.0** |" in table.to_markdown()
    assert _records(table.to_csv())[0]["sd"] == ""


def test_average_precision_has_the_binary_sets_only() -> None:
    table = summary_table(RESULTS, metric="average_precision")
    assert table.header == ["Method", "ChEMBL2K, average precision %"]
    assert "40.0 ± 3.5" in table.to_markdown()


def test_tasks_without_a_score_are_counted_below() -> None:
    scores = _scores([[0.9, np.nan], [0.8, np.nan]], reasons=[None, "one class in test"])
    table = summary_table([_result("infoalign", scores), _result("other", scores)])
    assert "85.0 ± 7.1" in table.to_markdown()
    assert table.notes == ["infoalign on ChEMBL2K, other on ChEMBL2K: 1 of 2 tasks could not be scored."]


def test_the_papers_rows_are_marked_and_have_their_source() -> None:
    paper = read_paper_results()
    table = summary_table(RESULTS, paper=paper)
    text = table.to_markdown()
    assert "| *In the paper, not run here: Morgan fingerprints* |" in text
    assert "| Morgan RF | 54.7 ± 0.7 | - |" in text
    assert paper.source in text
    rows = [row for row in _records(table.to_csv()) if row["source"] == "paper"]
    assert {row["task_set"] for row in rows} == {"chembl2k"}
    assert len(rows) == 21
    assert "**54.7" not in text  # bold is for what was run here


def test_the_papers_figures_agree_with_each_other() -> None:
    """Each row's average error is the mean of its six endpoints, as printed to one decimal."""
    paper = read_paper_results()
    by_method = {row.method: row.cells for row in paper.rows}
    assert len(by_method) == len(paper.rows) == 27
    assert by_method["Morgan RF"]["chembl2k"][0] == pytest.approx(0.547)
    assert by_method["Morgan MLP"]["moltoxcast"][0] == pytest.approx(0.576)
    for row in paper.rows:
        if row.cells:
            errors = [row.cells[name][0] for name in paper.endpoints]
            assert np.mean(errors) == pytest.approx(row.cells["biogenadme"][0], abs=6e-4), row.method


def test_the_papers_figures_stand_in_the_docs_as_they_are() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "results.md").read_text().splitlines()
    paper = read_paper_results()
    columns = ["chembl2k", "broad6k", "moltoxcast", "biogenadme", *paper.endpoints]
    for row in paper.rows:
        figures = [row.cells.get(column) for column in columns]
        texts = [f"{100 * each[0]:.1f} ± {100 * each[1]:.1f}" if each else "-" for each in figures]
        assert (f"| {row.method} | {' | '.join(texts)} |" in lines) == bool(row.cells), row.method


def test_shares_have_both_denominators() -> None:
    scores = _scores([[0.92, np.nan], [0.82, np.nan]], reasons=[None, "one class in test"])
    table = shares_table([_result("infoalign", scores), RESULTS[2]])
    assert table.header[1:] == [f"ChEMBL2K ≥ {t}%" for t in (80, 85, 90, 95)]
    assert [cell.text for cell in table.groups[0][1][0]] == [
        "infoalign",
        "100.0 ± 0.0 (50.0)",
        "50.0 ± 70.7 (25.0)",
        "50.0 ± 70.7 (25.0)",
        "0.0 ± 0.0 (0.0)",
    ]
    assert [(row["num_scored"], row["num_all"]) for row in _records(table.to_csv())] == [("1", "2")] * 4


def test_endpoints_have_the_papers_names_and_rows() -> None:
    paper = read_paper_results()
    columns = list(paper.endpoints.values())[:2]
    ours = _result("infoalign", _scores([[0.4, 0.6], [0.5, 0.7]], "regression"), "biogenadme", tasks=columns)
    table = endpoint_table([ours], paper=paper)
    lines = table.to_markdown().splitlines()
    assert lines[2] == "| Method | Average | HLM | RLM |"
    assert "| infoalign | **55.0 ± 7.1** | **45.0 ± 7.1** | **65.0 ± 7.1** |" in lines
    assert "| Morgan GP | 60.0 ± 0.0 | 51.3 ± 0.0 | 61.6 ± 0.0 |" in lines
    assert [row["task"] for row in _records(table.to_csv())][:3] == ["mean over tasks", *columns]
    with pytest.raises(EvaluationError, match="one regression set"):
        endpoint_table(RESULTS)


def test_comparison_says_what_is_sure() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (80, 8)).astype(float)
    rows, tasks = np.arange(80), [f"t{task}" for task in range(8)]
    made = []
    for method, signal in (("infoalign", 2.0), ("weak", 0.3), ("alike", 2.0)):
        values = signal * labels + rng.normal(size=(5, 80, 8))
        replicates = bootstrap_scores(labels, values, rows, "binary", resamples=200)
        scores = task_scores(labels, values, rows, "binary")
        made.append(_result(method, scores, tasks=tasks, seeds=list(range(5)), replicates=replicates))
    table = comparison_table(made, "infoalign")
    weak, alike = _records(table.to_csv())
    assert float(weak["low_over_molecules"]) > 0.1
    assert float(weak["p_over_tasks"]) == pytest.approx(2 / 2**8)  # all eight tasks the same way
    assert float(weak["p_over_tasks_holm"]) == pytest.approx(4 / 2**8)
    assert float(alike["low_over_molecules"]) < 0 < float(alike["high_over_molecules"])
    assert table.groups[0][1][0][4].text == "8, 0"
    assert float(weak["difference"]) == pytest.approx(
        made[0].scores.mean().mean() - made[1].scores.mean().mean()
    )


def test_comparison_of_one_seed_has_a_reason() -> None:
    one = [
        _result(name, _scores([[high, 0.8]]), seeds=[0]) for name, high in (("infoalign", 0.9), ("rf", 0.6))
    ]
    table = comparison_table(one, "infoalign")
    assert [cell.text for cell in table.groups[0][1][0]][1:4] == ["+15.0", "n.a.", "n.a."]
    assert table.notes == ["infoalign minus rf on ChEMBL2K: one seed."]
    lower = comparison_table(RESULTS, "infoalign")
    assert lower.groups[1][0] == "own|set (MAE: lower is better)"
    assert lower.groups[1][1][0][4].text == "0, 1"
    with pytest.raises(EvaluationError, match="name one of infoalign, rf"):
        comparison_table(one, "nobody")
    other = [one[0], _result("rf", one[1].scores, seeds=[7])]
    with pytest.raises(EvaluationError, match="other seeds"):
        comparison_table(other, "infoalign")


def test_every_task_has_its_row_or_reason() -> None:
    scores = _scores([[0.9, np.nan], [0.8, np.nan]], reasons=[None, "one class in test"])
    rows = _records(per_task_csv([_result("infoalign", scores), RESULTS[4]]))
    assert [(row["seed"], row["task"], row["roc_auc"], row["not_scored_because"]) for row in rows] == [
        ("0", "a", "0.9", ""),
        ("0", "b", "", "one class in test"),
        ("1", "a", "0.8", ""),
        ("1", "b", "", "one class in test"),
    ]
    assert (rows[0]["labelled"], rows[0]["positives"], rows[0]["mae"]) == ("20", "5", "")


def test_a_set_scored_two_ways_is_refused() -> None:
    mixed = [RESULTS[0], _result("other", _scores([[0.5, 0.3]], "regression"))]
    with pytest.raises(EvaluationError, match="binary and regression"):
        summary_table(mixed)


def test_three_files_are_written(tmp_path: Path) -> None:
    table = summary_table(RESULTS)
    write_table(table, tmp_path, "main")
    assert (tmp_path / "main.md").read_text() == table.to_markdown()
    assert (tmp_path / "main.tex").read_text().startswith(r"\begin{table}")
    assert len(_records((tmp_path / "main.csv").read_text())) == 5
