// Fuzz target: bytes become offsets, ids, weights and walk requests, valid-looking or broken. Whatever the entry points
// say is checked against the same rules written a second time, slowly; what they accept is walked on, and every step is
// looked up in the arrays that were given.
//
// Without clang, fuzz_main.cpp drives it, as run.sh does. With clang, libFuzzer does, guided by coverage: compile
// csrc/cpu/*.cpp and this file with
//   clang++ -std=c++17 -O1 -g -ffp-contract=off -pthread -fsanitize=fuzzer,address,undefined
// into build/fuzz_csr, and run
//   build/fuzz_csr -max_len=1024 FOLDER_OF_INPUTS
#include "fuzz_csr.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>
#include <vector>

#include "graphs.h"
#include "infoalign/alias.h"
#include "infoalign/csr.h"
#include "infoalign/walk.h"

using namespace infoalign;

namespace fuzz {

Counts counts;

}  // namespace fuzz

namespace {

// A property; unlike assert it holds in every build, and unlike CHECK the first failure ends the run.
#define HOLDS(condition)                                                                            \
    do {                                                                                            \
        if (!(condition)) {                                                                         \
            std::fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);     \
            std::abort();                                                                           \
        }                                                                                           \
    } while (false)

constexpr int64_t kMax64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin64 = std::numeric_limits<int64_t>::min();

/// Bytes as numbers. Most bytes give a valid one, so that random input gets through; the highest ones give trouble.
class Reader {
public:
    Reader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

    uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }

    int64_t below(int64_t limit) { return byte() % limit; }

    uint64_t raw(int bytes) {
        uint64_t value = 0;
        for (int k = 0; k < bytes; ++k) value = value << 8 | byte();
        return value;
    }

    int64_t id(int64_t num_nodes) {
        const int64_t power = int64_t{1} << 31;
        const int64_t odd[] = {-1,        num_nodes,     num_nodes - 1, power - 1, power, -power,
                               2 * power, 2 * power - 1, kMax64,        kMin64,    -kMax64};
        const uint8_t kind = byte();
        if (kind < kTrouble) return num_nodes > 0 ? kind % num_nodes : 0;
        if (kind == 255) return static_cast<int64_t>(raw(8));
        return odd[(kind - kTrouble) % 11];
    }

    float weight() {
        const float infinity = std::numeric_limits<float>::infinity();
        const float nan = std::numeric_limits<float>::quiet_NaN();
        const float odd[] = {nan,    -nan,  infinity, -infinity, -1e-45f, -0.5f, 1.0000001f, 1e30f,
                             3.4e38f, 2.0f, -1e30f,   1e-45f,    1e-40f,  -0.0f, 1.17549435e-38f};
        const uint8_t kind = byte();
        if (kind < 16) return 0.0f;
        if (kind < kTrouble) return static_cast<float>(kind - 15) / static_cast<float>(kTrouble - 16);
        // Fine as well, but at the edges: often enough to meet in graphs without a fault.
        if (kind < 250) return odd[11 + (kind - kTrouble) % 4];
        if (kind == 255) return from_bits(static_cast<uint32_t>(raw(4)));
        return odd[byte() % 11];
    }

    /// (num_nodes + 1) offsets in steps of up to 3, with falls, leaps and any number now and then; a byte from
    /// `leap_from` on is a leap by 2^31, the most that a node may have.
    std::vector<int64_t> offsets(int64_t num_nodes, uint8_t leap_from) {
        std::vector<int64_t> made{0};
        const uint8_t start = byte();
        if (start > 250) made[0] = start == 251 ? 1 : start == 252 ? -1 : static_cast<int64_t>(raw(8));
        for (int64_t node = 0; node < num_nodes; ++node) {
            const uint8_t kind = byte();
            uint64_t step = kind % 4;
            if (kind >= leap_from) step = uint64_t{1} << 31;
            if (kind == 248) step = static_cast<uint64_t>(-1);
            if (kind == 250) step = (uint64_t{1} << 31) + 1;
            if (kind == 251) step = static_cast<uint64_t>(kMax64);
            if (kind == 252) step = 20 + below(40);
            made.push_back(kind > 253 ? static_cast<int64_t>(raw(8))
                                      : static_cast<int64_t>(static_cast<uint64_t>(made.back()) + step));
        }
        return made;
    }

