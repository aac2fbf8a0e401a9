"""Molecules from every kind of file, and other kinds of files in a whole build."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, rdBase

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.spec import BuildSpec, read_spec
from infoalign_dgl.errors import SpecError
from infoalign_dgl.molecules import standardize

SMILES = {
    "1": "C[C@H](N)C(=O)O",
    "2": "CC(=O)[O-].[Na+]",
    "3": "Oc1ccccn1",
    "4": "O=c1cccc[nH]1",
    "5": "not one",
}
USED = ["1", "2", "3", "4"]


def records(ids):
    """Mol blocks with an ID, the fifth of them cut."""
    for name in ids:
        molecule = Chem.MolFromSmiles(SMILES[name]) if name != "5" else Chem.MolFromSmiles("CCN")
        block = Chem.MolToMolBlock(molecule)
        yield f"{block[:90] if name == '5' else block}\n> <ID>\n{name}.0\n\n$$$$\n"


def write_all(folder):
    """The same molecules in each kind of file, with the table's other keys."""
    frame = pd.DataFrame({"id": [f"{name}.0" for name in SMILES], "structure": SMILES.values()})
    frame.to_csv(folder / "m.csv", index=False)
    frame.to_csv(folder / "m.tsv.gz", index=False, sep="\t")
    frame.to_parquet(folder / "m.parquet")
    inchis = [Chem.MolToInchi(Chem.MolFromSmiles(SMILES[name])) for name in USED]
    pd.DataFrame({"id": USED, "inchi": inchis}).to_csv(folder / "inchi.csv", index=False)
    (folder / "m.sdf").write_text("".join(records(SMILES)))
    (folder / "m.sdf.gz").write_bytes(gzip.compress("".join(records(SMILES)).encode()))
    spaceless = {name: smiles.replace(" ", "_") for name, smiles in SMILES.items()}
    text = "".join(f"{smiles} {name}.0\n" for name, smiles in spaceless.items())
    (folder / "m.smi").write_text(text)
    (folder / "m.dat").write_text(f"SMILES Name\n{text}")


KINDS = {
    "m.csv": {"id": "id", "smiles": "structure"},
    "m.tsv.gz": {"id": "id", "smiles": "structure"},
    "m.parquet": {"id": "id", "smiles": "structure"},
    "inchi.csv": {"id": "id", "inchi": "inchi"},
    "m.sdf": {"id": "ID"},
    "m.sdf.gz": {"id": "ID"},
    "m.smi": {"id": "name"},
    "m.dat": {"id": "name", "format": "smi"},
}
BROKEN_ROW = {"m.csv": 6, "m.tsv.gz": 6, "m.parquet": 5, "m.sdf": 5, "m.sdf.gz": 5, "m.smi": 5, "m.dat": 6}


def spec_of(file, **settings):
    profiles = {"file": "p.csv", "space": "cp", "id": "who", "ids_of": "mine", "features": ["f*"]}
    return BuildSpec(
        molecules=[{"name": "mine", "file": file, **KINDS[file]}], morphology=[profiles], **settings
    )


@pytest.mark.parametrize("file", KINDS)
def test_every_kind_of_file_gives_the_same_molecules_by_their_own_ids(tmp_path, file):
    write_all(tmp_path)
    (tmp_path / "p.csv").write_text("who,f1,f2\n1,0,1\n3,1,0\n5,1,1\n")
    with rdBase.BlockLogs():
        graph = build_context_graph(spec_of(file), data_root=tmp_path)
    expected = standardize([SMILES[name] for name in USED])
    assert set(graph.nodes["molecule"]["inchikey"]) == set(expected.key)
    tables = {table["table"]: table for table in graph.report["tables"]}
    account = tables[file]
    assert (
        account["used"] + sum(account["dropped"].values())
        == account["rows"]
        == len(SMILES) - ("inchi" in file)
    )
    if file in BROKEN_ROW:
        (reason,) = account["dropped"]
        assert reason.startswith("structure does not parse as ")
        assert account["listed"][reason][0][0] == BROKEN_ROW[file]
    has_row = "inchi" not in file and "sdf" not in file  # one lacks the row, a cut record its id
    reason = "molecule whose structure cannot be used" if has_row else "unknown molecule id"
    assert tables["p.csv"]["dropped"] == {reason: 1}
    blocks = {key[:14] for key, name in zip(expected.key, USED, strict=True) if name in "13"}
    assert set(graph.nodes["morphology"]["molecule"]) == blocks


def test_the_reason_of_a_broken_record_names_it(tmp_path):
    write_all(tmp_path)
    (tmp_path / "p.csv").write_text("who,f1\n1,0\n")
    five = Chem.MolToMolBlock(Chem.MolFromSmiles("CC(C)(C)C")).replace("  1  2  1  0", "  1  2  3  0")
    with (tmp_path / "m.sdf").open("a") as stream:
        stream.write(f"{five}> <ID>\nX7\n\n$$$$\n")
    with rdBase.BlockLogs():
        graph = build_context_graph(spec_of("m.sdf"), data_root=tmp_path)
    account = next(table for table in graph.report["tables"] if table["table"] == "m.sdf")
    listed = account["listed"]["structure parses as mol block but breaks a rule of chemistry"]
    assert listed == [[6, "X7: Explicit valence for atom # 1 C, 6, is greater than permitted"]]
    assert account["listed"]["structure does not parse as mol block"] == [[5, "5"]]


