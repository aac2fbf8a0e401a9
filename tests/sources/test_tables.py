"""Tables from files: every way in which a file can be wrong is one sentence that names it."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.tables import (
    did_you_mean,
    normalize_entrez,
    normalize_id,
    read_header,
    read_table,
    select_columns,
)


def write(path, text):
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.txt", "T.CSV"])
def test_delimited_text_is_read_by_its_name(tmp_path, name):
    delimiter = "," if "csv" in name.lower() else "\t"
    path = write(tmp_path / name, "id,a,b\n007,1.5,x\n\n8,,y\n".replace(",", delimiter))
    table = read_table(path, text=["id", "b"], numbers=["a"])
    assert table["id"].tolist() == ["007", "8"]
    assert table["b"].tolist() == ["x", "y"]
    assert table["a"].dtype == np.float64
    np.testing.assert_array_equal(table["a"], [1.5, np.nan])


def test_parquet_gives_the_same_as_text(tmp_path):
    frame = pd.DataFrame({"id": [7, 8], "a": [1.5, np.nan], "smiles": ["C", None]})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    ours = [read_table(tmp_path / n, text=["id", "smiles"], numbers=["a"]) for n in ("t.parquet", "t.csv")]
    assert [frame.index.tolist() for frame in ours] == [[1, 2], [2, 3]]
    pd.testing.assert_frame_equal(*(frame.reset_index(drop=True) for frame in ours))
    assert ours[0]["smiles"].tolist() == ["C", None]


def test_repeated_names_are_numbered_where_asked_for(tmp_path):
    path = write(tmp_path / "t.tsv.gz", "a\tb\ta\ta#2\ta\n1\tx\t2\t3\t-\n\n4\ty\t5\t\t6\n")
    assert read_header(path, repeated=True) == ["a", "b", "a#3", "a#2", "a#4"]
    table = read_table(path, text=["b", "a#2"], numbers=["a#4", "a", "a#3"], repeated=True)
    assert list(table.index) == [2, 4]  # of the two rows; row 3 is blank
    assert table.to_numpy().tolist()[1] == ["y", None, 6, 4, 5]
    assert np.isnan(table["a#4"].iloc[0])
    ragged = write(tmp_path / "r.csv", "a,a\n1,2\n\n3\n")
    with pytest.raises(SourceError, match="row 4 has 1 fields where the header has 2"):
        read_table(ragged, numbers=["a"], repeated=True)


def test_byte_order_mark_windows_line_ends_and_quoted_line_breaks(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes('\ufeffid,a\r\n"x\ny",2\r\nz,inf\r\n'.encode())
    table = read_table(path, text=["id"], numbers=["a"])
    assert table["id"].tolist() == ["x\ny", "z"]
    assert table["a"].tolist() == [2.0, np.inf]


def test_cells_that_are_no_numbers_are_missing(tmp_path):
    path = write(tmp_path / "t.csv", "id,a,b\nx,1,NA\ny,none at all,3\nz,-inf,nan\n")
    table = read_table(path, text=["id"], numbers=["a", "b"])
    np.testing.assert_array_equal(table["a"], [1, np.nan, -np.inf])
    np.testing.assert_array_equal(table["b"], [np.nan, 3, np.nan])


@pytest.mark.parametrize(
    ("text", "row", "fields"),
    [("a,b\n1,2\n3\n", 3, 1), ("a,b\n1,2\n3,4\n5,6,7\n", 4, 3), ("a,b\n1,2,3\n1,2,3\n", 2, 3)],
)
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_ragged_tables_name_file_and_row(tmp_path, name, text, row, fields):
    path = write(tmp_path / name, text)
    with pytest.raises(SourceError, match=rf"{name}.*row {row} has {fields} fields.*header has 2"):
        read_table(path, numbers=["a"])


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_gzip_is_named(tmp_path, share):
    rows = "".join(f"{i},{i * i}\n" for i in range(50_000))
    whole = gzip.compress(f"a,b\n{rows}".encode())
    path = tmp_path / "t.csv.gz"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SourceError, match=r"t\.csv\.gz' is truncated"):
        read_table(path, numbers=["a"])


def test_a_damaged_gzip_and_plain_text_with_gz_name_are_named(tmp_path):
    whole = bytearray(gzip.compress(b"a,b\n" + b"1,2\n" * 50_000))
    whole[-6] ^= 0xFF  # the stored checksum
    (tmp_path / "t.csv.gz").write_bytes(bytes(whole))
    with pytest.raises(SourceError, match=r"t\.csv\.gz' is not a whole gzip file"):
        read_table(tmp_path / "t.csv.gz", numbers=["a"])
    (tmp_path / "u.csv.gz").write_text("a,b\n1,2\n")
    with pytest.raises(SourceError, match=r"u\.csv\.gz' is not a whole gzip file"):
        read_table(tmp_path / "u.csv.gz", numbers=["a"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "a;b;c\n1;2;3\n", "delimited by commas.*seems delimited by semicolons"),
        ("t.tsv", "a,b,c\n1,2,3\n", "delimited by tabs.*seems delimited by commas"),
        ("t.csv", "", "is empty"),
        ("t.csv", "\n\n", "is empty"),
        ("t.csv", "a1,b\n", "no rows"),
        ("t.csv", "a,b,a\n1,2,3\n", "two columns named 'a'"),
        ("t.csv", "A1,b\n1,2\n", "no column 'a1': did you mean 'A1'"),
        ("t.xlsx", "a1,b\n1,2\n", "rename it after what it holds"),
        ("t.parquet", "not parquet at all", "cannot be read"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_file(tmp_path, name, text, message):
    path = write(tmp_path / name, text)
    with pytest.raises(SourceError, match=message) as caught:
        read_table(path, numbers=["a1"])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("a,b\n1,\xe9\n".encode("latin-1"))
    with pytest.raises(SourceError, match="not UTF-8"):
        read_table(path, text=["b"])
    with pytest.raises(SourceError, match="'iconv -f LATIN1 -t UTF-8' does so"):
        read_table(path, text=["b"])
    assert read_table(path, numbers=["a"])["a"].tolist() == [1.0]  # nobody asks for the other column
    path.write_bytes("a,\xe9\n1,2\n".encode("latin-1"))
    with pytest.raises(SourceError, match="not UTF-8"):
        read_table(path, text=["a"])


def test_a_missing_file_names_the_nearest(tmp_path):
    write(tmp_path / "compounds.csv", "a\n1\n")
    with pytest.raises(SourceError, match=r"did you mean 'compounds\.csv'"):
        read_header(tmp_path / "compunds.csv")
    with pytest.raises(SourceError, match="nor does its folder"):
        read_header(tmp_path / "nowhere" / "compounds.csv")
    with pytest.raises(SourceError, match="is a folder"):
        read_header(tmp_path)


def test_a_format_that_is_given_overrides_the_ending(tmp_path):
    path = write(tmp_path / "t.dat", "id\tb\nx\t1\n")
    with pytest.raises(SourceError, match=r"t\.dat' ends in none of .*set 'format'"):
        read_header(path)
    assert read_header(path, format="tsv") == ["id", "b"]
    assert read_table(path, text=["id"], numbers=["b"], format="tsv").loc[2].tolist() == ["x", 1.0]
    with pytest.raises(SourceError, match="delimited by commas, as its name or format says"):
        read_header(path, format="csv")


def test_what_other_programs_write_for_missing_is_missing(tmp_path):
    cells = ["NA", "nan", "NaN", "NULL", "N/A", "-666", "-666.0", ""]
    path = write(tmp_path / "t.csv", "id,a,k\n" + "".join(f"{c},{c},1\n" for c in cells) + "-667,-666.5,1\n")
    table = read_table(path, text=["id"], numbers=["a"])
    assert table["id"].tolist() == [None] * 8 + ["-667"]
    np.testing.assert_array_equal(table["a"], [np.nan] * 8 + [-666.5])
    frame = pd.DataFrame({"id": cells, "a": pd.Series([-666.0, *range(7)])})
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", text=["id"], numbers=["a"])
    assert table["id"].tolist() == [None] * 8
    np.testing.assert_array_equal(table["a"], [np.nan, *range(7)])


def test_parquet_of_other_types(tmp_path):
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["x", None]),
            "number": [7.0, 8.5],
            "text": ["1.5", "none"],
            "flag": [True, False],
            "half": np.array([0.5, 2], np.float16),
            "lists": [[1], [2]],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    columns = ["category", "number"], ["text", "flag", "half"]
    table = read_table(tmp_path / "t.parquet", text=columns[0], numbers=columns[1])
    assert [normalize_id(value) for value in table["number"]] == ["7", "8.5"]
    assert table["category"].tolist() == ["x", None]
    np.testing.assert_array_equal(table[columns[1]], [[1.5, 1, 0.5], [np.nan, 0, 2]])
    for chosen in ({"text": ["lists"]}, {"numbers": ["lists"]}):
        with pytest.raises(SourceError, match="lists or records in column 'lists'"):
            read_table(tmp_path / "t.parquet", **chosen)


def test_an_empty_parquet_and_a_cut_one_are_named(tmp_path):
    frame = pd.DataFrame({"a": np.zeros(0)})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(SourceError, match="no rows"):
        read_table(tmp_path / "t.parquet", numbers=["a"])
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"t\.parquet' cannot be read"):
        read_table(tmp_path / "t.parquet", numbers=["a"])


def test_columns_are_chosen_by_pattern_in_the_tables_order(tmp_path):
    path = write(tmp_path / "t.csv", "id,Nuclei_b,Cells_a,Cells_b\n")
    names = read_header(path)
    assert select_columns(path, names, ["Cells_*", "Nuclei_*"]) == ["Nuclei_b", "Cells_a", "Cells_b"]
    with pytest.raises(SourceError, match=r"matches 'Cell_\*': did you mean 'Cells_b'"):
        select_columns(path, names, ["Cell_*"])


@pytest.mark.parametrize(
    ("raw", "id_", "entrez"),
    [
        ("1017", "1017", "1017"),
        ("1017.0", "1017", "1017"),
        (" 1017.000 ", "1017", "1017"),
        ("007", "007", "7"),
        ("Gene::2625", "Gene::2625", "2625"),
        ("0", "0", None),
        ("-5", "-5", None),
        ("10.5", "10.5", None),
        ("CDK2", "CDK2", None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_ids(raw, id_, entrez):
    assert normalize_id(raw) == id_
    assert normalize_entrez(raw) == entrez


def test_did_you_mean_lists_what_there_is_where_nothing_is_near():
    assert did_you_mean("zzz", ["alpha", "beta"]) == "there is: alpha, beta"
    assert did_you_mean("SMILES", ["smiles", "x"]) == "did you mean 'smiles'?"
    assert did_you_mean("Smile", ["x", "SMILES"]) == "did you mean 'SMILES'?"
    assert did_you_mean("x", []) == "there is none"
