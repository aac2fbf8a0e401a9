"""A graph small enough to compute by hand, and every kind of bad row."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import DataStructs, rdFingerprintGenerator

from infoalign_dgl.context import ContextGraph, build_context_graph, describe_node
from infoalign_dgl.context.means import Means
from infoalign_dgl.errors import GraphError, SourceError, SpecError

ETHANOL, PHENOL, ACETIC_ACID = "LFQSCWFLJHTTHZ", "ISWSIDIOOBJBQZ", "QTBSBXVTEAMEQO"

_BY_SPACE = [
    ("another", ETHANOL),
    ("another", ACETIC_ACID),
    ("painting", PHENOL),
    ("painting", ETHANOL),
    ("painting", ACETIC_ACID),
]
TABLES = {
    "molecules.csv": "id,smiles\n1,CCO\n2,Oc1ccccc1\n3,CC(=O)[O-].[Na+]\n3.0,CC(=O)O\n4,nonsense\n",
    # Medians of the ethanol rows: 1 2 3 4; correlation with phenol 0.8, with acetic acid -1.
    "morphology.csv": "id,Cells_a,Cells_b,Cells_c,Cells_d\n"
    "1,0,2,3,4\n1,2,2,3,4\n2,1,2,4,3\n3,8,6,4,2\n9,1,1,1,1\n",
    "expression.csv": "smiles,11,12,13,14,15\nOCC,10,-5,1,0,0\nOc1ccccc1,2,-4,8,1,0\nxx,1,1,1,1,1\n",
    "genes.csv": "gene,Nuclei_a,Nuclei_b,Nuclei_c\n11.0,1,2,4\n12,2,4,8\nabc,0,0,0\n",
    "interacts.csv": "a,b,w\n11,20,0.25\n20,11,0.5\n13,13,1\n11,TP53,1\n",
    "regulates.csv": "a,b,w\n11,20,0.125\n20,11,0.25\n11,20,0.5\n",
    "binds.csv": "id,gene\n1,Gene::30\n2,\n7,30\n,30\n",
    "scores.csv": "id,gene,z\n1,12,-6\n1,40,8\n2,40,2\n",
}
SPEC = """
[[molecules]]
name = "mine"
file = "molecules.csv"
id = "id"
smiles = "smiles"
[[morphology]]
space = "painting"
file = "morphology.csv"
id = "id"
ids_of = "mine"
features = ["Cells_*"]
[[expression]]
space = "l1000"
file = "expression.csv"
smiles = "smiles"
[[gene_morphology]]
space = "crispr"
file = "genes.csv"
gene = "gene"
features = ["Nuclei_*"]
[[gene_gene]]
kind = "interacts"
file = "interacts.csv"
source = "a"
target = "b"
weight = "w"
[[gene_gene]]
kind = "regulates"
file = "regulates.csv"
source = "a"
target = "b"
weight = "w"
[[molecule_gene]]
kind = "binds"
file = "binds.csv"
id = "id"
ids_of = "mine"
gene = "gene"
[[molecule_gene]]
kind = "regulates"
file = "scores.csv"
id = "id"
ids_of = "mine"
gene = "gene"
weight = "z"
weight_rule = "share-of-max"
[similarity]
threshold = 0.75
sparsity = 0.0
[graph]
regulates_top = 0.3
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in TABLES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "spec.toml").write_text(SPEC)
    return tmp_path


def write_spec(folder, old="", new="", /, **tables):
    """Change the spec and some tables."""
    assert old in SPEC
    (folder / "spec.toml").write_text(SPEC.replace(old, new, 1))
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    return folder / "spec.toml"


def table_of(graph, name, kind=None):
    found = [t for t in graph.report["tables"] if t["table"] == name and kind in (None, t["kind"])]
    assert len(found) == 1
    return found[0]


def edge_set(graph, kind):
    """Edges by node keys."""
    src, dst, weight = graph.edges(kind)
    ends = [graph.nodes[kind[0]]["key"].iloc[src], graph.nodes[kind[2]]["key"].iloc[dst]]
    return {(a, b): round(float(w), 6) for a, b, w in zip(*ends, weight, strict=True)}


