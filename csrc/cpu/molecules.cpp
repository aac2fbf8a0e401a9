#include "infoalign/molecules.h"

#include <algorithm>
#include <cstring>

namespace infoalign {

namespace {

/// Numbers distinct short rows of bytes in the order in which they come.
class Numbering {
public:
    explicit Numbering(int64_t columns) : columns_(columns), slots_(256, kFree) {}

    int64_t number(const uint8_t* row) {
        const Key key = key_of(row);
        size_t at = hash(key) & (slots_.size() - 1);
        for (; slots_[at] != kFree; at = (at + 1) & (slots_.size() - 1))
            if (keys_[static_cast<size_t>(slots_[at])] == key) return slots_[at];
        slots_[at] = static_cast<int64_t>(keys_.size());
        keys_.push_back(key);
        rows_.insert(rows_.end(), row, row + columns_);
        const int64_t number = slots_[at];
        if (2 * keys_.size() > slots_.size()) grow();
        return number;
    }

    std::vector<int64_t> take_rows() { return std::move(rows_); }

private:
    struct Key {
        uint64_t low, high;
        bool operator==(const Key& other) const { return low == other.low && high == other.high; }
    };
    static constexpr int64_t kFree = -1;

    Key key_of(const uint8_t* row) const {
        Key key{0, 0};
        std::memcpy(&key.low, row, static_cast<size_t>(std::min<int64_t>(columns_, 8)));
        if (columns_ > 8) std::memcpy(&key.high, row + 8, static_cast<size_t>(columns_ - 8));
        return key;
    }

    static size_t hash(Key key) {
        uint64_t mixed = key.low * 0x9E3779B97F4A7C15u ^ (key.high + 0xD1B54A32D192ED03u) * 0xBF58476D1CE4E5B9u;
        mixed ^= mixed >> 32;
        return static_cast<size_t>(mixed * 0x94D049BB133111EBu >> 20);
    }

    void grow() {
        slots_.assign(2 * slots_.size(), kFree);
        for (size_t k = 0; k < keys_.size(); ++k) {
            size_t at = hash(keys_[k]) & (slots_.size() - 1);
            while (slots_[at] != kFree) at = (at + 1) & (slots_.size() - 1);
            slots_[at] = static_cast<int64_t>(k);
        }
    }

    int64_t columns_;
    std::vector<int64_t> slots_;
    std::vector<Key> keys_;
    std::vector<int64_t> rows_;
};

/// One molecule's bonds, in the batch: fills its rows of the arc arrays, whose offsets begin at `first_arc`.
class ArcWriter {
public:
    ArcWriter(const PackedGraphs& all, const BatchArrays& batch) : all_(all), batch_(batch), bonds_(all.bond_columns) {}

    /// False if a bond names an atom that is not there; nothing outside the molecule's own rows is written then.
    bool write(int64_t molecule, int64_t first_atom, int64_t atoms) {
        const int64_t begin = all_.bond_offsets[molecule], end = all_.bond_offsets[molecule + 1];
        int64_t* degree = batch_.arc_offsets + first_atom + 1;  // counts first, then ends
        std::fill(degree, degree + atoms, 0);
        for (int64_t b = begin; b < end; ++b)
            for (int64_t side = 0; side < 2; ++side) {
                const int32_t atom = all_.bond_atoms[2 * b + side];
                if (atom < 0 || atom >= atoms) return false;
                ++degree[atom];
            }
        free_.resize(static_cast<size_t>(atoms));
        int64_t next = batch_.arc_offsets[first_atom];
        for (int64_t i = 0; i < atoms; ++i) {
            free_[static_cast<size_t>(i)] = next;
            next += degree[i];
            degree[i] = next;
        }
        for (int64_t b = begin; b < end; ++b) {
            const int32_t one = all_.bond_atoms[2 * b], other = all_.bond_atoms[2 * b + 1];
            const auto kind = static_cast<int32_t>(bonds_.number(all_.bond_features + b * all_.bond_columns));
            put(free_[static_cast<size_t>(other)]++, first_atom + one, kind);
            put(free_[static_cast<size_t>(one)]++, first_atom + other, kind);
        }
        return true;
    }

    std::vector<int64_t> take_kinds() { return bonds_.take_rows(); }

private:
    void put(int64_t arc, int64_t neighbor, int32_t kind) {
        batch_.neighbor[arc] = static_cast<int32_t>(neighbor);
        batch_.arc_kind[arc] = kind;
    }

    const PackedGraphs& all_;
    const BatchArrays& batch_;
    Numbering bonds_;
    std::vector<int64_t> free_;  // where an atom's next arc goes
};

}  // namespace

Kinds gather_molecules(const PackedGraphs& all, const int64_t* ids, int64_t count, const BatchArrays& batch) {
    Kinds kinds;
    Numbering atoms(all.atom_columns);
    ArcWriter arcs(all, batch);
    batch.atom_offsets[0] = batch.arc_offsets[0] = 0;
    for (int64_t m = 0; m < count; ++m) {
        const int64_t begin = all.atom_offsets[ids[m]], size = all.atom_offsets[ids[m] + 1] - begin;
        const int64_t first = batch.atom_offsets[m];
        for (int64_t i = 0; i < size; ++i)
            batch.atom_kind[first + i] = atoms.number(all.atom_features + (begin + i) * all.atom_columns);
        if (!arcs.write(ids[m], first, size)) {
            kinds.bad_molecule = ids[m];
            return kinds;
        }
        batch.atom_offsets[m + 1] = first + size;
    }
    kinds.atom_kinds = atoms.take_rows();
    kinds.bond_kinds = arcs.take_kinds();
    return kinds;
}

}  // namespace infoalign
