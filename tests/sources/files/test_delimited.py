"""Delimited text: rows have the numbers a spreadsheet shows, and may be longer than a parser's block."""

from __future__ import annotations

import codecs
import csv
import gzip

import numpy as np
import pytest

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.tables import normalize_id, read_header, read_table


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        (["a,b", "1,x", "2,y"], [2, 3]),
        (["", "a,b", "1,x", "", "", "2,y", ""], [3, 6]),
        (["a,b", "1,x", "2,y", "", ""], [2, 3]),
        (["a,b", '1,"p', "", 'q"', "2,y", "", "3,z"], [2, 3, 5]),
    ],
)
def test_rows_have_the_numbers_a_spreadsheet_shows(tmp_path, lines, rows, end):
    path = tmp_path / "t.csv"
    path.write_bytes(end.join(lines).encode())
    table = read_table(path, text=["b"], numbers=["a"])
    assert table.index.tolist() == rows
    with path.open(newline="") as stream:  # a row's number is its place in what the csv module reads
        every = list(csv.reader(stream))
    assert [float(every[row - 1][0]) for row in rows] == table["a"].tolist()


def test_a_blank_line_is_found_wherever_a_read_ends(tmp_path):
    path = tmp_path / "t.csv"
    for length in range(2**20 - 6, 2**20 + 6):
        filler = [b"1," + b"x" * 65_534 for _ in range(15)]
        filler.append(b"1," + b"x" * (length - 4 - 15 * 65_537 - 4))
        head = b"a,b\n" + b"".join(line + b"\n" for line in filler[:-1]) + filler[-1] + b"\r\n"
        assert len(head) == length
        path.write_bytes(head + b"\r\n2,y\r\n")
        assert read_table(path, numbers=["a"]).index.tolist() == [*range(2, 18), 19]


def test_a_ragged_row_below_blank_lines_has_its_number(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n\n\n1,2\n\n3\n")
    with pytest.raises(SourceError, match="row 6 has 1 fields"):
        read_table(path, numbers=["a"])


@pytest.mark.parametrize("name", ["t.csv", "t.tsv.gz"])
def test_ten_to_the_fifth_columns(tmp_path, name):
    names = [f"feature_number_{i}" for i in range(100_000)]
    values = np.random.default_rng(0).normal(size=(3, 100_000))
    delimiter = "," if name == "t.csv" else "\t"
    lines = [delimiter.join(["id", *names])]
    lines += [delimiter.join([f"row{i}", *map(repr, row)]) for i, row in enumerate(values.tolist())]
    lines[2] = lines[2].replace(
        delimiter + repr(float(values[1, 7])) + delimiter, f"{delimiter}NA{delimiter}"
    )
    text = "\r\n".join(lines).encode()
    (tmp_path / name).write_bytes(gzip.compress(text, 1) if name.endswith("gz") else text)
    table = read_table(tmp_path / name, text=["id"], numbers=names)
    values[1, 7] = np.nan
    np.testing.assert_array_equal(table[names].to_numpy(), values)
    assert table["id"].tolist() == ["row0", "row1", "row2"]


def test_utf16_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(codecs.BOM_UTF16_LE + "a,b\n1,2\n".encode("utf-16-le"))
    with pytest.raises(SourceError, match=r"not UTF-8.*iconv -f UTF-16 "):
        read_header(path)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv.gz"])
def test_columns_with_cells_that_are_no_numbers_are_told(tmp_path, name):
    text = "id,a,b,c,d\n1234.0,1,NA,high,nan\n-666,-666,2,3,\n5, 4 ,5,+6,inf\n"
    text = text if name == "t.csv" else text.replace(",", "\t")
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    strange = []
    table = read_table(tmp_path / name, text=["id"], numbers=["d", "c", "b", "a"], strange=strange)
    assert strange == ["c"]
    assert [normalize_id(value) for value in table["id"]] == ["1234", None, "5"]
    expected = [[np.nan, np.nan, np.nan, 1], [np.nan, 3, 2, np.nan], [np.inf, 6, 5, 4]]
    np.testing.assert_array_equal(table[["d", "c", "b", "a"]], expected)


@pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz"])
def test_what_is_wrong_with_tabs_is_named_as_with_commas(tmp_path, name):
    def write(content):
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)

    write("\ufeffid\ta\r\nx\t1\r\n".encode())
    assert read_table(tmp_path / name, text=["id"], numbers=["a"]).loc[2].tolist() == ["x", 1.0]
    for content, message in [
        (b"", "is empty"),
        (b"id\ta\ta\n1\t2\t3\n", "two columns named 'a'"),
        ("id\ta\ncaf\xe9\t1\n".encode("latin-1"), "not UTF-8"),
        (b"id;a\n1;2\n", "delimited by tabs.*seems delimited by semicolons"),
    ]:
        write(content)
        with pytest.raises(SourceError, match=message):
            read_table(tmp_path / name, text=["id"], numbers=["a"])
