"""Specs: every mistake is one sentence that names the table, the key and the nearest thing that there is."""

from __future__ import annotations

import numpy as np
import pytest

from infoalign_dgl.context.sections.networks import share_of_max
from infoalign_dgl.context.spec import BuildSpec, read_spec
from infoalign_dgl.context.spec_rows import read_spec_rows
from infoalign_dgl.errors import SourceError, SpecError

MOLECULES = '[[molecules]]\nname = "mine"\nfile = "m.csv"\nid = "id"\nsmiles = "smiles"\n'
MORPHOLOGY = (
    '[[morphology]]\nfile = "p.csv"\nspace = "p"\nid = "id"\nids_of = "mine"\nfeatures = ["Cells_*"]\n'
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "m.csv").write_text("id,smiles\n1,CCO\n2,c1ccccc1O\n")
    (tmp_path / "p.csv").write_text("id,plate,Cells_a,Cells_b,note\n1,x,1,2,n\n2,y,3,4,n\n")
    (tmp_path / "e.csv").write_text("id,1017,CDK4,5\n1,0.5,1,2\n")
    (tmp_path / "g.csv").write_text("a,b,w\n1,2,0.5\n")
    return tmp_path


def check(folder, text):
    path = folder / "spec.toml"
    path.write_text(text)
    return read_spec_rows(read_spec(path), folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            MOLECULES.replace("smiles =", "smile ="),
            r"\[\[molecules\]\] 'mine'.*no key 'smile': did you mean 'smiles'",
        ),
        (MOLECULES + "[[moleculs]]\n", "no key 'moleculs': did you mean 'molecules'"),
        (
            MOLECULES + "[similarity]\ntreshold = 0.7\n",
            r"\[similarity\] has no key 'treshold': did you mean 'threshold'",
        ),
        (MOLECULES + "[similarity]\nthreshold = 1.7\n", r"\[similarity\] key 'threshold' is 1\.7"),
        (MOLECULES + "[graph]\nidentity = 'some'\n", r"\[graph\] key 'identity' is 'some'"),
        (MOLECULES.replace('file = "m.csv"\n', ""), r"\[\[molecules\]\] 'mine' lacks the key 'file'"),
        (MOLECULES.replace('smiles = "smiles"', ""), "exactly one of 'smiles' and 'inchi'"),
        (MOLECULES + MOLECULES, "two tables are named 'mine'"),
        (
            MOLECULES + MORPHOLOGY.replace('"mine"', '"mime"'),
            "'p.csv' has ids_of = 'mime'.*did you mean 'mine'",
        ),
        (MOLECULES + MORPHOLOGY.replace('ids_of = "mine"', ""), "'id' and 'ids_of'.*go together"),
        (MOLECULES + MORPHOLOGY.replace('"p"', '"a/b"'), "'a/b' will not do"),
        (MOLECULES + MORPHOLOGY.replace('"p"', '"fingerprint"'), "is not 'fingerprint'"),
        (
            MOLECULES
            + MORPHOLOGY
            + '[[expression]]\nfile = "e.csv"\nspace = "p"\nid = "id"\nids_of = "mine"\n',
            r"space 'p' is in \[\[morphology\]\] and in \[\[expression\]\]",
        ),
        ("", "no table has molecules"),
        ("[[molecules]\n", "is not TOML"),
        (MOLECULES.replace('id = "id"', 'id = "ID"'), r"'m\.csv' has id = 'ID'.*did you mean 'id'"),
        (MOLECULES.replace('"smiles"', '"SMILES"'), r"'m\.csv' has smiles = 'SMILES'.*did you mean 'smiles'"),
        (
            MOLECULES + MORPHOLOGY + "where_not = { plat = ['x'] }",
            r"where_not\.plat = 'plat'.*did you mean 'plate'",
        ),
        (
            MOLECULES
            + '[[expression]]\nfile = "e.csv"\nspace = "e"\nid = "id"\nids_of = "mine"\ngenes = "symbol"\n',
            r"'e\.csv' has no column that names a gene by symbol",
        ),
        (
            MOLECULES
            + '[[gene_gene]]\nfile = "g.csv"\nkind = "interacts"\nsource = "a"\ntarget = "b"\nweight = "v"\n',
            r"'g\.csv' has weight = 'v', which is no column of that table: there is: a, b, w",
        ),
        (
            MOLECULES + '[[gene_ids]]\nfile = "g.csv"\nsymbol = "a"\nentrez = "b"\naliases = { X = "Y" }\n',
            r"aliases\.X = 'Y', which is no symbol of that table",
        ),
    ],
)
def test_mistakes_name_table_key_and_nearest(folder, text, message):
    with pytest.raises(SpecError, match=message) as caught:
        check(folder, text)
    assert "\n" not in str(caught.value)


