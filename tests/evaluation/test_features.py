"""Inputs of methods: fingerprints against RDKit, profiles of a small graph, files, fallback."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from infoalign_dgl.context import ContextGraph, FeatureSpace
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation import features
from infoalign_dgl.evaluation.features import Features
from infoalign_dgl.evaluation.predictions import Predictions
from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.molecules import morgan_fingerprints, standardize
from infoalign_dgl.representation import Representation

SMILES = ["CCO", "CC(=O)[O-].[Na+]", None, "c1ccccc1CCCCCCCC", "not a molecule", "C[C@H](N)C(=O)O"]
READ = np.array([True, True, False, True, False, True])
KEYS = [key and key[:14] for key in standardize(SMILES).key]


def test_morgan_counts_are_those_of_rdkit_for_standardized_structures():
    found = features.morgan_counts(SMILES)
    assert found.values.shape == (6, 2048)
    np.testing.assert_array_equal(found.has, READ)
    assert np.isnan(found.values[~READ]).all()
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    for row, text in zip(np.flatnonzero(READ), ["CCO", "CC(=O)O", *np.array(SMILES)[[3, 5]]], strict=True):
        expected = generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(text))
        np.testing.assert_array_equal(found.values[row], expected)
    assert np.nanmax(found.values) > 2
    assert found.coverage == pytest.approx(4 / 6)
    assert found.notes == ["2 of 6 rows have no vector (has no structure that can be read, first row 2)."]


def test_morgan_bits_are_the_packed_ones():
    found = features.morgan_bits(SMILES)
    standard = [text for text in standardize(SMILES).smiles if text is not None]
    packed = morgan_fingerprints(standard, radius=2, num_bits=2048)
    np.testing.assert_array_equal(found.values[READ], np.unpackbits(packed, axis=1))
    assert np.isnan(found.values[~READ]).all()


def make_representation(seed):
    config = ModelConfig(
        spaces={"fingerprint": 8},
        modality={"fingerprint": "molecule"},
        hidden=12,
        layers=2,
        decoder_hidden_factor=2,
    )
    torch.manual_seed(seed)
    return Representation(InfoAlign(config).eval(), None)


def test_untrained_encoder_is_that_of_its_seed_and_leaves_the_generator_alone():
    run = make_representation(seed=7)
    embedded = features.embed_features(run, SMILES)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    same = features.untrained_features(run, SMILES, 7)
    other = features.untrained_features(run, SMILES, 8)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(embedded.has, READ)
    np.testing.assert_array_equal(same.values, embedded.values)
    assert not np.allclose(other.values[READ], same.values[READ])
    np.testing.assert_array_equal(np.isnan(other.values).all(axis=1), ~READ)


def make_graph(keys):
    """Molecule 0 has two profiles in 'cells', 1 and 3 one, 3 one in 'dyes' besides, 2 none; no expression."""
    nodes = {
        "molecule": pd.DataFrame(
            {"key": keys, "inchikey": [f"{key}-UHFFFAOYSA-N" for key in keys], "smiles": "C", "sources": "t"}
        ),
        "gene": pd.DataFrame({"key": [], "symbol": []}),
        "gene_expression": pd.DataFrame({"key": [], "molecule": [], "space": [], "replicates": []}),
        "morphology": pd.DataFrame({"key": list("abcde"), "molecule": "", "space": "", "replicates": 1}),
    }
    edges = {
        ("molecule", "perturbs", "morphology"): (
            np.array([0, 0, 1, 3, 3]),
            np.arange(5),
            np.ones(5, np.float32),
        )
    }
    cells = np.array([[0.1, 0.2], [0.3, 0.6], [0.5, 0.5], [1.0, 0.0]], np.float32)
    dyes = np.array([[0.7, 0.8, 0.9]], np.float32)
    spaces = [
        FeatureSpace("dyes", "morphology", list("xyz"), dyes, np.array([-1, -1, -1, -1, 0])),
        FeatureSpace("cells", "morphology", list("uv"), cells, np.array([0, 1, 2, 3, -1])),
    ]
    return ContextGraph.from_edges(edges, nodes, {space.name: space for space in spaces})


def test_measured_profiles_are_found_by_key_in_the_space_that_covers_most():
    graph = make_graph(["AAAAAAAAAAAAAA", "BBBBBBBBBBBBBB", "CCCCCCCCCCCCCC", "DDDDDDDDDDDDDD"])
    keys = ["DDDDDDDDDDDDDD", None, "AAAAAAAAAAAAAA", "CCCCCCCCCCCCCC", "EEEEEEEEEEEEEE", "AAAAAAAAAAAAAA"]
    found = features.measured_features(keys, graph, "morphology")
    np.testing.assert_array_equal(found.has, [True, False, True, False, False, True])
    np.testing.assert_allclose(found.values[found.has], [[1.0, 0.0], [0.2, 0.4], [0.2, 0.4]], rtol=1e-6)
    assert np.isnan(found.values[~found.has]).all()
    assert found.coverage == 0.5
    assert found.name == "morphology of 'cells'"
    assert found.notes == ["Rows of 6 with a profile, by feature space: dyes 1, cells 3; 'cells' is used."]
    dyes = features.measured_features(keys, graph, "morphology", space="dyes")
    np.testing.assert_allclose(dyes.values[0], [0.7, 0.8, 0.9], rtol=1e-6)
    assert dyes.has.sum() == 1


def test_graph_molecules_that_share_a_block_are_one():
    graph = make_graph(["AAAAAAAAAAAAAA", "AAAAAAAAAAAAAA", "CCCCCCCCCCCCCC", "DDDDDDDDDDDDDD"])
    found = features.measured_features(["AAAAAAAAAAAAAA"], graph, "morphology")
    np.testing.assert_allclose(found.values, [[0.3, (0.2 + 0.6 + 0.5) / 3]], rtol=1e-6)


def test_graph_without_the_molecules_or_the_modality():
    graph = make_graph(["AAAAAAAAAAAAAA", "BBBBBBBBBBBBBB", "CCCCCCCCCCCCCC", "DDDDDDDDDDDDDD"])
    none = features.measured_features(["FFFFFFFFFFFFFF", None], graph, "morphology")
    assert not none.has.any()
    assert none.coverage == 0
    with pytest.raises(EvaluationError, match="no feature space of gene_expression"):
        features.measured_features(["AAAAAAAAAAAAAA"], graph, "gene_expression")
    with pytest.raises(EvaluationError, match="no feature space 'l1000' of morphology: it has dyes, cells"):
        features.measured_features(["AAAAAAAAAAAAAA"], graph, "morphology", space="l1000")


def test_standardize_uses_train_rows_with_vectors_only():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 5, (20, 4)).astype(np.float32)
    values[:, 2] = 0.1  # its standard deviation rounds to something above 0
    values[15, 2] = 4
    values[4] = np.nan
    found = features.standardize(Features("f", values, ~np.isnan(values[:, 0])), np.arange(10))
    train = np.delete(np.arange(10), 4)
    varying = [0, 1, 3]
    expected = (values - values[train].mean(0)) / values[train].std(0)
    np.testing.assert_allclose(found.values[:, varying], expected[:, varying], rtol=1e-4, atol=1e-5)
    assert (found.values[found.has, 2] == 0).all()
    assert np.isnan(found.values[4]).all()
    with pytest.raises(EvaluationError, match="none of the 1 train rows has a vector of f"):
        features.standardize(found, np.array([4]))


def test_file_of_vectors_as_array_and_as_embed_writes_it(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 2))
    values[1] = np.nan
    np.save(tmp_path / "mine.npy", values)
    table = pd.DataFrame({"smiles": ["CCO", "?", "C"], "error": [None, "does not parse", None]})
    table[["embedding_0", "embedding_1"]] = values
    table.to_parquet(tmp_path / "mine.parquet")
    table.to_csv(tmp_path / "mine.csv", index=False)
    for name in ("mine.npy", "mine.parquet", "mine.csv"):
        found = features.file_features(tmp_path / name, ["CCO", "?", "C"])
        assert found.name == name
        assert found.values.dtype == np.float32
        np.testing.assert_allclose(found.values, values, rtol=1e-6)
        np.testing.assert_array_equal(found.has, [True, False, True])
        assert found.notes[-1].startswith("1 of 3 rows have no vector")
    assert found.notes[0] == "Columns left out of 'mine.csv': smiles, error."


def test_files_that_do_not_fit_are_refused(tmp_path):
    def refused(name, match, smiles=("CCO", "C")):
        with pytest.raises(EvaluationError, match=match):
            features.file_features(tmp_path / name, list(smiles))

    np.save(tmp_path / "a.npy", np.zeros((3, 2)))
    refused("a.npy", "has 3 rows and the task set has 2")
    np.save(tmp_path / "flat.npy", np.zeros(2))
    refused("flat.npy", r"float64 of shape \(2,\)")
    np.save(tmp_path / "nan.npy", np.full((2, 2), np.nan))
    refused("nan.npy", "no row without an empty or infinite cell")
    (tmp_path / "b.npy").write_bytes(b"nothing")
    refused("b.npy", "cannot be read as an array")
    refused("none.npy", "cannot be read as an array")
    (tmp_path / "other.csv").write_text("smiles,x\nCCO,1\nCC,2\n")
    refused("other.csv", "has 'CC' in row 3, where the task set has 'C'")
    (tmp_path / "text.csv").write_text("x,y\n1,2\n3,high\n")
    refused("text.csv", "no numbers in column 'y'.*row 3")
    (tmp_path / "ids.csv").write_text("name,smiles\na,CCO\nb,C\n")
    refused("ids.csv", "no column of numbers besides identifiers")


def test_fallback_takes_structure_where_there_is_no_profile():
    nan = np.nan
    # Rows 1 and 2 have profiles; task 1 could not be trained on them.
    profiles = Predictions(np.array([[[nan, nan], [0.1, nan], [0.2, nan]]], np.float32), None, ["p"])
    structure = Predictions(np.array([[[0.7, 0.8], [0.9, 0.6], [0.5, 0.4]]], np.float32), None, ["s"])
    found = features.fall_back(profiles, structure)
    np.testing.assert_allclose(found.values, [[[0.7, 0.8], [0.1, 0.6], [0.2, 0.4]]], rtol=1e-6)
    assert found.values.dtype == np.float32
    assert found.spread is None
    assert found.notes[1] == (
        "2 of 3 rows (66.7 %) were predicted from profiles, in 1 of 2 tasks, and the rest from structure."
    )
    spread = Predictions(profiles.values, profiles.values * 2)
    other = Predictions(structure.values, structure.values * 3)
    np.testing.assert_allclose(
        features.fall_back(spread, other).spread, [[[2.1, 2.4], [0.2, 1.8], [0.4, 1.2]]], rtol=1e-6
    )
