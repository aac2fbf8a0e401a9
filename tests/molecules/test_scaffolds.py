import pytest
from rdkit import Chem
from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

from infoalign_dgl.molecules.scaffolds import murcko_scaffolds
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

SMILES = [*SEED_DRUGS.values(), "CC[C@H]1CC[C@@H](F)CC1", "C[C@H](Cl)C1CCN(CC1)C/C=C/c1ccccc1"]


@pytest.mark.parametrize("stereo", [True, False])
def test_scaffolds_are_rdkits(stereo):
    expected = [MurckoScaffoldSmiles(smiles, includeChirality=stereo) for smiles in SMILES]
    assert murcko_scaffolds(SMILES, stereo=stereo) == expected


def test_known_scaffolds():
    found = murcko_scaffolds(["OC(=O)Cc1ccccc1", "CCO", "C1CC1CCC1CC1", " O=C1CCCN1C ", "F/C=C/C"])
    assert found == ["c1ccccc1", "", "C1CC1CCC1CC1", "O=C1CCCN1", ""]


def test_stereochemistry_of_linkers_and_rings():
    e, z = "c1ccccc1/C=C/c1ccncc1", r"c1ccccc1/C=C\c1ccncc1"
    assert len(set(murcko_scaffolds([e, z]))) == 2
    assert len(set(murcko_scaffolds([e, z], stereo=False))) == 1
    assert Chem.CanonSmiles(e) in murcko_scaffolds([e])


def test_unreadable_rows_stay_in_place():
    assert murcko_scaffolds(["nonsense", None, "", "c1ccccc1C", "C(C)(C)(C)(C)C"]) == [
        None, None, None, "c1ccccc1", None,
    ]  # fmt: skip


def test_processes_give_the_same():
    chains = [f"{'N' * (1 + number % 30)}{'C' * (number // 30)}" for number in range(1000)]
    many = [f"{chain}{ring}" for chain in chains for ring in ("c1ccccc1", "C1CCNCC1", "")] * 2
    calls = []
    spread = murcko_scaffolds(many, num_workers=2, progress=lambda done, of: calls.append((done, of)))
    assert spread == murcko_scaffolds(many, num_workers=1)
    assert calls[-1] == (3000, 3000)  # a structure that comes twice is read once
    assert len(calls) > 1
