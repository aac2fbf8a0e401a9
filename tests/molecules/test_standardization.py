import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from infoalign_dgl.molecules import standardize
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

SALTS_AND_CHARGES = [
    "[Na+].CC(=O)[O-]",
    "C[NH3+].[Cl-]",
    "CC(C)NCC(O)COc1cccc2ccccc12.Cl",
    "C[N+](C)(C)CC([O-])=O",
    "C[N+](C)(C)C.[Br-]",
    "O=[N+]([O-])c1ccccc1",
    "[NH3+]CC([O-])=O",
    "OC(=O)CC(O)(CC(O)=O)C(O)=O.CCN(CC)CC.O.O",
    "C[C@H](N)C(=O)[O-].[K+]",
    "c1cc[nH+]cc1",
    "F/C=C/F",
    "[2H]C([2H])([2H])O",
]


def many_small_molecules():
    """2,304 different strings, enough for processes to be started."""
    ends = ["C", "N", "O", "F", "S", "Cl", "Br", "C#N", "CO", "[O-].[Na+]", "C=C", "[NH3+]"]
    starts = (
        "",
        "C",
        "N",
        "O",
        "S",
        "CC",
        "CN",
        "CO",
        "CS",
        "CCC",
        "CCN",
        "CCO",
        "CCS",
        "C=C",
        "C#C",
        "CC#C",
    )
    return [f"C{start}C({one})C({other})" for start in starts for one in ends for other in ends]


def unhurried(smiles):
    """The same steps, none skipped."""
    molecule = rdMolStandardize.LargestFragmentChooser().choose(Chem.MolFromSmiles(smiles))
    molecule = rdMolStandardize.Uncharger().uncharge(molecule)
    smiles = Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(molecule)))
    return smiles, Chem.InchiToInchiKey(Chem.MolToInchi(Chem.MolFromSmiles(smiles)))


def test_skipping_steps_changes_nothing():
    structures = SALTS_AND_CHARGES + list(SEED_DRUGS.values())
    result = standardize(structures)
    assert list(zip(result.smiles, result.key, strict=True)) == [unhurried(s) for s in structures]
    assert result.reason == [None] * len(structures)


def test_known_molecules():
    result = standardize(["OCC", "[Na+].CC(=O)[O-]", "InChI is no SMILES"])
    assert result.smiles[:2] == ["CCO", "CC(=O)O"]
    assert result.key[:2] == ["LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "QTBSBXVTEAMEQO-UHFFFAOYSA-N"]
    assert result.smiles[2] is None
    assert result.key[2] is None


def test_a_salt_and_its_free_base_are_one_molecule():
    result = standardize(["CN1CCCC1", "C[NH+]1CCCC1.[Cl-]", " CN1CCCC1\n"])
    assert len(set(result.key)) == 1


def test_inchi_and_smiles_meet():
    smiles = list(SEED_DRUGS.values())[:20]
    inchis = [Chem.MolToInchi(Chem.MolFromSmiles(s)) for s in smiles]
    blocks = [key[:14] for key in standardize(inchis, kind="inchi").key]
    assert blocks == [key[:14] for key in standardize(smiles).key]


@pytest.mark.parametrize(
    ("structure", "reason"),
    [
        (None, "empty"),
        (float("nan"), "empty"),
        ("  ", "empty"),
        ("Cannot_do", "does not parse as SMILES"),
        ("C1CC", "does not parse as SMILES"),
        ("C(C)(C)(C)(C)C", "breaks a rule of chemistry"),
        ("c1cccc1", "breaks a rule of chemistry"),
        ("*CC", "no InChIKey"),
    ],
)
def test_reasons(structure, reason, capfd):
    result = standardize(["CC", structure])
    assert result.smiles[1] is None
    assert result.key[1] is None
    assert reason in result.reason[1]
    assert result.reason[0] is None
    assert capfd.readouterr() == ("", "")  # RDKit's own log stays silent


def test_uncharging_never_makes_an_impossible_molecule():
    phosphate = "CO[P-](=O)(=O)O"
    result = standardize([phosphate])
    assert result.smiles == ["CO[P-](=O)(=O)O"]


def test_processes_give_the_same_and_count_every_structure():
    smiles = many_small_molecules()
    smiles[7] = "broken"
    smiles += smiles[:50]  # repeated rows are worked on once
    calls = []
    spread = standardize(smiles, num_workers=2, progress=lambda done, total: calls.append((done, total)))
    assert spread == standardize(smiles, num_workers=1)
    assert [i for i, reason in enumerate(spread.reason) if reason] == [7, 2304 + 7]
    assert calls[-1] == (2304, 2304)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_wrong_kind():
    with pytest.raises(ValueError, match="'kind' must be 'smiles' or 'inchi'"):
        standardize(["C"], kind="mol")


def test_nothing_in_nothing_out():
    assert len(standardize([])) == 0


def test_standard_form_is_a_fixed_point_on_real_compounds(data_root):
    smiles = pd.read_csv(data_root / "context/molecules/jump_compounds.csv.gz", nrows=1500)["smiles"]
    once = standardize(smiles.tolist())
    kept = [s for s in once.smiles if s]
    twice = standardize(kept)
    assert twice.smiles == kept
    assert twice.key == [k for k in once.key if k]


@pytest.mark.slow
def test_jump_compounds(data_root):
    smiles = pd.read_csv(data_root / "context/molecules/jump_compounds.csv.gz")["smiles"].tolist()
    result = standardize(smiles)
    dropped = np.array([reason is not None for reason in result.reason])
    assert len(smiles) == 116_753
    assert dropped.sum() == 86
    assert len({key[:14] for key in result.key if key}) == 116_661


TAUTOMERS = [
    ("CC(=O)CC(C)=O", "CC(O)=CC(C)=O"),
    ("Oc1ccccn1", "O=c1cccc[nH]1"),
    ("Cc1c[nH]cn1", "Cc1cnc[nH]1"),
]


@pytest.mark.parametrize("pair", TAUTOMERS)
def test_tautomers_are_one_molecule_where_that_is_asked_for(pair):
    apart, merged = standardize(pair), standardize(pair, tautomer=True)
    assert apart.smiles[0] != apart.smiles[1]
    assert len(set(merged.key)) == len(set(merged.smiles)) == 1
    canonical = rdMolStandardize.TautomerEnumerator().Canonicalize(Chem.MolFromSmiles(pair[1]))
    assert merged.smiles == [Chem.MolToSmiles(canonical)] * 2
    assert merged.key == [Chem.MolToInchiKey(canonical)] * 2


def test_the_canonical_tautomer_is_that_of_the_uncharged_largest_fragment():
    found = standardize(["[Na+].CC([O-])=CC(C)=O", "not one"], tautomer=True)
    assert found.smiles == ["CC(=O)CC(C)=O", None]
    assert found.reason[1] == "does not parse as SMILES"


def test_helper_processes_take_tautomers_too():
    smiles = [f"{'C' * n}C(O)=CC(C)=O" for n in range(1, 9)] + [f"[{n}CH4]" for n in range(1, 2000)]
    found = standardize(smiles, tautomer=True, num_workers=2)
    assert found.smiles[:8] == standardize(smiles[:8], tautomer=True, num_workers=1).smiles
    assert found.smiles[0] == "CC(=O)CC(C)=O"
