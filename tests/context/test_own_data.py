"""The template for own data parses, and with tables as it describes them it passes the check and builds."""

from __future__ import annotations

import re
import tomllib

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.check import check_spec
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.spec import BuildSettings, BuildSpec

IDS = [f"CPD-{number:03d}" for number in range(1, 7)]


@pytest.fixture
def template(request):
    return request.config.rootpath / "examples" / "own-data.toml"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "CCO", "c1ccccc1O", "CCN", "CCCl", "CC(C)=O"]
    tables = {"molecules": {"compound_id": IDS, "smiles": smiles}}
    wells = [("P1", compound) for compound in [*IDS, "", ""]] + [("P2", c) for c in [*IDS, "", ""]]
    tables["morphology"] = {
        "Metadata_Plate": [plate for plate, _ in wells],
        "Metadata_Well": [f"A{number:02d}" for number in range(1, 17)],
        "Metadata_Compound": [compound for _, compound in wells],
        "Metadata_Dose": 10.0,
        "Metadata_Type": ["treated" if compound else "control" for _, compound in wells],
        **{
            f"{part}_x{f}": rng.normal(size=16) for part in ("Cells", "Cytoplasm", "Nuclei") for f in range(4)
        },
    }
    genes = {gene: rng.normal(size=6) for gene in ("1017", "1019", "5290", "7157")}
    tables["expression"] = {"compound_id": IDS, **genes}
    tables["gene_edges"] = {"gene_a": [1017, 1019], "gene_b": [1019, 7157], "confidence": [0.9, 0.4]}
    for name, columns in tables.items():
        pd.DataFrame(columns).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_the_template_builds_from_tables_as_it_describes_them(template, folder):
    checked = check_spec(template, data_root=folder, means=Means(num_workers=1))
    assert [finding.message for finding in checked.problems] == []
    assert [finding.message for finding in checked.remarks] == [
        "[[morphology]] 'morphology.csv' leaves out 4 of 16 rows as the spec has it (control well: 4)"
    ]
    graph = build_context_graph(template, data_root=folder)
    assert [graph.num_nodes[kind] for kind in ("molecule", "gene_expression", "morphology")] == [6, 6, 6]
    assert graph.nodes["morphology"]["replicates"].tolist() == [2] * 6
    assert set(graph.nodes["gene"]["key"]) >= {"1017", "1019", "7157"}
    assert graph.num_edges["gene", "interacts", "gene"] == 2


def test_what_it_calls_defaults_are_the_defaults(template):
    content = tomllib.loads(template.read_text())
    assert (
        BuildSettings.model_validate({key: content[key] for key in ("similarity", "graph")})
        == BuildSettings()
    )


def test_its_commented_sections_are_right_too(template):
    lines = template.read_text().split("\n")
    start = [number for number, line in enumerate(lines) if re.match(r"# \[\[", line)]
    content = tomllib.loads(template.read_text())
    for number in start:
        end = next(n for n in range(number, len(lines)) if not lines[n].startswith("# "))
        for section, tables in tomllib.loads("\n".join(line[2:] for line in lines[number:end])).items():
            content.setdefault(section, []).extend(tables)
    spec = BuildSpec.model_validate(content)
    assert (len(spec.crosswalks), len(spec.gene_ids), len(spec.molecule_gene)) == (1, 1, 1)
