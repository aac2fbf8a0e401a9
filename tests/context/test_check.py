"""A check lists it all at once: each table and key that is wrong, and the rows that a build would drop."""

from __future__ import annotations

import re

import pytest

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.check import COLUMN_KEYS, FILTER_KEYS, check_spec
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.sections.base import Table
from infoalign_dgl.context.spec import BuildSpec
from infoalign_dgl.sources.tables import read_table

TABLES = {
    "m.csv": "id,smiles\n1,CCO\n2,c1ccccc1O\n3,CC(=O)O\n4,CCN\n",
    "p.csv": "id,plate,Cells_a,Cells_b,Cells_c,Cells_d\n1,x,1,2,3,4\n2,y,3,4,1,9\n3,y,5,1,1,2\n4,y,1,1,7,0\n",
    "e.csv": "id,1017,1019,5\n1,0.5,1,2\n2,1,4,1\n3,7,1,3\n",
    "g.csv": "a,b,w\n1017,1019,0.5\n5,1017,1\n",
    "s.csv": "id,gene,score\n1,5,0.5\n2,5,0.25\n",
}
SPEC = """
[[molecules]]
name = "mine"
file = "m.csv"
id = "id"
smiles = "smiles"
[[morphology]]
file = "p.csv"
space = "p"
id = "id"
ids_of = "mine"
features = ["Cells_*"]
[[expression]]
file = "e.csv"
space = "e"
id = "id"
ids_of = "mine"
[[gene_gene]]
file = "g.csv"
kind = "interacts"
source = "a"
target = "b"
weight = "w"
[[molecule_gene]]
file = "s.csv"
kind = "binds"
id = "id"
ids_of = "mine"
gene = "gene"
weight = "score"
"""


@pytest.fixture
def run(tmp_path):
    def check(spec=SPEC, **tables):
        for name, text in TABLES.items():
            (tmp_path / name).write_text(tables.pop(name[0], text))
        for name, text in tables.items():
            (tmp_path / f"{name}.csv").write_text(text)
        (tmp_path / "spec.toml").write_text(spec)
        return check_spec(tmp_path / "spec.toml", means=Means(num_workers=1))

    return check


def texts(findings):
    return "\n".join(finding.message for finding in findings)


def test_nothing_is_wrong_with_good_tables(run, tmp_path):
    checked = run()
    assert (texts(checked.problems), texts(checked.remarks)) == ("", "")
    assert [account.used for account in checked.tables] == [4, 4, 3, 2, 2]
    assert build_context_graph(tmp_path / "spec.toml").num_nodes["molecule"] == 4


def test_every_mistake_of_the_spec_is_listed_with_those_of_its_files(run):
    wrong = SPEC.replace('smiles = "smiles"', 'smile = "smiles"').replace('kind = "binds"', 'kind = "bonds"')
    wrong = wrong.replace('source = "a"\n', "").replace('file = "e.csv"', 'file = "f.csv"')
    wrong = wrong.replace('["Cells_*"]', '["Cell_*", "Cells_*", "Nuclei_*"]\nplate = "Plate"\nwell = "well"')
    wrong += "[similarity]\nthreshold = 2\n[grpah]\n"
    checked = run(wrong)
    found = texts(checked.problems)
    for expected in (
        r"\[\[molecules\]\] 'mine' has no key 'smile': did you mean 'smiles'",
        r"\[\[molecule_gene\]\] 's\.csv' key 'kind' is 'bonds'",
        r"\[\[gene_gene\]\] 'g\.csv' lacks the key 'source'",
        r"\[similarity\] key 'threshold' is 2",
        r"the spec has no key 'grpah': did you mean 'graph'",
        r"f\.csv' does not exist",
        r"p\.csv' has no column that matches 'Cell_\*'",
        r"p\.csv' has no column that matches 'Nuclei_\*'",
        r"'p\.csv' has plate = 'Plate', which is no column of that table: did you mean 'plate'",
        r"'p\.csv' has well = 'well', which is no column",
    ):
        assert re.search(expected, found), expected
    assert len(checked.problems) == 10
    assert "ids_of" not in found  # 'mine' is wrong by itself, which says enough


def test_tables_that_contradict_one_another_are_all_listed(run):
    both = SPEC + SPEC.split("[[gene_gene]]")[0].replace('space = "e"', 'space = "p"')
    found = texts(run(both.replace('ids_of = "mine"\nfeatures', 'ids_of = "mime"\nfeatures')).problems)
    assert "two tables are named 'mine'" in found
    assert found.count("ids_of = 'mime', which names no table with ids: did you mean 'mine'?") == 1
    assert "space 'p' is in [[morphology]] and in [[expression]]" in found


def test_unreadable_tables_are_listed_and_those_that_need_them_are_left_aside(run):
    checked = run(m="id,smiles\n1,CCO,x\n", g="a,b,w\n")
    assert len(checked.problems) == 2
    assert "m.csv' is ragged: row 2 has 3 fields" in texts(checked.problems)
    assert "g.csv' has a header and no rows" in texts(checked.problems)
    assert len(checked.remarks) == 3
    for name in "pes":
        assert f"'{name}.csv' was not looked into, since it needs the ids of 'mine'" in texts(checked.remarks)


