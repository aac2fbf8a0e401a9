"""Networks: Hetionet's table of many metaedges, and scores turned into weights."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.sections.networks import share_of_max
from infoalign_dgl.context.spec import BuildSpec, read_spec
from infoalign_dgl.errors import SourceError, SpecError

MOLECULES = "id,smiles\nDB1,CCO\nDB2,c1ccccc1O\n"
NETWORK = """source\tmetaedge\ttarget
Gene::1\tGiG\tGene::2
Gene::2\tGiG\tGene::1
Gene::3\tGiG\tGene::3
Gene::1\tGcG\tGene::2
Gene::1\tGr>G\tGene::2
Gene::2\tGr>G\tGene::1
Compound::DB1\tCbG\tGene::1
Compound::DB1\tCuG\tGene::2
Compound::DB2\tCdG\tGene::2
Compound::DB1\tCdG\tGene::2
Compound::DB9\tCdG\tGene::2
Disease::DOID:1\tDaG\tGene::7
Gene::1\tGpBP\tBiological Process::GO:1
Anatomy::UBERON:1\tGiG\tGene::1
"""
MOLECULE_TABLE = {"name": "drugs", "file": "molecules.csv", "id": "id", "smiles": "smiles"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "molecules.csv").write_text(MOLECULES)
    (tmp_path / "edges.sif.gz").write_bytes(gzip.compress(NETWORK.encode()))
    return tmp_path


def build(folder, **sections):
    return build_context_graph(BuildSpec(molecules=[MOLECULE_TABLE], **sections), data_root=folder)


def named_edges(graph, kind):
    """Edges of one type as a set of (source, target) keys."""
    src, dst, _ = graph.edges(kind)
    names = [graph.nodes[kind[i]]["smiles" if kind[i] == "molecule" else "key"].to_numpy() for i in (0, 2)]
    return sorted(zip(names[0][src], names[1][dst], strict=True))


def account(graph, table):
    found = [t for t in graph.report["tables"] if t["table"] == table]
    assert len(found) == 1  # one account for all kinds of edges
    return found[0]


def test_metaedges_become_edge_types(folder):
    graph = build(folder, networks=[{"file": "edges.sif.gz", "ids_of": "drugs"}])
    assert named_edges(graph, ("gene", "interacts", "gene")) == [("1", "2")]
    assert named_edges(graph, ("gene", "covaries", "gene")) == [("1", "2")]
    assert named_edges(graph, ("gene", "regulates", "gene")) == [("1", "2"), ("2", "1")]  # directed
    assert named_edges(graph, ("molecule", "binds", "gene")) == [("CCO", "1")]
    assert named_edges(graph, ("molecule", "regulates", "gene")) == [("CCO", "2"), ("Oc1ccccc1", "2")]
    for kind in graph.num_edges:
        assert (graph.edges(kind)[2] == 1).all()
    assert graph.nodes["gene"]["key"].tolist() == ["1", "2"]
    table = account(graph, "edges.sif.gz")
    assert table["dropped"] == {
        "metaedge DaG not chosen": 1,
        "metaedge GpBP not chosen": 1,
        "not an Entrez id": 1,
        "self-loop": 1,
        "unknown molecule id": 1,
    }
    assert table["rows_by_metaedge"] == {"GiG": 4, "GcG": 1, "Gr>G": 2, "CbG": 1, "CuG": 1, "CdG": 3}
    assert (table["rows"], table["used"], table["merged"]) == (14, 9, 2)
    assert table["listed"]["unknown molecule id"] == [[12, "DB9"]]


def test_chosen_metaedges_only(folder):
    graph = build(folder, networks=[{"file": "edges.sif.gz", "metaedges": ["GcG"]}])
    assert {kind: count for kind, count in graph.num_edges.items() if count} == {
        ("gene", "covaries", "gene"): 1
    }
    table = account(graph, "edges.sif.gz")
    assert table["dropped"]["metaedge GiG not chosen"] == 4
    assert table["used"] + sum(table["dropped"].values()) == table["rows"] == 14


def test_other_column_names_and_an_empty_metaedge(folder):
    (folder / "other.tsv").write_text("a\tkind\tb\n1\tGiG\tGene::2.0\n1\t\t3\n")
    columns = {"source": "a", "metaedge": "kind", "target": "b", "metaedges": ["GiG"]}
    graph = build(folder, networks=[{"file": "other.tsv", **columns}])
    assert named_edges(graph, ("gene", "interacts", "gene")) == [("1", "2")]
    assert account(graph, "other.tsv")["dropped"] == {"no metaedge": 1}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "metaedges CbG, CuG, CdG need 'ids_of'"),
        ('metaedges = ["GiG", "CrC"]', r"key 'metaedges.1' is 'CrC': input should be 'GiG'"),
        ("metaedges = []", "should have at least 1 item"),
        ('ids_of = "drug"', r"names no table with ids: did you mean 'drugs'\?"),
    ],
)
def test_what_a_network_needs(folder, text, complaint):
    spec = folder / "spec.toml"
    molecules = "\n".join(f'{key} = "{value}"' for key, value in MOLECULE_TABLE.items())
    spec.write_text(f'[[molecules]]\n{molecules}\n[[networks]]\nfile = "edges.sif.gz"\n{text}\n')
    with pytest.raises(SpecError, match=complaint):
        read_spec(spec)


def test_a_network_without_its_columns_is_named(folder):
    with pytest.raises(SpecError, match=r"has metaedge = 'metaedge', which is no column"):
        build(folder, networks=[{"file": "molecules.csv", "ids_of": "drugs", "source": "id", "target": "id"}])


def test_shares_against_a_loop():
    rng = np.random.default_rng(0)
    groups = rng.choice(["a", "b", "c", None], 50).tolist()
    scores = rng.normal(size=50)
    scores[[3, 7]] = np.nan
    found = share_of_max(groups, scores)
    for group, score, weight in zip(groups, scores, found, strict=True):
        others = [abs(s) for g, s in zip(groups, scores, strict=True) if g == group and not np.isnan(s)]
        assert weight == pytest.approx(abs(score) / max(others), nan_ok=True)
    assert share_of_max(["a", "a"], np.zeros(2)).tolist() == [0, 0]
    assert len(share_of_max([], np.zeros(0))) == 0


@pytest.mark.parametrize(
    ("rule", "genes", "molecules"),
    [
        ("share-of-max", [1.0, 0.5, 1.0], [0.25, 1.0, 1.0]),
        ("share-of-table-max", [0.8, 0.4, 1.0], [0.1, 0.4, 1.0]),
    ],
)
def test_scores_become_weights(folder, rule, genes, molecules):
    (folder / "genes.tsv").write_text("from\tto\tz\n1\t2\t-4\n1\t3\t2\n2\t3\t5\n")
    (folder / "drugs.tsv").write_text("drug\tgene\tscore\nDB1\t1\t100\nDB1\t2\t-400\nDB2\t2\t1000\n")
    graph = build(
        folder,
        gene_gene=[
            {"kind": "regulates", "file": "genes.tsv", "source": "from", "target": "to"}
            | {"weight": "z", "weight_rule": rule}
        ],
        molecule_gene=[
            {"kind": "binds", "file": "drugs.tsv", "id": "drug", "ids_of": "drugs", "gene": "gene"}
            | {"weight": "score", "weight_rule": rule}
        ],
    )
    np.testing.assert_allclose(graph.edges(("gene", "regulates", "gene"))[2], genes, rtol=1e-6)
    src, dst, weight = graph.edges(("molecule", "binds", "gene"))
    names = graph.nodes["molecule"]["smiles"].to_numpy()[src]
    found = {(name, int(gene)): value for name, gene, value in zip(names, dst, weight, strict=True)}
    expected = dict(zip([("CCO", 0), ("CCO", 1), ("Oc1ccccc1", 1)], molecules, strict=True))
    assert found == pytest.approx(expected)
    whole = "table" if rule == "share-of-table-max" else "source"
    assert account(graph, "genes.tsv")["weight_rule"] == f"|z| / the largest |z| of the {whole}"


def test_scores_are_no_weights_by_themselves(folder):
    (folder / "genes.tsv").write_text("from\tto\tz\n1\t2\t0.5\n1\t3\t2\n")
    table = {"kind": "regulates", "file": "genes.tsv", "source": "from", "target": "to"}
    with pytest.raises(
        SourceError, match=r"row 3 has the weight 2, .*turn its scores into weights with weight_rule"
    ):
        build(folder, gene_gene=[{**table, "weight": "z"}])
    with pytest.raises(ValueError, match="weight_rule = 'share-of-max' needs 'weight'"):
        BuildSpec(molecules=[MOLECULE_TABLE], gene_gene=[{**table, "weight_rule": "share-of-max"}])


def test_hetionet_as_published(data_root, tmp_path):
    """Every metaedge of the published table becomes its edge type, counted with pandas."""
    path = data_root / "context/network/hetionet_v1_edges_5k.sif.gz"
    rows = pd.read_csv(path, sep="\t", dtype=str)
    bound = rows[rows["metaedge"] == "CbG"]
    ids = bound["source"].str.removeprefix("Compound::").unique()[:200]
    frame = pd.DataFrame({"id": ids, "smiles": ["C" * (i + 1) for i in range(len(ids))]})
    frame.to_csv(tmp_path / "molecules.csv", index=False)
    (tmp_path / path.name).symlink_to(path)
    graph = build(tmp_path, networks=[{"file": path.name, "ids_of": "drugs"}])
    for code, relation in (("GiG", "interacts"), ("GcG", "covaries")):
        part = rows[(rows["metaedge"] == code) & (rows["source"] != rows["target"])]
        pairs = {frozenset(pair) for pair in zip(part["source"], part["target"], strict=True)}
        assert graph.num_edges["gene", relation, "gene"] == len(pairs)
    known = rows["source"].str.removeprefix("Compound::").isin(ids)
    changed = rows[rows["metaedge"].isin(["CuG", "CdG"]) & known]
    expected = changed.drop_duplicates(["source", "target"])
    assert graph.num_edges["molecule", "regulates", "gene"] == len(expected)
    assert graph.num_edges["molecule", "binds", "gene"] == (known & (rows["metaedge"] == "CbG")).sum()
    table = account(graph, path.name)
    counts = rows["metaedge"].value_counts()
    unchosen = {code: n for code, n in counts.items() if code not in table["rows_by_metaedge"]}
    assert {f"metaedge {c} not chosen": n for c, n in unchosen.items()}.items() <= table["dropped"].items()
    assert table["used"] + sum(table["dropped"].values()) == table["rows"] == len(rows)