def check_sums(graph):
    for table in graph.report["tables"]:
        assert table["used"] + sum(table["dropped"].values()) == table["rows"], table["table"]
        for reason, count in table["dropped"].items():
            assert len(table["listed"][reason]) == min(count, 1000)


def test_every_node_edge_and_count_by_hand(folder):
    graph = build_context_graph(folder / "spec.toml")
    molecules = graph.nodes["molecule"]
    assert molecules["key"].tolist() == sorted([ETHANOL, PHENOL, ACETIC_ACID])
    assert molecules["smiles"].tolist() == ["Oc1ccccc1", "CCO", "CC(=O)O"]
    assert molecules["sources"].tolist() == ["expression.csv;mine", "expression.csv;mine", "mine"]
    assert molecules["ids"].tolist() == ["2", "1", "3"]
    assert describe_node(graph, "molecule:3").key == ACETIC_ACID
    assert molecules["inchikey"].iloc[2] == "QTBSBXVTEAMEQO-UHFFFAOYSA-N"
    # 13 has expression edges only; 14 and 15 have none and are no nodes.
    assert graph.nodes["gene"]["key"].tolist() == ["11", "12", "13", "20", "30", "40"]
    assert graph.nodes["morphology"]["key"].tolist() == [f"painting:{k}" for k in molecules["key"]]
    assert graph.nodes["morphology"]["replicates"].tolist() == [1, 2, 1]
    assert graph.nodes["gene_expression"]["molecule"].tolist() == [PHENOL, ETHANOL]

    profile = {key: f"painting:{key}" for key in (ETHANOL, PHENOL, ACETIC_ACID)}
    expected = {
        ("molecule", "perturbs", "morphology"): {(k, profile[k]): 1 for k in profile},
        ("molecule", "induces", "gene_expression"): {(k, f"l1000:{k}"): 1 for k in (ETHANOL, PHENOL)},
        ("molecule", "binds", "gene"): {(ETHANOL, "30"): 1},
        # From expression: |10|, |8| and |5| are the top 3 of 10 values. From scores: 6/8, 8/8 and 2/2.
        ("molecule", "regulates", "gene"): {
            (ETHANOL, "11"): 1,
            (ETHANOL, "12"): 0.75,
            (PHENOL, "13"): 1,
            (ETHANOL, "40"): 1,
            (PHENOL, "40"): 1,
        },
        ("gene", "interacts", "gene"): {("11", "20"): 0.5},
        ("gene", "covaries", "gene"): {},
        ("gene", "regulates", "gene"): {("11", "20"): 0.5, ("20", "11"): 0.25},
        ("molecule", "similar", "molecule"): {},
        ("gene", "similar", "gene"): {("11", "12"): 1},
        ("gene_expression", "similar", "gene_expression"): {},
        ("morphology", "similar", "morphology"): {(profile[PHENOL], profile[ETHANOL]): 0.8},
    }
    assert {kind: edge_set(graph, kind) for kind in expected} == expected
    check_sums(graph)


def test_every_row_is_accounted_for(folder):
    graph = build_context_graph(folder / "spec.toml")
    shown = {
        (t["table"], t["kind"]): (t["rows"], t["used"], t["merged"], t["dropped"])
        for t in graph.report["tables"]
    }
    assert shown == {
        ("molecules.csv", "molecules"): (5, 4, 1, {"structure does not parse as SMILES": 1}),
        ("morphology.csv", "morphology"): (5, 4, 0, {"unknown molecule id": 1}),
        ("expression.csv", "expression"): (3, 2, 0, {"structure does not parse as SMILES": 1}),
        ("genes.csv", "gene_morphology"): (3, 2, 0, {"not an Entrez id": 1}),
        ("interacts.csv", "gene_gene"): (4, 2, 1, {"not an Entrez id": 1, "self-loop": 1}),
        ("regulates.csv", "gene_gene"): (3, 3, 1, {}),
        ("binds.csv", "molecule_gene"): (
            4,
            1,
            0,
            {"no molecule id": 1, "not an Entrez id": 1, "unknown molecule id": 1},
        ),
        ("scores.csv", "molecule_gene"): (3, 3, 0, {}),
    }
    assert table_of(graph, "molecules.csv")["listed"] == {
        "structure does not parse as SMILES": [[6, "nonsense"]]
    }
    assert table_of(graph, "binds.csv")["listed"]["unknown molecule id"] == [[4, "7"]]


