import shutil
import time

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.errors import EvaluationError, SourceError
from infoalign_dgl.evaluation import Split, read_task_set, split_molecules
from infoalign_dgl.evaluation.tasks import conflicting_labels, trainable_tasks
from infoalign_dgl.molecules import standardize

NAN = np.nan
SMILES = ["CCO", "c1ccccc1C", "CC(=O)Oc1ccccc1C(=O)O", "CN1CCCC1", "OCC(O)CO", "c1ccncc1"]


def write(path, text):
    path.write_text(text)
    return path


def table(tmp_path, columns, name="set.csv", smiles="smiles"):
    frame = pd.DataFrame({smiles: SMILES, **columns})
    frame.to_csv(tmp_path / name, index=False, sep="\t" if ".tsv" in name else ",")
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "shape", "share"), [("chembl2k", (2355, 41), 0.1700), ("moltoxcast", (8576, 617), 0.0826)]
)
def test_real_sets(data_root, name, shape, share):
    folder = data_root / "tasks" / name
    found = read_task_set(folder)
    given = pd.read_csv(folder / "assays.csv.gz")
    expected = given.iloc[:, -shape[1] :]
    assert found.labels.shape == shape
    assert found.labels.dtype == np.float64
    assert found.tasks == list(expected)
    np.testing.assert_array_equal(found.labels, expected.to_numpy(np.float64))
    assert np.nanmean(found.labels) == pytest.approx(share, abs=5e-5)
    assert (found.name, found.kind, found.unreadable) == (name, "binary", {})
    assert found.smiles == given["smiles"].tolist()
    if "inchikey" in given:  # of the structures as they are, charges and all
        plain = ~given["smiles"].str.contains(r"[+.]|-\]").to_numpy()
        assert plain.sum() > 500
        assert np.array(found.keys)[plain].tolist() == given["inchikey"][plain].tolist()
    split = split_molecules(found.smiles, "reference")
    assert sum(reason is None for reason in trainable_tasks(found.labels, found.kind, split)) > 0.9 * shape[1]


@pytest.mark.parametrize("name", ["set.csv", "set.csv.gz", "set.tsv", "set.tsv.gz", "set.parquet"])
def test_files_of_every_kind(tmp_path, name):
    columns = {
        "Compound_ID": range(6),
        "logP": [0.5, NAN, 1.5, 2.5, -3.0, 4.0],
        "pIC50": [5, 6, 7, 8, NAN, 9],
    }
    if name.endswith("parquet"):
        pd.DataFrame({"SMILES": SMILES, **columns}).to_parquet(tmp_path / name)
    else:
        table(tmp_path, columns, name, smiles="SMILES")
    found = read_task_set(tmp_path / name)
    assert (found.name, found.kind, found.tasks) == ("set", "regression", ["logP", "pIC50"])
    np.testing.assert_array_equal(found.labels, np.column_stack([columns["logP"], columns["pIC50"]]))
    assert found.keys == [key[:14] for key in standardize(SMILES).key]
    assert found.notes == ["Left out as identifiers by their names: Compound_ID."]


@pytest.mark.parametrize(
    "column", ["smiles", "SMILES", "canonical_smiles", "Canonical SMILES", "Structure", "my_smiles_2"]
)
def test_the_column_of_structures_is_found(tmp_path, column):
    found = read_task_set(table(tmp_path, {"y": [0, 1, 1, 0, 1, 0]}, smiles=column))
    assert found.smiles == SMILES
    assert found.tasks == ["y"]


def test_named_columns(tmp_path):
    path = table(tmp_path, {"other_smiles": SMILES[::-1], "a_id": range(6), "y": [0, 1, 1, 0, 1, 0]})
    found = read_task_set(path, smiles_column="other_smiles", columns=["a_id"])
    assert found.smiles == SMILES[::-1]
    assert found.tasks == ["a_id"]
    assert found.kind == "regression"


