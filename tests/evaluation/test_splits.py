import importlib
import warnings
from collections import Counter
from hashlib import sha256
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, RDLogger
from rdkit.Chem.Scaffolds import MurckoScaffold

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation import Split, split_molecules
from infoalign_dgl.evaluation.splits import METHODS, read_split, stereo_leakage
from infoalign_dgl.molecules import standardize
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

DRUGS = list(SEED_DRUGS.values())
MANY = [*DRUGS, *(f"{'C' * i}c1ccccc1" for i in range(1, 9)), "CCO", "CCCO", "CC(C)=O", "CCN"]


def published(smiles):
    """The published split, written out from its description: no code is shared with the package."""
    clusters = {}
    for row, text in enumerate(smiles):
        core = MurckoScaffold.GetScaffoldForMol(Chem.MolFromSmiles(text))
        clusters.setdefault(Chem.MolToSmiles(core), []).append(row)
    shuffled = list(clusters.values())
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    np.random.shuffle(shuffled)  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    flat = list(chain(*shuffled))
    a, b = int(0.6 * len(smiles)), int(0.15 * len(smiles))
    return sorted(flat[:a]), sorted(flat[a : a + b]), sorted(flat[a + b :])


def largest_first(smiles, fractions=(0.8, 0.1)):
    """The rule of MoleculeNet and OGB, written out."""
    rows_of = {}
    for row, text in enumerate(smiles):
        rows_of.setdefault(MurckoScaffold.MurckoScaffoldSmiles(text, includeChirality=False), []).append(row)
    n = len(smiles)
    first, second = fractions[0] * n, (fractions[0] + fractions[1]) * n
    parts = [], [], []
    for rows in sorted(rows_of.values(), key=lambda rows: (len(rows), rows[0]), reverse=True):
        if len(parts[0]) + len(rows) > first:
            parts[2 if len(parts[0]) + len(parts[1]) + len(rows) > second else 1].extend(rows)
        else:
            parts[0].extend(rows)
    return tuple(sorted(part) for part in parts)


def parts(split):
    return split.train.tolist(), split.valid.tolist(), split.test.tolist()


def real(data_root, name):
    return pd.read_csv(data_root / "tasks" / name / "assays.csv.gz", usecols=["smiles"])["smiles"].tolist()


@pytest.fixture
def quiet():
    RDLogger.DisableLog("rdApp.*")
    yield
    RDLogger.EnableLog("rdApp.*")


