"""The published implementation's raw folder, written small, and ways in which it can be broken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.reference_layout import read_reference_layout

SMILES = ["CCO", "Oc1ccccc1", "CC(=O)O", "CCN"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)

    def table(name, frame, width=0):
        frame.to_csv(tmp_path / f"{name}.csv.gz", index=False)
        if width:
            np.savez(
                tmp_path / f"{name}_feature.npz", data=rng.normal(size=(len(frame), width)).astype(np.float32)
            )

    table("structure", pd.DataFrame({"mol_id": [1.0, 2.0, 3.0, 4.0, 2.0], "smiles": [*SMILES, SMILES[1]]}))
    table("CP-Bray", pd.DataFrame({"cell_bid": ["a", "b", "c"], "mol_id": [1, 2, 2]}), 5)
    table("CP-JUMP", pd.DataFrame({"cell_jid": ["a", "b"], "mol_id": [2, None]}), 4)
    table("G-CRISPR", pd.DataFrame({"ncbi_gene_id": [11, 12, 13], "mol_id": [None, 3, None]}), 3)
    table("G-ORF", pd.DataFrame({"ncbi_gene_id": [12, 14], "mol_id": [3, 9]}), 2)
    table("GE", pd.DataFrame({"express_id": ["e1", "e2"], "mol_id": [1, 4]}), 100)
    table("G-G", pd.DataFrame({"source_id": [11, 14, 12, 50], "target_id": [12, 12, 14, 11]}))
    genes = {"ncbi_gene_id": [11.0, 14.0, *np.arange(1000, 1098)]}
    pd.DataFrame(genes).to_csv(tmp_path / "L1k_idmaps.csv", index=False)
    data = np.load(tmp_path / "GE_feature.npz")["data"]
    data[0, 1] = 50  # the largest value of all: molecule 1 regulates gene 14
    data[1, 7] = -40  # the second, of a gene that was not perturbed
    np.savez(tmp_path / "GE_feature.npz", data=data)
    return tmp_path


def test_rows_are_aligned_with_their_matrices(folder):
    rows = read_reference_layout(folder)
    assert [(t.space, t.values.shape) for t in rows.profiles] == [
        ("bray", (3, 5)),
        ("jump", (2, 4)),
        ("l1000", (2, 100)),
    ]
    assert [(t.space, t.values.shape) for t in rows.gene_profiles] == [("crispr", (3, 3)), ("orf", (2, 2))]
    assert rows.profiles[1].molecules.values == ["2", None]
    assert rows.profiles[2].columns[:3] == ["11", "14", "1000"]
    bray = np.load(folder / "CP-Bray_feature.npz")["data"]
    np.testing.assert_array_equal(rows.profiles[0].values, bray.astype(np.float64))


def test_the_graph(folder):
    graph = build_context_graph(f"reference:{folder}")
    assert graph.num_nodes == {"molecule": 4, "gene": 4, "gene_expression": 2, "morphology": 3}
    assert graph.nodes["gene"]["key"].tolist() == ["11", "12", "13", "14"]
    np.testing.assert_array_equal(graph.spaces["crispr"].node_rows, [0, 1, 2, -1])
    np.testing.assert_array_equal(graph.spaces["orf"].node_rows, [-1, 0, -1, 1])
    assert graph.num_edges["gene", "interacts", "gene"] == 2  # 14-12 and 12-14 are one; 50 was not perturbed
    assert graph.num_edges["molecule", "binds", "gene"] == 1  # the same in both tables
    (src,), (dst,), (weight,) = graph.edges(("molecule", "regulates", "gene"))
    assert graph.nodes["molecule"]["smiles"][src] == "CCO"
    assert graph.nodes["gene"]["key"][dst] == "14"
    assert weight == 1  # scaled by the profile's own largest value
    assert graph.report["expression_edges"]["l1000"]["unknown_genes"] == 1
    tables = {(t["table"], t["kind"]): t for t in graph.report["tables"]}
    assert tables["structure.csv.gz", "molecules"]["merged"] == 1
    assert tables["CP-JUMP.csv.gz", "morphology"]["dropped"] == {"no molecule id": 1}
    assert tables["G-ORF.csv.gz", "molecule_gene"]["dropped"] == {"unknown molecule id": 1}
    for table in graph.report["tables"]:
        assert table["used"] + sum(table["dropped"].values()) == table["rows"]


@pytest.mark.parametrize(
    "name", ["structure.csv.gz", "GE_feature.npz", "L1k_idmaps.csv", "G-ORF.csv.gz", "G-CRISPR_feature.npz"]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(SourceError, match=name):
        read_reference_layout(folder)


def test_what_does_not_fit_is_named(folder):
    path = folder / "CP-Bray_feature.npz"
    good = path.read_bytes()
    np.savez(path, data=np.zeros((2, 5)))
    with pytest.raises(SourceError, match=r"CP-Bray_feature\.npz' holds float64 of shape \(2, 5\).*3 rows"):
        read_reference_layout(folder)
    np.savez(path, features=np.zeros((3, 5)))
    with pytest.raises(SourceError, match=r"no array 'data' but \['features'\]"):
        read_reference_layout(folder)
    np.savez(path, data=np.array([[object()]] * 3))
    with pytest.raises(SourceError, match=r"CP-Bray_feature\.npz' cannot be read"):
        read_reference_layout(folder)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(SourceError, match=r"CP-Bray_feature\.npz' cannot be read"):
        read_reference_layout(folder)


def test_expression_columns_must_be_genes(folder):
    path = folder / "L1k_idmaps.csv"
    path.write_text("ncbi_gene_id\n" + "\n".join(str(i) for i in range(1, 100)) + "\n")
    with pytest.raises(SourceError, match=r"names 99 genes where 'GE_feature\.npz' has 100 columns"):
        read_reference_layout(folder)
    path.write_text("ncbi_gene_id\n1\n2\n1.0\n" + "\n".join(str(i) for i in range(3, 100)) + "\n")
    with pytest.raises(SourceError, match="row 4 has the Entrez id 1 a second time"):
        read_reference_layout(folder)


def test_no_folder(tmp_path):
    with pytest.raises(SourceError, match="is not a folder"):
        build_context_graph(f"reference:{tmp_path / 'nowhere'}")