def test_rows_edges_and_nodes_of_several_spaces_agree(folder):
    more = SPEC[SPEC.index("[[morphology]]") : SPEC.index("[[expression]]")]
    more = more.replace("painting", "another").replace("morphology.csv", "more.csv")
    (folder / "more.csv").write_text("id,Cells_x,Cells_y,Cells_z\n3,1,2,4\n1,2,4,8.5\n")
    spec = write_spec(folder, genes="gene,Nuclei_a,Nuclei_b,Nuclei_c\n13,1,2,4\n30,2,4,8\n")
    spec.write_text(spec.read_text() + more)
    graph = build_context_graph(spec)
    keys = graph.nodes["morphology"]["key"].tolist()
    assert keys == [f"{s}:{k}" for s, k in _BY_SPACE]
    perturbs = edge_set(graph, ("molecule", "perturbs", "morphology"))
    assert set(perturbs) == {(k, f"{s}:{k}") for s, k in _BY_SPACE}
    pairs = set(edge_set(graph, ("morphology", "similar", "morphology")))
    assert pairs == {
        (f"another:{ETHANOL}", f"another:{ACETIC_ACID}"),
        (f"painting:{PHENOL}", f"painting:{ETHANOL}"),
    }
    np.testing.assert_array_equal(graph.spaces["another"].node_rows, [0, 1, -1, -1, -1])
    np.testing.assert_array_equal(graph.spaces["painting"].node_rows, [-1, -1, 0, 1, 2])
    assert set(edge_set(graph, ("gene", "similar", "gene"))) == {("13", "30")}
    assert graph.nodes["gene"]["key"][graph.spaces["crispr"].nodes()].tolist() == ["13", "30"]


def test_feature_spaces_by_hand(folder):
    graph = build_context_graph(folder / "spec.toml")
    space = graph.spaces["painting"]
    raw = np.array([[1, 2, 4, 3], [1, 2, 3, 4], [8, 6, 4, 2]], float)  # phenol, ethanol, acetic acid
    scaled = (raw - raw.min(0)) / (raw.max(0) - raw.min(0))
    np.testing.assert_allclose(space.dense(slice(None)), scaled, atol=1e-7)
    np.testing.assert_allclose(space.inverse_transform(space.dense(slice(None))), raw, atol=1e-6)
    assert space.columns == ["Cells_a", "Cells_b", "Cells_c", "Cells_d"]
    np.testing.assert_array_equal(graph.spaces["crispr"].node_rows, [0, 1, -1, -1, -1, -1])
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=4, fpSize=1024)
    bits = [generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(s)) for s in graph.nodes["molecule"]["smiles"]]
    np.testing.assert_array_equal(graph.spaces["fingerprint"].dense(slice(None)), bits)
    assert graph.schema["spec"]["similarity"]["threshold"] == 0.75


def test_molecule_similarity_is_rdkits(folder):
    alkanols = ["CCCCO", "CCCCCO", "CCCCCCO", "CC(C)O", "CC(C)CO", "c1ccccc1O", "Cc1ccccc1O"]
    rows = "".join(f"{i},{s}\n" for i, s in enumerate(alkanols))
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    for metric, theirs in (
        ("cosine", DataStructs.CosineSimilarity),
        ("tanimoto", DataStructs.TanimotoSimilarity),
    ):
        spec = write_spec(
            folder,
            "threshold = 0.75\nsparsity = 0.0",
            f'threshold = 0.5\nsparsity = 0.0\nmolecules = "{metric}"',
            molecules=f"id,smiles\n{rows}",
        )
        graph = build_context_graph(spec)
        fingerprints = [
            generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in graph.nodes["molecule"]["smiles"]
        ]
        n = len(fingerprints)
        expected = {
            (i, j): theirs(fingerprints[i], fingerprints[j]) for i in range(n) for j in range(i + 1, n)
        }
        expected = {pair: s for pair, s in expected.items() if s >= 0.5}
        src, dst, weight = graph.edges(("molecule", "similar", "molecule"))
        found = dict(zip(zip(src.tolist(), dst.tolist(), strict=True), weight.tolist(), strict=True))
        assert found == pytest.approx(expected)
        assert len(found) > 2


