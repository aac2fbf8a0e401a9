// GIN layers against plain double loops, their transpose and finite differences, in each number format; the kernel
// bodies against the CPU, bit for bit.
#include "infoalign/messages.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "graphs.h"

using namespace infoalign;

namespace {

double uniform(graphs::Words& words) { return static_cast<double>(words.next()) / 2147483648.0 - 1.0; }

/// Random molecules: some without atoms, some atoms without bonds, some bonds from an atom to itself or twice.
struct Molecules {
    std::vector<int64_t> atom_offsets{0}, arc_offsets{0}, molecule;
    std::vector<int32_t> neighbor, kind;
    int64_t kinds;

    Molecules(uint64_t seed, int64_t molecules, int64_t num_kinds) : kinds(num_kinds) {
        graphs::Words words(seed);
        struct Arc {
            int64_t from, kind;
        };
        for (int64_t m = 0; m < molecules; ++m) {
            const int64_t first = atom_offsets.back(), size = words.below(9);
            std::vector<std::vector<Arc>> entering(static_cast<size_t>(size));
            for (int64_t bonds = size == 0 ? 0 : words.below(12); bonds > 0; --bonds) {
                const int64_t one = words.below(static_cast<uint32_t>(size));
                const int64_t other = words.below(static_cast<uint32_t>(size));
                const int64_t which = words.below(static_cast<uint32_t>(kinds));
                entering[static_cast<size_t>(other)].push_back({first + one, which});
                entering[static_cast<size_t>(one)].push_back({first + other, which});
            }
            for (const auto& arcs : entering) {
                for (const Arc& arc : arcs) {
                    neighbor.push_back(static_cast<int32_t>(arc.from));
                    kind.push_back(static_cast<int32_t>(arc.kind));
                }
                arc_offsets.push_back(static_cast<int64_t>(neighbor.size()));
                molecule.push_back(m);
            }
            atom_offsets.push_back(first + size);
        }
    }

    int64_t atoms() const { return atom_offsets.back(); }
    MoleculeArcs view() const {
        return {atom_offsets.data(), arc_offsets.data(), neighbor.data(), kind.data(),
                static_cast<int64_t>(atom_offsets.size()) - 1, kinds};
    }
};

/// Numbers in a format, and what they are as doubles.
struct Values {
    std::vector<float> singles;
    std::vector<BFloat16> halves;
    std::vector<double> doubles;

    Values() = default;
    Values(size_t size, Number number) { resize(size, number); }
    Values(graphs::Words& words, size_t size, Number number) : Values(size, number) {
        for (size_t k = 0; k < size; ++k) {
            const double value = uniform(words);
            if (number == Number::float64) doubles[k] = value;
            if (number == Number::float32) singles[k] = static_cast<float>(value);
            if (number == Number::bfloat16) store(halves[k], static_cast<float>(value));
        }
    }
    void resize(size_t size, Number number) {
        // Filled with what no result is, so that an entry that was not written shows.
        if (number == Number::float64) doubles.assign(size, -12345.0);
        if (number == Number::float32) singles.assign(size, -12345.0f);
        if (number == Number::bfloat16) halves.assign(size, BFloat16{0xC640});
    }
    void* data() {
        if (!doubles.empty()) return doubles.data();
        return singles.empty() ? static_cast<void*>(halves.data()) : singles.data();
    }
    double at(size_t k) const {
        if (!doubles.empty()) return doubles[k];
        return static_cast<double>(singles.empty() ? to_float(halves[k]) : singles[k]);
    }
    bool operator==(const Values& other) const {
        const auto same = [](const auto& a, const auto& b) {
            return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
        };
        return same(singles, other.singles) && same(halves, other.halves) && same(doubles, other.doubles);
    }
};

using Doubles = std::vector<double>;

bool close(const Values& found, const Doubles& expected, double tolerance) {
    bool all = true;
    for (size_t k = 0; k < expected.size(); ++k)
        all = all && std::abs(found.at(k) - expected[k]) <= tolerance * (1.0 + std::abs(expected[k]));
    return all;
}

/// A layer with everything that it reads, forward and backward, and the equations written out.
struct Layer {
    const Molecules& molecules;
    Number number, outer;  // of x; of everything else
    int64_t width;
    double self_weight = 1.375;
    Values atoms, bonds, of_x, residual, of_pooled;

    Layer(const Molecules& given, Number number_of_x, int64_t columns, uint64_t seed)
        : molecules(given),
          number(number_of_x),
          outer(number_of_x == Number::float64 ? Number::float64 : Number::float32),
          width(columns) {
        graphs::Words words(seed);
        const auto wide = static_cast<size_t>(width);
        const size_t entries = static_cast<size_t>(molecules.atoms()) * wide;
        atoms = Values(words, entries, outer);
        bonds = Values(words, static_cast<size_t>(molecules.kinds) * wide, outer);
        of_x = Values(words, entries, number);
        residual = Values(words, entries, outer);
        of_pooled = Values(words, static_cast<size_t>(molecules.view().molecules) * wide, outer);
    }