@pytest.mark.parametrize(
    ("header", "tasks"),
    [
        ("smiles,inchikey,Metadata_JCP2022,ChEMBL_ID", ["ABCB1", "CA2"]),
        ("smiles,inchikey", ["41_420", "239_631"]),  # broad6k
        (
            "Internal ID,Vendor ID,smiles,CollectionName",
            ["LOG HLM_CLint (mL/min/kg)", "LOG SOLUBILITY PH 6.8 (ug/mL)"],
        ),
        ("smiles,mol_id", ["ACEA_T47D_80hr_Negative", "NVS_NR_hER"]),
        (",SMILES,CID,Unnamed: 3,name", ["x", "acid", "lipid"]),
    ],
)
def test_identifiers_are_no_tasks_even_where_they_are_numbers(tmp_path, header, tasks):
    columns = header.split(",")
    cells = ["CCO" if "smiles" in column.lower() else "17" for column in columns]
    numbers = ",".join(str(0.5 * i) for i in range(len(tasks)))
    path = write(tmp_path / "a.csv", f"{header},{','.join(tasks)}\n{','.join(cells)},{numbers}\n")
    found = read_task_set(path)
    assert found.tasks == tasks
    assert found.labels.tolist() == [[0.5 * i for i in range(len(tasks))]]


def test_binary_and_regression(tmp_path):
    def kind(*cells):
        path = write(
            tmp_path / "k.csv",
            "smiles,a\n" + "".join(f"{s},{c}\n" for s, c in zip(SMILES, cells, strict=False)),
        )
        found = read_task_set(path)
        return found.kind, found.labels[:, 0].tolist(), found.notes

    assert kind(0, 1, 1)[:2] == ("binary", [0, 1, 1])
    assert kind("0.0", "1.0", "1.0")[:2] == ("binary", [0, 1, 1])
    assert kind("True", "FALSE", "true") == ("binary", [1, 0, 1], [])
    assert kind("true", "0", "1") == ("binary", [1, 0, 1], [])
    assert kind(0, 1, 2)[0] == "regression"
    assert kind(0.5, 0.5)[0] == "regression"
    assert "write 0 and 1 if they are classes" in kind(-1, 1, 1)[2][0]


def test_sets_of_both_kinds_say_so(tmp_path):
    found = read_task_set(table(tmp_path, {"active": [0, 1, 1, 0, 1, 0], "logD": np.arange(6) / 4}))
    assert found.kind == "regression"
    assert len(found.notes) == 1
    assert found.notes[0].startswith(
        "Taken as regression, though active hold only 0 and 1: name their columns"
    )


def test_cells_that_are_no_numbers_are_counted(tmp_path):
    cells = ["1.5", ">10", "n/a", "inf", "2", "3"]
    path = table(tmp_path, {"ic50": cells, "comment": ["a", "b", "7", "", "c", "d"]})
    found = read_task_set(path)
    assert found.tasks == ["ic50"]
    np.testing.assert_array_equal(found.labels[:, 0], [1.5, NAN, NAN, NAN, 2, 3])
    assert found.notes == [
        "Left out because they hold more text than numbers: comment.",
        "Cells that are no finite number are taken as unmeasured: 2 in 'ic50' (row 3: '>10').",
    ]
    assert read_task_set(path, columns=["comment"]).labels[2] == 7
    with pytest.raises(EvaluationError, match=r"no number in column 'inchi'.*row 2: 'x'"):
        read_task_set(table(tmp_path, {"inchi": list("xyzabc")}), columns=["inchi"])


def test_repeated_names_are_numbered(tmp_path):
    path = write(tmp_path / "r.csv", "a,smiles,a,a#2,a\n0,CCO,1,0,1\n1,CCC,0,,\n")
    found = read_task_set(path)
    assert found.tasks == ["a", "a#3", "a#2", "a#4"]
    np.testing.assert_array_equal(found.labels, [[0, 1, 0, 1], [1, 0, NAN, NAN]])
    assert found.kind == "binary"
    assert found.notes == ["The number after # counts columns of the same name: a#3, a#2, a#4."]


