"""Batches come in the order of the plan, one ahead, and the thread goes when nobody wants more."""

from __future__ import annotations

import threading

import numpy as np

from infoalign_dgl.training.prefetch import prepared_batches
from infoalign_dgl.training.setup import load_data


def test_same_batches_from_any_first_step(graph, make_config):
    data = load_data(graph, make_config(sampling="measured=0.5"))
    per_epoch = data.sampler.steps_per_epoch
    whole = [batch.molecules for batch in prepared_batches(data.sampler, data.builder, 0, 2 * per_epoch + 1)]
    planned = [batch for epoch in range(3) for batch in data.sampler.epoch(epoch).batches]
    assert all(map(np.array_equal, whole, planned))
    assert len(whole) == 2 * per_epoch + 1
    rest = prepared_batches(data.sampler, data.builder, per_epoch - 1, per_epoch + 2)
    assert all(map(np.array_equal, [batch.molecules for batch in rest], planned[per_epoch - 1 :]))
    assert list(prepared_batches(data.sampler, data.builder, 4, 4)) == []


def test_one_ahead_and_closed(graph, make_config, monkeypatch):
    data = load_data(graph, make_config())
    threads = threading.active_count()
    prepared = []
    prepare = type(data.builder).prepare

    def noted(builder, molecules, walk_ids, epoch):
        prepared.append(molecules)
        return prepare(builder, molecules, walk_ids, epoch)

    monkeypatch.setattr(type(data.builder), "prepare", noted)
    batches = prepared_batches(data.sampler, data.builder, 0, 5)
    next(batches)
    next(batches)
    batches.close()
    assert 2 <= len(prepared) <= 3
    assert threading.active_count() == threads
