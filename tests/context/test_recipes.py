"""The shipped specs for data that ``fetch`` brings, on small files in the published layouts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.expected import compare_expected
from infoalign_dgl.context.spec import BuildSpec, read_spec
from infoalign_dgl.errors import SpecError

JUMP = {
    "jump-compound/profiles_var_mad_int_featselect_harmony.parquet": [
        *["JCP2022_000001"] * 3,
        *["JCP2022_000002"] * 2,
        "JCP2022_033924",
        "JCP2022_999999",
        "JCP2022_777777",
    ],
    "jump-crispr/profiles_wellpos_cc_var_mad_outlier_featselect_sphering_harmony_PCA_corrected.parquet": [
        *["JCP2022_800003"] * 2,
        "JCP2022_800004",
        "JCP2022_800001",
    ],
    "jump-orf/profiles_wellpos_cc_var_mad_outlier_featselect_sphering_harmony.parquet": [
        "JCP2022_900002",
        "JCP2022_900003",
        "JCP2022_900004",
        "JCP2022_915131",
        "JCP2022_999999",
    ],
}
COMPOUNDS = """Metadata_JCP2022,Metadata_InChIKey,Metadata_InChI,Metadata_SMILES
JCP2022_000001,,,CCO
JCP2022_000002,,,c1ccccc1O
JCP2022_033924,,,CS(C)=O
"""
GUIDES = """Metadata_JCP2022,Metadata_NCBI_Gene_ID,Metadata_Symbol
JCP2022_800001,,no-guide
JCP2022_800003,2,A2M
JCP2022_800004,9,NAT1
"""
ORFS = """Metadata_JCP2022,Metadata_broad_sample,Metadata_Symbol,Metadata_NCBI_Gene_ID,Metadata_pert_type
JCP2022_900002,ccsbBroad304_00001,NAT1,9,trt
JCP2022_900003,ccsbBroad304_00002,NAT1,9,trt
JCP2022_900004,ccsbBroad304_00003,AANAT,15.0,trt
JCP2022_915131,ccsbBroad304_99994,LacZ,,negcon
"""


@pytest.fixture
def jump(tmp_path):
    rng = np.random.default_rng(0)
    for name, text in (("compound", COMPOUNDS), ("crispr", GUIDES), ("orf", ORFS)):
        path = tmp_path / "jump-metadata" / f"{name}.csv.gz"
        path.parent.mkdir(exist_ok=True)
        frame = pd.DataFrame([line.split(",") for line in text.splitlines()[1:]])
        frame.to_csv(path, index=False, header=text.splitlines()[0].split(","))
    for width, (file, ids) in zip((6, 4, 5), JUMP.items(), strict=True):
        frame = pd.DataFrame(
            {
                "Metadata_Source": "source_2",
                "Metadata_Plate": [f"p{row % 2}" for row in range(len(ids))],
                "Metadata_Well": [f"A{row:02}" for row in range(len(ids))],
                "Metadata_JCP2022": ids,
                **{f"X_{n + 1}": rng.normal(size=len(ids)).astype(np.float32) for n in range(width)},
            }
        )
        (tmp_path / file).parent.mkdir()
        frame.to_parquet(tmp_path / file, index=False)
    return tmp_path


def accounts(graph):
    return {(t["table"], t["kind"]): t for t in graph.report["tables"]}


def test_jump(jump, request):
    graph = build_context_graph(request.config.rootpath / "examples/jump.toml", data_root=jump)
    assert graph.num_nodes == {"molecule": 3, "gene": 3, "gene_expression": 0, "morphology": 2}
    assert graph.nodes["gene"]["key"].tolist() == ["2", "9", "15"]
    assert graph.nodes["gene"]["symbol"].tolist() == ["A2M", "NAT1", "AANAT"]
    np.testing.assert_array_equal(graph.spaces["crispr"].node_rows, [0, 1, -1])
    np.testing.assert_array_equal(graph.spaces["orf"].node_rows, [-1, 0, 1])  # merged into the gene's node
    assert [graph.spaces[name].dim for name in ("jump", "crispr", "orf")] == [6, 4, 5]
    assert graph.nodes["morphology"]["replicates"].value_counts().to_dict() == {3: 1, 2: 1}

    orf = "jump-orf/profiles_wellpos_cc_var_mad_outlier_featselect_sphering_harmony.parquet"
    raw = pd.read_parquet(jump / orf).filter(like="X_").to_numpy(np.float64)
    space = graph.spaces["orf"]
    values = space.inverse_transform(space.dense(slice(None)))
    np.testing.assert_allclose(
        values, [np.median(raw[:2], axis=0), raw[2]], atol=1e-5
    )  # two ORFs of one gene

    found = accounts(graph)
    profiles, guides, orfs = JUMP
    assert found[profiles, "morphology"]["dropped"] == {
        "Metadata_JCP2022 is JCP2022_033924": 1,
        "Metadata_JCP2022 is JCP2022_999999": 1,
        "unknown molecule id": 1,
    }
    assert found[guides, "gene_morphology"]["dropped"] == {"reagent without a gene": 1}
    assert found[orfs, "gene_morphology"]["dropped"] == {"reagent without a gene": 1, "unknown reagent": 1}
    for table in graph.report["tables"]:
        assert table["used"] + sum(table["dropped"].values()) == table["rows"]


def test_reagents_must_agree(jump):
    screen = {"space": "s", "file": "s.csv", "features": ["X_*"]}
    molecules = [{"name": "m", "file": "jump-metadata/compound.csv.gz", "smiles": "Metadata_SMILES"}]
    guides = {"name": "g", "file": "g.csv", "id": "id", "gene": "gene"}
    (jump / "g.csv").write_text("id,gene\na,1\na,2\na,1\n,3\nb,x\nc,\n")
    (jump / "s.csv").write_text("id,X_1,X_2\na,1,2\nb,1,3\nc,2,2\n,1,1\n")
    spec = BuildSpec(
        molecules=molecules, perturbations=[guides], gene_morphology=[{**screen, "id": "id", "ids_of": "g"}]
    )
    graph = build_context_graph(spec, data_root=jump)
    found = accounts(graph)
    assert found["g.csv", "perturbations"]["dropped"] == {
        "duplicated id: another row has another gene": 1,
        "no id": 1,
        "not an Entrez id": 1,
    }
    assert found["s.csv", "gene_morphology"]["dropped"] == {
        "no reagent": 1,
        "reagent without a gene": 1,
        "unknown reagent": 1,
    }
    assert graph.nodes["gene"]["key"].tolist() == ["1"]
    for keys in ({}, {"gene": "g", "id": "i", "ids_of": "g"}, {"id": "i"}, {"gene": "g", "ids_of": "g"}):
        with pytest.raises(ValueError, match="give 'gene', the column of Entrez ids, or 'id' and 'ids_of'"):
            BuildSpec(molecules=molecules, gene_morphology=[{**screen, **keys}])
    with pytest.raises(ValueError, match=r"names no table of \[\[perturbations\]\]: did you mean 'guides'\?"):
        BuildSpec(
            molecules=molecules,
            perturbations=[guides | {"name": "guides"}],
            gene_morphology=[{**screen, "id": "id", "ids_of": "guide"}],
        )


def test_the_paper(tmp_path, request):
    """The paper's set-up on a small folder of the authors' layout, beside the paper's counts."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "infoalign-data" / "pretrain_raw"
    folder.mkdir(parents=True)

    def write(name, width=0, **columns):
        pd.DataFrame(columns).to_csv(folder / f"{name}.csv.gz", index=False)
        if width:
            rows = len(next(iter(columns.values())))
            np.savez(folder / f"{name}_feature.npz", data=rng.normal(size=(rows, width)).astype(np.float32))

    molecules = ["m1", "m2", "m3"]
    write("structure", mol_id=molecules, smiles=["CCO", "CCCO", "c1ccccc1"])
    write("CP-Bray", 6, cell_bid=["b1", "b2"], mol_id=["m1", "m2"])
    write("CP-JUMP", 5, cell_jid=["j1", "j2"], mol_id=["m2", "m3"])
    write("G-CRISPR", 4, ncbi_gene_id=[1, 2, 3], mol_id=["m1", "m1", "m3"])
    write("G-ORF", 3, ncbi_gene_id=[3, 4], mol_id=["m3", "m2"])
    write("GE", 8, express_id=["e1", "e2"], mol_id=["m1", "m1"])
    write("G-G", source_id=[1, 2, 9], target_id=[2, 1, 1])
    pd.DataFrame({"ncbi_gene_id": range(1, 9)}).to_csv(folder / "L1k_idmaps.csv", index=False)
    graph = build_context_graph(request.config.rootpath / "examples/paper.toml", data_root=tmp_path)
    source, counts = compare_expected(graph)
    assert source == "Liu et al. 2024"
    assert {count.what: count.expected for count in counts} == {
        "molecule": 129_592,
        "gene": 4_533,
        "gene_expression": 13_795,
        "morphology": 128_935,
        "edges": 366_384,
    }
    here = {count.what: count.here for count in counts}
    assert {name: here[name] for name in graph.num_nodes} == graph.num_nodes
    assert graph.num_nodes == {"molecule": 3, "gene": 4, "gene_expression": 2, "morphology": 3}
    assert graph.nodes["morphology"]["space"].tolist() == ["bray", "bray;jump", "jump"]
    assert set(graph.report["similarity"]) == {"fingerprint", "crispr+orf", "jump", "bray", "l1000"}
    published = {
        ("molecule", "perturbs", "morphology"),
        ("molecule", "induces", "gene_expression"),
        ("molecule", "binds", "gene"),
        ("molecule", "regulates", "gene"),
        ("gene", "interacts", "gene"),
        *((kind, "similar", kind) for kind in graph.num_nodes),
    }
    assert {kind for kind, count in graph.num_edges.items() if count} <= published


@pytest.mark.parametrize("name", ["paper", "jump", "public"])
def test_recipes_name_their_files(name, request, tmp_path):
    """Each recipe is a spec, and says which file is missing."""
    path = request.config.rootpath / f"examples/{name}.toml"
    read_spec(path)
    with pytest.raises(Exception, match=r"does not exist|is not a folder") as error:
        build_context_graph(path, data_root=tmp_path)
    assert not isinstance(error.value, SpecError)