def test_half_precision_is_kept_on_disk_and_stays_in_range(folder):
    build_context_graph(write_spec(folder, "[graph]", "[graph]\nfloat16 = true")).save(folder / "g")
    loaded = ContextGraph.load(folder / "g")
    exact = build_context_graph(write_spec(folder))
    for name in ("painting", "l1000", "crispr"):
        assert loaded.spaces[name].values.dtype == np.float16
        rounded = loaded.spaces[name].dense(slice(None))
        np.testing.assert_allclose(rounded, exact.spaces[name].dense(slice(None)), atol=5e-4)
        assert rounded.max() <= 1


def test_profiles_may_name_molecules_by_inchi(folder):
    spec = write_spec(
        folder,
        'file = "expression.csv"\nsmiles = "smiles"',
        'file = "expression.csv"\ninchi = "inchi"',
        expression='inchi,11\n"InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3",7\nCCO,7\n',
    )
    graph = build_context_graph(spec)
    assert graph.nodes["gene_expression"]["molecule"].tolist() == [ETHANOL]
    assert table_of(graph, "expression.csv")["dropped"] == {"structure does not parse as InChI": 1}


def test_order_of_rows_and_tables_of_edges_does_not_matter(folder):
    first = build_context_graph(folder / "spec.toml")
    for name in ("morphology", "expression", "genes", "interacts", "regulates", "binds", "scores"):
        head, *rows = TABLES[f"{name}.csv"].splitlines()
        (folder / f"{name}.csv").write_text("\n".join([head, *rows[::-1]]) + "\n")
    second = build_context_graph(folder / "spec.toml")
    for kind in first.num_edges:
        for a, b in zip(first.edges(kind), second.edges(kind), strict=True):
            np.testing.assert_array_equal(a, b)
    for name, space in first.spaces.items():
        np.testing.assert_array_equal(space.values, second.spaces[name].values)


def test_identity_by_full_key_keeps_stereoisomers_apart(folder):
    lactic = "id,smiles\n1,C[C@H](O)C(=O)O\n2,C[C@@H](O)C(=O)O\n3,CC(O)C(=O)O\n"
    block = build_context_graph(write_spec(folder, molecules=lactic))
    assert block.nodes["molecule"]["sources"].tolist().count("mine") == 1
    assert "C[C@H](O)C(=O)O" in block.nodes["molecule"]["smiles"].tolist()  # the first row's structure
    full = build_context_graph(write_spec(folder, "[graph]", '[graph]\nidentity = "full"', molecules=lactic))
    assert full.nodes["molecule"]["sources"].tolist().count("mine") == 3


def test_a_duplicated_id_with_another_structure_is_dropped_and_listed(folder):
    text = "id,smiles\n1,CCO\n1,CCCO\n1,OCC\n2,Oc1ccccc1\n3,CC(=O)O\n"
    graph = build_context_graph(write_spec(folder, molecules=text))
    table = table_of(graph, "molecules.csv")
    assert table["dropped"] == {"duplicated id: another row has another structure": 1}
    assert list(table["listed"].values()) == [[[3, "1"]]]
    check_sums(graph)