def test_structures_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "u.csv", "smiles,y\nCCO,1\nnonsense,0\n,1\n[Na+].[Cl-],0\n")
    found = read_task_set(path)
    assert found.smiles == ["CCO", "nonsense", None, "[Na+].[Cl-]"]
    assert found.unreadable == {1: "does not parse as SMILES", 2: "empty"}
    assert [key is None for key in found.keys] == [False, True, True, False]
    assert found.labels.ravel().tolist() == [1, 0, 1, 0]
    assert found.notes == [
        "2 of 4 structures cannot be read and are in no part (row 3: 'nonsense': does not parse as SMILES)."
    ]
    with pytest.raises(
        EvaluationError, match=r"column 'smiles' \(row 2: 'nonsense': does not parse.*name the column"
    ):
        read_task_set(write(tmp_path / "v.csv", "smiles,y\nnonsense,1\n"))


def test_conflicting_duplicates(tmp_path):
    smiles = ["C[C@H](N)O", "CCO", "C[C@@H](N)O", "CC(N)O.Cl", "CCO", "CCC", "nonsense", "nonsense"]
    path = tmp_path / "d.csv"
    pd.DataFrame(
        {
            "smiles": smiles,
            "a": [1, 0, 1, NAN, 0, 1, 0, 1],
            "b": [1, 0, NAN, 0, 1, 1, 1, 0],
            "c": [NAN, 1, 1, 1, NAN, 0, 0, 0],
        }
    ).to_csv(path, index=False)
    found = read_task_set(path)
    conflicts = [(task, rows.tolist()) for task, rows in conflicting_labels(found.keys, found.labels)]
    assert conflicts == [(1, [0, 3]), (1, [1, 4])]
    assert found.notes[-2:] == [
        "3 rows repeat the structure (InChIKey first block) of an earlier row.",
        "2 structures have different labels for one task in several rows, in 2 cases, and all are kept: "
        f"{found.keys[0]} has 'b' 1 in row 2, 0 in row 5; {found.keys[1]} has 'b' 0 in row 3, 1 in row 6.",
    ]


def test_conflicts_against_a_loop():
    rng = np.random.default_rng(0)
    keys = [None if key == 9 else f"K{key}" for key in rng.integers(0, 10, 60)]
    labels = np.where(rng.random((60, 7)) < 0.7, NAN, rng.integers(0, 2, (60, 7)))
    expected = []
    for task in range(7):
        for key in dict.fromkeys(key for key in keys if key):
            rows = [i for i in range(60) if keys[i] == key and not np.isnan(labels[i, task])]
            if len({labels[i, task] for i in rows}) > 1:
                expected.append((task, rows))
    assert expected
    assert [(task, rows.tolist()) for task, rows in conflicting_labels(keys, labels)] == expected
    assert conflicting_labels([None, None], np.zeros((2, 1))) == []
    assert conflicting_labels([], np.zeros((0, 3))) == []


def test_reasons_why_a_task_cannot_be_judged():
    split = Split(np.arange(4), np.array([4]), np.array([5, 6]))
    columns = {
        None: [0, 1, NAN, 1, NAN, 0, 1],
        "no label": [NAN] * 7,
        "no label in train": [NAN, NAN, NAN, NAN, 1, 0, 1],
        "no label in test": [0, 1, 1, 0, 1, NAN, NAN],
        "one class in train": [1, 1, NAN, 1, 0, 0, 1],
        "one class in test": [0, 1, 1, 0, 0, 1, NAN],
    }
    labels = np.array(list(columns.values()), float).T
    assert trainable_tasks(labels, "binary", split) == list(columns)
    values = np.array([[1.5, 1.5, NAN, 1.5, 2, 3, 4], [1, 2, 3, 4, NAN, 7, 7], [NAN, 2, NAN, NAN, 1, 1, 2]]).T
    assert trainable_tasks(values, "regression", split) == ["constant in train", None, "constant in train"]
    nowhere = Split(*(np.zeros(0, np.int64),) * 3)
    assert trainable_tasks(labels[:, :1], "binary", nowhere) == ["no label in train"]
    assert trainable_tasks(np.zeros((3, 0)), "binary", nowhere) == []


