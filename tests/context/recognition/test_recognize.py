"""Tables of every kind are recognized by their cells, and the spec that says so passes the check."""

from __future__ import annotations

import gzip
import shutil
import tomllib

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context.check import check_spec
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.recognition.recognize import recognize
from infoalign_dgl.context.recognition.spec_text import spec_text
from infoalign_dgl.context.spec import read_spec
from infoalign_dgl.sources.tables import read_header, select_columns

SMILES = [
    "CCO",
    "c1ccccc1O",
    "CC(=O)O",
    "CCN",
    "CC(C)O",
    "O=C(N)c1ccccc1",
    "CCCC",
    "OCC(O)CO",
    "c1ccncc1",
    "CS",
]
IDS = [f"CPD-{number:03d}" for number in range(len(SMILES))]
GENES = ["1017", "1019", "5290", "7157", "672", "675", "1956", "2064", "3845", "4609"]
SYMBOLS = ["CDK2", "CDK4", "PIK3CA", "TP53", "BRCA1", "BRCA2", "EGFR", "ERBB2", "KRAS", "HLA-DMA"]
MOLBLOCK = "{}\n  none\n\n  2  1  0  0  0  0  0  0  0  0999 V2000\n" + "".join(
    f"    {x}.0000    0.0000    0.0000 {atom}   0  0  0  0  0  0  0  0  0  0  0  0\n"
    for x, atom in enumerate("CO")
)
MOLBLOCK += "  1  2  1  0\nM  END\n>  <code>\n{}\n\n$$$$\n"


@pytest.fixture
def write(tmp_path):
    rng = np.random.default_rng(0)

    def numbers(rows, names):
        return {name: rng.normal(size=rows).round(4) for name in names}

    def table(name, columns):
        pd.DataFrame(columns).to_csv(tmp_path / name, index=False, sep="\t" if name.endswith("tsv") else ",")

    def write(name):
        n = len(IDS)
        if name == "compounds.csv":  # CBS and the like are SMILES too, and no structures
            table(name, {"code": IDS, "vendor": ["CBS", "NCI"] * 5, "what": SMILES})
        elif name == "library.smi":
            (tmp_path / name).write_text("".join(f"{s} {i}\n" for s, i in zip(SMILES, IDS, strict=True)))
        elif name == "library.sdf":
            (tmp_path / name).write_text("".join(MOLBLOCK.format(i, f"S{i}") for i in IDS))
        elif name == "painting.csv":
            where = {"Metadata_Plate": ["P1"] * n, "Metadata_Well": [f"A{r:02d}" for r in range(1, n + 1)]}
            where |= {"Metadata_Cpd": IDS, "Metadata_Dose_uM": [1.0, 10.0] * 5}
            table(
                name, where | numbers(n, [f"{part}_f{f}" for part in ("Cells", "Nuclei") for f in range(4)])
            )
        elif name == "embedding.csv":
            table(name, {"SMILES": SMILES} | numbers(n, [f"deep_{f}" for f in range(12)]))
        elif name == "expression.tsv":
            table(name, {"compound": IDS} | numbers(n, GENES))
        elif name == "symbols.csv":
            table(name, {"smiles": SMILES} | numbers(n, [symbol.replace("-", ".") for symbol in SYMBOLS]))
        elif name == "turned.csv":
            table(name, {"gene_id": GENES} | numbers(len(GENES), IDS))
        elif name == "gene_names.tsv":
            table(name, {"ncbi": GENES, "hgnc": SYMBOLS, "chromosome": ["1", "X"] * 5})
        elif name == "crispr.csv":
            table(name, {"NCBI_Gene_ID": GENES} | numbers(n, [f"Cytoplasm_f{f}" for f in range(5)]))
        elif name == "ppi.csv":
            table(name, {"gene_a": GENES[:9], "gene_b": GENES[1:], "confidence": np.linspace(0.1, 0.9, 9)})
        elif name == "targets.csv":
            table(name, {"drug": IDS, "target_gene": GENES, "comment": ["x"] * n})
        elif name == "signature.csv":
            table(name, {"drug": IDS, "entrez": GENES, "z": rng.normal(size=n) * 5})
        elif name == "net.sif":
            lines = ["source\tmetaedge\ttarget"]
            lines += [f"Gene::{GENES[0]}\tGiG\tGene::{g}" for g in GENES[1:]]
            lines += [f"Compound::{i}\tCbG\tGene::{g}" for i, g in zip(IDS, GENES, strict=True)]
            lines += [f"Gene::{GENES[0]}\tGpBP\tBiological Process::GO:1"]
            (tmp_path / name).write_text("\n".join(lines) + "\n")
        elif name == "l1000.gct":
            lines = ["#1.2", f"{len(GENES)}\t{n}", "\t".join(["NAME", "Description", *IDS])]
            lines += ["\t".join([g, "na", *map(str, rng.normal(size=n).round(3))]) for g in GENES]
            (tmp_path / name).write_text("\n".join(lines) + "\n")
        elif name == "notes.csv":
            table(name, {"day": range(5), "remark": ["a b", "c", "d", "e", "f"]})
        return tmp_path / name

    return write


