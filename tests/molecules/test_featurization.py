"""Features against the vocabulary written down a second time, by name, and looked up the naive way."""

import numpy as np
from rdkit import Chem

from infoalign_dgl.molecules import ATOM_FEATURE_SIZES, BOND_FEATURE_SIZES, featurize
from infoalign_dgl.molecules.featurization import ChunkBuilder
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

ODD = [
    "[Na+].[Cl-]",
    "[Fe+2]",
    "[Og]",
    "*CC",
    "[CH3]",
    "[CH2]",
    "[C]",
    "O=[N+]([O-])c1ccccc1",
    "[O-][Cl+3]([O-])([O-])[O-]",
    "[Zr+4]",
    "[U+6]",
    "[P-3]",
    "N[C@@H](C)C(=O)O",
    "N[C@H](C)C(=O)O",
    "F/C=C/F",
    "F/C=C\\F",
    "C1CC/C=C/CCC1",
    "C#N",
    "[C-]#[O+]",
    "FS(F)(F)(F)(F)F",
    "FP(F)(F)(F)F",
    "c1ccc2[nH]ccc2c1",
    "C=CC=CC=O",
    "[H][H]",
    "[H+]",
    "[BH4-]",
    "[NH4+]",
    "[SiH4]",
    "N[Pt@SP1](N)(Cl)Cl",
    "C[S@@+]([O-])c1ccccc1",
    "[NH3]->[Cu+2]<-[NH3]",
    "C1CCCCC1C1=CC=CC=C1",
    "[2H]OC",
    "CC(=O)Oc1ccccc1C(=O)O |w:1.0|",
]
MISC = "anything else"
ELEMENTS = [*range(1, 119), MISC]
CHIRALITY = ["CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER", MISC]
DEGREES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, MISC]
CHARGES = [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, MISC]
HYDROGENS = [0, 1, 2, 3, 4, 5, 6, 7, 8, MISC]
RADICALS = [0, 1, 2, 3, 4, MISC]
HYBRIDS = ["SP", "SP2", "SP3", "SP3D", "SP3D2", MISC]
FLAG = [False, True]
ATOM_VOCABULARY = [ELEMENTS, CHIRALITY, DEGREES, CHARGES, HYDROGENS, RADICALS, HYBRIDS, FLAG, FLAG]
BOND_TYPES = ["SINGLE", "DOUBLE", "TRIPLE", "AROMATIC", MISC]
STEREO = ["STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY"]


def place(vocabulary, value):
    return vocabulary.index(value) if value in vocabulary else len(vocabulary) - 1


def expected_atoms(molecule):
    rows = []
    for atom in molecule.GetAtoms():
        values = [
            atom.GetAtomicNum(),
            str(atom.GetChiralTag()),
            atom.GetTotalDegree(),
            atom.GetFormalCharge(),
            atom.GetTotalNumHs(),
            atom.GetNumRadicalElectrons(),
            str(atom.GetHybridization()),
            atom.GetIsAromatic(),
            atom.IsInRing(),
        ]
        rows.append([place(v, value) for v, value in zip(ATOM_VOCABULARY, values, strict=True)])
    return np.array(rows)


def expected_bonds(molecule):
    rows = [
        [
            place(BOND_TYPES, str(bond.GetBondType())),
            STEREO.index(str(bond.GetStereo())),
            FLAG.index(bond.GetIsConjugated()),
        ]
        for bond in molecule.GetBonds()
    ]
    return np.array(rows).reshape(-1, 3)


def test_sizes_are_those_of_the_vocabulary():
    assert tuple(map(len, ATOM_VOCABULARY)) == ATOM_FEATURE_SIZES
    assert (len(BOND_TYPES), len(STEREO), 2) == BOND_FEATURE_SIZES


def test_features_of_diverse_molecules():
    smiles = ODD + list(SEED_DRUGS.values())
    packed, reasons = featurize(smiles)
    assert reasons == [None] * len(smiles)
    for i, text in enumerate(smiles):
        molecule = Chem.MolFromSmiles(text)
        atoms = slice(packed.atom_offsets[i], packed.atom_offsets[i + 1])
        bonds = slice(packed.bond_offsets[i], packed.bond_offsets[i + 1])
        np.testing.assert_array_equal(packed.atom_features[atoms], expected_atoms(molecule), err_msg=text)
        np.testing.assert_array_equal(packed.bond_features[bonds], expected_bonds(molecule), err_msg=text)
        ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]
        np.testing.assert_array_equal(packed.bond_atoms[bonds], np.array(ends).reshape(-1, 2), err_msg=text)


def test_the_odd_ones_reach_the_ends_of_the_vocabulary():
    packed, _ = featurize(ODD)
    largest = packed.atom_features.max(axis=0)
    assert largest[0] == ATOM_FEATURE_SIZES[0] - 1  # a wildcard
    assert largest[1] == ATOM_FEATURE_SIZES[1] - 1  # square planar
    assert largest[3] == ATOM_FEATURE_SIZES[3] - 1  # U+6
    assert packed.bond_features[:, 0].max() == BOND_FEATURE_SIZES[0] - 1  # a dative bond
    assert set(packed.bond_features[:, 1]) >= {1, 2} or set(packed.bond_features[:, 1]) >= {3, 4}
    assert (packed.atom_features.max(axis=0) < ATOM_FEATURE_SIZES).all()


def test_stereo_beyond_the_vocabulary_counts_as_any():
    molecule = Chem.MolFromSmiles("Cc1cccc(O)c1-c1c(C)cccc1N")
    bond = molecule.GetBondBetweenAtoms(7, 8)
    bond.SetStereo(Chem.BondStereo.STEREOATROPCW)
    builder = ChunkBuilder()
    builder.add(molecule, Chem.MolToCXSmiles(molecule))
    features = builder.chunk().bond_features[bond.GetIdx()]
    assert features.tolist() == [0, STEREO.index("STEREOANY"), 1]


def test_failed_rows_are_empty_and_say_why():
    packed, reasons = featurize(["CO", "nonsense", None, "C(C)(C)(C)(C)C", "", "C"])
    assert np.diff(packed.atom_offsets).tolist() == [2, 0, 0, 0, 0, 1]
    assert np.diff(packed.bond_offsets).tolist() == [1, 0, 0, 0, 0, 0]
    assert [reason is None for reason in reasons] == [True, False, False, False, False, True]
    assert reasons[1] == "does not parse as SMILES"
    assert reasons[2] == "empty"
    assert "valence" in reasons[3]


def test_nothing_in_nothing_out():
    packed, reasons = featurize([])
    assert len(packed) == 0
    assert reasons == []
    assert packed.gather(np.array([], dtype=np.int64)).num_molecules == 0


def test_processes_give_the_same():
    smiles = list(SEED_DRUGS.values()) * 27
    smiles[1234] = "broken"
    calls = []
    spread, reasons = featurize(smiles, num_workers=2, progress=lambda *call: calls.append(call))
    single, single_reasons = featurize(smiles, num_workers=1)
    assert reasons == single_reasons
    for name in ("atom_features", "bond_features", "bond_atoms", "atom_offsets", "bond_offsets"):
        np.testing.assert_array_equal(getattr(spread, name), getattr(single, name))
    assert calls[-1] == (len(smiles), len(smiles))
