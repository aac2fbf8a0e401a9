// Walks: the published Philox vectors; the flights of the CPU against the kernel body, one walk at a time; faults.
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "graphs.h"
#include "infoalign/philox_lanes.h"
#include "infoalign/threads.h"

using namespace infoalign;

namespace {

bool same(Random4 a, Random4 b) { return a.r0 == b.r0 && a.r1 == b.r1 && a.r2 == b.r2 && a.r3 == b.r3; }

/// Runs `walk_one`, the body of the CUDA kernel, as a grid of threads would: each takes every stride-th walk.
template <class Offset, class Target>
void run_kernel_body(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, Transition transition) {
    const int64_t stride = 96;
    with_transition(transition, [&](auto weighted, auto second_order) {
        for (int64_t thread = 0; thread < stride; ++thread) {
            for (int64_t k = thread; k < request.num_walks; k += stride) {
                walk_one<decltype(weighted)::value, decltype(second_order)::value>(graph, request, k);
            }
        }
    });
}

/// Each step of a walk takes an edge that is there, and alpha is the product of the weights in doubles.
void check_steps(const graphs::Edges& edges, const graphs::Output& walks, int64_t length, bool weighted) {
    const int64_t num_walks = static_cast<int64_t>(walks.nodes.size()) / (length + 1);
    for (int64_t k = 0; k < num_walks; ++k) {
        double product = 1.0;
        for (int64_t step = 0; step < length; ++step) {
            const int64_t edge = walks.edges[static_cast<size_t>(k * length + step)];
            const size_t at = static_cast<size_t>(k * (length + 1) + step);
            if (edge < 0) {
                CHECK(walks.nodes[at + 1] == -1 && walks.alpha[at + 1] == 0.0f);
                continue;
            }
            const auto e = static_cast<size_t>(edge);
            product *= static_cast<double>(edges.weight[e]);
            CHECK(edges.src[e] == walks.nodes[at] && edges.dst[e] == walks.nodes[at + 1]);
            CHECK(std::abs(static_cast<double>(walks.alpha[at + 1]) - product) <= 1e-6 * product + 1e-30);
            CHECK(!weighted || edges.weight[e] > 0.0f);
        }
    }
}

template <class Offset, class Target>
void compare(const graphs::Edges& edges, int64_t num_nodes, int64_t num_walks, int64_t length) {
    const graphs::Graph<Offset, Target> graph(edges, num_nodes, 2);
    CHECK(graph.check.fault == CsrFault::none);
    graphs::Words words(num_walks);
    std::vector<int64_t> seeds, ids;
    for (int64_t k = 0; k < num_walks; ++k) {
        seeds.push_back(words.below(static_cast<uint32_t>(num_nodes)));
        ids.push_back(static_cast<int64_t>(words.next()) << 20);
    }
    for (const Transition transition : {Transition{false, false}, Transition{true, false}, Transition{false, true},
                                        Transition{true, true}}) {
        for (const std::vector<int64_t>* names : {static_cast<const std::vector<int64_t>*>(nullptr),
                                                  static_cast<const std::vector<int64_t>*>(&ids)}) {
            graphs::Output body(num_walks, length), one(num_walks, length), three(num_walks, length);
            graphs::Output portable(num_walks, length);
            const auto ask = [&](graphs::Output& output) {
                WalkRequest request = graphs::request(seeds, names, length, 0x123456789ABCDEFull, 7, output);
                request.order = second_order(8.0, 0.125);
                return request;
            };
            run_kernel_body(graph.view(), ask(body), transition);
            walk_cpu(graph.view(), ask(one), transition, 1);
            walk_cpu(graph.view(), ask(three), transition, 3);
            walk_cpu(graph.view(), ask(portable), transition, 2, WalkIsa::portable);
            CHECK(body == one);
            CHECK(body == three);
            CHECK(body == portable);
            check_steps(edges, body, length, transition.weighted);
        }
    }
}

}  // namespace

