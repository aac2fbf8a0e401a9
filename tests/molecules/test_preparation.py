"""One pass against the long way through standardized SMILES: the same graphs, whatever the order of atoms."""

import gc
import os
import pickle
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from infoalign_dgl.errors import InfoAlignError
from infoalign_dgl.molecules import featurize, preparation, standardize, standardized_graphs
from infoalign_dgl.molecules._workers import FEW_ROWS, FEW_ROWS_WHERE_KEPT, Helpers, map_chunks
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

PLAIN = [
    "CCO",
    " c1ccccc1 ",
    "C",
    "COc1cc(-c2cn(C3CCc4c(F)cccc4N(CC(F)(F)F)C3=O)nn2)ccc1-n1cnc(C)c1",
    "FS(F)(F)(F)(F)F",
]
CHARGED = [
    "C[NH3+]",
    "O=C([O-])c1sc2cc(Cl)ccc2c1Cl",
    "C#Cc1cccc(N=c2[n-]cnc3cc(OCCOC)c(OCCOC)cc23)c1",
    "NC(=[NH2+])NCC[NH+]1CCCCCCC1",
    "[O-]c1c(Cl)cc(Cl)c(Cl)c1Cc1c([O-])c(Cl)cc(Cl)c1Cl",
    "O=[N+]([O-])c1ccccc1C(=O)[O-]",
    "C[N+](C)(C)CC(=O)[O-]",
    "C[N+](C)(C)C",
    "CC(C)=[S+]C",
    "c1cc[nH+]cc1",
    "CC[n+]1ccccc1[O-]",
    "[NH3+]CC([O-])=O",
    "C[N-]S(=O)(=O)C",
    "[CH2-]C",
    "CN=[N+]=[N-]",
    "C[I+]C",
]  # fmt: skip
LONG = [
    "N(=O)(=O)c1ccccc1",
    "O=Cl(=O)(=O)O",
    "N[C@@H](C)C(=O)O",
    "C[C@H]([NH3+])C(=O)[O-]",
    "F/C=C/F",
    "F/C=C\\C[NH3+]",
    "CC(=O)[O-].[Na+]",
    "C1.C1",
    "[Na+]",
    "[2H]OC",
    "[H][H]",
    "[NH3]->[Cu+2]<-[NH3]",
    "CC(=O)Oc1ccccc1C(=O)O |w:1.0|",
    "[Pt](N)(N)(Cl)Cl",
    "C~C",
    "C[P-](C)(C)(C)(C)C",
]  # fmt: skip
FAILING = ["", "nonsense", None, float("nan"), "C(C)(C)(C)(C)C", "*CC", "C[N+](C)(C)(C)C", "*", "C$C"]


def atoms_with_neighbours(packed, row):
    """Multiset of atoms, each with its bonds and neighbours."""
    first, last = packed.atom_offsets[row : row + 2]
    features = packed.atom_features[first:last].tolist()
    around = [[] for _ in features]
    bonds = slice(*packed.bond_offsets[row : row + 2])
    for (one, other), bond in zip(
        packed.bond_atoms[bonds], packed.bond_features[bonds].tolist(), strict=True
    ):
        around[one].append((*bond, *features[other]))
        around[other].append((*bond, *features[one]))
    return Counter((*atom, *sorted(near)) for atom, near in zip(features, around, strict=True))


def assert_same_as_the_long_way(smiles, *, tautomer=False):
    packed, reasons = standardized_graphs(smiles, tautomer=tautomer)
    standard = standardize(smiles, tautomer=tautomer)
    expected, _ = featurize([text or "" for text in standard.smiles])
    assert reasons == standard.reason
    assert len(packed) == len(expected) == len(smiles)
    for row, text in enumerate(smiles):
        assert atoms_with_neighbours(packed, row) == atoms_with_neighbours(expected, row), text


def test_graphs_and_reasons_are_those_of_the_long_way():
    assert_same_as_the_long_way([*PLAIN, *CHARGED, *LONG, *FAILING, *SEED_DRUGS.values()])


def test_canonical_tautomers():
    enols = ["CC(O)=CC(C)=O", "Oc1ccccn1", "CC([O-])=CC(C)=O.[Na+]"]
    assert_same_as_the_long_way([*enols, *PLAIN, *CHARGED, *LONG, *FAILING], tautomer=True)
    packed, _ = standardized_graphs(["CC(O)=CC(C)=O", "CC(=O)CC(C)=O"], tautomer=True)
    assert atoms_with_neighbours(packed, 0) == atoms_with_neighbours(packed, 1)


def test_real_molecules(data_root):
    for name in ("chembl2k", "moltoxcast"):
        table = pd.read_csv(data_root / f"tasks/{name}/assays.csv.gz", usecols=["smiles"], nrows=500)
        assert_same_as_the_long_way(table["smiles"].tolist())


def test_the_long_way_is_for_few(monkeypatch):
    taken = []
    long_way = preparation.standardize_one
    monkeypatch.setattr(
        preparation, "standardize_one", lambda text, kind, **_: taken.append(text) or long_way(text, kind)
    )
    standardized_graphs([*PLAIN, *CHARGED[:-1], *LONG])
    assert taken == LONG


def processes(helpers):
    return {worker.pid for worker in helpers._workers}


def test_helpers_are_kept_and_go_with_their_owner():
    helpers = Helpers()
    rows = list(range(FEW_ROWS))
    map_chunks(sorted, rows[: FEW_ROWS - 1], num_workers=2, helpers=helpers)
    assert len(helpers) == 0
    map_chunks(sorted, rows, num_workers=2, helpers=helpers)
    started = processes(helpers)
    assert len(started) == 2
    who = map_chunks(_Who(), rows[:FEW_ROWS_WHERE_KEPT], num_workers=2, helpers=helpers)
    assert set(who) <= started
    assert (
        map_chunks(_Who(), rows[: FEW_ROWS_WHERE_KEPT - 1], num_workers=2, helpers=helpers)[0] == os.getpid()
    )
    map_chunks(sorted, rows, num_workers=3, helpers=helpers)
    assert processes(helpers) > started
    copy = pickle.loads(pickle.dumps(helpers))
    assert len(copy) == 0
    started = processes(helpers)
    del helpers
    gc.collect()
    assert not any(Path(f"/proc/{pid}").exists() for pid in started)


def test_helpers_start_anew_after_an_error():
    helpers = Helpers()
    with pytest.raises(InfoAlignError, match="a worker process ended with status 7"):
        map_chunks(_Die(), [7] * FEW_ROWS, num_workers=2, helpers=helpers)
    assert len(helpers) == 0
    chunks = map_chunks(sorted, list(range(FEW_ROWS)), num_workers=2, helpers=helpers)
    assert sum(chunks, []) == list(range(FEW_ROWS))  # noqa: RUF017 - a few chunks
    helpers.close()
    assert len(helpers) == 0


class _Who:
    """Its calls give the process that they run in."""

    def __reduce__(self):
        return eval, ("lambda rows: __import__('os').getpid()",)

    def __call__(self, rows):
        return os.getpid()


class _Die:
    def __reduce__(self):
        return os._exit, (7,)  # unpickling it, in the worker, ends the worker

    def __call__(self, rows):
        raise AssertionError("never called here")
