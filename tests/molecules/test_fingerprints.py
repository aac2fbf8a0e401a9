import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from infoalign_dgl.molecules import morgan_fingerprints
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

SMILES = list(SEED_DRUGS.values())


def on_bits(smiles, radius, num_bits):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=num_bits)
    return set(generator.GetFingerprint(Chem.MolFromSmiles(smiles)).GetOnBits())


@pytest.mark.parametrize(("radius", "num_bits"), [(2, 1024), (4, 1024), (2, 2048), (1, 64)])
def test_bits_are_rdkits_in_packbits_order(radius, num_bits):
    packed = morgan_fingerprints(SMILES, radius=radius, num_bits=num_bits)
    assert packed.dtype == np.uint8
    assert packed.shape == (len(SMILES), num_bits // 8)
    for row, smiles in zip(np.unpackbits(packed, axis=1), SMILES, strict=True):
        assert set(np.flatnonzero(row)) == on_bits(smiles, radius, num_bits)


@given(st.lists(st.sampled_from(SMILES), max_size=8))
def test_rows_do_not_depend_on_each_other(smiles):
    together = morgan_fingerprints(smiles, radius=2)
    assert together.shape == (len(smiles), 128)
    for row, text in zip(together, smiles, strict=True):
        np.testing.assert_array_equal(row, morgan_fingerprints([text], radius=2)[0])


def test_processes_give_the_same():
    smiles = SMILES * 27
    spread = morgan_fingerprints(smiles, radius=4, num_workers=2)
    np.testing.assert_array_equal(spread, np.tile(morgan_fingerprints(SMILES, radius=4), (27, 1)))
    smiles[2001] = "nonsense"
    with pytest.raises(ValueError, match=r"row 2001 \('nonsense'\): does not parse"):
        morgan_fingerprints(smiles, radius=4, num_workers=2)


@pytest.mark.parametrize("bad", ["nonsense", "", None, "C(C)(C)(C)(C)C"])
def test_a_row_that_does_not_parse_is_named(bad):
    with pytest.raises(ValueError, match="row 2 "):
        morgan_fingerprints(["C", "CC", bad], radius=2)


@pytest.mark.parametrize("num_bits", [0, -8, 100])
def test_odd_lengths(num_bits):
    with pytest.raises(ValueError, match="'num_bits' must be a positive multiple of 8"):
        morgan_fingerprints(["C"], radius=2, num_bits=num_bits)