private:
    static constexpr uint8_t kTrouble = 244;

    static float from_bits(uint32_t bits) {
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }

    const uint8_t* data_;
    size_t size_;
    size_t at_ = 0;
};

// The rules, a second time: as a list of everything that is wrong, of which the first is to be reported.

struct Found {
    int64_t position;
    int order;  // settles ties
    CsrFault fault;
};

CsrCheck first_of(const std::vector<Found>& all) {
    CsrCheck first;
    int order = 0;
    for (const Found& found : all) {
        const bool tie = found.position == first.position;
        const bool earlier = tie ? found.order < order : found.position < first.position;
        if (first.fault != CsrFault::none && !earlier) continue;
        first = {found.fault, found.position};
        order = found.order;
    }
    return first;
}

bool same(const CsrCheck& a, const CsrCheck& b) { return a.fault == b.fault && a.position == b.position; }

/// Whether the bits of a weight are those of a number from 0 to 1, or of -0.
bool is_share(float weight) {
    uint32_t bits;
    std::memcpy(&bits, &weight, sizeof bits);
    return bits <= 0x3F800000u || bits == 0x80000000u;
}

CsrCheck expected_offsets(const std::vector<int64_t>& indptr, int64_t num_arcs) {
    if (indptr.front() != 0) return {CsrFault::first_offset, 0};
    std::vector<Found> all;
    for (size_t node = 0; node + 1 < indptr.size(); ++node) {
        const __int128 degree = static_cast<__int128>(indptr[node + 1]) - indptr[node];
        if (degree < 0) all.push_back({static_cast<int64_t>(node), 0, CsrFault::decreasing_offset});
        if (degree > 2147483648) all.push_back({static_cast<int64_t>(node), 1, CsrFault::degree});
    }
    const auto last = static_cast<int64_t>(indptr.size()) - 1;
    if (indptr.back() != num_arcs) all.push_back({last, 2, CsrFault::last_offset});
    return first_of(all);
}

CsrCheck expected_arcs(const std::vector<int64_t>* sources, const std::vector<int64_t>& targets,
                       const std::vector<float>& weights, int64_t num_nodes) {
    std::vector<Found> all;
    const auto outside = [&](int64_t id) { return static_cast<uint64_t>(id) >= static_cast<uint64_t>(num_nodes); };
    for (size_t arc = 0; arc < targets.size(); ++arc) {
        const auto at = static_cast<int64_t>(arc);
        if (sources != nullptr && outside((*sources)[arc])) all.push_back({at, 0, CsrFault::source_range});
        if (outside(targets[arc])) all.push_back({at, 1, CsrFault::target_range});
        if (!is_share(weights[arc])) all.push_back({at, 2, CsrFault::weight_range});
    }
    return first_of(all);
}

/// A graph as it was given: rows of (target, weight, edge id), nothing packed.
struct Plain {
    struct Arc {
        int64_t target;
        float weight;
        int64_t edge;
    };
    std::vector<std::vector<Arc>> rows;
};

bool same_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

template <class Target>
void check_packed(const Plain& plain, const std::vector<int64_t>& indptr, const std::vector<Arc<Target>>& arcs) {
    HOLDS(indptr.size() == plain.rows.size() + 1 && indptr.front() == 0);
    size_t at = 0;
    for (size_t node = 0; node < plain.rows.size(); ++node) {
        HOLDS(indptr[node + 1] == indptr[node] + static_cast<int64_t>(plain.rows[node].size()));
        for (const Plain::Arc& arc : plain.rows[node]) {
            const float kept = arc.weight == 0.0f ? 0.0f : arc.weight;  // also where the weight is -0
            HOLDS(static_cast<int64_t>(arcs[at].target) == arc.target && same_bits(arcs[at].weight, kept));
            fuzz::counts.subnormal += arc.weight > 0.0f && arc.weight < std::numeric_limits<float>::min();
            fuzz::counts.negative_zeros += arc.weight == 0.0f && std::signbit(arc.weight);
            ++at;
        }
    }
    HOLDS(at == arcs.size());
    fuzz::counts.no_nodes += plain.rows.empty();
}

