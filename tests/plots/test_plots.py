"""Figures show the numbers they are given."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.plots import (
    draw_comparison,
    draw_latent_map,
    draw_losses,
    draw_metagraph,
    draw_validation,
)

mpl.use("Agg")


def test_metagraph_names_every_type_with_its_count() -> None:
    graph = build_context_graph("simulated:200")
    axes = draw_metagraph(graph)
    texts = "\n".join(text.get_text() for text in axes.texts)
    for node_type, count in graph.num_nodes.items():
        assert f"{node_type.replace('_', chr(10))}\n{count:,}" in texts
    for (_, relation, _), count in graph.num_edges.items():
        if count:
            assert f"{relation} {count:,}" in texts


def test_losses_are_running_means_from_zero(tmp_path: Path) -> None:
    values = [0.7, 0.5, 0.6, 0.2]
    lines = [
        {"step": step, "loss/a": value, "targets/a": 1, "loss/b": 0.0, "targets/b": 0}
        for step, value in enumerate(values, 1)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (line,) = draw_losses(tmp_path, window=2).lines  # nobody visited b, so it has no line
    np.testing.assert_allclose(line.get_xdata(), [2, 3, 4])
    np.testing.assert_allclose(line.get_ydata(), [0.0, -0.05, -0.2], atol=1e-12)
    assert line.get_label() == "a (from 0.600)"


def test_latent_map_leaves_out_rows_without_a_vector() -> None:
    vectors = np.random.default_rng(0).standard_normal((20, 5))
    vectors[3] = np.nan
    axes = draw_latent_map(vectors, ["x"] * 10 + [""] * 10)
    assert sum(len(points.get_offsets()) for points in axes.collections) == 19


def test_labels_of_a_map_are_text(tmp_path: Path) -> None:
    labels = ["_plate", "$x_", "b$y$", ""] * 10
    axes = draw_latent_map(np.random.default_rng(0).normal(size=(40, 3)), labels)
    axes.get_figure().savefig(tmp_path / "map.svg")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["$x_", "_plate", "b$y$"]


def test_lines_of_a_space_have_one_colour_though_another_was_never_visited(tmp_path: Path) -> None:
    lines = [
        {"step": s, "loss/a": 0.0, "targets/a": 0, "loss/b": 0.5, "targets/b": 4,
         "validation/b/difference": -0.1} for s in (1, 2)
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    losses, validation = draw_losses(tmp_path), draw_validation(tmp_path)
    assert losses.get_lines()[0].get_color() == validation.get_lines()[0].get_color()


def test_comparison_orders_methods_and_marks_chance() -> None:
    axes = draw_comparison({"low": 0.6, "high": 0.9}, {"low": 0.01, "high": 0.02})
    assert [label.get_text() for label in axes.get_yticklabels()] == ["low", "high"]
    assert [patch.get_width() for patch in axes.patches] == [0.6, 0.9]
    assert 0.5 in [line.get_xdata()[0] for line in axes.lines]
