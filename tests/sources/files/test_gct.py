"""GCT and GCTX: files written byte for byte in the published layouts, each other's oracle."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.tables import normalize_id, read_header, read_table

h5py = pytest.importorskip("h5py")

V12 = "#1.2\n3\t2\nName\tDescription\tA\tB\n780\tDDR1\t1.5\t-2\n5982\tRFC2\t-666\t0\n3310\tna\tNaN\t1e-3\n"
V13 = (
    "#1.3\n3\t2\t2\t3\n"
    "id\tpr_gene_id\tpr_gene_symbol\tA:1\tB:2\n"
    "pert_id\tna\tna\tBRD-1\tBRD-2\n"
    "pert_dose\t-666\t-666\t10.0\t-666\n"
    "canonical_smiles\t\t\tCCO\t\n"
    "200814_at\t780\tDDR1\t1.5\t-2\n"
    "222103_at\t5982.0\tRFC2\t-666\t0\n"
    "201453_x_at\t-666\t-666\t\t1e-3\n"
)
VALUES = np.array([[1.5, np.nan, np.nan], [-2, 0, 1e-3]])
PROBES = ["200814_at", "222103_at", "201453_x_at"]


def write_gctx(path, values, cids, rids, on_columns=(), on_rows=()):
    with h5py.File(path, "w") as file:
        file.attrs["version"] = "GCTX1.0"
        file.create_dataset("/0/DATA/0/matrix", data=np.asarray(values, np.float32))
        for axis, ids, fields in (("COL", cids, on_columns), ("ROW", rids, on_rows)):
            file.create_dataset(f"/0/META/{axis}/id", data=np.array(ids, "S"))
            for name, cells in dict(fields).items():
                file.create_dataset(f"/0/META/{axis}/{name}", data=cells)


def write_both(folder):
    (folder / "x.gct").write_text(V13)
    values = np.where(np.isnan(VALUES), -666, VALUES)
    fields = {
        "pert_id": np.array(["BRD-1", "BRD-2"], "S"),
        "pert_dose": np.array([10.0, -666.0]),
        "canonical_smiles": np.array(["CCO", ""], dtype=h5py.string_dtype()),
    }
    genes = {
        "pr_gene_id": np.array([780, 5982, -666]),
        "pr_gene_symbol": np.array(["DDR1", "RFC2", "-666"], "S10"),
    }
    write_gctx(folder / "x.gctx", values, ["A:1", "B:2"], PROBES, fields, genes)


@pytest.mark.parametrize("name", ["x.gct", "x.gct.gz", "x.GCT"])
def test_version_1_2(tmp_path, name):
    text = V12.replace("\n", "\r\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert read_header(tmp_path / name) == ["cid", "780", "5982", "3310"]
    table = read_table(tmp_path / name, text=["cid"], numbers=["3310", "780", "5982"])
    assert table["cid"].tolist() == ["A", "B"]
    assert table.index.tolist() == [1, 2]
    np.testing.assert_array_equal(table[["780", "5982", "3310"]], VALUES)
    rows = read_table(tmp_path / name, text=["rid", "Description"], format="gct-rows")
    assert rows.to_numpy().tolist() == [["780", "DDR1"], ["5982", "RFC2"], ["3310", "na"]]


@pytest.mark.parametrize("name", ["x.gct", "x.gctx"])
def test_version_1_3_and_gctx(tmp_path, name):
    write_both(tmp_path)
    header = read_header(tmp_path / name)
    assert header[0] == "cid"
    assert header[-3:] == PROBES
    assert set(header[1:-3]) == {"pert_id", "pert_dose", "canonical_smiles"}
    table = read_table(tmp_path / name, text=header[:-3], numbers=PROBES[::-1])
    assert table["cid"].tolist() == ["A:1", "B:2"]
    assert table["pert_id"].tolist() == ["BRD-1", "BRD-2"]
    assert table["pert_dose"].tolist() == ["10.0", None]
    assert table["canonical_smiles"].tolist() == ["CCO", None]
    np.testing.assert_array_equal(table[PROBES], VALUES.astype(np.float32 if name == "x.gctx" else float))
    assert table.index.tolist() == [1, 2]
    np.testing.assert_array_equal(
        read_table(tmp_path / name, numbers=["pert_dose"])["pert_dose"], [10, np.nan]
    )
    rows = f"{name[2:]}-rows"
    assert set(read_header(tmp_path / name, format=rows)) == {"rid", "pr_gene_id", "pr_gene_symbol"}
    genes = read_table(tmp_path / name, text=["rid", "pr_gene_symbol"], numbers=["pr_gene_id"], format=rows)
    assert genes["rid"].tolist() == PROBES
    assert genes["pr_gene_symbol"].tolist() == ["DDR1", "RFC2", None]
    np.testing.assert_array_equal(genes["pr_gene_id"], [780, 5982, np.nan])


def test_wide_and_long_gctx_is_read_in_blocks(tmp_path, monkeypatch):
    from infoalign_dgl import _spill

    monkeypatch.setattr(_spill, "LARGEST_IN_MEMORY", 4096)
    values = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    rids = [str(i) for i in range(300)]
    write_gctx(tmp_path / "x.gctx", values, [f"c{i}" for i in range(40)], rids)
    chosen = np.random.default_rng(1).permutation(300)[:57]
    with _spill.spilling(tmp_path):
        table = read_table(tmp_path / "x.gctx", text=["cid"], numbers=[rids[i] for i in chosen])
    np.testing.assert_array_equal(table.drop(columns="cid"), values[:, chosen])


def test_ten_to_the_fifth_genes(tmp_path):
    rids = [str(i) for i in range(100_000)]
    values = np.arange(200_000, dtype=np.float32).reshape(2, -1) + 1
    write_gctx(tmp_path / "x.gctx", values, ["a", "b"], rids)
    lines = ["#1.2", "100000\t2", "Name\tDescription\ta\tb"]
    lines += [f"{rid}\t\t{x}\t{y}" for rid, x, y in zip(rids, *values.tolist(), strict=True)]
    (tmp_path / "x.gct").write_text("\n".join(lines))
    for name in ("x.gct", "x.gctx"):
        np.testing.assert_array_equal(read_table(tmp_path / name, numbers=rids), values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("id,a\n1,2\n", "begins with 'id,a' and not with #1.2 or #1.3"),
        ("#1.2\nx\t2\n", "'x\t2' as its second line where the numbers of rows, columns should be"),
        ("#1.3\n3\t2\n", "numbers of rows, columns, fields on rows, fields on columns should be"),
        (V12[: V12.index("3310")], "3 rows and 0 fields on columns, so 6 lines, but it has 5"),
        (V12.replace("\t-2", ""), "ragged: line 4 has 3 fields where its second line says 4"),
        (V12.replace("5982", "780"), "two columns named '780'"),
        (V13.replace("pert_dose", "pert_id"), "a field on columns twice"),
        ("#1.2\n2\t0\nName\tDescription\n1\tx\n2\ty\n", "no rows"),
    ],
)
def test_what_is_wrong_with_a_gct_is_named(tmp_path, text, message):
    (tmp_path / "x.gct").write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        read_table(tmp_path / "x.gct", numbers=["1"] if text.startswith("#1.2\n2") else [])
    assert "x.gct" in str(caught.value)


def test_truncated_and_latin1_gct_are_named(tmp_path):
    (tmp_path / "x.gct.gz").write_bytes(gzip.compress(V13.encode())[:-12])
    with pytest.raises(SourceError, match="is truncated"):
        read_header(tmp_path / "x.gct.gz")
    (tmp_path / "x.gct").write_bytes(V13.replace("BRD-1", "caf\xe9").encode("latin-1"))
    with pytest.raises(SourceError, match=r"not UTF-8.*iconv"):
        read_header(tmp_path / "x.gct")


def test_what_is_wrong_with_a_gctx_is_named(tmp_path):
    path = tmp_path / "x.gctx"
    path.write_bytes(b"")
    with pytest.raises(SourceError, match="cannot be read"):
        read_header(path)
    path.write_bytes(gzip.compress(b"x"))
    with pytest.raises(SourceError, match="gunzip it"):
        read_header(path)
    write_gctx(path, VALUES.T, ["A", "B"], ["1", "2", "3"])
    with pytest.raises(SourceError, match=r"shape \(3, 2\) where its ids say \(profiles, genes\) = \(2, 3\)"):
        read_header(path)
    write_gctx(path, VALUES, ["A", "B"], ["1", "", "3"])
    with pytest.raises(SourceError, match="an empty row id, number 2"):
        read_header(path)
    write_gctx(path, VALUES, ["A", "B"], ["1", "3", "3"])
    with pytest.raises(SourceError, match="two columns named '3'"):
        read_header(path)
    write_gctx(path, np.zeros((500, 300)), [f"c{i}" for i in range(500)], [str(i) for i in range(300)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"x\.gctx' cannot be read .*truncated"):
        read_table(path, numbers=["1"])
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=VALUES)
    with pytest.raises(SourceError, match="has no '/0/DATA/0/matrix'"):
        read_header(path)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    write_gctx(tmp_path / "x.gctx", VALUES, ["A", "B"], ["1", "2", "3"])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SourceError, match=r"pip install 'infoalign-dgl\[hdf5\]'"):
        read_header(tmp_path / "x.gctx")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_cells_of_several_kinds_and_blank_lines_at_the_end(tmp_path, end):
    text = V12.replace("1.5\t-2", "NA\thigh").replace("\t0", "\t") + "\n\n"
    (tmp_path / "x.gct").write_text(text, encoding="utf-8-sig", newline=end)
    strange = []
    table = read_table(tmp_path / "x.gct", numbers=["5982", "780", "3310"], strange=strange)
    np.testing.assert_array_equal(table, [[np.nan] * 3, [np.nan, np.nan, 1e-3]])
    assert strange == ["780"]  # the cell 'high'
    table = read_table(tmp_path / "x.gct", text=["780", "cid", "3310"], numbers=["5982"])
    assert table["780"].tolist() == [None, "high"]
    assert table["cid"].tolist() == ["A", "B"]
    assert table["3310"].tolist() == [None, "1e-3"]


def test_fields_are_text_or_numbers_beside_the_matrix(tmp_path):
    (tmp_path / "x.gct").write_text(V13.replace("BRD-1", "1234.0"))
    strange = []
    names = ["222103_at", "pert_dose", "pert_id", "200814_at"]
    table = read_table(tmp_path / "x.gct", numbers=names, strange=strange)
    np.testing.assert_array_equal(table, [[np.nan, 10, 1234, 1.5], [0, np.nan, np.nan, -2]])
    assert strange == ["pert_id"]  # the other, BRD-2
    assert [normalize_id(v) for v in read_table(tmp_path / "x.gct", text=["pert_id"])["pert_id"]] == [
        "1234",
        "BRD-2",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (V12.replace("\t", ","), "'3,2' as its second line"),
        (V12.replace("\t", ",").replace("3,2\n", "3\t2\n", 1), "ragged: line 3 has 1 fields"),
        (V12.replace("\t0", ""), "ragged: line 5 has 3 fields"),
        (V12 + V12[V12.index("3310") :], "so 6 lines, but it has 7"),
        (V12.replace("5982\tRFC2\t-666\t0\n", "\n"), "ragged: line 5 has 1 fields"),
    ],
)
def test_lines_that_do_not_fit_are_named(tmp_path, text, message):
    (tmp_path / "x.gct").write_text(text)
    with pytest.raises(SourceError, match=message):
        read_header(tmp_path / "x.gct")


def test_a_gct_is_read_in_the_memory_of_its_numbers(tmp_path, monkeypatch):
    """Measured by tracemalloc, which counts what Python and numpy take."""
    import tracemalloc

    from infoalign_dgl import _spill

    values = np.random.default_rng(0).normal(size=(300, 2000)).round(3)
    lines = ["#1.2", "2000\t300", "\t".join(["Name", "Description", *(f"c{i}" for i in range(300))])]
    lines += ["\t".join([f"g{i}", "x", *map(str, row)]) for i, row in enumerate(values.T.tolist())]
    (tmp_path / "x.gct").write_text("\n".join(lines))
    names = [f"g{i}" for i in np.random.default_rng(1).permutation(2000)]
    monkeypatch.setattr(_spill, "LARGEST_IN_MEMORY", 2**16)
    header = read_header(tmp_path / "x.gct")
    tracemalloc.start()
    try:
        table = read_table(tmp_path / "x.gct", numbers=names, header=header)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(table, values[:, [int(name[1:]) for name in names]])
    assert peak < 1.5 * values.nbytes  # as text, the cells take eight times that


def test_gctx_of_other_content(tmp_path):
    path = tmp_path / "x.gctx"
    path.write_text("id,smiles\n1,CCO\n")
    with pytest.raises(SourceError, match=r"x\.gctx' cannot be read"):
        read_header(path)
    write_gctx(path, np.zeros((0, 2)), [], ["1", "2"])
    with pytest.raises(SourceError, match="no rows"):
        read_table(path, numbers=["1"])
    latin1 = np.array(["caf\xe9".encode("latin-1"), b"x"], "S5")
    cells = np.array(["1234.0", "high"], dtype=h5py.string_dtype())
    write_gctx(path, VALUES, ["A", "B"], ["1", "2", "3"], {"name": latin1, "cell": cells})
    with pytest.raises(SourceError, match=r"x\.gctx' has text that is not UTF-8, such as b'caf"):
        read_table(path, text=["name"])
    strange = []
    table = read_table(path, text=["cell"], numbers=["1", "3"], strange=strange)
    assert [normalize_id(value) for value in table["cell"]] == ["1234", "high"]
    np.testing.assert_array_equal(read_table(path, numbers=["cell"], strange=strange)["cell"], [1234, np.nan])
    assert strange == ["cell"]