/// The columns of each node's alias table hold the node's weights.
template <class Target>
void check_alias(const Plain& plain, const std::vector<int64_t>& indptr, const std::vector<AliasArc<Target>>& table) {
    for (size_t node = 0; node < plain.rows.size(); ++node) {
        const std::vector<Plain::Arc>& row = plain.rows[node];
        const AliasArc<Target>* columns = table.data() + indptr[node];
        double total = 0.0;
        for (const Plain::Arc& arc : row) total += static_cast<double>(arc.weight);
        fuzz::counts.weightless += !row.empty() && total == 0.0;
        std::vector<double> mass(row.size(), 0.0);
        for (size_t k = 0; k < row.size(); ++k) {
            HOLDS(static_cast<int64_t>(columns[k].target) == row[k].target);
            HOLDS(columns[k].weight == row[k].weight && !std::signbit(columns[k].weight));
            if (total == 0.0) {
                HOLDS(columns[k].threshold == 0 && columns[k].alias == kNoArc);
                continue;
            }
            HOLDS(columns[k].alias < row.size());
            const double taken = static_cast<double>(columns[k].threshold) / 4294967296.0;
            mass[k] += taken;
            mass[columns[k].alias] += 1.0 - taken;
        }
        for (size_t k = 0; k < row.size() && total > 0.0; ++k) {
            const double share = static_cast<double>(row[k].weight) / total;
            HOLDS(std::abs(mass[k] / static_cast<double>(row.size()) - share) < 1e-9);
            HOLDS(row[k].weight > 0.0f || mass[k] == 0.0);
        }
    }
}

/// The arc that two random words choose in a row, by the documented rule; null at a dead end.
template <class Target>
const Plain::Arc* expected_arc(const std::vector<Plain::Arc>& row, const AliasArc<Target>* columns, Random4 random,
                               bool weighted) {
    if (row.empty()) return nullptr;
    const double part = std::ldexp(static_cast<double>(random.r0), -32);
    const auto column = static_cast<size_t>(std::floor(part * static_cast<double>(row.size())));
    if (!weighted || random.r1 < columns[column].threshold) return &row[column];
    return columns[column].alias == kNoArc ? nullptr : &row[columns[column].alias];
}

/// The arc that a second-order step says it took, if the row has it and it may be taken; null at a dead end.
const Plain::Arc* claimed_arc(const std::vector<Plain::Arc>& row, int64_t target, int64_t edge, float alpha_before,
                              float alpha, bool weighted) {
    double total = 0.0;
    const Plain::Arc* found = nullptr;
    for (const Plain::Arc& arc : row) {
        total += weighted ? static_cast<double>(arc.weight) : 1.0;
        const bool fits = arc.target == target && arc.edge == edge && alpha_before * arc.weight == alpha;
        if (fits && !(weighted && arc.weight == 0.0f)) found = &arc;
    }
    HOLDS((found == nullptr) == (total == 0.0));
    return found;
}

