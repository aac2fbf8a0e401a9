import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from infoalign_dgl.errors import SourceError
from infoalign_dgl.evaluation import few_label_auc
from infoalign_dgl.molecules import morgan_fingerprints
from infoalign_dgl.sources import simulate_molecules
from infoalign_dgl.sources.simulate import MECHANISMS, SimulationConfig, simulate
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

TABLES = ("molecules", "expression", "gene_morphology", "genes", "gene_gene", "molecule_gene")
DIGEST = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from test_simulate import digest
from infoalign_dgl.sources.simulate import simulate
print(digest(simulate(60, seed=3)))
"""


def digest(simulation):
    total = hashlib.sha256(repr(simulation.chemotypes).encode())
    tables = [getattr(simulation, name) for name in TABLES] + list(simulation.morphology.values())
    for table in tables:
        total.update(repr(list(table.columns)).encode())
        total.update(pd.util.hash_pandas_object(table).to_numpy().tobytes())
    total.update(simulation.activity.tobytes())
    return total.hexdigest()


@pytest.fixture(scope="module")
def simulation():
    return simulate(1500)


@pytest.fixture(scope="module")
def quiet():
    """Everything measured, once, without noise."""
    config = SimulationConfig(
        measured=(1.0, 1.0, 1.0),
        replicates=1,
        noise=0.0,
        expression_noise=0.0,
        batch_effect=0.0,
        nuisance=0.0,
        context=0.0,
    )
    return simulate(600, config=config)


def test_seeds_parse():
    assert len(SEED_DRUGS) >= 24
    for name, smiles in SEED_DRUGS.items():
        assert Chem.MolFromSmiles(smiles) is not None, name


def test_result_does_not_depend_on_hash_order():
    """RDKit returns fragments as sets of strings, whose order differs from process to process."""
    digests = set()
    for hash_seed in ("1", "2"):
        code = DIGEST.format(folder=str(Path(__file__).parent))
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout.strip())
    assert digests == {digest(simulate(60, seed=3))}
    assert digest(simulate(60, seed=4)) not in digests


def test_molecules_are_valid_distinct_and_of_drug_size(simulation):
    molecules = [Chem.MolFromSmiles(s) for s in simulation.molecules["smiles"]]
    assert None not in molecules
    assert len({Chem.MolToInchiKey(m)[:14] for m in molecules}) == len(molecules) == 1500
    assert all(12 <= m.GetNumAtoms() <= 45 for m in molecules)
    assert all(a.GetAtomicNum() > 0 for m in molecules for a in m.GetAtoms())
    assert not any("." in s for s in simulation.molecules["smiles"])
    assert simulation.molecules["id"].is_unique


def test_labels_are_a_function_of_structure(simulation):
    """A fragment is there if, but at its cuts, it is bound to nothing else."""
    molecules = [Chem.MolFromSmiles(s) for s in simulation.molecules["smiles"]]
    assert all(name.startswith("simulated: ") for name in simulation.mechanisms)
    for k, chemotypes in enumerate(simulation.chemotypes):
        found = np.array([any(contains_by_hand(m, core) for core in chemotypes) for m in molecules[:400]])
        np.testing.assert_array_equal(found, simulation.activity[:400, k] > 0, err_msg=str(chemotypes))
    np.testing.assert_array_equal(simulation.labels, simulation.activity >= 0.5)
    assert ((simulation.activity >= 0) & (simulation.activity < 1)).all()
    assert simulation.labels.mean(axis=0).min() > 0.03
    assert simulation.labels.mean(axis=0).max() < 0.25


def contains_by_hand(molecule, core):
    """Match loosely, then see that no atom of the match but the wildcards has a bond or ring more."""
    fragment = Chem.MolFromSmiles(core)
    wildcards = {a.GetIdx() for a in fragment.GetAtoms() if a.GetAtomicNum() == 0}
    loose = Chem.MolFromSmarts(Chem.MolToSmarts(fragment).replace("[#0]", "*"))
    for match in molecule.GetSubstructMatches(loose, uniquify=False, maxMatches=100_000):
        inside = [i for i in range(fragment.GetNumAtoms()) if i not in wildcards]
        same_degree = all(
            molecule.GetAtomWithIdx(match[i]).GetDegree() == fragment.GetAtomWithIdx(i).GetDegree()
            for i in inside
        )
        rings, own_rings = molecule.GetRingInfo(), fragment.GetRingInfo()
        same_rings = all(rings.NumAtomRings(match[i]) == own_rings.NumAtomRings(i) for i in inside)
        if same_degree and same_rings:
            return True
    return False


def test_chemotypes_of_a_mechanism_differ(simulation):
    assert [len(group) for group in simulation.chemotypes] == [4] * len(MECHANISMS)
    every = [core for group in simulation.chemotypes for core in group]
    assert len(set(every)) == len(every)
    for group in simulation.chemotypes:
        for core in group:
            others = [other for other in group if other != core]
            assert simulate_molecules._most_similar(core, others) <= 0.35


def test_only_a_part_is_measured(simulation):
    measured = [set(t["id"]) for t in [*simulation.morphology.values(), simulation.expression]]
    assert [len(ids) for ids in measured] == [525, 375, 450]
    assert all(ids <= set(simulation.molecules["id"]) for ids in measured)
    # Chosen independently, so some molecules are in both assays and some in none.
    assert 0.5 < len(measured[0] & measured[1]) / (525 * 375 / 1500) < 1.5
    assert 0.5 < (1500 - len(set.union(*measured))) / (1500 * 0.65 * 0.75 * 0.7) < 1.5
    replicates = simulation.expression["id"].value_counts()
    assert set(replicates) == {1, 2, 3}


def test_columns_are_named_as_in_the_field(simulation):
    (first, second) = simulation.morphology.values()
    assert (first.shape[1], second.shape[1]) == (301, 201)
    for table in (first, second):
        assert table.columns.is_unique
        assert all(c.startswith(("Cells_", "Cytoplasm_", "Nuclei_")) for c in table.columns[1:])
        assert np.isfinite(table.iloc[:, 1:].to_numpy()).all()
    assert set(simulation.gene_morphology.columns[1:]) < set(first.columns)
    assert simulation.expression.shape[1] == 979
    genes = set(simulation.genes["entrez"])
    assert {int(column) for column in simulation.expression.columns[1:]} < genes
    for column in ("gene_0", "gene_1"):
        assert set(simulation.gene_gene[column]) <= genes
    assert (simulation.gene_gene["gene_0"] < simulation.gene_gene["gene_1"]).all()
    assert set(simulation.molecule_gene["entrez"]) <= genes
    assert set(simulation.molecule_gene["id"]) <= set(simulation.molecules["id"])


def test_molecules_with_one_mechanism_respond_alike_whatever_their_chemotype(quiet):
    single = (quiet.activity > 0).sum(axis=1) == 1
    mechanism = quiet.activity[single].argmax(axis=1)
    for table in [*quiet.morphology.values(), quiet.expression]:
        response = table.set_index("id").loc[quiet.molecules["id"][single]].to_numpy(dtype=float)
        response = response / np.linalg.norm(response, axis=1, keepdims=True)
        similarity = response @ response.T
        np.fill_diagonal(similarity, -1)
        assert (mechanism[similarity.argmax(axis=1)] == mechanism).all()
        same = mechanism[:, None] == mechanism
        np.fill_diagonal(same, False)
        assert similarity[same].min() > 0.999
        assert similarity[~same].max() < 0.7


def test_inactive_molecules_do_not_respond(quiet):
    inactive = ~(quiet.activity > 0).any(axis=1)
    assert inactive.sum() > 50
    for table in [*quiet.morphology.values(), quiet.expression]:
        response = table.set_index("id").loc[quiet.molecules["id"][inactive]].to_numpy()
        np.testing.assert_array_equal(response, 0)


def test_perturbing_a_target_gene_looks_like_its_mechanism(quiet):
    profiles = quiet.gene_morphology.set_index("entrez")
    columns = list(profiles.columns)
    morphology = quiet.morphology["simulated_painting_a"].set_index("id")[columns]
    bound = quiet.molecule_gene.drop_duplicates("id")
    single = set(quiet.molecules["id"][(quiet.activity > 0).sum(axis=1) == 1])
    bound = bound[bound["id"].isin(single)]
    one = profiles.loc[bound["entrez"]].to_numpy(dtype=float)
    other = morphology.loc[bound["id"]].to_numpy(dtype=float)
    cosine = (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert len(cosine) > 20
    assert cosine.min() > 0.99


def test_structure_alone_does_not_give_the_mechanism_away(simulation):
    """Few labels on fingerprints are better than chance and far from the noisy truth."""
    bits = np.unpackbits(morgan_fingerprints(simulation.molecules["smiles"].tolist(), radius=2), axis=1)
    truth = simulation.activity + 0.2 * np.random.default_rng(0).standard_normal(simulation.activity.shape)
    by_bits, by_response = [], []
    for k in range(len(MECHANISMS)):
        for seed in range(3):
            by_bits.append(few_label_auc(bits, simulation.labels[:, k], num_labels=16, seed=seed))
            by_response.append(few_label_auc(truth, simulation.labels[:, k], num_labels=16, seed=seed))
    assert 0.55 < np.mean(by_bits) < 0.85
    assert np.mean(by_response) > 0.95


def test_measured_response_tells_the_mechanism(simulation):
    """The signal is learnable: profiles of different molecules with one mechanism resemble each other."""
    for table in [*simulation.morphology.values(), simulation.expression]:
        profiles = table.groupby("id").median()
        rows = simulation.molecules.set_index("id").index.get_indexer(profiles.index)
        labels = simulation.labels[rows]
        values = profiles.to_numpy(dtype=float)
        values = values - values.mean(axis=1, keepdims=True)
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        similarity = values @ values.T
        np.fill_diagonal(similarity, -1)
        single = np.flatnonzero(labels.sum(axis=1) == 1)
        nearest = similarity[single].argmax(axis=1)
        assert (labels[nearest] & labels[single]).any(axis=1).mean() > 0.9


def test_few_molecules_are_enough_and_none_is_not():
    small = simulate(3)
    assert len(small.molecules) == 3
    with pytest.raises(ValueError, match="'num_molecules' must be at least 1"):
        simulate(0)


def test_asking_for_too_much_says_so(monkeypatch):
    monkeypatch.setattr(simulate_molecules, "_TRIES_PER_MOLECULE", 1)
    with pytest.raises(SourceError, match="joined only"):
        simulate(50)
    config = dataclasses.replace(SimulationConfig(), chemotypes=40)
    monkeypatch.undo()
    with pytest.raises(SourceError, match="40 dissimilar chemotypes"):
        simulate(5, config=config)