def spec_of(found, folder):
    """The spec that is written, read again, and what a check says of it."""
    path = folder / "spec.toml"
    path.write_text(spec_text(found))
    return read_spec(path), check_spec(path, means=Means(num_workers=1))


EVERY = {
    "compounds.csv": ("molecules", {"name": "compounds", "id": "code", "smiles": "what"}),
    "painting.csv": (
        "morphology",
        {
            "space": "painting",
            "id": "Metadata_Cpd",
            "ids_of": "compounds",
            "features": ["Cells_*", "Nuclei_*"],
            "plate": "Metadata_Plate",
            "well": "Metadata_Well",
            "dose": "Metadata_Dose_uM",
        },
    ),
    "embedding.csv": ("morphology", {"space": "embedding", "smiles": "SMILES", "features": ["deep_*"]}),
    "expression.tsv": ("expression", {"space": "expression", "id": "compound", "ids_of": "compounds"}),
    "symbols.csv": ("expression", {"space": "expression", "smiles": "smiles", "genes": "symbol"}),
    "turned.csv": (
        "expression",
        {"space": "expression", "orientation": "genes-as-rows", "gene": "gene_id", "ids_of": "compounds"},
    ),
    "l1000.gct": ("expression", {"space": "expression", "id": "cid", "ids_of": "compounds"}),
    "gene_names.tsv": ("gene_ids", {"symbol": "hgnc", "entrez": "ncbi"}),
    "crispr.csv": (
        "gene_morphology",
        {"space": "crispr", "gene": "NCBI_Gene_ID", "features": ["Cytoplasm_*"]},
    ),
    "ppi.csv": (
        "gene_gene",
        {"kind": "interacts", "source": "gene_a", "target": "gene_b", "weight": "confidence"},
    ),
    "targets.csv": (
        "molecule_gene",
        {"kind": "binds", "id": "drug", "ids_of": "compounds", "gene": "target_gene"},
    ),
    "signature.csv": (
        "molecule_gene",
        {
            "kind": "regulates",
            "id": "drug",
            "ids_of": "compounds",
            "gene": "entrez",
            "weight": "z",
            "weight_rule": "share-of-max",
        },
    ),
    "net.sif": (
        "networks",
        {
            "source": "source",
            "metaedge": "metaedge",
            "target": "target",
            "ids_of": "compounds",
            "metaedges": ["GiG", "CbG"],
        },
    ),
}


