"""Tables of expression: genes as columns or rows, chosen genes, flawed rows, from written and real files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.sections.base import TableReader
from infoalign_dgl.context.sections.expression import ExpressionTable, read_expression
from infoalign_dgl.context.sections.genes import GeneIdTable, read_gene_ids
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.genes import GeneNames

BY_COLUMN = {"file": "e.csv", "space": "l1000", "id": "drug", "ids_of": "mine"}
BY_ROW = {"file": "e.csv", "space": "l1000", "ids_of": "mine", "orientation": "genes-as-rows", "gene": "pr"}


@pytest.fixture
def names():
    found = GeneNames()
    for symbol, entrez, status in (
        ("CDK2", "1017", "landmark"),
        ("HLA-DMA", "3108", "landmark"),
        ("TP53", "7157", "inferred"),
    ):
        found.add(symbol, entrez)
        found.status_of[entrez] = status
    return found


def read(folder, text, names=None, **keys):
    (folder / "e.csv").write_text(text)
    table = ExpressionTable(**keys)
    return read_expression(TableReader("expression", table, folder), table, names or GeneNames())


def test_genes_as_rows_are_the_transpose(tmp_path, names):
    frame = pd.DataFrame(
        np.random.default_rng(0).normal(size=(4, 3)),
        index=pd.Index(["10", "20.0", "30", "10"], name="drug"),
        columns=["HLA.DMA", "TP53", "CDK2"],
    )
    by_column = read(tmp_path, frame.to_csv(), names, **BY_COLUMN, genes="symbol")
    other = frame.iloc[:3].T.rename_axis("pr")
    by_row = read(tmp_path, other.to_csv(), names, **BY_ROW, genes="symbol")
    assert by_row.columns == by_column.columns == ["3108", "7157", "1017"]
    np.testing.assert_array_equal(by_row.values, by_column.values[:3])
    assert by_row.molecules.values == by_column.molecules.values[:3] == ["10", "20", "30"]
    assert (by_row.molecules.kind, by_row.molecules.ids_of) == ("id", "mine")
    assert by_row.numbers.tolist() == [2, 3, 4]  # columns of the file, after the one of the genes
    assert by_row.account.rows == 3
    assert "columns" in by_row.account.notes["row_numbers"]
    assert by_column.account.notes["duplicated_rows"]["rows"] == 0


def test_rows_of_unknown_and_repeated_genes_are_reported(tmp_path):
    text = "pr,d1,d2\n5,1,2\nnone,3,4\n5.0,5,\n,7,8\nX9,9,10\n5,30,4\n"
    rows = read(tmp_path, text, **BY_ROW)
    assert rows.columns == ["5", "9"]
    assert rows.values.tolist() == [[5, 9], [3, 10]]  # the medians of 1, 5, 30 and of 2, 4
    assert rows.account.notes["unknown_genes"] == ["none", ""]
    assert rows.account.notes["repeated_genes"] == ["5", "5", "5.0"]


@pytest.mark.parametrize("only", ["landmark", ["CDK2", "HLA.DMA"]])
def test_chosen_genes(tmp_path, names, only):
    text = "drug,TP53,HLA.DMA,CDK2\n1,1,2,3\n"
    rows = read(tmp_path, text, names, **BY_COLUMN, genes="symbol", genes_only=only)
    assert rows.columns == ["3108", "1017"]
    assert rows.values.tolist() == [[2, 3]]
    assert rows.account.notes["left_out_genes"] == 1


def test_entrez_ids_mangled_by_r_and_floats(tmp_path):
    rows = read(tmp_path, "drug,X1017,7157.0,Gene::5\n1,1,2,3\n", **BY_COLUMN)
    assert rows.columns == ["1017", "7157", "5"]


def test_status_and_synonyms_come_from_the_table_of_genes(tmp_path):
    (tmp_path / "g.csv").write_text(
        "symbol,entrez,other,space\nCDK2,1017,p33|CDKN2,landmark\n"
        "TP53,7157,p53| p33,inferred\nB4GAT1,11041,B3GNT1,\n"
    )
    table = GeneIdTable(file="g.csv", symbol="symbol", entrez="entrez", synonyms="other", status="space")
    names = GeneNames()
    read_gene_ids(TableReader("gene_ids", table, tmp_path), table, names)
    assert names.status_of == {"1017": "landmark", "7157": "inferred"}
    text = "drug,CDKN2,p53,p33,B3GNT1\n1,1,2,3,4\n"
    rows = read(tmp_path, text, names, **BY_COLUMN, genes="symbol")
    assert rows.columns == ["1017", "7157", "11041"]
    assert rows.account.notes["unknown_genes"] == ["p33"]  # of two genes: it names neither


def test_duplicated_and_outlying_rows_are_reported_not_dropped(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 6))
    values[7] = values[3]
    values[20, 2] = -200
    text = pd.DataFrame(values, columns=[str(i + 1) for i in range(6)]).rename_axis("drug").to_csv()
    rows = read(tmp_path, text, **BY_COLUMN, aggregate="mean")
    assert len(rows.values) == 40
    assert rows.account.notes["duplicated_rows"] == {"rows": 1, "listed": [[9, 5]]}
    far = rows.account.notes["outlying_rows"]
    assert (far["rows"], far["listed"]) == (1, [[22, 200.0]])
    largest = np.abs(values).max(axis=1)
    middle = np.median(largest)
    assert far["above"] == pytest.approx(middle + 10 * 1.4826 * np.median(np.abs(largest - middle)))
    assert rows.rules.aggregate == "mean"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"genes_only": "landmarks", "genes": "symbol"}, "no status of a gene.*did you mean 'landmark'"),
        ({"genes_only": ["NOPE"], "genes": "symbol"}, "'NOPE', which is no gene by symbol"),
        ({"genes_only": ["7157"]}, "no column of a gene that genes_only asks for, and 1 of other genes"),
        ({"genes": "symbol"}, "no column that names a gene by symbol"),
    ],
)
def test_mistakes_are_named(tmp_path, names, keys, said):
    with pytest.raises(SpecError, match=said):
        read(tmp_path, "drug,1017\n1,2\n", names, **BY_COLUMN, **keys)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({**BY_ROW, "gene": None}, "needs 'gene'"),
        ({**BY_ROW, "id": "drug"}, "'id' is about rows that are profiles"),
        ({**BY_ROW, "dose": "d"}, "'dose' is about rows"),
        ({**BY_COLUMN, "gene": "pr"}, "is for 'genes-as-rows'"),
        ({"file": "e.csv", "space": "l1000"}, "exactly one of 'smiles', 'inchi' and 'id'"),
    ],
)
def test_keys_that_do_not_go_together(keys, said):
    with pytest.raises(ValidationError, match=said):
        ExpressionTable(**keys)


def test_real_signatures(data_root):
    table = GeneIdTable(
        file="context/ids/l1000_genes.tsv.gz", symbol="symbol", entrez="entrez_gene_id", status="status"
    )
    names = GeneNames()
    read_gene_ids(TableReader("gene_ids", table, data_root), table, names)
    table = ExpressionTable(
        file="context/expression/l1000_consensi_drugbank.tsv.gz",
        space="l1000",
        id="perturbagen",
        ids_of="drugbank",
        genes_only="measured",
    )
    rows = read_expression(TableReader("expression", table, data_root), table, names)
    assert rows.values.shape == (1160, 978)
    notes = rows.account.notes
    frame = pd.read_csv(data_root / table.file, sep="\t").drop(columns="perturbagen")
    assert notes["duplicated_rows"]["rows"] == int(frame.duplicated().sum()) > 0
    assert max(value for _, value in notes["outlying_rows"]["listed"]) > 200
    assert notes["left_out_genes"] == 0


def test_signatures_of_a_gct_file_become_a_profile_per_compound(tmp_path):
    (tmp_path / "level5.gct").write_text(
        "#1.3\n3\t4\t1\t3\n"
        "id\tpr_gene_symbol\ts1\ts2\ts3\ts4\n"
        "pert_id\tna\tBRD-1\tBRD-1\tBRD-2\tBRD-1\n"
        "pert_dose\tna\t10\t0.5\t1\t10.0\n"
        "rna_plate\tna\tp1\tp1\tp2\tp2\n"
        "1017\tCDK2\t1\t9\t-1\t3\n"
        "7157\tTP53\t2\t9\t-2\t4\n"
        "3108\tHLA-DMA\t3\t9\t0\t5\n"
    )
    (tmp_path / "m.csv").write_text("id,smiles\nBRD-1,CCO\nBRD-2,CCC\n")
    (tmp_path / "spec.toml").write_text(
        '[[molecules]]\nname = "broad"\nfile = "m.csv"\nid = "id"\nsmiles = "smiles"\n'
        '[[expression]]\nspace = "l1000"\nfile = "level5.gct"\nid = "pert_id"\nids_of = "broad"\n'
        'dose = "pert_dose"\nplate = "rna_plate"\naggregate = "strongest-dose"\n'
    )
    graph = build_context_graph(tmp_path / "spec.toml")
    space, nodes = graph.spaces["l1000"], graph.nodes["gene_expression"]
    assert space.columns == ["1017", "3108", "7157"]
    of_ethanol = nodes["molecule"].to_numpy() == "LFQSCWFLJHTTHZ"
    raw = space.inverse_transform(space.dense(space.node_rows))
    np.testing.assert_allclose(raw[of_ethanol], [[2, 4, 3]], atol=1e-6)
    assert nodes[of_ethanol][["replicates", "plate", "dose"]].to_numpy().tolist() == [[2, "p1;p2", "10"]]
    (account,) = (table for table in graph.report["tables"] if table["kind"] == "expression")
    assert account["dropped"] == {"below its molecule's strongest dose": 1}
    assert (account["rows"], account["used"]) == (4, 3)