# What the published function itself gave, run once: SHA-256 of its ascending row numbers as 64-bit integers.
PUBLISHED = {
    "chembl2k": ["1afcd7d69c3e36d1", "a8496fabe551e455", "439ca2ed10cbd7e0"],
    "moltoxcast": ["9d2ddb29e252e249", "11514f3f4fe8ba48", "db7a2339c788ded8"],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_reference_is_the_published_split_of_the_real_sets(data_root, name, quiet):
    smiles = real(data_root, name)
    split = split_molecules(smiles, "reference", seed=5)
    assert parts(split) == published(smiles)
    assert split.left_out.size == 0
    sums = [sha256(np.array(part, "<i8").tobytes()).hexdigest()[:16] for part in parts(split)]
    assert sums == PUBLISHED[name]


@given(st.lists(st.sampled_from(MANY), min_size=1, max_size=40))
def test_reference_and_ogb_equal_the_rules_written_out(smiles):
    assert parts(split_molecules(smiles, "reference")) == published(smiles)
    assert parts(split_molecules(smiles, "ogb")) == largest_first(smiles)


def test_ogb_is_the_split_of_dgllife_on_toxcast(data_root, quiet):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("infoalign_dgl._dgl")  # before dgllife, which imports DGL
        splitter = importlib.import_module("dgllife.utils.splitters").ScaffoldSplitter

    class Rows(list):
        smiles = real(data_root, "moltoxcast")

    other = splitter.train_val_test_split(
        Rows(range(len(Rows.smiles))), log_every_n=None, scaffold_func="smiles"
    )
    split = split_molecules(Rows.smiles, "ogb", seed=9)
    assert parts(split) == tuple(sorted(part.indices) for part in other)


def cores(smiles):
    return np.array([MurckoScaffold.MurckoScaffoldSmiles(text) for text in smiles], object)


def test_no_scaffold_and_no_molecule_straddles_a_cut_of_scaffold(data_root, quiet):
    smiles = real(data_root, "moltoxcast")[:3000]  # salts and stereoisomers among them
    keys = np.array([key[:14] for key in standardize(smiles).key], object)
    scaffolds = cores(smiles)
    for seed in (0, 1):
        split = split_molecules(smiles, seed=seed, groups=keys)  # by the default method
        for a, b in ((split.train, split.valid), (split.train, split.test), (split.valid, split.test)):
            for what in (scaffolds, keys):
                assert not set(what[a]) & set(what[b])
        assert stereo_leakage(keys, split) == (0, 0)
        shares = np.array(list(map(len, parts(split)))) / len(smiles)
        np.testing.assert_allclose(shares, (0.8, 0.1, 0.1), atol=1e-9)
        assert max(Counter(scaffolds[split.test]).values()) > 10  # not only what is left over


SALTS = [
    "c1ccncc1CC",
    "CCc1ccc[nH+]c1.[Cl-]",
    "Oc1ccccn1",
    "O=c1cccc[nH]1",
    "F[C@H](Cl)c1ccccc1",
    "F[C@@H](Cl)c1ccccc1",
]


def test_scaffold_keeps_salts_tautomers_and_stereoisomers_together():
    smiles = SALTS * 4 + DRUGS
    keys = [key[:14] for key in standardize(smiles).key]
    assert keys[0] == keys[1]
    assert keys[2] == keys[3]
    assert MurckoScaffold.MurckoScaffoldSmiles(SALTS[2]) != MurckoScaffold.MurckoScaffoldSmiles(SALTS[3])
    scaffolds = cores(smiles)
    for seed in range(6):
        split = split_molecules(smiles, "scaffold", seed)
        assert stereo_leakage(keys, split) == (0, 0)
        assert not set(scaffolds[split.train]) & set(scaffolds[np.append(split.valid, split.test)])


@given(
    st.lists(st.sampled_from([*MANY, None, "nonsense", ""]), max_size=40),
    st.sampled_from(METHODS),
    st.integers(0, 2**32),
)
def test_every_readable_row_is_in_one_part_and_the_seed_says_which(smiles, method, seed):
    split = split_molecules(smiles, method, seed)
    for rows in (split.train, split.valid, split.test, split.left_out):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()
    assert sorted(sum(parts(split), split.left_out.tolist())) == list(range(len(smiles)))
    assert split.left_out.tolist() == [i for i, text in enumerate(smiles) if text in (None, "nonsense", "")]
    assert parts(split_molecules(smiles, method, seed)) == parts(split)


def test_unreadable_rows_change_nothing_for_the_others():
    broken = ["nonsense", *DRUGS, None]
    for method in METHODS:
        with_them, without = split_molecules(broken, method), split_molecules(DRUGS, method)
        assert [[row - 1 for row in part] for part in parts(with_them)] == list(parts(without))
        assert with_them.left_out.tolist() == [0, len(broken) - 1]


@pytest.mark.parametrize("method", ["scaffold", "random", "group"])
def test_seeds_draw_others(method):
    assert len({tuple(split_molecules(DRUGS, method, seed).test.tolist()) for seed in range(8)}) > 4


@pytest.mark.parametrize(
    "sizes", [(0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 1), (8, 1, 1), (20, 2, 2), (800, 100, 100)]
)
def test_random_shares(sizes):
    assert tuple(map(len, parts(split_molecules(["C"] * sum(sizes), "random")))) == sizes


def test_random_draws_rows_evenly():
    counts = np.zeros(60)
    for seed in range(400):
        counts[split_molecules(["CC"] * 60, "random", seed).test] += 1
    # 400 draws of 6 in 60: 40 each, with a standard deviation of 6.
    assert counts.min() > 16
    assert counts.max() < 64


def test_shares_are_reached_as_near_as_groups_allow():
    groups = [0] * 70 + [1] * 12 + [2] * 9 + list(range(3, 12))
    for seed in range(20):
        split = split_molecules(["C"] * 100, "group", seed, groups=groups, shares=(0.7, 0.2, 0.1))
        assert tuple(map(len, parts(split))) == (70, 20, 10)
        assert not {groups[i] for i in split.train} & {groups[i] for i in split.test}
    # A group larger than any part goes to the largest part, and the others get the rest.
    split = split_molecules(["C"] * 100, "group", groups=[0] * 90 + list(range(1, 11)))
    assert set(range(90)) <= set(split.train.tolist())
    assert len(split.valid) + len(split.test) == 10
    assert 2 <= len(split.test) <= 8


def test_groups_given_and_none():
    split = split_molecules(DRUGS[:6], "group", groups=["a", "a", None, "b", "b", "c"])
    assert split.left_out.tolist() == [2]
    by_key = split_molecules(DRUGS[:5] * 2, "group", 3)
    assert stereo_leakage([key for key in standardize(DRUGS[:5] * 2).key], by_key) == (0, 0)


def test_a_part_of_no_share_stays_empty():
    for method in METHODS:
        split = split_molecules(MANY, method, shares=(0.75, 0.0, 0.25))
        assert split.valid.size == 0
        assert split.test.size > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "scafold"}, "did you mean 'scaffold'"),
        ({"method": "random", "groups": [1, 2]}, "leave them out"),
        ({"method": "group", "groups": [1]}, "each of the 2 molecules, not 1"),
        ({"shares": (0.8, 0.1, 0.2)}, "sum to 1"),
        ({"shares": (1.1, -0.1, 0.0)}, "from 0 on"),
        ({"shares": (0.8, 0.2)}, "three numbers"),
    ],
)
def test_arguments_that_do_not_fit(arguments, words):
    with pytest.raises(EvaluationError, match=words):
        split_molecules(["C", "CC"], **arguments)


def test_leakage_counts_rows_whose_connectivity_is_in_train():
    smiles = ["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC(N)C(=O)O.Cl", "CCO", "nonsense", "CCO"]
    split = Split(np.array([0]), np.array([1, 3]), np.array([2, 4, 5]))
    keys = standardize(smiles).key
    assert stereo_leakage(keys, split) == (1, 1)
    assert stereo_leakage([key and key[:14] for key in keys], split)._asdict() == {"valid": 1, "test": 1}
    assert stereo_leakage([None] * 6, split) == (0, 0)


def test_split_from_a_table(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("id,Split\n1,train\n2, Test\n3,\n4,valid\n5,train\n")
    split = read_split(path, 5)
    assert parts(split) == ([0, 4], [3], [1])
    assert split.left_out.tolist() == [2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,part\n1,train\n", "has no column 'split'"),
        ("split,x\ntrain,1\ntest,2\n", "has 2 rows and the task set 3"),
        ("split,x\ntrain,1\ntest,2\nval,3\n", "row 4, column 'split': 'val' is not train, valid or test"),
        ("split,x\ntrain,1\nvalid,2\ntrain,3\n", "no row with 'test'"),
    ],
)
def test_split_tables_that_do_not_fit(tmp_path, text, words):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=words):
        read_split(path, 3)
