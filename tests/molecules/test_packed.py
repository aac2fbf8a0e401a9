import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from infoalign_dgl.errors import SourceError
from infoalign_dgl.molecules import PackedMolecules, featurize, packed
from infoalign_dgl.sources.simulate_seeds import SEED_DRUGS

SMILES = [*list(SEED_DRUGS.values())[:12], "C", "[Na+].[Cl-]", "not a molecule", "CC"]
PACKED, REASONS = featurize(SMILES)


def naive_arcs(molecule, first_atom, features):
    """Every bond both ways, by looping: (destination, source, bond features)."""
    arcs = []
    for bond, row in zip(molecule.GetBonds(), features, strict=True):
        one, other = bond.GetBeginAtomIdx() + first_atom, bond.GetEndAtomIdx() + first_atom
        arcs += [(other, one, *row), (one, other, *row)]
    return arcs


@given(st.lists(st.integers(0, len(SMILES) - 1), max_size=12))
def test_gather_is_the_disjoint_union(ids):
    batch = PACKED.gather(np.array(ids, dtype=np.int64))
    assert batch.num_molecules == len(ids)
    atoms, arcs, molecule, arc_counts = [], [], [], []
    for position, i in enumerate(ids):
        parsed = Chem.MolFromSmiles(SMILES[i]) if REASONS[i] is None else Chem.Mol()
        bonds = PACKED.bond_features[PACKED.bond_offsets[i] : PACKED.bond_offsets[i + 1]]
        found = naive_arcs(parsed, len(atoms), bonds)
        atoms += PACKED.atom_features[PACKED.atom_offsets[i] : PACKED.atom_offsets[i + 1]].tolist()
        arcs += sorted(found)
        arc_counts.append(len(found))
        molecule += [position] * parsed.GetNumAtoms()
    assert batch.atom_features.tolist() == atoms
    assert batch.molecule.tolist() == molecule
    assert batch.bonds_per_molecule.tolist() == arc_counts
    assert batch.atoms_per_molecule.tolist() == np.bincount(molecule, minlength=len(ids)).tolist()
    ours = torch.cat([batch.edge_dst[:, None], batch.edge_src[:, None], batch.bond_features], dim=1)
    assert sorted(map(tuple, ours.tolist())) == sorted(arcs)
    assert torch.all(batch.edge_dst[1:] >= batch.edge_dst[:-1])  # sorted by destination, molecules contiguous
    assert len({tuple(row) for row in batch.atom_kinds.tolist()}) == len(batch.atom_kinds)
    assert len({tuple(row) for row in batch.bond_kinds.tolist()}) == len(batch.bond_kinds)
    assert batch.atom_kind.unique().numel() == len(batch.atom_kinds)
    assert batch.arc_kind.unique().numel() == len(batch.bond_kinds)


