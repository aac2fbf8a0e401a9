"""SDF: against RDKit's own writer and reader, and against broken records."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from rdkit import Chem, rdBase
from rdkit.Chem import AllChem

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.tables import normalize_id, read_header, read_table

SMILES = ["C[C@H](N)C(=O)O", "c1ccccc1O", "CC(=O)[O-].[Na+]", "F/C=C/F", "OC[C@@H](O)C=C"]


def write_sdf(path, *, v3000=False):
    with path.open("w") as stream, Chem.SDWriter(stream) as writer:
        writer.SetForceV3000(v3000)
        for number, smiles in enumerate(SMILES):
            molecule = Chem.MolFromSmiles(smiles)
            AllChem.Compute2DCoords(molecule)
            molecule.SetProp("_Name", f"mol {number}")
            molecule.SetProp("ID", f"{number + 1}.0")
            if number % 2:
                molecule.SetProp("activity", f"{number / 4}")
            molecule.SetProp("notes", "two\nlines")
            molecule.SetProp("name", f"own {number}")
            writer.write(molecule)


@pytest.mark.parametrize("v3000", [False, True])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("name", ["m.sdf", "m.sdf.gz", "m.SD"])
def test_what_rdkit_writes_is_read(tmp_path, name, ends, v3000):
    plain = tmp_path / "plain.sdf"
    write_sdf(plain, v3000=v3000)
    text = plain.read_text().replace("\n", ends).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert set(read_header(path)) == {
        "smiles",
        "name",
        "problem",
        "ID",
        "activity",
        "notes",
        "property name",
    }
    columns = ["smiles", "name", "problem", "ID", "notes", "property name"]
    table = read_table(path, text=columns, numbers=["activity"])
    with Chem.SDMolSupplier(str(plain)) as molecules:
        assert table["smiles"].tolist() == [Chem.MolToSmiles(molecule) for molecule in molecules]
    assert table["smiles"].tolist() == [Chem.CanonSmiles(smiles) for smiles in SMILES]
    assert table["name"].tolist() == [f"mol {i}" for i in range(5)]
    assert table["property name"].tolist() == [f"own {i}" for i in range(5)]
    assert table["problem"].tolist() == [None] * 5
    assert table["notes"].tolist() == ["two\nlines"] * 5
    assert table["ID"].tolist() == ["1.0", "2.0", "3.0", "4.0", "5.0"]
    np.testing.assert_array_equal(table["activity"], [np.nan, 0.25, np.nan, 0.75, np.nan])
    assert table.index.tolist() == [1, 2, 3, 4, 5]


def test_broken_records_stay_rows_with_the_reason(tmp_path):
    path = tmp_path / "m.sdf"
    write_sdf(path)
    records = path.read_text().split("$$$$\n")
    five_bonds = Chem.MolToMolBlock(Chem.MolFromSmiles("CC(C)(C)C")).replace("  1  2  1  0", "  1  2  3  0")
    records[1] = f"{five_bonds}> <ID>\nvalence\n\n"
    records[2] = "> <a> title\n  cut in the middle\n\n  3  2  0\n> <ID>\ncut\n\n"
    records[3] = "> <not> a property but a title\n" + records[3].split("\n", 1)[1]
    records[4] = Chem.MolToMolBlock(Chem.Mol()) + "> <ID>\nempty\n\n> <activity>\nNA\n\n"
    path.write_text("$$$$\n".join(records[:5]))  # and no end of the last record
    with rdBase.BlockLogs():
        table = read_table(path, text=["smiles", "name", "problem", "ID"], numbers=["activity"])
    assert table["smiles"].notna().tolist() == [True, False, False, True, False]
    assert table["ID"].tolist() == ["1.0", "valence", "cut", "4.0", "empty"]
    assert table["problem"][2].startswith(
        "parses as mol block but breaks a rule of chemistry: Explicit valence"
    )
    assert table["problem"][3] == "does not parse as mol block"
    assert table["problem"][5] == "has no atoms"
    assert table["name"][3] == "> <a> title"
    assert table["name"][4] == "> <not> a property but a title"


@pytest.mark.parametrize("text", ["", "\n\n \n"])
def test_an_empty_file_is_named(tmp_path, text):
    (tmp_path / "m.sdf").write_text(text)
    with pytest.raises(SourceError, match=r"m\.sdf' is empty"):
        read_table(tmp_path / "m.sdf", text=["smiles"])


def test_a_truncated_gzip_and_latin1_are_named(tmp_path):
    write_sdf(tmp_path / "m.sdf")
    text = (tmp_path / "m.sdf").read_bytes()
    whole = gzip.compress(text)
    (tmp_path / "m.sdf.gz").write_bytes(whole[:-20])
    with pytest.raises(SourceError, match="is truncated"):
        read_header(tmp_path / "m.sdf.gz")
    (tmp_path / "m.sdf").write_bytes(text.replace(b"two", "caf\xe9".encode("latin-1")))
    with pytest.raises(SourceError, match=r"not UTF-8.*iconv"):
        read_header(tmp_path / "m.sdf")


def test_helper_processes_give_the_same(tmp_path):
    write_sdf(tmp_path / "m.sdf")
    (tmp_path / "many.sdf").write_text((tmp_path / "m.sdf").read_text() * 450)
    found = read_table(tmp_path / "many.sdf", text=["smiles"])["smiles"].tolist()
    assert found == read_table(tmp_path / "m.sdf", text=["smiles"])["smiles"].tolist() * 450


def test_a_byte_order_mark_and_values_of_several_kinds(tmp_path):
    write_sdf(tmp_path / "m.sdf")
    records = (tmp_path / "m.sdf").read_text().split("$$$$\n")[:5]
    cells = ["NA", "-666", "1.5", "high", "nan"]
    text = "".join(f"{r}>  <cell>\n{c}\n\n$$$$\n" for r, c in zip(records, cells, strict=True))
    (tmp_path / "m.sdf").write_text(text, encoding="utf-8-sig")
    strange = []
    table = read_table(tmp_path / "m.sdf", text=["name", "ID"], numbers=["cell", "activity"], strange=strange)
    assert table["name"].tolist() == [f"mol {i}" for i in range(5)]
    np.testing.assert_array_equal(table["cell"], [np.nan, np.nan, 1.5, np.nan, np.nan])
    assert strange == ["cell"]
    assert [normalize_id(value) for value in table["ID"]] == ["1", "2", "3", "4", "5"]


def test_a_property_that_a_record_has_twice_is_named(tmp_path):
    write_sdf(tmp_path / "m.sdf")
    text = (tmp_path / "m.sdf").read_text()
    (tmp_path / "m.sdf").write_text(text.replace(">  <ID>  (2)", ">  <ID>  (2)\n2.0\n\n>  <ID>  (2)"))
    assert read_table(tmp_path / "m.sdf", text=["ID"])["ID"][2] == "2.0"  # the same value: nothing is lost
    (tmp_path / "m.sdf").write_text(text.replace(">  <ID>  (2)", ">  <ID>  (2)\nother\n\n>  <ID>  (2)"))
    with pytest.raises(SourceError, match=r"m\.sdf' has the property 'ID' twice in record 2"):
        read_header(tmp_path / "m.sdf")


def test_a_table_under_that_name_is_named(tmp_path):
    (tmp_path / "m.sdf").write_text("id,smiles\n1,CCO\n")
    with pytest.raises(SourceError, match=r"m\.sdf' has no record with a line 'M  END'.*set 'format'"):
        read_header(tmp_path / "m.sdf")


def test_ten_to_the_fifth_properties(tmp_path):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    text = block + "".join(f">  <p{i}>\n{i}\n\n" for i in range(100_000)) + "$$$$\n"
    (tmp_path / "m.sdf").write_text(text)
    names = [f"p{i}" for i in range(100_000)]
    assert read_header(tmp_path / "m.sdf")[3:] == names
    table = read_table(tmp_path / "m.sdf", numbers=names[::-100])
    np.testing.assert_array_equal(table, [np.arange(100_000)[::-100]])
