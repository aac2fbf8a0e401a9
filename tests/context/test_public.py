"""The shipped example on the real public data: a cut of it always, all of it in the slow run."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import ContextGraph, build_context_graph, diagnose

CUT_ROWS = {  # tables that are not named here are taken whole
    "expression/l1000_consensi_drugbank.tsv.gz": 200,
    "network/hetionet_GiG_2015.tsv.gz": 3000,
    "network/hetionet_CbG_binding.tsv.gz": 1000,
    "network/l1000_compound_regulates_gene.tsv.gz": 3000,
    "network/l1000_gene_regulates_gene.tsv.gz": 3000,
}
PROFILES = {"jump": 167, "comas": 449 + 168, "cell_injury": 139, "cmea": 126}


@pytest.fixture(scope="module")
def cut(data_root, tmp_path_factory):
    """The public data with 300 JUMP compounds and those that were profiled, and less of the large tables."""
    source, target = data_root / "context", tmp_path_factory.mktemp("cut") / "context"
    shutil.copytree(source, target)
    for name, rows in CUT_ROWS.items():
        lines = gzip.decompress((source / name).read_bytes()).splitlines(keepends=True)
        (target / name).write_bytes(gzip.compress(b"".join(lines[: rows + 1])))
    path = "molecules/jump_compounds.csv.gz"
    compounds = pd.read_csv(source / path, dtype=str)
    profiles = pd.read_csv(source / "morphology/jump_production_harmony.csv.gz", usecols=["Metadata_JCP2022"])
    measured = compounds["Metadata_JCP2022"].isin(profiles["Metadata_JCP2022"])
    compounds[measured | (compounds.index < 300)].to_csv(target / path, index=False)
    return target


@pytest.fixture(scope="module")
def graph(cut, request):
    return build_context_graph(request.config.rootpath / "examples" / "public.toml", data_root=cut)


def check(graph):
    morphology = graph.nodes["morphology"]
    assert morphology.groupby("space").size().to_dict() == PROFILES
    assert morphology["molecule"].nunique() == 1039
    assert not morphology.duplicated(["space", "molecule"]).any()
    for name in (*PROFILES, "l1000", "fingerprint"):
        assert graph.report["similarity"][name]["edges"] > 0, name
        assert graph.report["similarity"][name]["edge_cut"] >= 0.8
    for kind in graph.num_edges:
        _, _, weight = graph.edges(kind)
        assert ((weight >= 0) & (weight <= 1)).all()
    for space in graph.spaces.values():
        values = space.dense(slice(None))
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1
    for kind in (("gene", name, "gene") for name in ("interacts", "covaries", "regulates")):
        assert graph.num_edges[kind] > 0, kind
    assert graph.report["warnings"] == []
    assert graph.spaces["l1000"].dim == 978


def account_for_every_row(graph, folder):
    """Each table below the folder is in the report, with as many rows as pandas reads from its file."""
    tables = {table["table"]: table for table in graph.report["tables"]}
    assert len(tables) == len(graph.report["tables"])
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    assert set(tables) == set(files)
    total = 0
    for name, path in files.items():
        rows = len(
            pd.read_csv(path, sep="\t" if path.name.endswith((".tsv.gz", ".sif.gz")) else ",", dtype=str)
        )
        table = tables[name]
        assert table["rows"] == rows, name
        assert table["used"] + sum(table["dropped"].values()) == rows, name
        assert all(len(listed) == min(table["dropped"][why], 1000) for why, listed in table["listed"].items())
        total += rows
    assert sum(table["used"] + sum(table["dropped"].values()) for table in tables.values()) == total


def test_every_table_and_row_is_accounted_for(graph, cut):
    account_for_every_row(graph, cut)


def test_the_cut_builds_with_similarity_in_every_space(graph):
    check(graph)


def test_morphology_similarity_stays_in_one_space(graph):
    spaces = graph.nodes["morphology"]["space"].to_numpy()
    src, dst, _ = graph.edges(("morphology", "similar", "morphology"))
    assert (spaces[src] == spaces[dst]).all()


def test_profiles_are_the_median_of_their_rows(graph, cut):
    table = pd.read_csv(cut / "morphology/jump_production_harmony.csv.gz")
    features = sorted(c for c in table if c.startswith("harmony_"))
    compound = table["Metadata_JCP2022"].value_counts().index[0]
    expected = table.loc[table["Metadata_JCP2022"] == compound, features].median().to_numpy()
    space = graph.spaces["jump"]
    assert space.columns == features
    raw = space.inverse_transform(space.dense(slice(None)))
    distance = np.abs(raw - expected).max(axis=1)
    assert distance.min() < 1e-5 * np.ptp(raw)
    node = space.nodes()[int(distance.argmin())]
    replicates = graph.nodes["morphology"]["replicates"].iloc[node]
    assert replicates == (table["Metadata_JCP2022"] == compound).sum() > 1


def test_the_cut_survives_its_folder_and_is_diagnosed(graph, tmp_path):
    graph.save(tmp_path / "g")
    loaded = ContextGraph.load(tmp_path / "g")
    assert loaded.num_edges == graph.num_edges
    found = diagnose(loaded)
    assert sum(space.alpha_share for space in found.spaces) == pytest.approx(1)
    assert found.within_reach > 0.5


@pytest.mark.slow
def test_all_public_data(data_root, request):
    spec = request.config.rootpath / "examples" / "public.toml"
    graph = build_context_graph(spec, data_root=data_root / "context")
    check(graph)
    account_for_every_row(graph, data_root / "context")
    molecules = graph.nodes["molecule"]
    assert molecules["sources"].str.split(";").apply(lambda names: "jump" in names).sum() == 116_661
    assert len(molecules) >= 117_600
    assert graph.num_nodes["gene"] >= 15_000
    assert graph.nodes["gene_expression"]["molecule"].nunique() == 1196
    assert graph.nodes["morphology"]["molecule"].nunique() == 1039