@given(st.lists(st.integers(0, len(SMILES) - 1), max_size=12))
def test_numpy_gathers_the_same(ids):
    native = PACKED.gather(np.array(ids, dtype=np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "load_native", lambda: None)
        plain = PACKED.gather(np.array(ids, dtype=np.int64))
    for name in ("atom_features", "bond_features", "neighbor", "arc_offsets", "atom_offsets", "molecule"):
        one, other = getattr(native, name), getattr(plain, name)
        assert torch.equal(one, other), name
        assert one.dtype == other.dtype


@given(st.lists(st.integers(0, len(SMILES) - 1), max_size=12))
def test_selecting_from_a_batch_is_gathering(ids):
    everything = PACKED.gather(np.arange(len(PACKED)))
    expected = PACKED.gather(np.array(ids, dtype=np.int64))
    chosen = torch.tensor(ids, dtype=torch.int64)
    selected = everything.select(chosen, expected.num_atoms, len(expected.neighbor))
    for name in ("atom_features", "bond_features", "neighbor", "arc_offsets", "atom_offsets", "molecule"):
        one, other = getattr(selected, name), getattr(expected, name)
        assert torch.equal(one, other), name
        assert one.dtype == other.dtype


@pytest.mark.parametrize("backend", ["native", "numpy"])
@pytest.mark.parametrize("bad", [-1, 2])
def test_a_bond_to_an_atom_that_is_not_there(backend, bad, monkeypatch):
    if backend == "numpy":
        monkeypatch.setattr(packed, "load_native", lambda: None)
    atoms, bonds = np.zeros((5, 9), np.uint8), np.zeros((2, 3), np.uint8)
    ends = np.array([[0, 1], [0, bad]], np.int32)
    store = PackedMolecules(atoms, bonds, ends, np.array([0, 3, 5]), np.array([0, 1, 2]))
    with pytest.raises(SourceError, match="a bond of molecule 1 names an atom that the molecule lacks"):
        store.gather(np.array([0, 1]))
    assert store.gather(np.array([0])).num_atoms == 3


def test_many_kinds_of_atoms_are_told_apart():
    rng = np.random.default_rng(0)
    atoms = rng.integers(0, 4, (5000, 9)).astype(np.uint8)
    store = PackedMolecules(
        atoms, np.zeros((0, 3), np.uint8), np.zeros((0, 2), np.int32), np.array([0, 5000]), np.array([0, 0])
    )
    np.testing.assert_array_equal(store.gather(np.array([0])).atom_features.numpy(), atoms)


def test_batches_do_not_share_memory_with_the_store():
    before = PACKED.atom_features.copy()
    PACKED.gather(np.array([0, 1])).atom_kinds.fill_(1)
    np.testing.assert_array_equal(PACKED.atom_features, before)


@pytest.mark.parametrize("bad", [-1, len(SMILES)])
def test_ids_out_of_range(bad):
    with pytest.raises(IndexError, match=rf"not {bad} at position 1"):
        PACKED.gather(np.array([0, bad]))


def test_moving_keeps_everything():
    batch = PACKED.gather(np.array([0, 3]))
    moved = batch.to("cpu")
    for field in dataclasses.fields(batch):
        one, other = getattr(batch, field.name), getattr(moved, field.name)
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    assert batch.to("meta").edge_src.device.type == "meta"


def test_save_and_load(tmp_path):
    path = tmp_path / "molecules.npz"
    PACKED.save(path)
    loaded = PackedMolecules.load(path)
    for field in dataclasses.fields(PACKED):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(PACKED, field.name))
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "molecules.npz"
    PACKED.save(path)
    whole = path.read_bytes()

    def full_disk(stream, **arrays):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        PACKED.save(path)
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "molecules.npz"
    with pytest.raises(SourceError, match=r"molecules.npz' does not exist"):
        PackedMolecules.load(path)
    PACKED.save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(SourceError, match=r"molecules.npz' is damaged"):
        PackedMolecules.load(path)
    path.write_bytes(b"")
    with pytest.raises(SourceError, match=r"molecules.npz' is damaged"):
        PackedMolecules.load(path)
    np.savez(path, format_version=np.int64(99))
    with pytest.raises(SourceError, match="format version 99"):
        PackedMolecules.load(path)


def test_arrays_that_do_not_fit_are_refused():
    parts = {field.name: getattr(PACKED, field.name) for field in dataclasses.fields(PACKED)}
    with pytest.raises(ValueError, match="'atom_features' must be a 2-dimensional uint8 array"):
        PackedMolecules(**{**parts, "atom_features": parts["atom_features"].astype(np.int64)})
    with pytest.raises(ValueError, match="must run from 0"):
        PackedMolecules(**{**parts, "atom_offsets": parts["atom_offsets"][:-1]})
    for name in ("atom_offsets", "bond_offsets"):
        falling = parts[name].copy()
        falling[1] = falling[-1] + 1
        with pytest.raises(ValueError, match="must run from 0"):
            PackedMolecules(**{**parts, name: falling})
