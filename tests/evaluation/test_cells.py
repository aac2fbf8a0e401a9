"""Stored predictions: what is read is what was written, and nothing that depends on something else."""

from __future__ import annotations

import numpy as np
import pytest

from infoalign_dgl.evaluation.cells import Cell, cell_key, cell_path, judged_rows, read_cell, write_cell
from infoalign_dgl.evaluation.splits import Split


@pytest.fixture
def cell():
    rng = np.random.default_rng(0)
    values = rng.random((5, 3)).astype(np.float32)
    values[2, 1] = np.nan
    return Cell(np.array([1, 3, 4, 8, 9]), values, rng.random((5, 3)).astype(np.float32), ["one note"])


def test_a_cell_is_read_as_it_was_written(cell, tmp_path):
    path = cell_path(tmp_path, "chembl2k", "morgan-rf", 3)
    assert read_cell(path, "k") is None
    write_cell(path, "k", cell)
    found = read_cell(path, "k")
    for name in ("rows", "values", "spread"):
        np.testing.assert_array_equal(getattr(found, name), getattr(cell, name))
    assert found.notes == cell.notes
    assert read_cell(path).rows.tolist() == [1, 3, 4, 8, 9]
    assert read_cell(path, "other") is None
    assert [p.name for p in path.parent.iterdir()] == ["seed-3.npz"]


def test_a_damaged_cell_is_none(cell, tmp_path):
    path = tmp_path / "seed-0.npz"
    write_cell(path, "k", cell)
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[: len(whole) // 2], b"", b"nonsense"):
        path.write_bytes(damaged)
        assert read_cell(path, "k") is None
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 0xFF  # the zip's own checksums find it
    path.write_bytes(bytes(middle))
    found = read_cell(path, "k")
    assert found is None or all(
        np.array_equal(getattr(found, n), getattr(cell, n), equal_nan=True)
        for n in ("rows", "values", "spread")
    )


def test_a_key_tells_everything_apart():
    base = {"labels": np.zeros((2, 2)), "head": "mlp", "seed": 0}
    others = [
        {"labels": np.zeros((4, 1))},
        {"labels": np.zeros((2, 2), np.float32)},
        {"labels": np.array([[0, 0], [0, 1e-9]])},
        {"head": "rf"},
        {"seed": 1},
    ]
    keys = [cell_key(**base), *(cell_key(**base | other) for other in others)]
    assert len(set(keys)) == len(keys)
    assert cell_key(**dict(reversed(base.items()))) == keys[0]


def test_judged_rows_are_those_of_valid_and_test():
    split = Split(np.array([0, 5]), np.array([2, 7]), np.array([1, 9]))
    assert judged_rows(split).tolist() == [1, 2, 7, 9]
