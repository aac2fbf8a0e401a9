// Batches of molecules against a plain gathering with maps and lists, also where bonds are broken or kinds are many.
#include "infoalign/molecules.h"

#include <algorithm>
#include <map>
#include <vector>

#include "check.h"
#include "graphs.h"

using namespace infoalign;

namespace {

/// Random molecules in flat arrays, with `values` values per column of features, so that many or few rows are alike.
struct Packed {
    std::vector<uint8_t> atom_features, bond_features;
    std::vector<int32_t> bond_atoms;
    std::vector<int64_t> atom_offsets{0}, bond_offsets{0};
    int64_t atom_columns, bond_columns;

    Packed(graphs::Words& words, int64_t molecules, int64_t atom_width, int64_t bond_width, uint32_t values,
           uint32_t most_atoms = 9)
        : atom_columns(atom_width), bond_columns(bond_width) {
        const auto fill = [&](std::vector<uint8_t>& to, int64_t count) {
            for (; count > 0; --count) to.push_back(static_cast<uint8_t>(words.below(values)));
        };
        for (int64_t m = 0; m < molecules; ++m) {
            const uint32_t atoms = words.below(most_atoms), bonds = atoms == 0 ? 0 : words.below(atoms + 3);
            fill(atom_features, atoms * atom_columns);
            fill(bond_features, bonds * bond_columns);
            for (uint32_t k = 0; k < 2 * bonds; ++k) bond_atoms.push_back(static_cast<int32_t>(words.below(atoms)));
            atom_offsets.push_back(atom_offsets.back() + atoms);
            bond_offsets.push_back(bond_offsets.back() + bonds);
        }
    }

    int64_t size() const { return static_cast<int64_t>(atom_offsets.size()) - 1; }
    PackedGraphs view() const {
        return {atom_features.data(), bond_features.data(), bond_atoms.data(), atom_offsets.data(),
                bond_offsets.data(),  atom_columns,         bond_columns};
    }
    int64_t atoms_of(int64_t molecule) const {
        return atom_offsets[static_cast<size_t>(molecule) + 1] - atom_offsets[static_cast<size_t>(molecule)];
    }
    int64_t bonds_of(int64_t molecule) const {
        return bond_offsets[static_cast<size_t>(molecule) + 1] - bond_offsets[static_cast<size_t>(molecule)];
    }
};

constexpr int64_t kGuard = -77;  // what no batch holds, so that a place shows that was not written, or beyond the end

struct Batch {
    std::vector<int64_t> atom_kind, atom_offsets{0}, arc_offsets{0};
    std::vector<int32_t> neighbor, arc_kind;
    std::vector<int64_t> atom_kinds, bond_kinds;
    int64_t bad_molecule = -1;

    bool operator==(const Batch& other) const {
        return atom_kind == other.atom_kind && atom_offsets == other.atom_offsets && arc_offsets == other.arc_offsets &&
               neighbor == other.neighbor && arc_kind == other.arc_kind && atom_kinds == other.atom_kinds &&
               bond_kinds == other.bond_kinds && bad_molecule == other.bad_molecule;
    }
};

/// Kinds by number, in the order in which they come.
struct Kindred {
    std::map<std::vector<int64_t>, int64_t> numbers;
    std::vector<int64_t> rows;