    Heard view() { return {atoms.data(), bonds.data(), self_weight, width, number}; }

    size_t entry(int64_t row, int64_t column) const { return static_cast<size_t>(row * width + column); }

    struct Forward {
        Values x, pooled;
        bool operator==(const Forward& other) const { return x == other.x && pooled == other.pooled; }
    };

    Forward forward(int threads, bool pools = true) {
        Forward result{Values(atoms_size(), number), Values(of_pooled_size(), outer)};
        hear_cpu(molecules.view(), view(), result.x.data(), pools ? result.pooled.data() : nullptr, threads);
        return result;
    }

    struct Backward {
        Values atoms, bonds;
        double self = -12345.0;
        bool operator==(const Backward& other) const {
            return atoms == other.atoms && bonds == other.bonds && self == other.self;
        }
    };

    HeardGradients given(bool with_residual, bool with_pooled) {
        return {of_x.data(), with_residual ? residual.data() : nullptr, with_pooled ? of_pooled.data() : nullptr};
    }

    Backward backward(int threads, bool with_residual, bool with_pooled) {
        Backward result{Values(atoms_size(), outer), Values(static_cast<size_t>(molecules.kinds * width), outer)};
        hear_backward_cpu(molecules.view(), view(), given(with_residual, with_pooled), result.atoms.data(),
                          result.bonds.data(), &result.self, threads);
        return result;
    }

    size_t atoms_size() const { return static_cast<size_t>(molecules.atoms() * width); }
    size_t of_pooled_size() const { return static_cast<size_t>(molecules.view().molecules * width); }

    /// x and pooled by the equations.
    std::pair<Doubles, Doubles> expected_forward() const {
        Doubles x(atoms_size(), 0.0), pooled(of_pooled_size(), 0.0);
        for (int64_t i = 0; i < molecules.atoms(); ++i)
            for (int64_t c = 0; c < width; ++c) {
                x[entry(i, c)] = self_weight * atoms.at(entry(i, c));
                pooled[entry(molecules.molecule[static_cast<size_t>(i)], c)] += atoms.at(entry(i, c));
                each_arc(i, [&](int64_t j, int64_t kind) {
                    x[entry(i, c)] += std::max(atoms.at(entry(j, c)) + bonds.at(entry(kind, c)), 0.0);
                });
            }
        return {x, pooled};
    }

    struct Expected {
        Doubles atoms, bonds;
        double self;
    };

    /// The transpose of `expected_forward`, arc by arc: what i heard goes back to j.
    Expected expected_backward(bool with_residual, bool with_pooled) const {
        Expected all{Doubles(atoms_size(), 0.0), Doubles(static_cast<size_t>(molecules.kinds * width), 0.0), 0.0};
        for (int64_t i = 0; i < molecules.atoms(); ++i)
            for (int64_t c = 0; c < width; ++c) {
                const double here = of_x.at(entry(i, c));
                all.atoms[entry(i, c)] += self_weight * here + (with_residual ? residual.at(entry(i, c)) : 0.0);
                if (with_pooled)
                    all.atoms[entry(i, c)] += of_pooled.at(entry(molecules.molecule[static_cast<size_t>(i)], c));
                all.self += atoms.at(entry(i, c)) * here;
                each_arc(i, [&](int64_t j, int64_t kind) {
                    if (atoms.at(entry(j, c)) + bonds.at(entry(kind, c)) <= 0.0) return;
                    all.atoms[entry(j, c)] += here;
                    all.bonds[entry(kind, c)] += here;
                });
            }
        return all;
    }