def test_crosswalk_rows_become_molecules_only_if_referred_to(folder):
    crosswalk = '[[crosswalks]]\nname = "drugs"\nfile = "drugs.csv"\nid = "drug"\ninchi = "inchi"\n'
    (folder / "drugs.csv").write_text(
        'drug,inchi\nD1,"InChI=1S/CH4O/c1-2/h2H,1H3"\nD2,"InChI=1S/CH4/h1H4"\nD3,nonsense\n'
    )
    spec = write_spec(
        folder,
        'file = "binds.csv"\nid = "id"\nids_of = "mine"',
        'file = "binds.csv"\nid = "id"\nids_of = "drugs"',
        binds="id,gene\nD1,30\nD3,30\n1,30\n",
    )
    spec.write_text(crosswalk + spec.read_text())
    graph = build_context_graph(spec)
    assert edge_set(graph, ("molecule", "binds", "gene")) == {("OKKJLVBELUTLKV", "30"): 1}
    assert len(graph.nodes["molecule"]) == 4
    assert table_of(graph, "drugs.csv")["dropped"] == {
        "no other table refers to it": 1,
        "structure does not parse as InChI": 1,
    }
    assert table_of(graph, "binds.csv")["listed"] == {
        "molecule whose structure cannot be used": [[3, "D3"]],
        "unknown molecule id": [[4, "1"]],
    }
    check_sums(graph)


def test_a_gene_table_closes_the_set_of_genes(folder):
    spec = write_spec(folder)
    spec.write_text(spec.read_text() + '[[genes]]\nfile = "known.csv"\ngene = "g"\nsymbol = "s"\n')
    (folder / "known.csv").write_text("g,s\n11,A\n20,B\n99,C\n11,A\nx,D\n")
    graph = build_context_graph(spec)
    assert graph.nodes["gene"]["key"].tolist() == ["11", "20", "99"]
    assert graph.nodes["gene"]["symbol"].tolist() == ["A", "B", "C"]
    assert table_of(graph, "known.csv")["dropped"] == {"not an Entrez id": 1}
    assert table_of(graph, "scores.csv")["dropped"] == {"unknown gene": 3}
    assert table_of(graph, "scores.csv")["listed"]["unknown gene"][0] == [2, "12"]
    assert table_of(graph, "genes.csv")["dropped"] == {"not an Entrez id": 1, "unknown gene": 1}
    assert graph.report["expression_edges"]["l1000"]["unknown_genes"] == 2
    assert "no row of 'scores.csv' could be used: 3 of 3: unknown gene" in graph.report["warnings"]
    check_sums(graph)


@pytest.mark.parametrize(("old", "new"), [("sparsity = 0.0", "sparsity = 0.995"), ("= 0.75", "= 0.9")])
def test_a_space_without_similarity_edges_says_what_gives_some(folder, old, new):
    report = build_context_graph(write_spec(folder, old, new)).report  # 0.8 is the largest of 3 pairs
    said = "feature space 'painting' has no similarity edge among its 3 rows: "
    assert f"{said}a lower threshold or sparsity in [similarity] keeps more pairs" in report["warnings"]
    assert not any(said in warning for warning in build_context_graph(write_spec(folder)).report["warnings"])


def test_odd_features_are_settled_and_counted(folder):
    rows = "".join(
        f"{1 + i % 3},{i},{'' if i == 7 else i * i},5,{'nan' if i < 20 else 1}\n" for i in range(60)
    )
    graph = build_context_graph(
        write_spec(
            folder,
            morphology=f"id,Cells_a,Cells_b,Cells_c,Cells_d\n{rows}1,inf,1,5,\n2,,,,\n3,x,inf,-inf,nan\n",
        )
    )
    report = graph.report["spaces"]["painting"]
    assert report["constant_columns"] == ["Cells_c", "Cells_d"]
    assert report["infinite_values"] == 3
    assert (graph.spaces["painting"].dense(slice(None))[:, 2:] == 0.5).all()
    assert table_of(graph, "morphology.csv")["dropped"] == {"no finite feature": 2}
    check_sums(graph)


