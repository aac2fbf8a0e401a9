"""SMILES files: with and without a header, as RDKit and others write them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from rdkit import Chem

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.tables import normalize_id, read_header, read_table


def read(path):
    return read_table(path, text=["smiles", "name"])


@pytest.mark.parametrize("head", ["", "SMILES Name \n", "canonical_smiles\tid\n"])
@pytest.mark.parametrize("name", ["m.smi", "m.smiles", "m.smi.gz"])
def test_lines_are_smiles_and_name(tmp_path, name, head):
    text = f"\ufeff{head}CCO ethanol\r\n\r\nc1ccccc1\tbenzene and more \r\nC\r\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert read_header(tmp_path / name) == ["smiles", "name"]
    table = read(tmp_path / name)
    assert table["smiles"].tolist() == ["CCO", "c1ccccc1", "C"]
    assert table["name"].tolist() == ["ethanol", "benzene and more", None]
    assert table.index.tolist() == [line + bool(head) for line in (1, 3, 4)]  # lines of the file


def test_what_rdkit_writes_is_read(tmp_path):
    molecules = [Chem.MolFromSmiles(smiles) for smiles in ("OCC", "C[C@H](N)C(=O)O")]
    with Chem.SmilesWriter(str(tmp_path / "m.smi")) as writer:
        for number, molecule in enumerate(molecules):
            molecule.SetProp("_Name", f"{number}.0")
            writer.write(molecule)
    table = read(tmp_path / "m.smi")
    assert table["smiles"].tolist() == [Chem.MolToSmiles(molecule) for molecule in molecules]
    np.testing.assert_array_equal(read_table(tmp_path / "m.smi", numbers=["name"])["name"], [0, 1])


def test_an_extension_stays_with_its_smiles(tmp_path):
    text = "CC(F)(Cl)Br |$;label one;;;$| the name\n"
    (tmp_path / "m.smi").write_text(text)
    table = read(tmp_path / "m.smi")
    assert table.iloc[0].tolist() == ["CC(F)(Cl)Br |$;label one;;;$|", "the name"]
    assert Chem.MolFromSmiles(table["smiles"].iloc[0]) is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"smiles name\n", "no rows"),
        (b"smiles,name\nCCO,x\n", 'commas or semicolons: if it is a CSV file, set format = "csv"'),
        (b"CCO;x\n", "commas or semicolons"),
        ("CCO caf\xe9\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    (tmp_path / "m.smi").write_bytes(text)
    with pytest.raises(SourceError, match=message):
        read(tmp_path / "m.smi")


def test_a_truncated_gzip_is_named(tmp_path):
    whole = gzip.compress(b"CCO ethanol\n" * 1000)
    (tmp_path / "m.smi.gz").write_bytes(whole[:-10])
    with pytest.raises(SourceError, match="is truncated"):
        read(tmp_path / "m.smi.gz")


def test_missing_names_and_structures(tmp_path):
    (tmp_path / "m.smi").write_text("CCO NA\nC 1234.0\nNA x\nCC -666\nN high\n")
    table = read(tmp_path / "m.smi")
    assert table["smiles"].tolist() == ["CCO", "C", None, "CC", "N"]
    assert [normalize_id(name) for name in table["name"]] == [None, "1234", "x", None, "high"]
    strange = []
    numbers = read_table(tmp_path / "m.smi", numbers=["name"], strange=strange)["name"]
    np.testing.assert_array_equal(numbers, [np.nan, 1234, np.nan, np.nan, np.nan])
    assert strange == ["name"]
