"""Molecules and small models for the tests of the model's parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from infoalign_dgl.models import InfoAlign, ModelConfig
from infoalign_dgl.molecules import featurize

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O",
    "[Na+]",
    "C/C=C/C",
    "C#N",
    "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O",
    "c1ccc2ccccc2c1",
    "O",
]
SPACES = {"fingerprint": 12, "profile": 7, "second": 5, "expression": 4}
MODALITY = {
    "fingerprint": "molecule",
    "profile": "morphology",
    "second": "morphology",
    "expression": "gene_expression",
}


@pytest.fixture(scope="session")
def molecules():
    packed, reasons = featurize(SMILES)
    assert reasons == [None] * len(SMILES)
    return packed


@pytest.fixture
def batch(molecules):
    return molecules.gather(np.arange(len(molecules)))


@pytest.fixture
def make_model():
    def make(encoder="gin-virtual", *, seed=0, dropout=0.5, spaces=SPACES, modality=MODALITY):
        torch.manual_seed(seed)
        return InfoAlign(
            ModelConfig(encoder, hidden=16, layers=3, dropout=dropout, spaces=spaces, modality=modality)
        )

    return make