    int64_t number(const std::vector<uint8_t>& features, int64_t row, int64_t columns) {
        const auto begin = features.begin() + row * columns;
        const std::vector<int64_t> key(begin, begin + columns);
        const auto [place, is_new] = numbers.emplace(key, static_cast<int64_t>(numbers.size()));
        if (is_new) rows.insert(rows.end(), key.begin(), key.end());
        return place->second;
    }
};

Batch gather_plainly(const Packed& all, const std::vector<int64_t>& ids) {
    struct Arc {
        int64_t from, kind;
    };
    Batch batch;
    Kindred atoms, bonds;
    for (const int64_t id : ids) {
        const int64_t first = batch.atom_offsets.back(), size = all.atoms_of(id);
        for (int64_t i = 0; i < size; ++i)
            batch.atom_kind.push_back(
                atoms.number(all.atom_features, all.atom_offsets[static_cast<size_t>(id)] + i, all.atom_columns));
        std::vector<std::vector<Arc>> entering(static_cast<size_t>(size));
        const int64_t first_bond = all.bond_offsets[static_cast<size_t>(id)];
        for (int64_t b = first_bond; b < first_bond + all.bonds_of(id); ++b) {
            const int64_t one = all.bond_atoms[static_cast<size_t>(2 * b)];
            const int64_t other = all.bond_atoms[static_cast<size_t>(2 * b + 1)];
            if (std::min(one, other) < 0 || std::max(one, other) >= size) {
                Batch bad;
                bad.bad_molecule = id;
                return bad;
            }
            const int64_t kind = bonds.number(all.bond_features, b, all.bond_columns);
            entering[static_cast<size_t>(other)].push_back({first + one, kind});
            entering[static_cast<size_t>(one)].push_back({first + other, kind});
        }
        for (const auto& arcs : entering) {
            for (const Arc& arc : arcs) {
                batch.neighbor.push_back(static_cast<int32_t>(arc.from));
                batch.arc_kind.push_back(static_cast<int32_t>(arc.kind));
            }
            batch.arc_offsets.push_back(static_cast<int64_t>(batch.neighbor.size()));
        }
        batch.atom_offsets.push_back(first + size);
    }
    batch.atom_kinds = atoms.rows;
    batch.bond_kinds = bonds.rows;
    return batch;
}

/// The native gathering, into arrays with a guard at their end.
Batch gather(const Packed& all, const std::vector<int64_t>& ids) {
    int64_t atoms = 0, arcs = 0;
    for (const int64_t id : ids) {
        atoms += all.atoms_of(id);
        arcs += 2 * all.bonds_of(id);
    }
    const auto guarded = [](auto& array, int64_t size) {
        array.assign(static_cast<size_t>(size) + 1, static_cast<std::decay_t<decltype(array[0])>>(kGuard));
    };
    Batch batch;
    guarded(batch.atom_kind, atoms);
    guarded(batch.atom_offsets, static_cast<int64_t>(ids.size()) + 1);
    guarded(batch.arc_offsets, atoms + 1);
    guarded(batch.neighbor, arcs);
    guarded(batch.arc_kind, arcs);
    Kinds kinds = gather_molecules(all.view(), ids.data(), static_cast<int64_t>(ids.size()),
                                   {batch.atom_kind.data(), batch.neighbor.data(), batch.arc_kind.data(),
                                    batch.atom_offsets.data(), batch.arc_offsets.data()});
    const auto release = [](auto& array) {
        CHECK(array.back() == kGuard);
        array.pop_back();
    };
    release(batch.atom_kind);
    release(batch.atom_offsets);
    release(batch.arc_offsets);
    release(batch.neighbor);
    release(batch.arc_kind);
    if (kinds.bad_molecule >= 0) {  // then nothing else counts
        batch = Batch{};
        batch.bad_molecule = kinds.bad_molecule;
        return batch;
    }
    batch.atom_kinds = std::move(kinds.atom_kinds);
    batch.bond_kinds = std::move(kinds.bond_kinds);
    return batch;
}

/// Ids in any order, some twice.
std::vector<int64_t> random_ids(graphs::Words& words, int64_t count, int64_t limit) {
    std::vector<int64_t> ids;
    for (; count > 0 && limit > 0; --count) ids.push_back(words.below(static_cast<uint32_t>(limit)));
    return ids;
}

}  // namespace

CASE(a_batch_equals_the_plain_gathering) {
    for (uint64_t seed = 0; seed < 60; ++seed) {
        graphs::Words words(seed);
        const int64_t atom_columns = 1 + words.below(16), bond_columns = 1 + words.below(16);
        const Packed all(words, words.below(40), atom_columns, bond_columns, 1 + words.below(4));
        const std::vector<int64_t> ids = random_ids(words, words.below(60), all.size());
        CHECK(gather(all, ids) == gather_plainly(all, ids));
    }
}

CASE(rows_that_differ_in_one_column_are_two_kinds) {
    for (const int64_t columns : {int64_t{1}, int64_t{7}, int64_t{8}, int64_t{9}, int64_t{15}, int64_t{16}}) {
        graphs::Words words(1);
        Packed all(words, 1, columns, 1, 1, 1);  // without atoms so far
        for (int64_t row = 0; row <= columns; ++row)  // zeros, and then a single 255 in each column
            for (int64_t c = 0; c < columns; ++c) all.atom_features.push_back(row == c + 1 ? 255 : 0);
        all.atom_offsets = {0, columns + 1};
        const Batch batch = gather(all, {0, 0});
        CHECK(batch == gather_plainly(all, {0, 0}));
        CHECK(static_cast<int64_t>(batch.atom_kinds.size()) == (columns + 1) * columns);
    }
}

CASE(many_kinds) {
    graphs::Words words(7);
    const Packed all(words, 400, 9, 11, 256, 60);  // nearly every row is a kind of its own
    std::vector<int64_t> ids = random_ids(words, 500, all.size());
    const Batch batch = gather(all, ids);
    CHECK(batch.atom_kinds.size() > 9 * 3000 && batch.bond_kinds.size() > 11 * 3000);
    CHECK(batch == gather_plainly(all, ids));
}

CASE(a_bond_of_an_atom_that_is_not_there_is_named) {
    long bad = 0, good = 0;
    for (uint64_t seed = 0; seed < 4000; ++seed) {
        graphs::Words words(seed);
        Packed all(words, 1 + words.below(8), 3, 2, 3, 5);
        const int32_t odd[] = {-1, 4, 5, 6, 2147483647, -2147483647 - 1};
        for (uint32_t faults = words.below(3); faults > 0 && !all.bond_atoms.empty(); --faults) {
            all.bond_atoms[words.below(static_cast<uint32_t>(all.bond_atoms.size()))] = odd[words.below(6)];
        }
        const std::vector<int64_t> ids = random_ids(words, words.below(10), all.size());
        const Batch expected = gather_plainly(all, ids);
        CHECK(gather(all, ids) == expected);
        (expected.bad_molecule < 0 ? good : bad) += 1;
    }
    CHECK(bad > 300 && good > 300);
}

CASE(an_empty_batch) {
    graphs::Words words(2);
    const Packed all(words, 5, 9, 3, 3);
    const Batch batch = gather(all, {});
    CHECK(batch == gather_plainly(all, {}));
    CHECK(batch.atom_offsets == std::vector<int64_t>{0} && batch.arc_offsets == std::vector<int64_t>{0});
}
