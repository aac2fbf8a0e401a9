"""Names of feature spaces and tables: by the file, and by its folder where the file's name says nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context.recognition.recognize import recognize

SMILES = ["CCO", "c1ccccc1O", "CC(=O)O", "CCN", "CC(C)O"]


def profiles(path, prefix):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).normal(size=(len(SMILES), 6))
    frame = pd.DataFrame(values, columns=[f"{prefix}_{n}" for n in range(6)])
    frame.insert(0, "smiles", SMILES)
    frame.to_parquet(path, index=False)


def spaces(folder, *files):
    for number, file in enumerate(files):
        profiles(folder / file, f"f{'abc'[number]}")
    found = recognize([folder / file for file in files], files)
    return {one.file: one.keys["space"] for one in found}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["one/profiles.parquet", "two/profiles.parquet"], ["one_profiles", "two_profiles"]),
        (["one/out/painting.parquet", "two/out/painting.parquet"], ["one_painting", "two_painting"]),
        (["screen/out/profiles.parquet"], ["screen_profiles"]),
        (["screen 7/data/features.parquet"], ["screen_7_features"]),
        (["one/painting.parquet", "one/other.parquet"], ["painting", "other"]),
        (["one/p.parquet", "one/p.pq"], ["p", "p-2"]),
        (["one/p.parquet", "one/p.pq", "two/p.parquet"], ["one_p", "one_p-2", "two_p"]),
    ],
)
def test_spaces(tmp_path, files, expected):
    assert spaces(tmp_path, *files) == dict(zip(files, expected, strict=True))


def test_tables_of_molecules_too(tmp_path):
    for folder in ("vendor", "inhouse"):
        (tmp_path / folder).mkdir()
        frame = pd.DataFrame({"id": [f"{folder}{n}" for n in range(5)], "smiles": SMILES})
        frame.to_csv(tmp_path / folder / "compounds.csv", index=False)
    files = ["vendor/compounds.csv", "inhouse/compounds.csv"]
    found = recognize([tmp_path / file for file in files], files)
    assert [one.keys["name"] for one in found] == ["vendor_compounds", "inhouse_compounds"]