CASE(philox_known_answers) {
    const uint32_t all = 0xFFFFFFFFu;
    CHECK(same(philox4x32(0, 0, 0, 0, 0, 0), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    CHECK(same(philox4x32(all, all, all, all, all, all), {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    CHECK(same(philox4x32(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0),
               {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
    const WalkRandom random{0x299f31d0a4093822ull, 0x03707344};
    CHECK(same(random.draw(0x85a308d3243f6a88ull, 0x8a2e, 0x1319), {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

CASE(philox_lanes_equal_one_draw_at_a_time) {
    graphs::Words words(5);
    for (int trial = 0; trial < 50; ++trial) {
        const WalkRandom random{static_cast<uint64_t>(words.next()) << 32 | words.next(), words.next()};
        const uint32_t step = words.below(65536);
        uint64_t ids[kPhiloxLanes];
        for (uint64_t& id : ids) id = static_cast<uint64_t>(words.next()) << (words.below(2) * 31) | words.below(3);
        for (int isa = 0; isa <= static_cast<int>(best_philox_isa()); ++isa) {
            const uint32_t attempt = words.below(65536);
            LaneWords lanes;
            draw_lanes(static_cast<PhiloxIsa>(isa))(random, ids, step, attempt, lanes);
            for (int lane = 0; lane < kPhiloxLanes; ++lane) {
                const Random4 expected = random.draw(ids[lane], step, attempt);
                CHECK(lanes.r0[lane] == expected.r0 && lanes.r1[lane] == expected.r1 && lanes.r2[lane] == expected.r2);
            }
        }
    }
}

CASE(cpu_flights_equal_the_kernel_body) {
    compare<uint32_t, int32_t>(graphs::random_edges(1, 40, 130), 40, 500, 6);
    compare<int64_t, int32_t>(graphs::random_edges(2, 40, 130), 40, 65, 5);
    compare<uint32_t, int64_t>(graphs::random_edges(3, 40, 130), 40, 63, 5);
    compare<int64_t, int64_t>(graphs::random_edges(4, 40, 130), 40, 64, 5);
    compare<uint32_t, int32_t>(graphs::random_edges(5, 1, 3), 1, 10, 4);
    compare<uint32_t, int32_t>({}, 3, 10, 4);
    compare<uint32_t, int32_t>(graphs::random_edges(6, 9, 20), 9, 0, 4);
    compare<uint32_t, int32_t>(graphs::random_edges(7, 9, 20), 9, 10, 0);
    // Large enough that several threads start.
    compare<uint32_t, int32_t>(graphs::random_edges(8, 3000, 20000), 3000, 40000, 3);
}

CASE(neighbours_are_found_where_they_are) {
    for (int64_t count = 0; count < 40; ++count) {
        graphs::Words words(static_cast<uint64_t>(count));
        std::vector<int32_t> values;
        for (int64_t k = 0; k < count; ++k) values.push_back(static_cast<int32_t>(words.below(50)));
        std::sort(values.begin(), values.end());
        for (int64_t wanted = -1; wanted < 51; ++wanted) {
            CHECK(holds(values.data(), count, wanted) == std::binary_search(values.begin(), values.end(), wanted));
        }
    }
}

/// Two relations side by side in one graph: row 2 v + r; relation 1 of node v leads to v + 1, relation 0 to v itself.
CASE(metapaths_take_the_row_of_their_relation) {
    const int64_t nodes = 6;
    std::vector<int64_t> indptr{0};
    std::vector<Arc<int32_t>> arcs;
    for (int64_t node = 0; node < nodes; ++node) {
        arcs.push_back({static_cast<int32_t>(node), 0.5f});
        indptr.push_back(static_cast<int64_t>(arcs.size()));
        if (node + 1 < nodes) arcs.push_back({static_cast<int32_t>(node + 1), 0.25f});
        indptr.push_back(static_cast<int64_t>(arcs.size()));
    }
    std::vector<AliasArc<int32_t>> alias(arcs.size());
    build_alias(indptr.data(), arcs.data(), 2 * nodes, 1, alias.data());
    const WalkGraph<int64_t, int32_t> graph{indptr.data(), arcs.data(), alias.data(), nullptr, nodes, 2, nullptr};
    const std::vector<int64_t> seeds{0, 4};
    const std::vector<int32_t> relations{1, 0, 1};
    for (const bool weighted : {false, true}) {
        graphs::Output flight(2, 3), body(2, 3);
        WalkRequest request = graphs::request(seeds, nullptr, 3, 1, 0, flight);
        request.relations = relations.data();
        walk_cpu(graph, request, {weighted, false}, 1);
        CHECK((flight.nodes == std::vector<int64_t>{0, 1, 1, 2, 4, 5, 5, -1}));
        CHECK((flight.alpha == std::vector<float>{1.0f, 0.25f, 0.125f, 0.03125f, 1.0f, 0.25f, 0.125f, 0.0f}));
        WalkRequest again = graphs::request(seeds, nullptr, 3, 1, 0, body);
        again.relations = relations.data();
        run_kernel_body(graph, again, {weighted, false});
        CHECK(body == flight);
    }
}

CASE(alias_columns_hold_the_weights) {
    for (uint64_t seed = 0; seed < 200; ++seed) {
        graphs::Edges edges = graphs::random_edges(seed, 2, 1 + static_cast<int64_t>(seed % 23));
        const graphs::Graph<uint32_t, int32_t> graph(edges, 2);
        const size_t degree = static_cast<size_t>(graph.indptr[1]);
        std::vector<double> mass(degree, 0.0);
        double total = 0.0;
        for (size_t k = 0; k < degree; ++k) {
            total += static_cast<double>(graph.arcs[k].weight);
            if (graph.alias[k].alias == kNoArc) continue;
            const double taken =
                graph.alias[k].alias == k ? 1.0 : static_cast<double>(graph.alias[k].threshold) / 4294967296.0;
            mass[k] += taken;
            mass[graph.alias[k].alias] += 1.0 - taken;
        }
        for (size_t k = 0; k < degree; ++k) {
            if (total == 0.0) {
                CHECK(graph.alias[k].alias == kNoArc && graph.alias[k].threshold == 0);
                continue;
            }
            const double expected = static_cast<double>(graph.arcs[k].weight) / total;
            CHECK(std::abs(mass[k] / static_cast<double>(degree) - expected) < 1e-9);
            CHECK(graph.arcs[k].weight > 0.0f || mass[k] == 0.0);
        }
    }
}

CASE(edges_with_faults_are_refused) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto check = [](graphs::Edges edges, int64_t nodes) {
        return graphs::Graph<uint32_t, int32_t>(edges, nodes).check;
    };
    CHECK(check({{0, 5}, {0, 0}, {1, 1}}, 5).fault == CsrFault::source_range);
    CHECK(check({{0, 5}, {0, 0}, {1, 1}}, 5).position == 1);
    CHECK(check({{-1}, {0}, {1}}, 5).fault == CsrFault::source_range);
    CHECK(check({{0}, {-7}, {1}}, 5).fault == CsrFault::target_range);
    CHECK(check({{0}, {int64_t{1} << 40}, {1}}, 5).fault == CsrFault::target_range);
    for (const float bad : {nan, -nan, -1e-9f, 1.0000001f, 1e30f, std::numeric_limits<float>::infinity()}) {
        CHECK(check({{0}, {0}, {bad}}, 5).fault == CsrFault::weight_range);
    }
    CHECK(check({{0}, {0}, {-0.0f}}, 5).fault == CsrFault::none);
}

CASE(offsets_with_faults_are_refused) {
    const int64_t targets[] = {0, 1, 0};
    const float weights[] = {1.0f, 0.5f, 0.0f};
    Arc<int32_t> arcs[3];
    const auto fault = [&](std::vector<int64_t> indptr) {
        return pack_csr(indptr.data(), targets, weights, static_cast<int64_t>(indptr.size()) - 1, 3, arcs).fault;
    };
    const int64_t huge = std::numeric_limits<int64_t>::max();
    CHECK(fault({0, 1, 3}) == CsrFault::none);
    CHECK(fault({1, 1, 3}) == CsrFault::first_offset);
    CHECK(fault({-1, 1, 3}) == CsrFault::first_offset);
    CHECK(fault({0, 3, 1}) == CsrFault::decreasing_offset);
    CHECK(fault({0, -1, 3}) == CsrFault::decreasing_offset);
    CHECK(fault({0, 1, 2}) == CsrFault::last_offset);
    CHECK(fault({0, 1, 4}) == CsrFault::last_offset);
    CHECK(fault({0, huge, -huge}) == CsrFault::degree);
    CHECK(fault({0, 0, kMaxDegree + 1}) == CsrFault::degree);
    CHECK(fault({0, 0, kMaxDegree}) == CsrFault::last_offset);
    // More than 2^32 arcs, by their offsets alone: nothing they point at is read.
    const int64_t wide[] = {0, kMaxDegree, 2 * kMaxDegree, 3 * kMaxDegree};
    CHECK(check_offsets(wide, 3, 3 * kMaxDegree).fault == CsrFault::none);
    CHECK(pick_arc(2 * kMaxDegree, kMaxDegree, 0xFFFFFFFFu) == 3 * kMaxDegree - 1);
    CHECK(pick_arc(7, 1, 0xFFFFFFFFu) == 7);
}

CASE(random_offsets_never_crash) {
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        graphs::Words words(seed + 77);
        std::vector<int64_t> indptr(1 + words.below(6));
        for (int64_t& offset : indptr) {
            offset = words.below(4) == 0 ? static_cast<int64_t>(words.next()) << (words.below(2) * 31)
                                         : static_cast<int64_t>(words.below(6)) - 1;
        }
        std::sort(indptr.begin(), indptr.begin() + words.below(static_cast<uint32_t>(indptr.size()) + 1));
        std::vector<int64_t> targets(words.below(5));
        std::vector<float> weights;
        for (int64_t& target : targets) {
            target = static_cast<int64_t>(words.below(7)) - 1;
            weights.push_back(static_cast<float>(words.below(5)) / 4.0f);
        }
        const auto nodes = static_cast<int64_t>(indptr.size()) - 1;
        const auto count = static_cast<int64_t>(targets.size());
        std::vector<Arc<int32_t>> arcs(targets.size());
        const CsrCheck check = pack_csr(indptr.data(), targets.data(), weights.data(), nodes, count, arcs.data());
        if (check.fault != CsrFault::none) {
            CHECK(check.position >= 0);
            continue;
        }
        CHECK(indptr.back() == count && indptr.front() == 0);
        std::vector<AliasArc<int32_t>> alias(targets.size());
        build_alias(indptr.data(), arcs.data(), nodes, 1, alias.data());
        std::vector<int64_t> seeds;
        for (int64_t node = 0; node < nodes; ++node) seeds.push_back(node);
        graphs::Output output(nodes, 3);
        const WalkGraph<int64_t, int32_t> graph{indptr.data(), arcs.data(), alias.data(), nullptr, nodes};
        walk_cpu(graph, graphs::request(seeds, nullptr, 3, seed, 0, output), {seed % 2 == 0, false}, 1);
        for (const int64_t node : output.nodes) CHECK(node >= -1 && node < nodes);
    }
}

CASE(requests_with_faults_are_named) {
    graphs::Output output(2, 1);
    const std::vector<int64_t> ids{3, -1};
    CHECK(check_walks(graphs::request({0, 4}, nullptr, 1, 0, 0, output), 5).fault == WalkFault::none);
    std::vector<int64_t> seeds{0, 5};
    CHECK(check_walks(graphs::request(seeds, nullptr, 1, 0, 0, output), 5).position == 1);
    seeds = {-1, 0};
    CHECK(check_walks(graphs::request(seeds, nullptr, 1, 0, 0, output), 5).fault == WalkFault::seed_range);
    seeds = {0, 0};
    CHECK(check_walks(graphs::request(seeds, &ids, 1, 0, 0, output), 5).fault == WalkFault::negative_walk_id);
}

CASE(shares_cover_everything_once_and_pass_exceptions_on) {
    for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{1000}}) {
        for (const int threads : {1, 2, 5}) {
            std::vector<int> seen(static_cast<size_t>(count), 0);
            parallel_for(count, threads, 1, [&](int64_t begin, int64_t end) {
                for (int64_t k = begin; k < end; ++k) ++seen[static_cast<size_t>(k)];
            });
            CHECK(std::count(seen.begin(), seen.end(), 1) == count);
        }
    }
    // From within a share, and from several threads at once.
    std::atomic<int64_t> sum{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller) {
        callers.emplace_back([&] {
            parallel_for(50, 3, 1, [&](int64_t begin, int64_t end) {
                parallel_for(end - begin, 3, 1, [&](int64_t from, int64_t to) { sum += to - from; });
            });
        });
    }
    for (std::thread& caller : callers) caller.join();
    CHECK(sum == 4 * 50);
    bool caught = false;
    try {
        parallel_for(100, 4, 1, [](int64_t begin, int64_t) {
            if (begin > 0) throw std::runtime_error("share");
        });
    } catch (const std::runtime_error&) {
        caught = true;
    }
    CHECK(caught);
}
