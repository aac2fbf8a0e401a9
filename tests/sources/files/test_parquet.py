"""Parquet files that are wrong: each is one sentence, and what is merely unusual is read."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.tables import normalize_id, read_header, read_table

LATIN1 = pa.array(["caf\xe9".encode("latin-1"), b"x"], pa.binary())


def write(path, columns):
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def test_a_repeated_column_is_named(tmp_path):
    pyarrow.parquet.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match=r"t\.parquet' has two columns named 'a'"):
        read_header(tmp_path / "t.parquet")


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string()])
@pytest.mark.parametrize("asked", ["text", "numbers"])
def test_text_that_is_not_utf8_is_named_with_its_column(tmp_path, kind, asked):
    cells = pa.Array.from_buffers(kind, 2, LATIN1.buffers()) if kind == pa.string() else LATIN1.cast(kind)
    path = write(tmp_path / "t.parquet", {"name": cells, "a": [1.0, 2.0]})
    if asked == "numbers" and kind != pa.string():  # bytes are no numbers, whatever they say
        assert np.isnan(read_table(path, numbers=["name"])["name"]).all()
        return
    with pytest.raises(SourceError, match=r"t\.parquet' has text in column 'name' that is not UTF-8.*caf"):
        read_table(path, **{asked: ["name"]})
    assert read_table(path, numbers=["a"])["a"].tolist() == [1, 2]  # nobody asks for the other column


def test_binary_utf8_is_text(tmp_path):
    path = write(tmp_path / "t.parquet", {"b": pa.array(["caf\xe9".encode(), None], pa.binary())})
    assert read_table(path, text=["b"])["b"].tolist() == ["caf\xe9", None]


def test_ten_to_the_fifth_columns(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 100_000))
    names = [f"f{i}" for i in range(100_000)]
    table = pa.table(dict(zip(names, values.T, strict=True)))
    path = tmp_path / "t.parquet"
    pyarrow.parquet.write_table(table, path, write_statistics=False, use_dictionary=False)
    assert read_header(path) == names
    np.testing.assert_array_equal(read_table(path, numbers=names[::-10]), values[:, ::-10])


def test_other_files_under_that_name_are_named(tmp_path):
    path = write(tmp_path / "t.parquet", {"a": [1]})
    (tmp_path / "t.parquet.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(SourceError, match=r"t\.parquet\.gz' is gzipped.*gunzip it"):
        read_header(tmp_path / "t.parquet.gz")
    for content in (b"", b"id,a\n1,2\n"):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"t\.parquet' cannot be read"):
            read_header(path)


def test_ids_that_became_floats_and_cells_of_several_kinds(tmp_path):
    columns = {"id": [1234.0, None, -666.0], "mixed": ["1.5", "high", "-666"], "none": pa.nulls(3)}
    path = write(tmp_path / "t.parquet", columns)
    strange = []
    table = read_table(path, text=["id"], numbers=["mixed", "none"], strange=strange)
    assert [normalize_id(value) for value in table["id"]] == ["1234", None, None]
    np.testing.assert_array_equal(table["mixed"], [1.5, np.nan, np.nan])
    assert table["none"].isna().all()
    assert strange == ["mixed"]  # the cell 'high'