def test_degenerate_sets_are_read(tmp_path):
    one = read_task_set(write(tmp_path / "one.csv", "smiles,y\nCCO,1\n"))
    split = split_molecules(one.smiles)
    assert split.train.tolist() == [0]
    assert trainable_tasks(one.labels, one.kind, split) == ["no label in test"]

    empty = read_task_set(table(tmp_path, {"y": [NAN] * 6, "z": [0, 1, 0, 1, 0, 1]}))
    assert empty.tasks == ["y", "z"]
    assert trainable_tasks(empty.labels, empty.kind, split_molecules(SMILES, "random"))[0] == "no label"

    missing = read_task_set(table(tmp_path, {"y": [NAN] * 6}))
    assert (missing.tasks, missing.kind) == (["y"], "binary")

    flat = read_task_set(table(tmp_path, {"y": [2.5] * 6}))
    assert trainable_tasks(flat.labels, flat.kind, split_molecules(SMILES, "random")) == ["constant in train"]


def test_ten_thousand_tasks(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((100, 10_000)) < 0.5, NAN, rng.integers(0, 2, (100, 10_000)))
    names = [f"t{i}" for i in range(10_000)]
    frame = pd.DataFrame(labels, columns=names)
    frame.insert(0, "smiles", ["C" * (1 + i) for i in range(100)])
    frame.to_csv(tmp_path / "wide.csv", index=False)
    start = time.perf_counter()
    found = read_task_set(tmp_path / "wide.csv")
    reasons = trainable_tasks(found.labels, found.kind, split_molecules(found.smiles, "random"))
    assert time.perf_counter() - start < 20  # 2 s on a quiet core
    np.testing.assert_array_equal(found.labels, labels)
    assert found.tasks == names
    assert reasons.count(None) > 8000


def test_folders(tmp_path, data_root):
    folder = tmp_path / "chembl2k" / "raw"
    folder.mkdir(parents=True)
    shutil.copy(data_root / "tasks/chembl2k/assays.csv.gz", folder)
    assert read_task_set(tmp_path / "chembl2k").name == "chembl2k"
    table(tmp_path, {"y": [0, 1] * 3}, "mine.csv")
    write(tmp_path / "README.md", "about")
    assert read_task_set(tmp_path).tasks == ["y"]
    table(tmp_path, {"y": [0, 1] * 3}, "other.csv")
    with pytest.raises(
        EvaluationError, match=r"assays.csv.gz or a single table and holds mine.csv, other.csv"
    ):
        read_task_set(tmp_path)


def test_names_of_data_sets(tmp_path, data_root, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EvaluationError, match="run 'infoalign-dgl fetch chembl2k'"):
        read_task_set("chembl2k")
    with pytest.raises(EvaluationError, match=r"no data set.*did you mean 'chembl2k'"):
        read_task_set("chembl3k")
    folder = tmp_path / "infoalign-dgl" / "chembl2k"
    folder.mkdir(parents=True)
    shutil.copy(data_root / "tasks/chembl2k/assays.csv.gz", folder)
    found = read_task_set("chembl2k")
    assert (found.name, found.labels.shape) == ("chembl2k", (2355, 41))


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("smile,y\nCCO,1\n", {}, "has no column of SMILES"),
        ("a_smiles,b_smiles,y\nCCO,C,1\n", {}, r"several columns of SMILES \(a_smiles, b_smiles\)"),
        ("smiles,y\nCCO,1\n", {"smiles_column": "smile"}, "no column 'smile': did you mean 'smiles'"),
        ("smiles,y\nCCO,1\n", {"columns": ["z"]}, "no column 'z'"),
        ("smiles,y\nCCO,1\n", {"columns": ["y", "y"]}, "must be different"),
        ("smiles,y\nCCO,1\n", {"columns": ["smiles"]}, "none of them 'smiles'"),
        ("smiles,y\nCCO,1\n", {"columns": []}, "no column of numbers"),
        ("smiles,mol_id,y\nCCO,1,text\n", {}, "no column of numbers besides its identifiers"),
    ],
)
def test_tables_that_are_no_task_sets(tmp_path, text, options, words):
    with pytest.raises(EvaluationError, match=words):
        read_task_set(write(tmp_path / "t.csv", text), **options)


def test_what_is_no_table(tmp_path):
    with pytest.raises(SourceError, match="header and no rows"):
        read_task_set(write(tmp_path / "t.csv", "smiles,y\n"))
    with pytest.raises(SourceError, match="ends in none of"):
        read_task_set(write(tmp_path / "t.doc", "smiles,y\n"))