    template <class Body>
    void each_arc(int64_t atom, const Body& body) const {
        for (int64_t a = molecules.arc_offsets[static_cast<size_t>(atom)];
             a < molecules.arc_offsets[static_cast<size_t>(atom) + 1]; ++a)
            body(molecules.neighbor[static_cast<size_t>(a)], molecules.kind[static_cast<size_t>(a)]);
    }
};

double tolerance_of(Number number) {
    return number == Number::float64 ? 1e-13 : number == Number::float32 ? 2e-6 : 1.0 / 256.0;
}

template <class Body>
void each_layer(const Body& body) {
    for (const Number number : {Number::float32, Number::bfloat16, Number::float64})
        for (const int64_t width : {int64_t{1}, int64_t{7}, int64_t{70}})
            for (const int64_t count : {int64_t{1}, int64_t{16}, int64_t{61}}) {
                const Molecules molecules(static_cast<uint64_t>(count + width), count, 5);
                Layer layer(molecules, number, width, 17);
                body(layer);
            }
}

/// Runs the bodies of the CUDA kernels as a grid of threads would: a thread takes one column of a part's molecules.
template <class X>
Layer::Backward backward_as_grid(Layer& layer, HeardGradients given) {
    const MoleculeArcs arcs = layer.molecules.view();
    const HearParts parts(arcs.molecules, layer.width);
    const int64_t entries = arcs.kinds * layer.width;
    std::vector<float> scratch(static_cast<size_t>(parts.scratch(arcs.kinds, layer.width)), -12345.0f);
    float* const selves = scratch.data() + parts.parts * entries;
    Layer::Backward result{Values(layer.atoms_size(), Number::float32),
                           Values(static_cast<size_t>(entries), Number::float32)};
    for (int64_t part = 0; part < parts.parts; ++part)
        for (int64_t tile = 0; tile < parts.tiles; ++tile) {
            const int64_t first = tile * HearParts::kColumns;
            double self = 0.0;
            for (int64_t c = first; c < std::min(first + HearParts::kColumns, layer.width); ++c) {
                const BondSums sums{scratch.data() + part * entries + c, layer.width};
                for (int64_t k = 0; k < arcs.kinds; ++k) sums.sums[k * sums.stride] = 0.0f;
                for (int64_t m = part * parts.molecules_each;
                     m < std::min((part + 1) * parts.molecules_each, arcs.molecules); ++m)
                    self += static_cast<double>(
                        hear_column_backward<X>(arcs, layer.view(), static_cast<float>(layer.self_weight), given, m, c,
                                                static_cast<float*>(result.atoms.data()), sums));
            }
            selves[part * parts.tiles + tile] = static_cast<float>(self);
        }
    result.self = 0.0;
    for (int64_t k = 0; k < parts.parts * parts.tiles; ++k) result.self += static_cast<double>(selves[k]);
    for (int64_t e = 0; e < entries; ++e) {
        double sum = 0.0;
        for (int64_t part = 0; part < parts.parts; ++part)
            sum += static_cast<double>(scratch[static_cast<size_t>(part * entries + e)]);
        result.bonds.singles[static_cast<size_t>(e)] = static_cast<float>(sum);
    }
    return result;
}

template <class X>
void compare_kernel_bodies(Layer& layer) {
    const MoleculeArcs arcs = layer.molecules.view();
    Layer::Forward found{Values(layer.atoms_size(), layer.number), Values(layer.of_pooled_size(), Number::float32)};
    for (int64_t m = 0; m < arcs.molecules; ++m)
        for (int64_t c = 0; c < layer.width; ++c)
            hear_column(arcs, layer.view(), static_cast<float>(layer.self_weight), m, c,
                        static_cast<X*>(found.x.data()), static_cast<float*>(found.pooled.data()));
    CHECK(found == layer.forward(1));
    for (const bool with_residual : {false, true})
        for (const bool with_pooled : {false, true}) {
            const Layer::Backward by_grid = backward_as_grid<X>(layer, layer.given(with_residual, with_pooled));
            const Layer::Backward by_cpu = layer.backward(1, with_residual, with_pooled);
            CHECK(by_grid.atoms == by_cpu.atoms);
            const Layer::Expected expected = layer.expected_backward(with_residual, with_pooled);
            CHECK(close(by_grid.bonds, expected.bonds, 1e-5));
            CHECK(std::abs(by_grid.self - expected.self) < 1e-5 * (1.0 + static_cast<double>(layer.atoms_size())));
        }
}

}  // namespace

CASE(what_atoms_hear_equals_the_double_loop) {
    each_layer([](Layer& layer) {
        const Layer::Forward found = layer.forward(2);
        const auto [x, pooled] = layer.expected_forward();
        CHECK(close(found.x, x, tolerance_of(layer.number)));
        CHECK(close(found.pooled, pooled, tolerance_of(layer.outer)));
        CHECK(layer.forward(2, false).x == found.x);
    });
}

CASE(bfloat16_is_the_rounded_float32) {
    const Molecules molecules(3, 40, 5);
    Layer wide(molecules, Number::float32, 33, 4), narrow(molecules, Number::bfloat16, 33, 4);
    narrow.atoms = wide.atoms;
    narrow.bonds = wide.bonds;
    const Layer::Forward full = wide.forward(1), found = narrow.forward(1);
    CHECK(found.pooled == full.pooled);
    bool same = true;
    for (size_t k = 0; k < full.x.singles.size(); ++k) {
        BFloat16 rounded;
        store(rounded, full.x.singles[k]);
        same = same && rounded.bits == found.x.halves[k].bits;
    }
    CHECK(same);
}

