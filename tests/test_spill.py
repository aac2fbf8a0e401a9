"""Arrays in files: the same numbers, out of memory, without a name in the folder."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from infoalign_dgl import _spill


@pytest.fixture
def small(monkeypatch):
    """Let parts be small, and arrays above 1 KiB live in files."""
    monkeypatch.setattr(_spill, "LARGEST_IN_MEMORY", 1024)


@pytest.mark.parametrize("by_column", [False, True])
def test_large_arrays_are_mapped_and_leave_no_file(tmp_path, small, by_column):
    values = np.random.default_rng(0).normal(size=(50, 40))
    assert not isinstance(_spill.empty((50, 40)), np.memmap)
    with _spill.spilling(tmp_path):
        assert not isinstance(_spill.empty((5, 4)), np.memmap)
        array = _spill.empty((50, 40), by_column=by_column)
    assert isinstance(array, np.memmap)
    assert array.flags.f_contiguous is by_column
    array[:] = values
    _spill.release(array[3:, 4:])
    assert np.array_equal(array, values)
    assert list(tmp_path.iterdir()) == []


def test_parts_go_through_everything_once(small):
    values = np.zeros((50, 40))
    for part in _spill.row_parts(values):
        assert (part.stop - part.start) * 40 * 8 <= 1024
        values[part] += 1
    for part in _spill.column_parts(values):
        values[:, part] += 1
    assert (values == 2).all()
    assert list(_spill.parts(0, 8)) == []


@pytest.mark.parametrize("by_column", [False, True])
def test_rows_are_copied_by_rows(tmp_path, small, by_column):
    values = np.random.default_rng(0).normal(size=(50, 40))
    with _spill.spilling(tmp_path):
        array = _spill.empty((50, 40), by_column=by_column)
    array[:] = values
    copy = _spill.rows_of(array[:, :30], slice(10, 25))
    assert np.array_equal(copy, values[10:25, :30])
    assert copy.flags.c_contiguous
    assert copy.flags.owndata


def test_rows_are_taken_by_a_mask(tmp_path, small):
    values = np.random.default_rng(0).normal(size=(50, 40))
    keep = values[:, 0] > 0
    with _spill.spilling(tmp_path):
        assert np.array_equal(_spill.take_rows(values, keep), values[keep])
    assert _spill.take_rows(values, np.ones(50, bool)) is values


def test_a_full_disk_is_an_error_and_no_signal(small, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with _spill.spilling(tmp_path), pytest.raises(OSError, match="No space left"):
        _spill.empty((50, 40))


def test_a_build_through_files_gives_the_same_features(tmp_path, small, monkeypatch):
    from infoalign_dgl.context.edges import centred_rows
    from infoalign_dgl.context.spaces import scaled_space, settle_missing

    raw = np.random.default_rng(0).normal(size=(60, 30))
    raw[::7, ::3] = np.nan
    raw[5, 4] = np.inf
    names = [f"c{i}" for i in range(30)]

    def work():
        settled = settle_missing(raw, names, max_missing=0.16)
        space, _ = scaled_space("s", "gene", settled, np.arange(60))
        return settled.values, settled.columns, centred_rows(settled.values), space.values

    with _spill.spilling(tmp_path):
        parts = work()
    assert isinstance(parts[0].base, np.memmap)
    monkeypatch.setattr(_spill, "LARGEST_IN_MEMORY", 2**30)
    for one, other in zip(parts, work(), strict=True):
        assert np.array_equal(one, other)


PROGRAM = """
import sys, resource
import numpy as np
from pathlib import Path
from infoalign_dgl import _spill
from infoalign_dgl.context.edges import centred_rows
from infoalign_dgl.context.spaces import scaled_space, settle_missing
rows, columns = 30_000, 1_000
_spill.LARGEST_IN_MEMORY = 8 * 2**20
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with _spill.spilling(Path(sys.argv[1])):
    raw = _spill.empty((rows, columns), by_column=True)
    rng = np.random.default_rng(0)
    for part in _spill.column_parts(raw):
        raw[:, part] = rng.normal(size=raw[:, part].shape)
    settled = settle_missing(raw, [str(i) for i in range(columns)])
    centred_rows(settled.values)
    scaled_space("s", "gene", settled, np.arange(rows))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / 1024)
"""


def test_memory_holds_parts_only(tmp_path):
    """The float32 space has 114 MiB, and each float64 array on the way to it twice as much."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 300
