"""Reagents of genetic screens: JUMP's tables as they are published give a spec that builds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.check import check_spec
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.recognition.recognize import recognize
from infoalign_dgl.context.recognition.spec_text import spec_text

COMPOUNDS = {
    "JCP2022_000001": ("CCO", "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", "LFQSCWFLJHTTHZ-UHFFFAOYSA-N"),
    "JCP2022_000002": (
        "Oc1ccccc1",
        "InChI=1S/C6H6O/c7-6-4-2-1-3-5-6/h1-5,7H",
        "ISWSIDIOOBJBQZ-UHFFFAOYSA-N",
    ),
    "JCP2022_000003": ("CC(=O)O", "InChI=1S/C2H4O2/c1-2(3)4/h1H3,(H,3,4)", "QTBSBXVTEAMEQO-UHFFFAOYSA-N"),
    "JCP2022_033924": ("CS(C)=O", "InChI=1S/C2H6OS/c1-4(2)3/h1-2H3", "IAZDPXIOMUYVGZ-UHFFFAOYSA-N"),
}
GUIDES = {
    "JCP2022_800001": ("", "no-guide"),
    "JCP2022_800002": ("", "non-targeting"),
    "JCP2022_800003": ("2", "A2M"),
    "JCP2022_800004": ("9", "NAT1"),
    "JCP2022_805264": ("5347", "PLK1"),
    "JCP2022_800005": ("672", "BRCA1"),
}
ORFS = {  # two of NAT1 and two of CDK2, as a third of JUMP's ORFs share their gene
    "JCP2022_900002": ("NAT1", "9"),
    "JCP2022_900003": ("NAT1", "9"),
    "JCP2022_900004": ("AANAT", "15"),
    "JCP2022_900005": ("CDK2", "1017"),
    "JCP2022_900006": ("CDK2", "1017"),
    "JCP2022_900007": ("TP53", "7157"),
    "JCP2022_915131": ("LacZ", ""),
}
GUIDE_WELLS = ["JCP2022_800003", "JCP2022_800003", "JCP2022_800004", "JCP2022_800005", "JCP2022_805264"]
GUIDE_WELLS += ["JCP2022_800002", "JCP2022_000002"]  # a compound as a control
WELLS = {
    "compound": ["JCP2022_000001", "JCP2022_000001", "JCP2022_000002", "JCP2022_000003", "JCP2022_033924"],
    "crispr": GUIDE_WELLS,
    "orf": [*ORFS, "JCP2022_999999"],
}


def metadata(folder):
    """The consortium's tables of compounds, guides and ORFs."""
    rows = [[jcp, key, inchi, smiles] for jcp, (smiles, inchi, key) in COMPOUNDS.items()]
    names = ["Metadata_JCP2022", "Metadata_InChIKey", "Metadata_InChI", "Metadata_SMILES"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "compound.csv.gz", index=False)
    rows = [[jcp, *gene] for jcp, gene in GUIDES.items()]
    names = ["Metadata_JCP2022", "Metadata_NCBI_Gene_ID", "Metadata_Symbol"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "crispr.csv.gz", index=False)
    orfs = pd.DataFrame(
        [
            {
                "Metadata_JCP2022": jcp,
                "Metadata_broad_sample": f"ccsbBroad304_{n:05}",
                "Metadata_Name": f"ORF{n + 3877:06}.1_TRC304.1",
                "Metadata_Vector": "pLX_304",
                "Metadata_Transcript": f"NM_{n + 1155:06}.3" if gene else None,
                "Metadata_Symbol": symbol,
                "Metadata_NCBI_Gene_ID": gene,
                "Metadata_Taxon_ID": 9606 if gene else None,
                "Metadata_Gene_Description": f"{symbol} protein, some description",
                "Metadata_Prot_Match": 100.0 - n,
                "Metadata_Insert_Length": 870 + 3 * n,
                "Metadata_pert_type": "trt" if gene else "negcon",
            }
            for n, (jcp, (symbol, gene)) in enumerate(ORFS.items())
        ]
    )
    orfs.to_csv(folder / "orf.csv.gz", index=False)
    return ["compound.csv.gz", "crispr.csv.gz", "orf.csv.gz"]


def profiles(folder, features):
    """A table of wells per screen: a parquet file each."""
    rng = np.random.default_rng(0)
    for screen, ids in WELLS.items():
        frame = {
            "Metadata_Source": "source_4",
            "Metadata_Plate": [f"BR00{row % 2}" for row in range(len(ids))],
            "Metadata_Well": [f"A{row + 1:02}" for row in range(len(ids))],
            "Metadata_JCP2022": ids,
        }
        values = {name: rng.normal(size=len(ids)).astype(np.float32) for name in features}
        pd.DataFrame({**frame, **values}).to_parquet(folder / f"{screen}_wells.parquet", index=False)
    return [f"{screen}_wells.parquet" for screen in WELLS]


def spec_of(folder, names):
    found = recognize([folder / name for name in names], names)
    (folder / "spec.toml").write_text(spec_text(found))
    return {(one.section, one.file): one for one in found}


FEATURES = {
    "numbered": [f"X_{n}" for n in range(1, 9)],
    "named": [f"{part}_Texture_{n}_DNA" for part in ("Cells", "Cytoplasm", "Nuclei") for n in "abc"],
}


