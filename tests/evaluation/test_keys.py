"""Molecules seen in pretraining are found by keys that are made as the graph makes its own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from infoalign_dgl.context import build_context_graph
from infoalign_dgl.evaluation.keys import MoleculeKeys
from infoalign_dgl.evaluation.manifest import seen_molecules
from infoalign_dgl.evaluation.methods import Inputs, Method
from infoalign_dgl.evaluation.splits import Split
from infoalign_dgl.evaluation.tasks import read_task_set
from infoalign_dgl.molecules import standardize
from infoalign_dgl.representation import load
from infoalign_dgl.training import PretrainConfig, pretrain

KETO, ENOL = "CC(=O)CC(C)=O", "CC(=O)C=C(C)O"  # acetylacetone: InChI tells the two apart
OTHERS = [f"{'C' * n}{end}" for n in range(2, 12) for end in ("Br", "c1ccccc1", "CN(C)C")]


def graph_of(folder, *, tautomer):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(31, 4)), columns=[f"Cells_{i}" for i in range(4)])
    table.assign(smiles=[KETO, *OTHERS]).to_csv(folder / "painting.csv", index=False)
    spec = '[[morphology]]\nspace = "p"\nfile = "painting.csv"\nsmiles = "smiles"\n'
    (folder / "spec.toml").write_text(f"{spec}[graph]\ntautomer = {str(tautomer).lower()}\n")
    return build_context_graph(folder / "spec.toml")


def test_a_tautomer_of_a_molecule_that_was_seen_is_found(tmp_path):
    assert standardize([KETO]).key[0][:14] != standardize([ENOL]).key[0][:14]
    table = pd.DataFrame({"smiles": [ENOL, OTHERS[0], "OCCO", "not a molecule"], "x": [0.5, 1.5, 2.5, 3.5]})
    table.to_csv(tmp_path / "toy.csv", index=False)
    task_set = read_task_set(tmp_path / "toy.csv")
    split = Split(np.array([0, 1]), np.array([], int), np.array([2]))
    for tautomer, met in ((True, 2), (False, 1)):
        graph = graph_of(tmp_path, tautomer=tautomer)
        run = tmp_path / f"run-{tautomer}"
        pretrain(graph, run, PretrainConfig(hidden=16, layers=2, batch_size=8, max_steps=0, holdout=0.0))
        keys, representation = MoleculeKeys(task_set), load(run)
        assert representation.tautomer == graph.tautomer == tautomer
        assert keys.overlap(seen_molecules(run), tautomer=tautomer) == met
        assert keys.overlap(None, tautomer=tautomer) is None
        made = keys.of(tautomer=graph.tautomer)
        assert made[3] is None
        inputs = Inputs(task_set, split, {"infoalign": representation}, graph, profile_keys=made)
        has = inputs.of(Method("morphology", "mlp")).has.tolist()
        assert has == [tautomer, True, False, False]
