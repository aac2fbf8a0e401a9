/// \file walk.h
/// Random walks with alpha, the running product of the arc weights.
///
/// The walk of (seed, walk id, stream) is a function of the graph alone: the number of threads, the chunk a walk comes
/// in and the device it runs on change nothing. Step i of a walk draws one counter; r0 picks a position among the
/// node's arcs, (r0 * degree) >> 32, and with transition "weight" r1 decides between that arc and its alias.
#pragma once

#include <cstdint>

#include "infoalign/csr.h"
#include "infoalign/macros.h"
#include "infoalign/philox.h"

namespace infoalign {

constexpr int64_t kMaxWalkLength = 65535;  // the step number has 16 bits of its counter word

/// A graph to walk on. `arcs` is read with transition "uniform", `alias_arcs` with "weight"; the other may be null.
template <class Offset, class Target>
struct WalkGraph {
    const Offset* offsets;  ///< (num_nodes + 1): uint32_t where the number of arcs allows, else int64_t
    const Arc<Target>* arcs;
    const AliasArc<Target>* alias_arcs;
    const int64_t* edge_ids;  ///< (num_arcs), or null where an arc's position is its edge's id
    int64_t num_nodes;
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

/// The arc of one step from `node`, or -1 at a dead end.
template <bool kWeighted, class Offset, class Target>
INFOALIGN_HD INFOALIGN_INLINE int64_t step_arc(const WalkGraph<Offset, Target>& graph, int64_t node, Random4 random) {
    const int64_t first = static_cast<int64_t>(graph.offsets[node]);
    const int64_t degree = static_cast<int64_t>(graph.offsets[node + 1]) - first;
    if (degree == 0) return -1;
    const int64_t arc = pick_arc(first, degree, random.r0);
    if constexpr (kWeighted) {
        return resolve_alias(graph.alias_arcs[arc], first, arc, random.r1);
    } else {
        return arc;
    }
}

/// Walk number `position` of a request, on its own: the body of the CUDA kernel, and of the C++ tests of it.
template <bool kWeighted, class Offset, class Target>
INFOALIGN_HD inline void walk_one(const WalkGraph<Offset, Target>& graph, const WalkRequest& request,
                                  int64_t position) {
    const uint64_t walk_id = walk_id_at(request, position);
    int64_t* nodes = request.nodes + position * (request.length + 1);
    float* alphas = request.alpha + position * (request.length + 1);
    int64_t node = request.seeds[position];
    float alpha = 1.0f;
    nodes[0] = node;
    alphas[0] = alpha;
    for (int64_t step = 0; step < request.length; ++step) {
        const int64_t arc =
            node < 0 ? -1
                     : step_arc<kWeighted>(graph, node, request.random.draw(walk_id, static_cast<uint32_t>(step)));
        if (arc < 0) {
            node = -1;
            alpha = 0.0f;
        } else if constexpr (kWeighted) {
            node = graph.alias_arcs[arc].target;
            alpha *= graph.alias_arcs[arc].weight;
        } else {
            node = graph.arcs[arc].target;
            alpha *= graph.arcs[arc].weight;
        }
        nodes[step + 1] = node;
        alphas[step + 1] = alpha;
        if (request.edges != nullptr) {
            const int64_t edge = arc < 0 || graph.edge_ids == nullptr ? arc : graph.edge_ids[arc];
            request.edges[position * request.length + step] = edge;
        }
    }
}

/// Run a request that `check_walks` passed, with at most `num_threads` threads; small requests start none.
template <class Offset, class Target>
void walk_cpu(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, bool weighted, int num_threads);

/// Queue a request whose pointers are all device memory on `stream` (a cudaStream_t); throws std::runtime_error.
template <class Offset, class Target>
void walk_cuda(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, bool weighted, int device,
               void* stream);

/// Whether a CUDA device can be used, and if not why; never throws, and needs no driver.
struct CudaStatus {
    bool available;
    const char* reason;
};
CudaStatus cuda_status();

}  // namespace infoalign