def test_tables_of_every_kind_are_recognized_and_pass_the_check(write, tmp_path):
    names = sorted(EVERY)
    found = recognize([write(name) for name in names], names)
    assert {one.file: (one.section, one.keys) for one in found} == EVERY
    assert [(one.file, one.reasons) for one in found if one.off] == []
    assert all(one.reasons for one in found)
    spec, checked = spec_of(found, tmp_path)
    assert [finding.message for finding in checked.problems] == []
    assert all(account.used == account.rows for account in checked.tables if account.kind != "networks")
    assert spec.morphology[0].features == ["deep_*"] or spec.morphology[1].features == ["deep_*"]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("library.smi", {"smiles": "smiles", "id": "name"}),
        ("library.sdf", {"smiles": "smiles", "id": "name"}),
    ],
)
def test_files_of_structures_need_no_other_table(write, tmp_path, name, keys):
    (found,) = recognize([write(name)], [name])
    assert (found.section, found.keys) == ("molecules", {"name": "library", **keys})
    _, checked = spec_of([found], tmp_path)
    assert checked.problems == []


def test_what_is_not_recognized_stands_there_with_the_reason(write, tmp_path):
    (tmp_path / "broken.csv").write_text("a;b\n1;2\n")
    names = ["compounds.csv", "notes.csv", "broken.csv", "painting.csv"]
    found = recognize([write(n) if n != "broken.csv" else tmp_path / n for n in names], names)
    by_file = {one.file: one for one in found}
    assert by_file["notes.csv"].off
    text = spec_text(found)
    assert "# not recognized: no structures, no ids of a table of molecules" in text
    assert "# its columns: day, remark" in text
    assert "seems delimited by semicolons" in text
    assert '# file = "notes.csv"' in text
    spec, checked = spec_of(found, tmp_path)
    assert len(spec.molecules) == len(spec.morphology) == 1
    assert checked.problems == []


def test_profiles_of_unknown_molecules_and_symbols_of_unknown_genes_lack_a_table(write, tmp_path):
    wide = {f"G{chr(65 + n)}X{n}": np.arange(3.0) for n in range(25)}
    pd.DataFrame({"smiles": SMILES[:3], **wide}).to_csv(tmp_path / "wide.csv", index=False)
    found = recognize([write("painting.csv"), tmp_path / "wide.csv"], ["painting.csv", "wide.csv"])
    by_file = {one.file: one for one in found}
    assert by_file["painting.csv"].off
    assert "ids of a table of molecules" in by_file["painting.csv"].reasons[1]
    assert by_file["wide.csv"].off
    assert "give one of symbols and Entrez ids" in by_file["wide.csv"].reasons[0]
    assert tomllib.loads(spec_text(found)) == {}


def test_labels_of_a_task_are_no_features(tmp_path):
    labels = np.random.default_rng(0).integers(0, 2, (len(SMILES), 6))
    frame = pd.DataFrame(labels, columns=[f"NVS_{n}" for n in "abcdef"])
    frame.assign(smiles=SMILES).to_csv(tmp_path / "task.csv", index=False)
    (found,) = recognize([tmp_path / "task.csv"], ["task.csv"])
    assert (found.section, found.keys) == ("molecules", {"name": "task", "smiles": "smiles"})
    assert found.reasons[1] == "columns of zeros and ones alone (NVS_*) are labels of a task, not features"


def test_ids_that_differ_in_numbers_are_no_symbols(tmp_path):
    transcripts = [f"NM_{number:06}" for number in range(len(GENES))]
    table = {"transcript": transcripts, "ncbi_id": GENES, "short": SYMBOLS}
    pd.DataFrame(table).to_csv(tmp_path / "genes.csv", index=False)
    (found,) = recognize([tmp_path / "genes.csv"], ["genes.csv"])
    assert (found.section, found.keys) == ("gene_ids", {"symbol": "short", "entrez": "ncbi_id"})


def test_odd_names_survive_toml(tmp_path):
    name = 'my "odd" \\ täble.csv'
    pd.DataFrame({'a "b"\\c\nd': IDS, "smiles": SMILES}).to_csv(tmp_path / name, index=False)
    spec, checked = spec_of(recognize([tmp_path / name], [name]), tmp_path)
    assert (spec.molecules[0].file, spec.molecules[0].id) == (name, 'a "b"\\c\nd')
    assert checked.problems == []