def test_missing_files_and_features_name_the_nearest(folder):
    with pytest.raises(SourceError, match=r"m1\.csv' does not exist: did you mean 'm\.csv'"):
        check(folder, MOLECULES.replace("m.csv", "m1.csv"))
    with pytest.raises(SourceError, match=r"p\.csv' has no column that matches 'Cell_\*'"):
        check(folder, MOLECULES + MORPHOLOGY.replace("Cells_", "Cell_"))
    with pytest.raises(SpecError, match=r"nowhere\.toml' does not exist"):
        read_spec(folder / "nowhere.toml")


def test_filtered_rows_keep_their_numbers_and_are_counted(folder):
    rows = check(folder, MOLECULES + MORPHOLOGY + 'where_not = { plate = ["x", "z"] }\n')
    table = rows.profiles[0]
    assert table.numbers.tolist() == [3]
    assert table.columns == ["Cells_a", "Cells_b"]
    assert table.values.tolist() == [[3.0, 4.0]]
    assert table.account.dropped == {"plate is x": 1}
    assert table.account.listed == {"plate is x": [[2, None]]}
    assert table.account.rows == 2


def test_expression_columns_become_entrez_ids(folder):
    text = (
        '[[gene_ids]]\nfile = "ids.csv"\nsymbol = "s"\nentrez = "e"\naliases = { PSK = "CDK4" }\n' + MOLECULES
    )
    text += '[[expression]]\nfile = "FILE"\nspace = "e"\nid = "id"\nids_of = "mine"\ngenes = "BY"\n'
    (folder / "ids.csv").write_text("s,e\nCDK4,1019.0\nHLA-DMA,3108\nBAD,none\n,77\n")
    (folder / "r.csv").write_text("id,HLA.DMA,PSK,CDK4,WHAT\n1,0.5,1,2,3\n")
    rows = check(folder, text.replace("FILE", "r.csv").replace("BY", "symbol"))
    assert rows.profiles[0].columns == ["3108", "1019"]
    assert rows.profiles[0].values.tolist() == [[0.5, 1.5]]  # of the columns PSK and CDK4 the median
    notes = rows.profiles[0].account.notes
    assert (notes["unknown_genes"], notes["repeated_genes"]) == (["WHAT"], ["CDK4", "PSK"])
    assert rows.other_accounts[0].used == 2
    assert rows.other_accounts[0].dropped == {"not an Entrez id": 1, "no symbol": 1}
    rows = check(folder, text.replace("FILE", "e.csv").replace("BY", "entrez"))
    assert rows.profiles[0].columns == ["1017", "5"]
    assert rows.symbols == {"1019": "CDK4", "3108": "HLA-DMA"}


def test_share_of_max_is_per_molecule():
    weights = share_of_max(["a", "b", "a", None, "b"], np.array([2.0, -4.0, -8.0, 0.0, np.nan]))
    assert weights[:4].tolist() == [0.25, 1.0, 1.0, 0.0]
    assert np.isnan(weights[4])


def test_a_spec_survives_its_own_dump():
    spec = BuildSpec.model_validate({"molecules": [{"name": "m", "file": "f.csv", "smiles": "s"}]})
    assert BuildSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_the_shipped_example_is_valid(data_root, request):
    spec = read_spec(request.config.rootpath / "examples" / "public.toml")
    assert len(spec.morphology) == 5
    for section in (
        "molecules",
        "crosswalks",
        "gene_ids",
        "morphology",
        "expression",
        "gene_gene",
        "molecule_gene",
    ):
        for table in getattr(spec, section):
            assert (data_root / "context" / table.file).is_file()


def test_a_misspelt_key_is_named_rather_than_the_one_it_stands_for(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text('[[molecules]]\nname = "mine"\nfiel = "m.csv"\nsmiles = "s"\n')
    with pytest.raises(SpecError, match=r"\[\[molecules\]\] 'mine' has no key 'fiel': did you mean 'file'"):
        read_spec(spec)