/// Each step of each walk is an arc that was given, the one drawn in first-order walks; alpha is the product of their
/// weights.
template <class Target>
void check_steps(const Plain& plain, const std::vector<int64_t>& indptr, const std::vector<AliasArc<Target>>& table,
                 const WalkRequest& request, Transition transition) {
    const int64_t row = request.length + 1;
    for (int64_t walk = 0; walk < request.num_walks; ++walk) {
        const int64_t* nodes = request.nodes + walk * row;
        const float* alphas = request.alpha + walk * row;
        const int64_t* edges = request.edges + walk * request.length;
        const int64_t id = request.walk_ids == nullptr ? walk : request.walk_ids[walk];
        int64_t node = request.seeds[walk];
        float alpha = 1.0f;
        HOLDS(nodes[0] == node && alphas[0] == 1.0f);
        for (int64_t step = 0; step < request.length; ++step, ++fuzz::counts.steps) {
            const Plain::Arc* arc = nullptr;
            if (node >= 0) {
                const auto at = static_cast<size_t>(node);
                const Random4 random = request.random.draw(static_cast<uint64_t>(id), static_cast<uint32_t>(step));
                arc = transition.second_order
                          ? claimed_arc(plain.rows[at], nodes[step + 1], edges[step], alpha, alphas[step + 1],
                                        transition.weighted)
                          : expected_arc(plain.rows[at], table.data() + indptr[at], random, transition.weighted);
                HOLDS(arc == nullptr || !transition.weighted || arc->weight > 0.0f);
                fuzz::counts.dead_ends += arc == nullptr;
                fuzz::counts.second_order_steps += transition.second_order;
            }
            node = arc == nullptr ? -1 : arc->target;
            alpha = arc == nullptr ? 0.0f : alpha * arc->weight;
            HOLDS(nodes[step + 1] == node && alphas[step + 1] == alpha && !std::signbit(alphas[step + 1]));
            HOLDS(edges[step] == (arc == nullptr ? -1 : arc->edge));
        }
    }
}

/// What is wrong with a request: a seed, or else a walk id.
WalkCheck expected_request(const std::vector<int64_t>& seeds, const std::vector<int64_t>* ids, int64_t num_nodes) {
    const auto first = [](const std::vector<int64_t>& values, WalkFault fault, const auto& bad) -> WalkCheck {
        const auto at = std::find_if(values.begin(), values.end(), bad);
        return at == values.end() ? WalkCheck{} : WalkCheck{fault, at - values.begin()};
    };
    const auto outside = [&](int64_t id) { return static_cast<uint64_t>(id) >= static_cast<uint64_t>(num_nodes); };
    const WalkCheck check = first(seeds, WalkFault::seed_range, outside);
    if (check.fault != WalkFault::none || ids == nullptr) return check;
    return first(*ids, WalkFault::negative_walk_id, [](int64_t id) { return id < 0; });
}

/// Each row's targets, ascending.
template <class Target>
std::vector<Target> checked_neighbors(const Plain& plain, const std::vector<int64_t>& indptr,
                                      const std::vector<Arc<Target>>& arcs) {
    std::vector<Target> neighbors(arcs.size());
    sort_neighbors(indptr.data(), arcs.data(), static_cast<int64_t>(plain.rows.size()), 1, neighbors.data());
    size_t at = 0;
    for (const std::vector<Plain::Arc>& row : plain.rows) {
        std::multiset<int64_t> targets;
        for (const Plain::Arc& arc : row) targets.insert(arc.target);
        for (const int64_t target : targets) HOLDS(static_cast<int64_t>(neighbors[at++]) == target);
    }
    return neighbors;
}

