/// \file molecules.cpp
/// Batches of molecules.
#include "infoalign/molecules.h"

#include "arrays.h"

namespace infoalign::bindings {

using namespace nb::literals;

namespace {

nb::tuple gather_py(Table<const uint8_t> atom_features, Table<const uint8_t> bond_features,
                    Table<const int32_t> bond_atoms, Flat<const int64_t> atom_offsets,
                    Flat<const int64_t> bond_offsets, Flat<const int64_t> ids, Flat<int64_t> atom_kind,
                    Flat<int32_t> neighbor, Flat<int32_t> arc_kind, Flat<int64_t> batch_atom_offsets,
                    Flat<int64_t> arc_offsets) {
    const auto atom_columns = static_cast<int64_t>(atom_features.shape(1));
    const auto bond_columns = static_cast<int64_t>(bond_features.shape(1));
    require(atom_columns <= 16 && bond_columns <= 16, "features have more than 16 columns");
    require(bond_atoms.shape(1) == 2 && bond_atoms.shape(0) == bond_features.shape(0),
            "bond_atoms has the wrong shape");
    require(arc_offsets.size() == atom_kind.size() + 1 && batch_atom_offsets.size() == ids.size() + 1 &&
                neighbor.size() == arc_kind.size(),
            "the batch's arrays have the wrong sizes");
    const PackedGraphs all{atom_features.data(), bond_features.data(), bond_atoms.data(), atom_offsets.data(),
                           bond_offsets.data(),  atom_columns,         bond_columns};
    const BatchArrays batch{atom_kind.data(), neighbor.data(), arc_kind.data(), batch_atom_offsets.data(),
                            arc_offsets.data()};
    Kinds kinds;
    {
        const nb::gil_scoped_release release;
        kinds = gather_molecules(all, ids.data(), static_cast<int64_t>(ids.size()), batch);
    }
    const size_t atom_rows = atom_columns == 0 ? 0 : kinds.atom_kinds.size() / static_cast<size_t>(atom_columns);
    const size_t bond_rows = bond_columns == 0 ? 0 : kinds.bond_kinds.size() / static_cast<size_t>(bond_columns);
    return nb::make_tuple(
        kinds.bad_molecule,
        to_numpy(std::move(kinds.atom_kinds), {atom_rows, static_cast<size_t>(atom_columns)}),
        to_numpy(std::move(kinds.bond_kinds), {bond_rows, static_cast<size_t>(bond_columns)}));
}

}  // namespace

void bind_molecules(nb::module_& m) {
    m.def("gather_molecules", &gather_py, "atom_features"_a, "bond_features"_a, "bond_atoms"_a, "atom_offsets"_a,
          "bond_offsets"_a, "ids"_a, "atom_kind"_a, "neighbor"_a, "arc_kind"_a, "batch_atom_offsets"_a,
          "arc_offsets"_a);
}

}  // namespace infoalign::bindings