def test_tables_share_a_space_if_they_have_its_columns(folder):
    columns = [f"Cells_{i}" for i in range(40)]

    def table(names, value):
        return (
            "id,"
            + ",".join(names)
            + "\n"
            + "".join(f"{i},{','.join([value] * len(names))}\n" for i in (1, 2))
        )

    more = '[[morphology]]\nspace = "{}"\nfile = "{}"\nid = "id"\nids_of = "mine"\nfeatures = ["*_*"]\n'
    spec = write_spec(folder)
    tail = more.format("big", "one.csv") + more.format("big", "two.csv") + more.format("big", "three.csv")
    spec.write_text(spec.read_text() + tail)
    (folder / "one.csv").write_text(table(columns, "1"))
    (folder / "two.csv").write_text(table(["Other_x", *columns[2:]], "3"))  # 38 of 40 columns are 95 %
    (folder / "three.csv").write_text(table(columns[3:], "7"))
    graph = build_context_graph(spec)
    assert sorted(graph.spaces) == ["big", "big-2", "crispr", "fingerprint", "l1000", "painting"]
    joined = graph.spaces["big"]
    assert joined.columns == sorted(columns)  # the first two have no gap once replicates are aggregated
    assert (joined.scaler.minimum[2:] == 2).all()  # the median of 1 and 3
    assert (joined.scaler.minimum[:2] == 1).all()
    assert graph.report["spaces"]["big"]["columns_not_in_widest_table"] == {"two.csv": 1}
    assert any("'three.csv' has 92.5% of the columns" in w for w in graph.report["warnings"])
    assert len(graph.nodes["morphology"]) == 3 + 2 + 2


@pytest.mark.parametrize(
    ("table", "text", "row", "what"),
    [
        ("interacts", "a,b,w\n11,20,0.5\n11,30,1.25\n", 3, "the weight 1.25"),
        ("interacts", "a,b,w\n11,20,-0.5\n11,30,1\n", 2, "the weight -0.5"),
        ("regulates", "a,b,w\n11,20,0.5\n11,30,\n12,30,\n", 3, r"no number as weight \(2 such rows in all\)"),
        ("regulates", "a,b,w\n11,20,0.5\n11,30,inf\n", 3, "the weight inf"),
        ("regulates", "a,b,w\n11,20,much\n", 2, "no number as weight"),
        ("scores", "id,gene,z\n1,12,3\n1,13,nan\n", 3, "no number as weight"),
    ],
)
def test_a_bad_weight_names_file_and_row(folder, table, text, row, what):
    with pytest.raises(SourceError, match=rf"'{table}\.csv' row {row} has {what}"):
        build_context_graph(write_spec(folder, **{table: text}))


def test_a_truncated_or_ragged_table_stops_the_build(folder):
    whole = gzip.compress(b"id,smiles\n" + b"1,CCO\n" * 5000)
    (folder / "molecules.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(SourceError, match=r"molecules\.csv\.gz' is truncated"):
        build_context_graph(write_spec(folder, "molecules.csv", "molecules.csv.gz"))
    with pytest.raises(SourceError, match=r"scores\.csv' is ragged: row 3"):
        build_context_graph(write_spec(folder, scores="id,gene,z\n1,12,3\n1,12\n"))


def test_nothing_left_is_an_error(folder):
    bad = {"molecules": "id,smiles\n1,xx\n", "expression": "smiles,11\nyy,1\n"}
    with pytest.raises(GraphError, match=r"no row of any table names a molecule.*does not parse"):
        build_context_graph(write_spec(folder, **bad))


@pytest.mark.parametrize("spec", ["simulated:0", "simulated:many", "simulated:-3"])
def test_a_wrong_size_of_simulation_is_refused(spec):
    with pytest.raises(SpecError, match="simulated:N"):
        build_context_graph(spec)


def test_progress_names_stages_and_ends_full(folder):
    calls = []
    build_context_graph(folder / "spec.toml", means=Means(progress=lambda *call: calls.append(call)))
    last = {stage: (done, total) for stage, done, total in calls}
    assert {"reading tables", "standardizing molecules", "fingerprints"} <= set(last)
    assert all(done == total for done, total in last.values())
    assert last["reading tables"] == (8, 8)


def test_the_built_graph_is_saved_and_walked(folder):
    build_context_graph(folder / "spec.toml").save(folder / "g")
    graph = ContextGraph.load(folder / "g")
    check_sums(graph)
    walks = graph.walks(np.arange(3), 4, seed=1)
    assert (walks.nodes >= 0).all()  # every molecule here has a profile to go to and to come back from
    schema = (folder / "g" / "schema.json").read_text()
    assert str(folder) not in schema
    assert '"file": "molecules.csv"' in schema