def test_tautomers_merge_only_if_asked(tmp_path):
    keto_enol = "id,structure\na,CC(=O)CC(C)=O\nb,CC(O)=CC(C)=O\nc,CCO\n"
    (tmp_path / "m.csv").write_text(keto_enol)
    (tmp_path / "p.csv").write_text("who,f1\na,0\n")
    apart = build_context_graph(spec_of("m.csv"), data_root=tmp_path)
    merged = build_context_graph(spec_of("m.csv", graph={"tautomer": True}), data_root=tmp_path)
    assert len(apart.nodes["molecule"]) == 3
    assert sorted(merged.nodes["molecule"]["smiles"]) == ["CC(=O)CC(C)=O", "CCO"]
    account = next(table for table in merged.report["tables"] if table["table"] == "m.csv")
    assert (account["used"], account["merged"]) == (3, 1)


def test_where_not_and_formats_that_the_ending_does_not_say(tmp_path):
    write_all(tmp_path)
    table = {"name": "mine", "file": "m.smi", "where_not": {"name": ["1.0", "5.0"]}}
    graph = build_context_graph(BuildSpec(molecules=[table]), data_root=tmp_path)
    assert len(graph.nodes["molecule"]) == 3 - 1  # 2, and 3 and 4 are one by their first block
    (account,) = graph.report["tables"]
    assert account["listed"]["name is 5.0"] == [[5, None]]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ('file = "m.csv"', "give exactly one of 'smiles' and 'inchi'"),
        ('file = "m.sdf"\nformat = "mol"', "there is no format 'mol': there is: csv, tsv"),
        ('file = "m.sdf"\nsmiles = "s"\ninchi = "i"', "give exactly one of 'smiles' and 'inchi'"),
    ],
)
def test_what_is_wrong_in_a_spec_is_named(tmp_path, keys, message):
    (tmp_path / "s.toml").write_text(f'[[molecules]]\nname = "mine"\n{keys}\n')
    with pytest.raises(SpecError, match=message):
        read_spec(tmp_path / "s.toml")


def test_rids_of_a_gct_get_their_genes_from_its_own_fields_on_rows(tmp_path):
    text = (
        "#1.3\n3\t2\t1\t2\nid\tpr_gene_id\tsig:1\tsig:2\n"
        "canonical_smiles\t\tCCO\tc1ccccc1\npert_type\t\ttrt\ttrt\n"
        "200814_at\t5720\t0.5\t-2\n222103_at\t466.0\t-666\t4\n1_at\t-666\t1\t1\n"
    )
    (tmp_path / "x.gct").write_text(text)
    ids = {"file": "x.gct", "format": "gct-rows", "symbol": "rid", "entrez": "pr_gene_id"}
    table = {
        "file": "x.gct",
        "space": "l1000",
        "smiles": "canonical_smiles",
        "genes": "symbol",
        "max_missing": 0.5,
    }
    graph = build_context_graph(BuildSpec(gene_ids=[ids], expression=[table]), data_root=tmp_path)
    assert graph.spaces["l1000"].columns == ["466", "5720"]
    accounts = graph.report["tables"]
    by_kind = {account["kind"]: account for account in accounts}
    assert by_kind["gene_ids"]["listed"] == {"not an Entrez id": [[3, None]]}
    assert by_kind["expression"]["used"] == 2
    assert set(graph.nodes["molecule"]["smiles"]) == {"CCO", "c1ccccc1"}


def test_an_h5ad_is_a_table_of_profiles(tmp_path):
    h5py = pytest.importorskip("h5py")
    values = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["X"] = values
        for name, index in {"obs": ["w1", "w2", "w3", "w4"], "var": ["Cells_a", "Nuclei_b", "other"]}.items():
            frame = file.create_group(name)
            frame.attrs["_index"] = "_index"
            frame.attrs["column-order"] = np.array(
                ["smiles"] if name == "obs" else [], dtype=h5py.string_dtype()
            )
            frame["_index"] = np.array(index, dtype=object)
        file["obs/smiles"] = np.array(["CCO", "C", "nan", "CCN"], dtype=object)
    table = {"file": "x.h5ad", "space": "cp", "smiles": "smiles", "features": ["Cells_*", "Nuclei_*"]}
    graph = build_context_graph(BuildSpec(morphology=[table]), data_root=tmp_path)
    assert sorted(graph.spaces["cp"].columns) == ["Cells_a", "Nuclei_b"]
    assert set(graph.nodes["molecule"]["smiles"]) == {"CCO", "C", "CCN"}
    (account,) = graph.report["tables"]
    assert account["listed"] == {"no structure": [[3, None]]}
