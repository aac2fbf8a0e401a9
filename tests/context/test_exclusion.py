"""A graph built without a task set's molecules: none of them is met, however a table writes or names it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.context.build import build_to_folder
from infoalign_dgl.context.update import update_graph
from infoalign_dgl.errors import GraphError
from infoalign_dgl.molecules import standardize

SPEC = """
[[molecules]]
name = "mine"
file = "molecules.csv"
id = "id"
smiles = "smiles"
[[morphology]]
space = "painting"
file = "painting.csv"
id = "id"
ids_of = "mine"
features = ["Cells_*"]
[[expression]]
space = "l1000"
file = "expression.csv"
smiles = "smiles"
[[molecule_gene]]
kind = "binds"
file = "binds.csv"
id = "id"
ids_of = "mine"
gene = "gene"
[similarity]
threshold = 0.2
sparsity = 0.2
[graph]
regulates_top = 0.2
"""
SMILES = [f"{'C' * n}{end}" for n in range(1, 9) for end in ("O", "N", "C(=O)O", "c1ccccc1", "F")]
# A salt, another charge, another stereoisomer, a repeat; and one that its id alone gives away.
TASK = "smiles,compound_id,number_id,active\n[Na+].CC([O-])=O,,1,1\nNCC,,2,0\nc1ccccc1CC,,3,1\n*CC,X17,4,0\n"


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"X{number}" for number in range(len(SMILES))]
    pd.DataFrame({"id": ids, "smiles": SMILES}).to_csv(tmp_path / "molecules.csv", index=False)
    features = pd.DataFrame(rng.normal(size=(80, 6)), columns=[f"Cells_{i}" for i in range(6)])
    features.assign(id=rng.choice(ids, 80)).to_csv(tmp_path / "painting.csv", index=False)
    genes = pd.DataFrame(rng.normal(size=(40, 8)), columns=[str(100 + i) for i in range(8)])
    genes.assign(smiles=SMILES).to_csv(tmp_path / "expression.csv", index=False)
    binds = pd.DataFrame({"id": rng.choice(ids, 30), "gene": rng.integers(100, 120, 30)})
    binds.to_csv(tmp_path / "binds.csv", index=False)
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "task").mkdir()
    (tmp_path / "task/assays.csv").write_text(TASK)
    return tmp_path


def without(folder, names):
    """The same tables with the rows about some molecules taken out by hand."""
    other = folder / "other"
    other.mkdir()
    (other / "spec.toml").write_text(SPEC)
    for table in ("molecules", "painting", "expression", "binds"):
        rows = pd.read_csv(folder / f"{table}.csv", dtype=str)
        gone = rows["smiles"].isin([SMILES[int(name[1:])] for name in names]) if "smiles" in rows else None
        gone = rows["id"].isin(names) if gone is None else gone
        rows[~gone].to_csv(other / f"{table}.csv", index=False)
    return build_context_graph(other / "spec.toml")


def test_the_graph_is_that_of_tables_without_these_molecules(folder):
    graph = build_context_graph(folder / "spec.toml", exclude_tasks=[folder / "task"])
    names = ["X2", "X6", "X8", "X17"]  # CCC(=O)O is another molecule than acetic acid, CC(=O)O
    assert [SMILES[int(name[1:])] for name in names] == ["CC(=O)O", "CCN", "CCc1ccccc1", "CCCCC(=O)O"]
    expected = without(folder, names)
    assert graph.num_nodes == expected.num_nodes
    assert graph.nodes["molecule"].equals(expected.nodes["molecule"])
    for kind in graph.num_edges:
        for one, other in zip(graph.edges(kind), expected.edges(kind), strict=True):
            np.testing.assert_array_equal(one, other)
    for name, space in graph.spaces.items():
        assert space.describe() == expected.spaces[name].describe()
        np.testing.assert_array_equal(space.values, expected.spaces[name].values)


def test_walks_meet_none_of_them_and_every_row_is_counted(folder):
    everything = build_context_graph(folder / "spec.toml")
    graph = build_context_graph(folder / "spec.toml", exclude_tasks=[folder / "task", folder / "task"])
    excluded = {key[:14] for key in standardize(["CC(=O)O", "CCN", "CCc1ccccc1", "CCCCC(=O)O"]).key}
    assert excluded <= set(everything.nodes["molecule"]["key"])
    about = pd.concat(
        [
            graph.nodes["molecule"]["key"],
            graph.nodes["gene"]["key"],
            *(graph.nodes[kind]["molecule"] for kind in ("gene_expression", "morphology")),
        ]
    ).to_numpy()  # by global node id: the molecule that a node is or is measured of
    visited = np.unique(graph.walks(np.repeat(np.arange(36), 500), 6, seed=1).nodes)
    met = set(about[visited[visited >= 0]])
    assert set(graph.nodes["molecule"]["key"]) <= met
    assert not met & excluded
    for table in graph.report["tables"]:
        assert table["used"] + sum(table["dropped"].values()) == table["rows"]
    dropped = {
        t["table"]: t["dropped"].get("molecule of an excluded task set") for t in graph.report["tables"]
    }
    painting = pd.read_csv(folder / "painting.csv")
    assert dropped["molecules.csv"] == dropped["expression.csv"] == 4
    assert dropped["painting.csv"] == painting["id"].isin(["X2", "X6", "X8", "X17"]).sum() > 0
    assert graph.schema["excluded"]["tasks"] == ["task", "task"]
    assert graph.schema["excluded"]["molecules"] == 3  # the fourth one's structure cannot be read there
    assert "excluded" not in everything.schema


def test_another_tautomer_of_them_is_left_out_where_the_graph_has_the_canonical_one(folder):
    keto, enol = "CC(=O)CC(C)=O", "CC(O)=CC(C)=O"
    with (folder / "molecules.csv").open("a") as table:
        table.write(f"X40,{keto}\n")
    (folder / "task/assays.csv").write_text(f"smiles,active\n{enol},1\n")
    for tautomer in (False, True):
        (folder / "spec.toml").write_text(f"{SPEC}tautomer = {str(tautomer).lower()}\n")
        graph = build_context_graph(folder / "spec.toml", exclude_tasks=[folder / "task"])
        assert (keto in graph.nodes["molecule"]["smiles"].tolist()) != tautomer


def test_an_update_lets_none_of_them_back(folder):
    build_to_folder(folder / "spec.toml", folder / "graph", exclude_tasks=[folder / "task"])
    sums = (folder / "graph/SHA256SUMS").read_text()
    with pytest.raises(
        GraphError, match="without the molecules of the task set 'task': pass --exclude-tasks"
    ):
        update_graph(folder / "graph", folder / "spec.toml")
    assert (folder / "graph/SHA256SUMS").read_text() == sums
    update_graph(folder / "graph", folder / "spec.toml", exclude_tasks=[folder / "task"])
    schema = json.loads((folder / "graph/schema.json").read_text())
    assert schema["counts"]["nodes"]["molecule"] == 36


def test_the_published_task_sets_are_left_out_by_id_too(data_root):
    """ChEMBL2K writes some molecules with other charges than JUMP does: their JUMP ids give them away."""
    from infoalign_dgl.context.exclusion import read_excluded

    excluded = read_excluded([data_root / "tasks/chembl2k"])
    tasks = pd.read_csv(data_root / "tasks/chembl2k/assays.csv.gz")
    jump = pd.read_csv(data_root / "context/molecules/jump_compounds.csv.gz")
    same = jump.merge(tasks[["Metadata_JCP2022"]], on="Metadata_JCP2022")
    keys = {key[:14] for key in standardize(same["smiles"].tolist()).key if key}
    assert set(same["Metadata_JCP2022"]) <= excluded.ids
    assert len(keys - excluded.keys) == 16