def test_rows_that_a_build_would_drop_are_counted_and_the_first_ones_listed(run, tmp_path):
    checked = run(
        m=TABLES["m.csv"] + "5,nonsense\n6,C(C)(C)(C)(C)C\n1,CCCC\n7,\n",
        p=TABLES["p.csv"] + "9,x,1,2,3,4\n,x,1,2,3,4\n1,x,,,,\n",
        g=TABLES["g.csv"] + "5,5,1\nTP53,5,1\n",
    )
    assert checked.problems == []
    remarks = {finding.message: finding for finding in checked.remarks}

    def one(pattern):
        (found,) = [finding for text, finding in remarks.items() if re.search(pattern, text)]
        return found.count, [row for row, _ in found.rows]

    assert one(r"m\.csv' would lose 1 of 8 rows: structure does not parse as SMILES \('smiles'\)") == (1, [6])
    assert one("breaks a rule of chemistry") == (1, [7])
    assert one(r"duplicated id: another row has another structure \('id'\), row 2 '1'") == (1, [2])
    assert one("no structure") == (1, [9])
    assert one("unknown molecule id") == (1, [6])
    assert one("no molecule id") == (1, [7])
    assert one("no finite feature") == (1, [8])
    assert one("not an Entrez id") == (1, [5])
    assert one("self-loop") == (1, [4])
    report = build_context_graph(tmp_path / "spec.toml").report["tables"]
    assert [account.to_json() for account in checked.tables] == [
        {**table, "merged": account.merged} for table, account in zip(report, checked.tables, strict=True)
    ]


def test_cells_that_are_no_numbers_are_named(run):
    checked = run(p=TABLES["p.csv"].replace("5,1,1,2", "5,high,1,low").replace("x,1,2", "x,high,2"))
    (remark,) = [finding for finding in checked.remarks if "no numbers" in finding.message]
    assert remark.count == 3
    assert sorted(remark.rows) == [[2, "Cells_a: high"], [4, "Cells_b: high"], [4, "Cells_d: low"]]
    assert "'Cells_a' (1)" in remark.message
    lost = next(finding for finding in checked.remarks if "would lose 3 columns" in finding.message)
    assert "'Cells_a' (25%)" in lost.message


def test_only_columns_with_such_cells_are_read_again_and_only_rows_that_are_used_count(run, monkeypatch):
    read = []

    def reading(path, *, text=(), **more):
        read.append(list(text))
        return read_table(path, text=text, **more)

    monkeypatch.setattr("infoalign_dgl.context.check.read_table", reading)
    spec = SPEC.replace('["Cells_*"]', '["Cells_*"]\nwhere_not = { plate = ["x"] }')
    wrong = TABLES["p.csv"].replace("1,x,1,2", "1,x,high,NA").replace("5,1,1,2", "5,low,1,2")
    checked = run(spec, p=wrong)
    (remark,) = [finding for finding in checked.remarks if "no numbers" in finding.message]
    assert (remark.count, remark.rows) == (1, [[4, "Cells_b: low"]])
    assert read == [["Cells_a", "Cells_b"]]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("1.5", "the weight 1.5, which is not in"),
        ("-0.1", "the weight -0.1"),
        ("x", "no number as weight"),
    ],
)
def test_weights_outside_their_range_are_problems_of_each_table(run, weight, message):
    checked = run(g=TABLES["g.csv"] + f"5,1019,{weight}\n", s=TABLES["s.csv"] + f"3,5,{weight}\n")
    assert [finding.file for finding in checked.problems] == ["g.csv", "s.csv"]
    for finding in checked.problems:
        assert f"row 4 has {message}" in finding.message


def test_tables_that_cannot_share_their_space_and_scopes_of_none(run):
    spec = SPEC + '[[morphology]]\nfile = "q.csv"\nspace = "p"\nsmiles = "s"\nfeatures = ["Cells_*"]\n'
    spec += "[similarity.scope]\npp = 'none'\n"
    checked = run(spec, q="s,Cells_a,Cells_x,Cells_y,Cells_z\nCCO,1,2,3,4\nCCN,2,2,1,9\n")
    assert "[similarity] scope names feature space 'pp': did you mean 'p" in texts(checked.problems)
    assert "'q.csv' has 25.0% of the columns of feature space 'p'" in texts(checked.remarks)


def test_a_table_that_would_give_nothing_is_a_problem(run):
    checked = run(e=TABLES["e.csv"].replace("\n1,", "\nA,").replace("\n2,", "\nB,").replace("\n3,", "\nC,"))
    assert [finding.file for finding in checked.problems] == [None, "e.csv"]
    assert "would contribute nothing: of its 3 rows 3" in texts(checked.problems)
    nothing = run('[[molecules]]\nname = "a"\nfile = "m.csv"\nsmiles = "smiles"\n', m="smiles\nxx\nyy\n")
    assert "no row of any table names a molecule" in texts(nothing.problems)


def test_what_is_no_spec_is_one_problem(tmp_path):
    assert "does not exist" in texts(check_spec(tmp_path / "none.toml").problems)
    (tmp_path / "spec.toml").write_text("[[molecules]\n")
    assert "is not TOML" in texts(check_spec(tmp_path / "spec.toml").problems)
    (tmp_path / "spec.toml").write_text("[molecules]\nname = 'x'\n")
    found = texts(check_spec(tmp_path / "spec.toml").problems)
    assert "write [[molecules]] above each table" in found
    (tmp_path / "spec.toml").write_text("")
    assert "no table has molecules" in texts(check_spec(tmp_path / "spec.toml").problems)


def test_all_keys_that_can_name_a_column_are_known():
    """Whoever adds a key with text to a section says here whether it names a column."""
    not_columns = {"file", "format", "name", "ids_of", "space", "kind", "weight_rule", "genes", "orientation"}
    not_columns |= {"aggregate", "normalize", "genes_only"}
    for section, field in BuildSpec.model_fields.items():
        model = getattr(field.annotation, "__args__", [None])[0]
        if isinstance(model, type) and issubclass(model, Table):
            for key, value in model.model_fields.items():
                if "str" in str(value.annotation) and "list" not in str(value.annotation):
                    known = {*COLUMN_KEYS, *FILTER_KEYS, *not_columns, "aliases"}
                    assert key in known, (section, key)