CUT_ROWS = {
    "molecules/jump_compounds.csv.gz": 0,
    "morphology/cell_injury_wells.csv.gz": 400,
    "expression/l1000_consensi_drugbank.tsv.gz": 200,
    "network/hetionet_GiG_2015.tsv.gz": 3000,
    "network/l1000_compound_regulates_gene.tsv.gz": 3000,
}


def cut(source, target):
    """The public data with the JUMP compounds that were profiled, and the first rows of the large tables."""
    shutil.copytree(source, target)
    for name, rows in CUT_ROWS.items():
        lines = gzip.decompress((source / name).read_bytes()).splitlines(keepends=True)
        (target / name).chmod(0o644)
        (target / name).write_bytes(gzip.compress(b"".join(lines[: rows + 1])))
    name = "molecules/jump_compounds.csv.gz"
    profiles = pd.read_csv(source / "morphology/jump_production_harmony.csv.gz", usecols=["Metadata_JCP2022"])
    compounds = pd.read_csv(source / name, dtype=str)
    measured = compounds["Metadata_JCP2022"].isin(profiles["Metadata_JCP2022"])
    compounds[measured].to_csv(target / name, index=False)


def test_the_public_data_are_recognized_as_the_example_has_them(data_root, request, tmp_path):
    cut(data_root / "context", tmp_path / "context")
    paths = sorted(path for path in (tmp_path / "context").glob("*/*") if path.is_file())
    found = recognize(paths, [path.relative_to(tmp_path / "context").as_posix() for path in paths])
    assert [(one.file, one.reasons) for one in found if one.off] == []
    (tmp_path / "spec.toml").write_text(spec_text(found))
    mine = {(section, table.file): table for section, table in tables(read_spec(tmp_path / "spec.toml"))}
    example = read_spec(request.config.rootpath / "examples" / "public.toml")
    names = {table.name: table.file for table in (*example.molecules, *example.crosswalks)}
    my_names = {table.name: table.file for (section, _), table in mine.items() if section == "molecules"}
    spaces: dict[str, set[str]] = {}
    for section, table in tables(example):
        # Which structures are only looked up is for the user to say.
        other = mine.pop(("molecules" if section == "crosswalks" else section, table.file))
        for key in ("id", "smiles", "inchi", "gene", "symbol", "entrez", "source", "target", "metaedge"):
            assert getattr(table, key, None) == getattr(other, key, None), (table.file, key)
        for key in ("kind", "weight", "weight_rule", "genes", "orientation", "where_not", "metaedges"):
            assert getattr(table, key, None) == getattr(other, key, None), (table.file, key)
        for key in ("batch", "plate", "well", "dose"):
            assert getattr(table, key, None) in (None, getattr(other, key, None)), (table.file, key)
        assert names.get(getattr(table, "ids_of", None)) == my_names.get(getattr(other, "ids_of", None))
        if section == "morphology":
            path = tmp_path / "context" / table.file
            header = read_header(path)
            assert select_columns(path, header, table.features) == select_columns(
                path, header, other.features
            )
        if hasattr(table, "space"):
            spaces.setdefault(table.space, set()).add(other.space)
    assert all(len(found) == 1 for found in spaces.values())
    assert len({name for found in spaces.values() for name in found}) == len(spaces)
    assert mine == {}
    path = tmp_path / "spec.toml"  # as crosswalks, which the comment proposes, they take less time
    path.write_text(path.read_text().replace('[[molecules]]\nfile = "ids', '[[crosswalks]]\nfile = "ids'))
    checked = check_spec(path, data_root=tmp_path / "context", means=Means(num_workers=1))
    assert [finding.message for finding in checked.problems] == []


def tables(spec):
    for section in type(spec).model_fields:
        for table in getattr(spec, section) if isinstance(getattr(spec, section), list) else []:
            yield section, table
