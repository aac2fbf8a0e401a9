"""Similarity to the molecules learned from, against RDKit."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation import nearest
from infoalign_dgl.evaluation.nearest import nearest_molecules, packed_morgan
from infoalign_dgl.sources.simulate_molecules import join_molecules


@pytest.fixture(scope="module")
def molecules():
    return join_molecules(160, np.random.default_rng(0))


def test_it_is_rdkits_largest_similarity_whatever_the_blocks(molecules, monkeypatch):
    queries, references = molecules[:70], [*molecules[70:], molecules[70]]
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in molecules]
    expected = np.array([DataStructs.BulkTanimotoSimilarity(each, prints[70:]) for each in prints[:70]])
    packed = packed_morgan(queries), packed_morgan(references)
    assert packed[0].shape == (70, 256)
    for blocks in ((512, 4096), (7, 13)):
        monkeypatch.setattr(nearest, "_QUERIES", blocks[0])
        monkeypatch.setattr(nearest, "_REFERENCES", blocks[1])
        found = nearest_molecules(*packed)
        assert np.array_equal(found.similarity, expected.max(axis=1))
        assert np.array_equal(found.row, expected.argmax(axis=1))  # the first of several
    assert 0.1 < found.similarity.mean() < 0.99


def test_structures_are_standardized_and_a_train_molecule_finds_itself(molecules):
    references = packed_morgan(["CC(=O)[O-].[Na+]", *molecules[:20]])
    found = nearest_molecules(packed_morgan(["CC(=O)O", "[Cl-].CC(=O)O", molecules[9]]), references)
    assert found.similarity.tolist() == [1, 1, 1]
    assert found.row.tolist() == [0, 0, 10]


def test_what_cannot_be_read_is_near_nothing(molecules):
    references = packed_morgan(["not a molecule", *molecules[:3]])
    found = nearest_molecules(packed_morgan([None, molecules[2], "C("]), references)
    assert np.isnan(found.similarity[[0, 2]]).all()
    assert found.row.tolist() == [-1, 3, -1]
    nowhere = nearest_molecules(references, references[:0])
    assert np.isnan(nowhere.similarity).all()
    assert (nowhere.row == -1).all()
    assert len(nearest_molecules(references[:0], references).row) == 0


def test_a_reference_that_cannot_be_read_is_nobodys_nearest():
    found = nearest_molecules(packed_morgan(["CCCCCC"]), packed_morgan(["not a molecule", "[Xe]"]))
    assert found.similarity.tolist() == [0]
    assert found.row.tolist() == [1]


def test_fingerprints_of_other_lengths_are_refused():
    with pytest.raises(EvaluationError, match="cannot be compared"):
        nearest_molecules(np.ones((1, 8), np.uint8), np.ones((1, 16), np.uint8))