CASE(backward_equals_the_transpose) {
    each_layer([](Layer& layer) {
        for (const bool with_residual : {false, true})
            for (const bool with_pooled : {false, true}) {
                const Layer::Backward found = layer.backward(2, with_residual, with_pooled);
                const Layer::Expected expected = layer.expected_backward(with_residual, with_pooled);
                const double tolerance = 10 * tolerance_of(layer.outer);
                CHECK(close(found.atoms, expected.atoms, tolerance));
                CHECK(close(found.bonds, expected.bonds, tolerance));
                const auto summed = static_cast<double>(layer.atoms_size());
                CHECK(std::abs(found.self - expected.self) < tolerance * (1.0 + summed));
            }
    });
}

CASE(backward_equals_finite_differences) {
    const Molecules molecules(8, 20, 4);
    Layer layer(molecules, Number::float64, 3, 9);
    const auto loss = [&] {
        const Layer::Forward found = layer.forward(1);
        double sum = 0.0;
        for (size_t k = 0; k < layer.atoms_size(); ++k)
            sum += found.x.at(k) * layer.of_x.at(k) + layer.atoms.at(k) * layer.residual.at(k);
        for (size_t k = 0; k < layer.of_pooled_size(); ++k) sum += found.pooled.at(k) * layer.of_pooled.at(k);
        return sum;
    };
    // The loss is linear but for kinks, which a step this small does not meet.
    const auto slope = [&](double& at) {
        const double before = at, step = 1e-6;
        at = before + step;
        const double above = loss();
        at = before - step;
        const double below = loss();
        at = before;
        return (above - below) / (2 * step);
    };
    const Layer::Backward found = layer.backward(1, true, true);
    bool all = true;
    for (size_t k = 0; k < layer.atoms_size(); ++k)
        all = all && std::abs(slope(layer.atoms.doubles[k]) - found.atoms.at(k)) < 1e-7;
    CHECK(all);
    for (size_t k = 0; k < layer.bonds.doubles.size(); ++k)
        CHECK(std::abs(slope(layer.bonds.doubles[k]) - found.bonds.at(k)) < 1e-7);
    CHECK(std::abs(slope(layer.self_weight) - found.self) < 1e-7);
}

CASE(threads_change_no_bit_of_a_layer) {
    each_layer([](Layer& layer) {
        const Layer::Forward alone = layer.forward(1);
        const Layer::Backward back = layer.backward(1, true, true);
        for (const int threads : {2, 3}) {
            CHECK(layer.forward(threads) == alone);
            CHECK(layer.backward(threads, true, true) == back);
        }
    });
}

CASE(kernel_bodies_of_a_layer_equal_the_cpu) {
    each_layer([](Layer& layer) {
        if (layer.number == Number::float32) compare_kernel_bodies<float>(layer);
        if (layer.number == Number::bfloat16) compare_kernel_bodies<BFloat16>(layer);
    });
    const Molecules many(21, 2 * HearParts::kMost + 3, 2);  // parts of three molecules, and a last one of one
    Layer layer(many, Number::float32, 2, 22);
    compare_kernel_bodies<float>(layer);
}

CASE(a_layer_without_molecules_or_atoms) {
    for (const int64_t count : {int64_t{0}, int64_t{3}}) {
        Molecules empty(0, 0, 2);
        empty.atom_offsets.assign(static_cast<size_t>(count) + 1, 0);
        Layer layer(empty, Number::float32, 4, 1);
        const Layer::Backward found = layer.backward(2, true, true);
        for (const float gradient : found.bonds.singles) CHECK(gradient == 0.0f);
        CHECK(found.self == 0.0);
        for (const float sum : layer.forward(2).pooled.singles) CHECK(sum == 0.0f);
    }
}

CASE(bfloat16_rounds_to_the_nearest_even) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const BFloat16 exact{static_cast<uint16_t>(bits)};
        BFloat16 back;
        store(back, to_float(exact));
        if (std::isnan(to_float(exact)))
            CHECK(std::isnan(to_float(back)));
        else
            CHECK(back.bits == exact.bits);
    }
    graphs::Words words(5);
    for (int k = 0; k < 100000; ++k) {
        uint32_t bits = words.next() & 0x7FFFFFFFu;
        if (k % 4 == 0) bits = (bits & 0xFFFF0000u) | 0x8000u;  // halfway between two
        if (bits >= 0x7F7F0000u) continue;                       // what follows has no finite upper neighbour
        float value;
        std::memcpy(&value, &bits, sizeof value);
        BFloat16 found;
        store(found, value);
        const BFloat16 below{static_cast<uint16_t>(bits >> 16)}, above{static_cast<uint16_t>((bits >> 16) + 1)};
        const double down = static_cast<double>(value) - static_cast<double>(to_float(below));
        const double up = static_cast<double>(to_float(above)) - static_cast<double>(value);
        const bool lower = down < up || (down == up && below.bits % 2 == 0);
        CHECK(found.bits == (lower ? below.bits : above.bits));
    }
}
