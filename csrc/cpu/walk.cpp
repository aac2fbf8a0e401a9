#include "infoalign/walk.h"

#include <algorithm>
#include <type_traits>

#include "infoalign/philox_lanes.h"
#include "infoalign/threads.h"

namespace infoalign {

namespace {

/// Walkers that a thread moves in turn: enough that the loads of one step are all under way before the first is used.
constexpr int kFlight = kPhiloxLanes;
/// Steps worth starting a thread for: below this the start takes longer than the walk.
constexpr int64_t kStepsPerThread = 1 << 15;

/// Up to kFlight walks moved together, one stage of a step at a time.
///
/// Dead ends are no branches: which walkers are alive is as good as random, and a wrong guess costs more than the step.
template <bool kWeighted, class Offset, class Target>
class Flight {
    using Record = std::conditional_t<kWeighted, AliasArc<Target>, Arc<Target>>;

public:
    Flight(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, DrawLanes draw)
        : offsets_(graph.offsets), edge_ids_(graph.edge_ids), request_(request), draw_(draw) {
        if constexpr (kWeighted) {
            records_ = graph.alias_arcs;
        } else {
            records_ = graph.arcs;
        }
        // Walkers at a dead end read record 0 and drop it; a graph without arcs lends one.
        if (graph.offsets[graph.num_nodes] == 0) records_ = &nothing_;
    }

    void run(int64_t begin, int count) {
        begin_ = begin;
        count_ = count;
        start();
        for (int64_t step = 0; step < request_.length; ++step) {
            draw_(request_.random, walk_ids_, static_cast<uint32_t>(step), r0_, r1_);
            pick();
            if constexpr (kWeighted) resolve();
            if (request_.edges != nullptr) write_edges(step);
            move(step);
        }
    }

private:
    static int64_t or_zero(int64_t at) { return at < 0 ? 0 : at; }

    void start() {
        for (int k = 0; k < kFlight; ++k) walk_ids_[k] = k < count_ ? walk_id_at(request_, begin_ + k) : 0;
        const int64_t row = request_.length + 1;
        for (int k = 0; k < count_; ++k) {
            node_[k] = request_.seeds[begin_ + k];
            alpha_[k] = 1.0f;
            __builtin_prefetch(offsets_ + node_[k]);
            request_.nodes[(begin_ + k) * row] = node_[k];
            request_.alpha[(begin_ + k) * row] = 1.0f;
        }
    }

    /// Choose each walker's arc, or its alias column, and ask for its memory.
    void pick() {
        for (int k = 0; k < count_; ++k) {
            const int64_t node = or_zero(node_[k]);
            const int64_t first = static_cast<int64_t>(offsets_[node]);
            const int64_t degree = static_cast<int64_t>(offsets_[node + 1]) - first;
            const bool alive = (node_[k] >= 0) & (degree > 0);
            first_[k] = first;
            arc_[k] = alive ? pick_arc(first, degree, r0_[k]) : -1;
            __builtin_prefetch(records_ + or_zero(arc_[k]));
        }
    }

    void resolve() {
        for (int k = 0; k < count_; ++k) {
            const int64_t column = or_zero(arc_[k]);
            const int64_t taken = resolve_alias(records_[column], first_[k], column, r1_[k]);
            arc_[k] = arc_[k] < 0 ? -1 : taken;
            __builtin_prefetch(records_ + or_zero(arc_[k]));
        }
    }

    void move(int64_t step) {
        const int64_t row = request_.length + 1;
        int64_t* nodes = request_.nodes + begin_ * row + step + 1;
        float* alphas = request_.alpha + begin_ * row + step + 1;
        for (int k = 0; k < count_; ++k) {
            const Record& record = records_[or_zero(arc_[k])];
            const bool alive = arc_[k] >= 0;
            node_[k] = alive ? static_cast<int64_t>(record.target) : -1;
            alpha_[k] *= alive ? record.weight : 0.0f;
            __builtin_prefetch(offsets_ + or_zero(node_[k]));
            nodes[k * row] = node_[k];
            alphas[k * row] = alpha_[k];
        }
    }

    void write_edges(int64_t step) {
        for (int k = 0; k < count_; ++k) {
            const int64_t edge = arc_[k] < 0 || edge_ids_ == nullptr ? arc_[k] : edge_ids_[arc_[k]];
            request_.edges[(begin_ + k) * request_.length + step] = edge;
        }
    }

    const Offset* offsets_;
    const Record* records_;
    const int64_t* edge_ids_;
    const WalkRequest request_;
    const DrawLanes draw_;
    const Record nothing_{};
    int64_t begin_ = 0;
    int count_ = 0;
    uint64_t walk_ids_[kFlight];
    int64_t node_[kFlight];
    int64_t first_[kFlight];
    int64_t arc_[kFlight];
    float alpha_[kFlight];
    uint32_t r0_[kFlight];
    uint32_t r1_[kFlight];
};

template <bool kWeighted, class Offset, class Target>
void walk_shares(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, int num_threads) {
    static const DrawLanes draw = draw_lanes(best_philox_isa());
    const int64_t grain = std::max<int64_t>(kFlight, kStepsPerThread / std::max<int64_t>(1, request.length));
    parallel_for(request.num_walks, num_threads, grain, [&](int64_t begin, int64_t end) {
        Flight<kWeighted, Offset, Target> flight(graph, request, draw);
        for (int64_t at = begin; at < end; at += kFlight) {
            flight.run(at, static_cast<int>(std::min<int64_t>(kFlight, end - at)));
        }
    });
}

}  // namespace

WalkCheck check_walks(const WalkRequest& request, int64_t num_nodes) {
    for (int64_t k = 0; k < request.num_walks; ++k) {
        if (request.seeds[k] < 0 || request.seeds[k] >= num_nodes) return {WalkFault::seed_range, k};
    }
    for (int64_t k = 0; request.walk_ids != nullptr && k < request.num_walks; ++k) {
        if (request.walk_ids[k] < 0) return {WalkFault::negative_walk_id, k};
    }
    return {};
}

template <class Offset, class Target>
void walk_cpu(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, bool weighted, int num_threads) {
    if (weighted) {
        walk_shares<true>(graph, request, num_threads);
    } else {
        walk_shares<false>(graph, request, num_threads);
    }
}

template void walk_cpu(const WalkGraph<uint32_t, int32_t>&, const WalkRequest&, bool, int);
template void walk_cpu(const WalkGraph<int64_t, int32_t>&, const WalkRequest&, bool, int);
template void walk_cpu(const WalkGraph<uint32_t, int64_t>&, const WalkRequest&, bool, int);
template void walk_cpu(const WalkGraph<int64_t, int64_t>&, const WalkRequest&, bool, int);

}  // namespace infoalign