/// Ask for walks on a graph that was accepted; where the request is accepted too, walk it on the CPU, and one walk at a
/// time by the body of the CUDA kernel.
template <class Offset, class Target>
void check_walking(Reader& in, const Plain& plain, const std::vector<int64_t>& indptr,
                   const std::vector<Arc<Target>>& arcs, const std::vector<int64_t>* edge_ids) {
    const auto num_nodes = static_cast<int64_t>(plain.rows.size());
    std::vector<AliasArc<Target>> table(arcs.size());
    build_alias(indptr.data(), arcs.data(), num_nodes, 1, table.data());
    check_alias(plain, indptr, table);
    const std::vector<Target> neighbors = checked_neighbors(plain, indptr, arcs);
    const std::vector<Offset> offsets(indptr.begin(), indptr.end());
    // One flight takes 64 walks: more than one of them, and part of one.
    const int64_t num_walks = in.byte() < 64 ? in.below(140) : in.below(8);
    const int64_t length = in.below(6);
    const Transition transition{in.below(2) == 1, in.below(2) == 1};
    const double factors[] = {1.0, 0.25, 4.0, 1e-3, 1e3, 1e-30, 1e30};
    const SecondOrder order = second_order(factors[in.below(7)], factors[in.below(7)]);
    const bool named = in.below(2) == 1;
    const auto seed = in.raw(4);
    const auto stream = static_cast<uint32_t>(in.raw(1));
    std::vector<int64_t> seeds, ids;
    for (int64_t k = 0; k < num_walks; ++k) {
        seeds.push_back(in.id(num_nodes));
        if (named) ids.push_back(in.id(kMax64));
    }
    const std::vector<int64_t>* names = named ? &ids : nullptr;
    graphs::Output flights(num_walks, length), single(num_walks, length);
    WalkRequest request = graphs::request(seeds, names, length, seed, stream, flights);
    request.order = order;
    const WalkCheck check = check_walks(request, num_nodes);
    const WalkCheck expected = expected_request(seeds, names, num_nodes);
    HOLDS(check.fault == expected.fault && check.position == expected.position);
    ++fuzz::counts.walks[static_cast<int>(check.fault)];
    if (check.fault != WalkFault::none) return;
    const WalkGraph<Offset, Target> graph{
        offsets.data(), arcs.data(), table.data(), edge_ids == nullptr ? nullptr : edge_ids->data(),
        num_nodes,      1,           neighbors.data()};
    walk_cpu(graph, request, transition, 1);
    WalkRequest by_one = graphs::request(seeds, names, length, seed, stream, single);
    by_one.order = order;
    with_transition(transition, [&](auto weighted, auto second) {
        for (int64_t k = 0; k < num_walks; ++k) {
            walk_one<decltype(weighted)::value, decltype(second)::value>(graph, by_one, k);
        }
    });
    HOLDS(flights == single);
    check_steps(plain, indptr, table, request, transition);
}

/// Offsets alone: they may speak of any number of arcs, as no array has to be that long.
void fuzz_offsets(Reader& in) {
    const std::vector<int64_t> indptr = in.offsets(in.below(8), 180);
    const uint8_t kind = in.byte();
    const uint64_t off = kind < 240 ? 0 : kind < 254 ? kind - uint64_t{247} : in.raw(8);
    const auto num_arcs = static_cast<int64_t>(static_cast<uint64_t>(indptr.back()) + off);
    const CsrCheck check = check_offsets(indptr.data(), static_cast<int64_t>(indptr.size()) - 1, num_arcs);
    HOLDS(same(check, expected_offsets(indptr, num_arcs)));
    ++fuzz::counts.entries[fuzz::kOffsets][static_cast<int>(check.fault)];
    if (check.fault != CsrFault::none) return;
    fuzz::counts.many_arcs += num_arcs > (int64_t{1} << 32);
    for (size_t node = 0; node + 1 < indptr.size(); ++node) {
        const int64_t degree = indptr[node + 1] - indptr[node];
        for (const uint32_t word : {0u, 0xFFFFFFFFu, static_cast<uint32_t>(in.raw(4))}) {
            if (degree == 0) continue;
            const int64_t arc = pick_arc(indptr[node], degree, word);
            HOLDS(arc >= indptr[node] && arc < indptr[node + 1]);
        }
    }
}

