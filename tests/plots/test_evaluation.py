"""Figures of results show the scores they are given, and only those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.metrics import TaskScores
from infoalign_dgl.evaluation.tables import MethodResult
from infoalign_dgl.plots import draw_best_shares, draw_task_comparison, draw_task_scores, save_figure

if TYPE_CHECKING:
    from pathlib import Path

mpl.use("Agg")


def _result(
    method: str,
    values: list[list[float]] | None,
    *,
    group: str = "",
    kind: str = "binary",
    task_set: str = "chembl2k",
) -> MethodResult:
    if values is None:
        return MethodResult(task_set, method, group or method, ["a"], [], None)
    main = np.array(values)
    nothing = np.full(main.shape, np.nan)
    parts = (main, main, nothing) if kind == "binary" else (nothing, nothing, main)
    reasons = ["one class in test" if np.isnan(column).any() else None for column in main.T]
    counts = [np.zeros(main.shape[1], dtype=np.int64)] * 3
    tasks = [f"t{place}" for place in range(main.shape[1])]
    return MethodResult(
        task_set,
        method,
        group or method,
        tasks,
        list(range(len(main))),
        TaskScores(kind, *parts, *counts, reasons),
    )


NAN = np.nan
RESULTS = [
    _result("ours", [[0.9, 0.6, 0.7, 0.8, NAN], [0.9, 0.6, 0.7, 0.8, NAN]]),
    _result("rf", [[0.7, 0.7, 0.6, 0.8, 0.9], [0.7, 0.7, 0.6, 0.8, 0.9]], group="morgan"),
    _result("mlp", [[0.6, 0.8, 0.5, 0.2, 0.9], [0.6, 0.8, 0.5, 0.2, 0.9]], group="morgan"),
    _result("profile", None),
]


def _widths(axes, row: int) -> list[float]:
    return [
        patch.get_width()
        for patch in axes.patches
        if patch.get_y() < row < patch.get_y() + patch.get_height()
    ]


def test_shares_of_best_tasks_by_group_above_by_method() -> None:
    """Ours is best on two tasks and ties on one; the fifth was not scored for all."""
    axes = draw_best_shares(RESULTS)
    assert _widths(axes, 1) == pytest.approx([2.5 / 4, 1.5 / 4])
    assert _widths(axes, 0) == pytest.approx([2.5 / 4, 0.5 / 4, 1 / 4])
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["ours (62%)", "morgan (38%)", "    rf (12%)", "    mlp (25%)"]
    assert axes.get_title() == "ChEMBL2K: best on how many of 4 tasks"


def test_lower_errors_are_best() -> None:
    errors = [
        _result("ours", [[0.2, 0.5, 0.2]], kind="regression"),
        _result("rf", [[0.4, 0.4, 0.4]], kind="regression"),
    ]
    assert _widths(draw_best_shares(errors), 0) == pytest.approx([2 / 3, 1 / 3])
    labels = [text.get_text() for text in draw_task_scores(errors).get_yticklabels()]
    assert labels == ["rf", "ours"]  # the best is on top
    assert "ours better on 2,\nworse on 1 of 3" in draw_task_comparison(*errors).get_title()


def test_every_task_is_a_point_in_its_methods_row() -> None:
    axes = draw_task_scores(RESULTS)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["mlp", "rf", "ours"]
    top = axes.collections[2].get_offsets()
    np.testing.assert_allclose(top[:, 0], [0.9, 0.6, 0.7, 0.8])
    assert (np.abs(top[:, 1] - 2) < 0.3).all()
    assert axes.get_title() == "ChEMBL2K: 4 tasks"


def test_a_pair_of_methods_is_drawn_task_by_task() -> None:
    ours, theirs = RESULTS[:2]
    axes = draw_task_comparison(ours, theirs)
    points = axes.collections[-1].get_offsets()
    np.testing.assert_allclose(points, [[0.7, 0.9], [0.7, 0.6], [0.6, 0.7], [0.8, 0.8]])
    assert axes.get_title() == "ChEMBL2K: ours better on 2,\nworse on 1 of 4 tasks"
    assert axes.get_ylabel() == "ours: ROC-AUC"


def test_what_cannot_be_drawn_is_refused() -> None:
    other = _result("ours", [[0.5]], task_set="broad6k")
    with pytest.raises(EvaluationError, match="one task set with scores, not of chembl2k, broad6k"):
        draw_task_scores([RESULTS[0], other])
    with pytest.raises(EvaluationError, match="was scored by all of a, b"):
        draw_best_shares([_result("a", [[0.5, NAN]]), _result("b", [[NAN, 0.5]])])
    with pytest.raises(EvaluationError, match="has no scores on 'chembl2k'"):
        draw_task_comparison(RESULTS[0], RESULTS[3])


def test_figures_are_saved_twice_and_the_same_each_time(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
        save_figure(draw_task_scores(RESULTS), folder, "tasks")
    first, second = ((folder / "tasks.svg").read_bytes() for folder in folders)
    assert first == second
    assert b"ChEMBL2K: 4 tasks" in first
    assert (folders[0] / "tasks.png").read_bytes().startswith(b"\x89PNG")
    assert not plt.get_fignums()
