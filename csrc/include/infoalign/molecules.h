/// \file molecules.h
/// Batches of molecules, cut out of many that lie one after the other.
#pragma once

#include <cstdint>
#include <vector>

namespace infoalign {

/// Molecular graphs in flat arrays; molecule i is rows offsets[i] to offsets[i + 1]. Each bond stands once.
struct PackedGraphs {
    const uint8_t* atom_features;  ///< (atoms, atom_columns)
    const uint8_t* bond_features;  ///< (bonds, bond_columns)
    const int32_t* bond_atoms;     ///< (bonds, 2), counted within the molecule.
    const int64_t* atom_offsets;   ///< (molecules + 1,)
    const int64_t* bond_offsets;   ///< (molecules + 1,)
    int64_t atom_columns, bond_columns;  ///< At most 16 each.
};

/// What a batch of m molecules with N atoms and E arcs is written to; the caller knows the sizes from the offsets.
struct BatchArrays {
    int64_t* atom_kind;     ///< (N,): row of `atom_kinds`.
    int32_t* neighbor;      ///< (E,): the atom that an arc leaves; arcs are grouped by the atom they enter.
    int32_t* arc_kind;      ///< (E,): row of `bond_kinds`.
    int64_t* atom_offsets;  ///< (m + 1,)
    int64_t* arc_offsets;   ///< (N + 1,)
};

/// Distinct rows of features, in the order in which they were met.
struct Kinds {
    std::vector<int64_t> atom_kinds;  ///< (U, atom_columns)
    std::vector<int64_t> bond_kinds;  ///< (V, bond_columns)
    int64_t bad_molecule = -1;        ///< The first id of the batch, if any, whose bonds name an atom that it lacks.
};

/// Cut a batch out. `ids` (m,) must be molecules that are there.
Kinds gather_molecules(const PackedGraphs& all, const int64_t* ids, int64_t count, const BatchArrays& batch);

}  // namespace infoalign
