"""What tables say of a method's certainty, against simulations whose answer is known."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from infoalign_dgl.evaluation.methods import Method
from infoalign_dgl.evaluation.predictions import Predictions
from infoalign_dgl.evaluation.splits import Split
from infoalign_dgl.evaluation.tasks import TaskSet
from infoalign_dgl.evaluation.uncertainty_table import certainty_table, judge_certainty

ROWS = 9000
SPLIT = Split(np.arange(3000), np.arange(3000, 6000), np.arange(6000, ROWS))


def judged(values, labels, kind, similarity, method="morgan"):
    tasks = [f"t{place}" for place in range(labels.shape[1])]
    task_set = TaskSet("toy", "toy.csv", ["C"] * ROWS, [None] * ROWS, tasks, labels, kind, {}, [])
    predictions = Predictions(values.astype(np.float32))
    reasons = [None] * (len(tasks) - 1) + ["no label in train"]
    return judge_certainty(Method(method, "gp"), predictions, task_set, SPLIT, similarity, reasons)


@pytest.fixture(scope="module")
def binary():
    """Two seeds whose mean is the true probability, but far from train nothing is known of the labels."""
    rng = np.random.default_rng(0)
    chance = rng.random((ROWS, 2))
    similarity = rng.random(ROWS)
    truth = np.where((similarity > 0.25)[:, None], chance, 0.5)
    labels = (rng.random((ROWS, 2)) < truth).astype(float)
    labels = np.column_stack([labels, np.full(ROWS, np.nan)])
    shift = rng.uniform(-0.1, 0.1, chance.shape) * np.minimum(chance, 1 - chance)
    seeds = np.stack([chance + shift, chance - shift])
    values = np.concatenate([seeds, np.full((2, ROWS, 1), np.nan)], axis=2)
    return values, labels, similarity[SPLIT.test]


def test_scores_fall_with_the_distance_to_train(binary):
    values, labels, similarity = binary
    found = judged(*binary[:2], "binary", similarity)
    assert found.tasks_by_similarity == 2
    np.testing.assert_allclose(found.edges, np.quantile(similarity, [0.25, 0.5, 0.75]))
    quarter = np.digitize(similarity, found.edges, right=True)
    for place in range(4):
        rows = SPLIT.test[quarter == place]
        scores = [
            roc_auc_score(labels[rows, task], seed[rows, task].astype(np.float32))
            for seed in values
            for task in range(2)
        ]
        assert found.by_similarity[place] == pytest.approx(np.mean(scores))
    assert found.by_similarity[0] == pytest.approx(0.5, abs=0.04)
    assert found.by_similarity[1:] == pytest.approx(np.full(3, 5 / 6), abs=0.03)  # of uniform true chances


def test_coverage_is_what_was_promised_and_calibration_errors_are_seen(binary):
    values, labels, similarity = binary
    found = judged(values, labels, "binary", similarity)
    assert found.coverage == pytest.approx(0.9, abs=0.02)
    assert found.tasks == 2
    assert 1 < found.size < 2
    # A quarter of the rows is off by |p - 1/2|: in each bin of p by a quarter of that, 1/16 over all bins.
    assert found.calibration == pytest.approx(1 / 16, abs=0.012)
    assert found.by_chance < 0.03


def test_widths_are_in_standard_deviations_of_the_labels():
    """Of normal errors, 90 % are within 1.645 of their standard deviation."""
    rng = np.random.default_rng(1)
    labels = np.column_stack([rng.normal(50, 20, ROWS), rng.normal(0, 0.1, ROWS), np.full(ROWS, np.nan)])
    values = labels + np.array([2.0, 0.01, 0]) * rng.standard_normal(labels.shape)
    found = judged(values[None], labels, "regression", rng.random(len(SPLIT.test)))
    assert found.size == pytest.approx(2 * 1.645 * 0.1, rel=0.05)
    assert found.coverage == pytest.approx(0.9, abs=0.02)
    assert np.isnan(found.calibration)
    table = certainty_table([found])
    assert "calibration error" not in table.header
    assert "width / sd" in table.header


def test_tables_hold_the_numbers_and_say_what_there_is_not(binary):
    values, labels, similarity = binary
    nothing = np.full(len(SPLIT.test), np.nan)
    found = [
        judged(values, labels, "binary", similarity),
        judged(values, labels, "binary", nothing, "expression"),
    ]
    table = certainty_table(found)
    assert [group for group, _ in table.groups] == ["Morgan fingerprints", "Gene expression"]
    lines = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert float(lines[0]["coverage"]) == found[0].coverage
    assert float(lines[0]["score_quarter_4"]) == found[0].by_similarity[3]
    assert lines[1]["score_quarter_1"] == ""
    assert "| expression-gp |" in table.to_markdown()
    assert table.to_markdown().count("N.A.") == 4


def test_sets_of_both_kinds_stand_in_one_table(binary):
    values, labels, similarity = binary
    rng = np.random.default_rng(2)
    numbers = rng.standard_normal((ROWS, 2))
    predicted = numbers + 0.1 * rng.standard_normal(numbers.shape)
    first = judged(values, labels, "binary", similarity)
    second = replace(judged(predicted[None], numbers, "regression", similarity), task_set="chembl2k")
    lost = replace(first, method="lost", tasks_by_similarity=0, by_similarity=np.full(4, np.nan))
    fewer = replace(first, method="fewer", tasks_by_similarity=1)
    table = certainty_table([first, lost, fewer, second])
    assert table.header[3:6] == [
        "coverage of 90 %",
        "classes in a set or width / sd",
        "ROC-AUC or MAE least similar",
    ]
    assert [(group, len(rows)) for group, rows in table.groups] == [
        ("toy: Morgan fingerprints", 3),
        ("ChEMBL2K: Morgan fingerprints", 1),
    ]
    assert {len(row) for _, rows in table.groups for row in rows} == {len(table.header)}
    edges = ", ".join(f"{edge:.2f}" for edge in first.edges)
    assert table.notes[2] == f"toy: edges at a similarity of {edges}; scores over 1 to 2 tasks."
    assert table.notes[3].endswith("scores over 1 tasks.")