@pytest.mark.parametrize("features", FEATURES)
def test_the_spec_of_jumps_three_screens_builds(tmp_path, features):
    names = [*profiles(tmp_path, FEATURES[features]), *metadata(tmp_path)]
    found = spec_of(tmp_path, names)
    assert [(one.file, one.reasons) for one in found.values() if one.off] == []
    keys = {where: one.keys for where, one in found.items()}
    assert keys["molecules", "compound.csv.gz"] == {
        "name": "compound",
        "smiles": "Metadata_SMILES",  # and not the InChI, which forgets the tautomer
        "id": "Metadata_JCP2022",
    }
    genes = {"symbol": "Metadata_Symbol", "entrez": "Metadata_NCBI_Gene_ID"}
    assert keys["gene_ids", "crispr.csv.gz"] == genes
    controls = {"where_not": {"Metadata_pert_type": ["negcon"]}}
    assert keys["gene_ids", "orf.csv.gz"] == genes | controls
    for screen in ("crispr", "orf"):
        reagents = {"name": screen, "id": "Metadata_JCP2022", "gene": "Metadata_NCBI_Gene_ID"}
        assert keys["perturbations", f"{screen}.csv.gz"] == reagents
        wells = keys["gene_morphology", f"{screen}_wells.parquet"]
        assert (wells["id"], wells["ids_of"]) == ("Metadata_JCP2022", screen)
    assert keys["morphology", "compound_wells.parquet"]["ids_of"] == "compound"
    assert len(found) == 8
    # Named features are the same ones in both screens of genes; numbered ones need not be.
    spaces = {one.keys["space"] for one in found.values() if one.section == "gene_morphology"}
    assert len(spaces) == {"numbered": 2, "named": 1}[features]
    why = " ".join(found["gene_morphology", "orf_wells.parquet"].reasons)
    assert ("if they are, give both tables one space" in why) == (features == "numbered")

    checked = check_spec(tmp_path / "spec.toml", means=Means(num_workers=1))
    assert [finding.message for finding in checked.problems] == []
    graph = build_context_graph(tmp_path / "spec.toml")
    targets = {g: s for g, s in GUIDES.values() if g} | {g: s for s, g in ORFS.values() if g}
    nodes = graph.nodes["gene"]
    assert dict(zip(nodes["key"], nodes["symbol"], strict=True)) == targets
    accounts = {(table["table"], table["kind"]): table for table in graph.report["tables"]}
    assert accounts["crispr_wells.parquet", "gene_morphology"]["dropped"] == {
        "reagent without a gene": 1,
        "unknown reagent": 1,
    }
    assert accounts["orf_wells.parquet", "gene_morphology"]["used"] == len(ORFS) - 1


def test_the_order_of_the_files_does_not_matter(tmp_path):
    names = [*profiles(tmp_path, FEATURES["numbered"]), *metadata(tmp_path)]
    one, other = spec_of(tmp_path, names), spec_of(tmp_path, names[::-1])
    assert {where: found.keys for where, found in one.items()} == {
        where: found.keys for where, found in other.items()
    }


def test_without_profiles_it_says_what_would_make_them_reagents(tmp_path):
    metadata(tmp_path)
    found = spec_of(tmp_path, ["orf.csv.gz"])
    (orf,) = found.values()
    assert orf.off
    assert "reagents of a screen, if profiles name their rows by 'Metadata_JCP2022'" in " ".join(orf.reasons)


def test_targets_of_compounds_are_no_reagents(tmp_path):
    metadata(tmp_path)
    profiles(tmp_path, FEATURES["named"])
    targets = dict(zip(list(COMPOUNDS)[:3], ["9", "1017", "7157"], strict=True))
    frame = pd.DataFrame({"drug": list(targets), "target_gene": list(targets.values())})
    frame.to_csv(tmp_path / "targets.csv", index=False)
    found = spec_of(tmp_path, ["compound.csv.gz", "compound_wells.parquet", "targets.csv"])
    assert {section for section, _ in found} == {"molecules", "morphology", "molecule_gene"}


def test_a_plate_of_controls_is_pointed_out(tmp_path):
    metadata(tmp_path)
    ids = ["JCP2022_033924"] * 60 + [*COMPOUNDS] * 5
    values = {f"X_{n}": np.arange(len(ids)) * n for n in range(6)}
    pd.DataFrame({"Metadata_JCP2022": ids, **values}).to_parquet(tmp_path / "wells.parquet", index=False)
    found = spec_of(tmp_path, ["compound.csv.gz", "wells.parquet"])
    wells = found["morphology", "wells.parquet"]
    assert "65 of the 80 rows have 'JCP2022_033924' in 'Metadata_JCP2022': if these are" in wells.reasons[2]
    assert wells.proposed["controls"] == {"Metadata_JCP2022": ["JCP2022_033924"]}


def test_wells_alone_are_nothing_and_it_says_what_they_refer_to(tmp_path):
    metadata(tmp_path)
    profiles(tmp_path, FEATURES["numbered"][:1])  # one column of numbers is no block
    found = spec_of(tmp_path, ["compound.csv.gz", "compound_wells.parquet"])
    (why, columns) = found["", "compound_wells.parquet"].reasons
    assert why == (
        "not recognized: no features and no genes; 'Metadata_JCP2022' refers to 'Metadata_JCP2022' of "
        "'compound.csv.gz', which has 100% of its ids"
    )
    assert columns == "its columns: Metadata_Source, Metadata_Plate, Metadata_Well, Metadata_JCP2022, X_1"
