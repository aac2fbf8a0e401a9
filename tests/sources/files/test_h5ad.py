"""AnnData files: against what AnnData itself writes, and in the layouts of its older versions."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.tables import normalize_id, read_header, read_table

anndata = pytest.importorskip("anndata")
h5py = pytest.importorskip("h5py")

VALUES = np.array([[0, 1.5, -2, 0], [3, 0, 0, -666], [0, 0, 7, 0.25]], np.float32)
FEATURES = ["Cells_a", "Nuclei_b", "Cells_c", "Image_d"]


def strings(values):
    return pd.Index(values, dtype=object)


def write(path, x=VALUES, names=FEATURES, **options):
    obs = pd.DataFrame(index=strings([f"well{i}" for i in range(x.shape[0])]), columns=strings([]))
    for name, cells in {"smiles": ["CCO", "C", ""], "pert": ["b", None, "a"]}.items():
        obs[name] = pd.Series(cells[: len(obs)], dtype=object, index=obs.index)
    obs["pert"] = pd.Categorical(obs["pert"], categories=strings(["a", "b"]))
    obs["plate"] = np.arange(len(obs))
    obs["dose"] = [0.5, np.nan, 2][: len(obs)]
    obs["count"] = pd.array([1, None, 3][: len(obs)], dtype="Int64")
    obs["control"] = [True, False, False][: len(obs)]
    obs.columns = strings(obs.columns)
    var = pd.DataFrame(index=strings(names), columns=strings([]))
    anndata.AnnData(x, obs=obs, var=var).write_h5ad(path, **options)


@pytest.mark.parametrize(
    "make", [np.asarray, np.asfortranarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array]
)
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_what_anndata_writes_is_read(tmp_path, make, compression):
    path = tmp_path / "x.h5ad"
    write(path, make(VALUES), compression=compression)
    columns = ["obs_names", "smiles", "pert", "plate", "dose", "count", "control"]
    assert read_header(path) == [*columns, *FEATURES]
    chosen = ["Image_d", "Cells_a", "Nuclei_b"]
    table = read_table(path, text=columns, numbers=chosen)
    stored = anndata.read_h5ad(path)
    values = stored.to_df()[chosen].to_numpy()
    np.testing.assert_array_equal(table[chosen], np.where(values == -666, np.nan, values))
    assert table["obs_names"].tolist() == stored.obs_names.tolist()
    assert table["smiles"].tolist() == ["CCO", "C", None]
    assert table["pert"].tolist() == ["b", None, "a"]
    assert table["plate"].tolist() == ["0", "1", "2"]
    assert table["dose"].tolist() == ["0.5", None, "2.0"]
    assert table["count"].tolist() == ["1", None, "3"]
    assert table["control"].tolist() == ["True", "False", "False"]
    assert table.index.tolist() == [1, 2, 3]
    table = read_table(path, text=["Nuclei_b"], numbers=["dose", "count", "Nuclei_b"][:2])
    assert table["Nuclei_b"].tolist() == ["1.5", "0.0", "0.0"]
    np.testing.assert_array_equal(table[["dose", "count"]], [[0.5, 1], [np.nan, np.nan], [2, 3]])


def test_nullable_strings_and_older_categoricals(tmp_path):
    path = tmp_path / "x.h5ad"
    write(path)
    with h5py.File(path, "a") as file:
        obs = file["obs"]
        del obs["smiles"], obs["pert"]
        group = obs.create_group("smiles")  # encoding-type nullable-string-array
        group["values"] = np.array(["CCO", "", "C"], dtype=object)
        group["mask"] = np.array([False, True, False])
        obs["__categories/pert"] = np.array(["a", "b"], dtype=object)  # anndata 0.7
        obs["pert"] = np.array([1, -1, 0], np.int8)
        obs["pert"].attrs["categories"] = obs["__categories/pert"].ref
    table = read_table(path, text=["smiles", "pert"])
    assert table.to_numpy().tolist() == [["CCO", "b"], [None, None], ["C", "a"]]


def test_ten_to_the_fifth_variables(tmp_path):
    names = [f"v{i}" for i in range(100_000)]
    values = np.random.default_rng(0).normal(size=(3, 100_000)).astype(np.float32)
    write(tmp_path / "x.h5ad", values, names)
    np.testing.assert_array_equal(read_table(tmp_path / "x.h5ad", numbers=names), values)


def test_what_is_wrong_is_named(tmp_path):
    path = tmp_path / "x.h5ad"
    write(path, VALUES[:0])
    with pytest.raises(SourceError, match="no rows"):
        read_table(path, numbers=FEATURES)
    write(path, names=["Cells_a", "b", "plate", "c"])
    with pytest.raises(SourceError, match="two columns named 'plate'"):
        read_header(path)
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"x\.h5ad' cannot be read"):
        read_table(path, numbers=FEATURES)
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"x\.h5ad' cannot be read"):
        read_header(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.pop("X"), "has no 'X'"),
        (lambda file: file["obs"].attrs.pop("_index"), "layout of AnnData before 0.7"),
        (lambda file: (file.pop("X"), file.update(X=np.zeros((2, 4)))), r"X of shape \(2, 4\).*say \(3, 4\)"),
        (
            lambda file: (file["obs"].pop("pert"), file["obs"].create_group("pert")),
            "column 'pert' as a group",
        ),
        (lambda file: file["obs"].pop("dose"), "cannot be read .*'dose' doesn't exist"),
    ],
)
def test_damaged_layouts_are_named(tmp_path, damage, message):
    path = tmp_path / "x.h5ad"
    write(path)
    with h5py.File(path, "a") as file:
        damage(file)
    with pytest.raises(SourceError, match=message):
        read_table(path, text=["pert", "dose"], numbers=FEATURES)


def test_missing_texts_ids_that_became_floats_and_cells_of_several_kinds(tmp_path):
    path = tmp_path / "x.h5ad"
    write(path)
    with h5py.File(path, "a") as file:
        del file["obs/smiles"], file["obs/plate"]
        file["obs/smiles"] = np.array(["NA", "-666", "7"], dtype=object)
        file["obs/plate"] = np.array([1234.0, np.nan, -666])
    strange = []
    table = read_table(path, text=["smiles", "plate"], strange=strange)
    assert table["smiles"].tolist() == [None, None, "7"]
    assert [normalize_id(value) for value in table["plate"]] == ["1234", None, None]
    table = read_table(path, numbers=["smiles", "pert", "plate"], strange=strange)
    np.testing.assert_array_equal(table["smiles"], [np.nan, np.nan, 7])
    np.testing.assert_array_equal(table["plate"], [1234, np.nan, np.nan])
    assert strange == ["pert"]  # the letters


def test_other_files_under_that_name_and_latin1_are_named(tmp_path):
    path = tmp_path / "x.h5ad"
    path.write_text("id,smiles\n1,CCO\n")
    with pytest.raises(SourceError, match=r"x\.h5ad' cannot be read"):
        read_header(path)
    write(path)
    (tmp_path / "x.h5ad.gz").write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(SourceError, match=r"x\.h5ad\.gz' is gzipped.*gunzip it"):
        read_header(tmp_path / "x.h5ad.gz")
    with h5py.File(path, "a") as file:
        del file["obs/smiles"]
        file["obs/smiles"] = np.array(["caf\xe9".encode("latin-1")] * 3, "S5")
    with pytest.raises(SourceError, match=r"x\.h5ad' has text that is not UTF-8, such as b'caf"):
        read_table(path, text=["smiles"])
