"""Featurized molecules are kept beside the graph, where that is possible."""

from __future__ import annotations

import numpy as np
import pytest

from infoalign_dgl.context import ContextGraph
from infoalign_dgl.training import features
from infoalign_dgl.training.features import packed_molecules


@pytest.fixture
def saved(graph, tmp_path):
    graph.save(tmp_path / "graph")
    return tmp_path / "graph"


def test_second_time_is_read_from_the_cache(saved, monkeypatch):
    first = packed_molecules(ContextGraph.load(saved))
    monkeypatch.setattr(features, "featurize", None)
    again = packed_molecules(ContextGraph.load(saved))
    assert np.array_equal(first.atom_features, again.atom_features)
    (cached,) = (saved / "cache").iterdir()
    assert cached.name.startswith("molecules-")


def test_a_damaged_cache_is_made_again(saved):
    packed_molecules(ContextGraph.load(saved))
    (cached,) = (saved / "cache").iterdir()
    cached.write_bytes(cached.read_bytes()[:100])
    assert len(packed_molecules(ContextGraph.load(saved))) == 96


def test_a_folder_that_cannot_be_written_is_not_fatal(saved, graph):
    (saved / "cache").write_text("a file where the folder should be")
    assert len(packed_molecules(ContextGraph.load(saved))) == 96
    assert len(packed_molecules(graph)) == 96


def test_other_structures_have_another_name():
    assert features.digest(["CCO"]) != features.digest(["CCN"])