template <class Offset, class Target>
void fuzz_csr(Reader& in) {
    const int64_t num_nodes = in.below(8);
    const std::vector<int64_t> indptr = in.offsets(num_nodes, 247);
    const uint8_t kind = in.byte();
    const bool fits = kind < 248 && indptr.back() >= 0 && indptr.back() < 128;
    const int64_t num_arcs = fits ? indptr.back() : kind % 8;
    std::vector<int64_t> targets, edge_ids;
    std::vector<float> weights;
    const bool own_ids = in.below(2) == 1;
    for (int64_t arc = 0; arc < num_arcs; ++arc) {
        targets.push_back(in.id(num_nodes));
        weights.push_back(in.weight());
        edge_ids.push_back(own_ids ? in.below(50) : arc);
    }
    std::vector<Arc<Target>> arcs(targets.size());
    const CsrCheck check =
        pack_csr(indptr.data(), targets.data(), weights.data(), num_nodes, num_arcs, arcs.data());
    const CsrCheck offsets = expected_offsets(indptr, num_arcs);
    HOLDS(same(check, offsets.fault != CsrFault::none ? offsets : expected_arcs(nullptr, targets, weights, num_nodes)));
    ++fuzz::counts.entries[fuzz::kCsr][static_cast<int>(check.fault)];
    if (check.fault != CsrFault::none) return;
    Plain plain;
    size_t at = 0;
    for (size_t node = 0; node + 1 < indptr.size(); ++node) {
        plain.rows.emplace_back();
        for (; at < static_cast<size_t>(indptr[node + 1]); ++at) {
            plain.rows.back().push_back({targets[at], weights[at], edge_ids[at]});
        }
    }
    check_packed(plain, indptr, arcs);
    check_walking<Offset>(in, plain, indptr, arcs, own_ids ? &edge_ids : nullptr);
}

template <class Offset, class Target>
void fuzz_edges(Reader& in) {
    const int64_t num_nodes = in.below(8);
    const int64_t num_edges = in.byte() < 32 ? in.below(64) : in.below(10);
    std::vector<int64_t> sources, targets;
    std::vector<float> weights;
    for (int64_t edge = 0; edge < num_edges; ++edge) {
        sources.push_back(in.id(num_nodes));
        targets.push_back(in.id(num_nodes));
        weights.push_back(in.weight());
    }
    // Filled with what no index holds, so that a place that was not written shows.
    std::vector<int64_t> indptr(static_cast<size_t>(num_nodes) + 1, -77), edge_ids(sources.size(), -77);
    std::vector<Arc<Target>> arcs(sources.size(), Arc<Target>{-77, -77.0f});
    const CsrCheck check = pack_edges(sources.data(), targets.data(), weights.data(), num_nodes, num_edges,
                                      indptr.data(), arcs.data(), edge_ids.data());
    HOLDS(same(check, expected_arcs(&sources, targets, weights, num_nodes)));
    ++fuzz::counts.entries[fuzz::kEdges][static_cast<int>(check.fault)];
    if (check.fault != CsrFault::none) return;
    Plain plain;
    size_t at = 0;
    for (int64_t node = 0; node < num_nodes; ++node) {
        plain.rows.emplace_back();
        for (size_t edge = 0; edge < sources.size(); ++edge) {
            if (sources[edge] != node) continue;
            plain.rows.back().push_back({targets[edge], weights[edge], static_cast<int64_t>(edge)});
            HOLDS(at < edge_ids.size() && edge_ids[at] == static_cast<int64_t>(edge));
            ++at;
        }
    }
    check_packed(plain, indptr, arcs);
    check_walking<Offset>(in, plain, indptr, arcs, &edge_ids);
}

template <class Offset, class Target>
void fuzz_arcs(Reader& in, bool edges) {
    edges ? fuzz_edges<Offset, Target>(in) : fuzz_csr<Offset, Target>(in);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Reader in(data, size);
    const int64_t entry = in.below(5);
    if (entry == 0) {
        fuzz_offsets(in);
        return 0;
    }
    const bool edges = entry >= 3;
    switch (in.below(4)) {
        case 0: fuzz_arcs<uint32_t, int32_t>(in, edges); break;
        case 1: fuzz_arcs<uint32_t, int64_t>(in, edges); break;
        case 2: fuzz_arcs<int64_t, int32_t>(in, edges); break;
        default: fuzz_arcs<int64_t, int64_t>(in, edges); break;
    }
    return 0;
}
