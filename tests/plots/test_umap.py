"""The UMAP keeps apart what is apart, is the same each time, and says what it cannot do."""

from __future__ import annotations

import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.plots import draw_umap
from infoalign_dgl.plots._labelled import draw_labelled

mpl.use("Agg")


def _offsets(axes):
    return {points.get_label(): np.asarray(points.get_offsets()) for points in axes.collections}


def test_clusters_stay_together_and_the_seed_decides() -> None:
    """Three clusters in 40 dimensions, drawn with one row that has no vector and one without a label."""
    pytest.importorskip("umap", exc_type=ImportError)
    rng = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], 25)
    centres = dict(zip("abc", rng.normal(0, 4, (3, 40)), strict=True))
    vectors = np.array([centres[name] for name in labels]) + rng.normal(size=(75, 40))
    vectors[0] = np.nan
    labels[1] = ""
    found = _offsets(draw_umap(vectors, labels.tolist()))
    shown = {name: len(points) for name, points in found.items() if not name.startswith("_")}
    assert shown == {"a": 23, "b": 25, "c": 25}
    assert sum(map(len, found.values())) == 74
    points = np.concatenate([found[name] for name in "abc"])
    names = np.repeat(list("abc"), [23, 25, 25])
    near = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(return_distance=False)
    assert (names[near] == names[:, None]).mean() > 0.95
    again = _offsets(draw_umap(vectors, labels.tolist()))
    other = _offsets(draw_umap(vectors, labels.tolist(), seed=1))
    np.testing.assert_array_equal(again["a"], found["a"])
    assert not np.array_equal(other["a"], found["a"])


def test_more_labels_than_colours_are_told_apart_by_their_marks() -> None:
    axes = plt.figure().subplots()
    names = np.array([f"m{number:02d}" for number in range(14)])
    draw_labelled(axes, np.zeros((14, 2)), names)
    seen = {
        (tuple(points.get_facecolor()[0]), points.get_paths()[0].vertices.tobytes())
        for points in axes.collections
        if not points.get_label().startswith("_")
    }
    assert len(seen) == 14


@pytest.mark.parametrize(
    ("vectors", "labels", "said"),
    [
        (np.ones((12, 3)), ["x"] * 11, "'labels' must have one for each of the 12 vectors, not 11"),
        (np.full((12, 3), np.nan), ["x"] * 12, "at least 10 vectors without NaN, not 0"),
    ],
)
def test_what_cannot_be_mapped_is_refused(vectors, labels, said) -> None:
    with pytest.raises(EvaluationError, match=said):
        draw_umap(vectors, labels)
    assert not plt.get_fignums()


def test_without_umap_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)  # importing it raises ModuleNotFoundError
    with pytest.raises(EvaluationError, match=r"pip install 'infoalign-dgl\[notebooks\]'"):
        draw_umap(np.random.default_rng(0).normal(size=(12, 3)), ["x"] * 12)
    assert not plt.get_fignums()
