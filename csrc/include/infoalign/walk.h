/// \file walk.h
/// Random walks with alpha, the running product of the arc weights.
///
/// The walk of (seed, walk id, stream) is a function of the graph alone: the number of threads, the chunk a walk comes
/// in and the device it runs on change nothing. Step i of a walk draws one counter; r0 picks a position among the
/// node's arcs, (r0 * degree) >> 32, and with transition "weight" r1 decides between that arc and its alias. A
/// second-order walk draws a counter per attempt, and r2 decides whether the arc is accepted.
#pragma once

#include <cstdint>
#include <type_traits>

#include "infoalign/csr.h"
#include "infoalign/macros.h"
#include "infoalign/philox.h"
#include "infoalign/second_order.h"

namespace infoalign {

constexpr int64_t kMaxWalkLength = 65535;  // the step number has 16 bits of its counter word

/// How arcs are chosen.
struct Transition {
    bool weighted;      ///< in proportion to their weight, instead of evenly
    bool second_order;  ///< and by where the walk came from
};

/// A graph to walk on. `arcs` is read by uniform walks, `alias_arcs` by weighted ones; the other may be null.
///
/// A row is a node's arcs, or, for walks along a metapath, its arcs of one relation: row node * num_relations +
/// relation.
template <class Offset, class Target>
struct WalkGraph {
    const Offset* offsets;  ///< (num_nodes * num_relations + 1): uint32_t where the arcs are few enough, else int64_t
    const Arc<Target>* arcs;
    const AliasArc<Target>* alias_arcs;
    const int64_t* edge_ids;  ///< (num_arcs), or null where an arc's position is its edge's id
    int64_t num_nodes;
    int64_t num_relations = 1;
    const Target* neighbors = nullptr;  ///< (num_arcs) each row's targets, ascending; read by second-order walks only
};

/// What to walk, and where to write it.
struct WalkRequest {
    const int64_t* seeds;     ///< (num_walks) start nodes
    const int64_t* walk_ids;  ///< (num_walks), or null for 0, 1, 2, ...
    int64_t num_walks;
    int64_t length;  ///< steps L, at most kMaxWalkLength
    WalkRandom random;
    int64_t* nodes;  ///< (num_walks, L + 1), start first; -1 after a dead end
    float* alpha;    ///< (num_walks, L + 1), 1 first; 0 after a dead end
    int64_t* edges;  ///< (num_walks, L) edge ids, -1 after a dead end; or null
    const int32_t* relations = nullptr;  ///< (L) relation to walk along at each step; null: relation 0
    SecondOrder order{};                 ///< read by second-order walks only, which take one relation
};

/// What is wrong with a request.
enum class WalkFault : int { none = 0, seed_range, negative_walk_id };

struct WalkCheck {
    WalkFault fault = WalkFault::none;
    int64_t position = -1;
};

/// Check the start nodes and walk ids of a request against the number of nodes.
WalkCheck check_walks(const WalkRequest& request, int64_t num_nodes);

/// The walk id of the walk at a position.
INFOALIGN_HD INFOALIGN_INLINE uint64_t walk_id_at(const WalkRequest& request, int64_t position) {
    return static_cast<uint64_t>(request.walk_ids != nullptr ? request.walk_ids[position] : position);
}

/// The arc that r0 picks among `degree` (above 0) arcs from `first` on.
INFOALIGN_HD INFOALIGN_INLINE int64_t pick_arc(int64_t first, int64_t degree, uint32_t r0) {
    return first + static_cast<int64_t>((static_cast<uint64_t>(r0) * static_cast<uint64_t>(degree)) >> 32);
}

/// The arc that column `arc` of an alias table gives, or -1 where the node has no weight.
template <class Target>
INFOALIGN_HD INFOALIGN_INLINE int64_t resolve_alias(const AliasArc<Target>& column, int64_t first, int64_t arc,
                                                    uint32_t r1) {
    if (r1 < column.threshold) return arc;
    return column.alias == kNoArc ? -1 : first + static_cast<int64_t>(column.alias);
}

/// The relation of a step.
INFOALIGN_HD INFOALIGN_INLINE int64_t relation_at(const WalkRequest& request, int64_t step) {
    return request.relations != nullptr ? request.relations[step] : 0;
}

/// The records of the arcs that a walk reads.
template <bool kWeighted, class Offset, class Target>
INFOALIGN_HD INFOALIGN_INLINE auto records_of(const WalkGraph<Offset, Target>& graph) {
    if constexpr (kWeighted) {
        return graph.alias_arcs;
    } else {
        return graph.arcs;
    }
}

/// The arc that one draw gives among `degree` (above 0) arcs from `first` on, or -1 where they have no weight.
template <bool kWeighted, class Offset, class Target>
INFOALIGN_HD INFOALIGN_INLINE int64_t propose_arc(const WalkGraph<Offset, Target>& graph, int64_t first, int64_t degree,
                                                  Random4 random) {
    const int64_t arc = pick_arc(first, degree, random.r0);
    if constexpr (kWeighted) {
        return resolve_alias(graph.alias_arcs[arc], first, arc, random.r1);
    } else {
        return arc;
    }
}

/// The arc of a second-order step.
template <bool kWeighted, class Offset, class Target>
INFOALIGN_HD inline int64_t second_order_arc(const WalkGraph<Offset, Target>& graph, const WalkRequest& request,
                                             const Previous<Target>& previous, int64_t first, int64_t degree,
                                             uint64_t walk_id, uint32_t step) {
    const auto* records = records_of<kWeighted>(graph);
    const int64_t limit = attempt_limit(degree);
    for (int64_t attempt = 0; attempt < limit; ++attempt) {
        const Random4 random = request.random.draw(walk_id, step, static_cast<uint32_t>(attempt));
        const int64_t arc = propose_arc<kWeighted>(graph, first, degree, random);
        if (arc < 0) return -1;
        if (accepts(request.order, previous, static_cast<int64_t>(records[arc].target), random.r2)) return arc;
    }
    return draw_from_all<kWeighted>(request.order, previous, records, first, degree,
                                    request.random.draw(walk_id, step, static_cast<uint32_t>(limit)));
}

/// Walk number `position` of a request, on its own: the body of the CUDA kernel, and of the C++ tests of it.
template <bool kWeighted, bool kSecondOrder, class Offset, class Target>
INFOALIGN_HD inline void walk_one(const WalkGraph<Offset, Target>& graph, const WalkRequest& request,
                                  int64_t position) {
    const uint64_t walk_id = walk_id_at(request, position);
    const auto* records = records_of<kWeighted>(graph);
    int64_t* nodes = request.nodes + position * (request.length + 1);
    float* alphas = request.alpha + position * (request.length + 1);
    int64_t node = request.seeds[position];
    float alpha = 1.0f;
    Previous<Target> previous{-1, nullptr, 0};
    nodes[0] = node;
    alphas[0] = alpha;
    for (int64_t step = 0; step < request.length; ++step) {
        int64_t arc = -1;
        if (node >= 0) {
            const int64_t row = node * graph.num_relations + relation_at(request, step);
            const int64_t first = static_cast<int64_t>(graph.offsets[row]);
            const int64_t degree = static_cast<int64_t>(graph.offsets[row + 1]) - first;
            const auto number = static_cast<uint32_t>(step);
            if (degree > 0 && (!kSecondOrder || step == 0)) {
                arc = propose_arc<kWeighted>(graph, first, degree, request.random.draw(walk_id, number));
            } else if (degree > 0) {
                arc = second_order_arc<kWeighted>(graph, request, previous, first, degree, walk_id, number);
            }
            if constexpr (kSecondOrder) previous = {node, graph.neighbors + first, degree};
        }
        node = arc < 0 ? -1 : static_cast<int64_t>(records[arc].target);
        alpha = arc < 0 ? 0.0f : alpha * records[arc].weight;
        nodes[step + 1] = node;
        alphas[step + 1] = alpha;
        if (request.edges != nullptr) {
            const int64_t edge = arc < 0 || graph.edge_ids == nullptr ? arc : graph.edge_ids[arc];
            request.edges[position * request.length + step] = edge;
        }
    }
}

/// Call `run(weighted, second_order)` with the transition as two std::bool_constant.
template <class Run>
void with_transition(Transition transition, const Run& run) {
    const auto with_order = [&](auto weighted) {
        transition.second_order ? run(weighted, std::true_type{}) : run(weighted, std::false_type{});
    };
    transition.weighted ? with_order(std::true_type{}) : with_order(std::false_type{});
}

/// The instruction sets there are code paths for.
enum class WalkIsa { portable, avx512 };

/// The best instruction set of this processor.
WalkIsa best_walk_isa();

/// Run a request that `check_walks` passed, with at most `num_threads` threads; small requests start none.
///
/// `isa` is one that this processor has; what it has no code path for takes the portable one.
template <class Offset, class Target>
void walk_cpu(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, Transition transition,
              int num_threads, WalkIsa isa = best_walk_isa());

/// Queue a request whose pointers are all device memory on `stream` (a cudaStream_t); throws std::runtime_error.
template <class Offset, class Target>
void walk_cuda(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, Transition transition, int device,
               void* stream);

/// Whether a CUDA device can be used, and if not why; never throws, and needs no driver.
struct CudaStatus {
    bool available;
    const char* reason;
};
CudaStatus cuda_status();

}  // namespace infoalign
