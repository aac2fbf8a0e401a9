#include "infoalign/walk.h"

#include <algorithm>
#include <type_traits>

#include "infoalign/philox_lanes.h"
#include "infoalign/threads.h"
#include "infoalign/walk_lanes.h"

namespace infoalign {

namespace {

/// Walkers that a thread moves in turn: enough that the loads of one step are all under way before the first is used.
constexpr int kFlight = kPhiloxLanes;
/// Steps worth starting a thread for: below this the start takes longer than the walk.
constexpr int64_t kStepsPerThread = 1 << 15;

const DrawLanes draw = draw_lanes(best_philox_isa());

/// Walks left over for which the lanes of a draw are not worth filling.
constexpr int kFewLanes = 8;

/// Up to kFlight walks moved together, one stage of a step at a time.
///
/// Dead ends are no branches: which walkers are alive is as good as random, and a wrong guess costs more than the step.
template <bool kWeighted, bool kSecondOrder, class Offset, class Target>
class Flight {
    using Record = std::conditional_t<kWeighted, AliasArc<Target>, Arc<Target>>;

public:
    Flight(const WalkGraph<Offset, Target>& graph, const WalkRequest& request)
        : graph_(graph), records_(records_of<kWeighted>(graph)), request_(request) {
        // Walkers at a dead end read record 0 and drop it; a graph without arcs lends one.
        if (graph.offsets[graph.num_nodes * graph.num_relations] == 0) records_ = &nothing_;
    }

    void run(int64_t begin, int count) {
        begin_ = begin;
        count_ = count;
        start();
        for (int64_t step = 0; step < request_.length; ++step) {
            find_rows(step);
            if (!kSecondOrder || step == 0) {
                draw(request_.random, walk_ids_, static_cast<uint32_t>(step), 0, words_);
                pick();
                if constexpr (kWeighted) resolve();
            } else {
                pick_second_order(static_cast<uint32_t>(step));
            }
            if (request_.edges != nullptr) write_edges(step);
            move(step);
        }
    }

private:
    static int64_t or_zero(int64_t at) { return at < 0 ? 0 : at; }

    const Offset* row_of(int64_t node, int64_t relation) const {
        return graph_.offsets + or_zero(node) * graph_.num_relations + relation;
    }

    void start() {
        for (int k = 0; k < kFlight; ++k) walk_ids_[k] = k < count_ ? walk_id_at(request_, begin_ + k) : 0;
        const int64_t row = request_.length + 1;
        const int64_t relation = request_.length > 0 ? relation_at(request_, 0) : 0;
        for (int k = 0; k < count_; ++k) {
            node_[k] = request_.seeds[begin_ + k];
            alpha_[k] = 1.0f;
            __builtin_prefetch(row_of(node_[k], relation));
            request_.nodes[(begin_ + k) * row] = node_[k];
            request_.alpha[(begin_ + k) * row] = 1.0f;
        }
    }

    /// Where each walker's arcs begin and how many there are; none after a dead end.
    void find_rows(int64_t step) {
        const int64_t relation = relation_at(request_, step);
        for (int k = 0; k < count_; ++k) {
            if constexpr (kSecondOrder) {
                // What was found for the step before is the row of the node before.
                previous_first_[k] = first_[k];
                previous_degree_[k] = degree_[k];
                if (step > 0) __builtin_prefetch(graph_.neighbors + first_[k] + degree_[k] / 2);
            }
            const Offset* row = row_of(node_[k], relation);
            first_[k] = static_cast<int64_t>(row[0]);
            degree_[k] = node_[k] < 0 ? 0 : static_cast<int64_t>(row[1]) - first_[k];
        }
    }

    /// Choose each walker's arc, or its alias column, and ask for its memory.
    void pick() {
        for (int k = 0; k < count_; ++k) {
            arc_[k] = degree_[k] > 0 ? pick_arc(first_[k], degree_[k], words_.r0[k]) : -1;
            __builtin_prefetch(records_ + or_zero(arc_[k]));
        }
    }

    void resolve() {
        for (int k = 0; k < count_; ++k) {
            const int64_t column = or_zero(arc_[k]);
            const int64_t taken = resolve_alias(records_[column], first_[k], column, words_.r1[k]);
            arc_[k] = arc_[k] < 0 ? -1 : taken;
            __builtin_prefetch(records_ + or_zero(arc_[k]));
        }
    }

    Previous<Target> previous(int k) const {
        return {previous_node_[k], graph_.neighbors + previous_first_[k], previous_degree_[k]};
    }

    /// Propose for all walkers that have not accepted an arc yet, until none is left.
    void pick_second_order(uint32_t step) {
        int pending[kFlight];
        int left = 0;
        for (int k = 0; k < count_; ++k) {
            arc_[k] = -1;
            if (degree_[k] > 0) pending[left++] = k;
        }
        for (uint32_t attempt = 0; left > 0; ++attempt) {
            left = settle_limits(pending, left, step, attempt);
            propose(pending, left, step, attempt);
            int refused = 0;
            for (int at = 0; at < left; ++at) {
                const int k = pending[at];
                if (arc_[k] < 0) continue;
                const auto target = static_cast<int64_t>(records_[arc_[k]].target);
                if (!accepts(request_.order, previous(k), target, words_.r2[at])) pending[refused++] = k;
            }
            left = refused;
        }
    }

    /// Draw from all arcs for the walkers that have used up their attempts; the others stay.
    int settle_limits(int* pending, int left, uint32_t step, uint32_t attempt) {
        int kept = 0;
        for (int at = 0; at < left; ++at) {
            const int k = pending[at];
            if (static_cast<int64_t>(attempt) < attempt_limit(degree_[k])) {
                pending[kept++] = k;
            } else {
                arc_[k] = draw_from_all<kWeighted>(request_.order, previous(k), records_, first_[k], degree_[k],
                                                   request_.random.draw(walk_ids_[k], step, attempt));
            }
        }
        return kept;
    }

    /// One proposal for each walker of a list; word m belongs to the m-th of them.
    void propose(const int* pending, int left, uint32_t step, uint32_t attempt) {
        if (left < kFewLanes) {
            for (int at = 0; at < left; ++at) {
                const Random4 drawn = request_.random.draw(walk_ids_[pending[at]], step, attempt);
                words_.r0[at] = drawn.r0;
                words_.r1[at] = drawn.r1;
                words_.r2[at] = drawn.r2;
            }
        } else {
            uint64_t ids[kFlight] = {};
            for (int at = 0; at < left; ++at) ids[at] = walk_ids_[pending[at]];
            draw(request_.random, ids, step, attempt, words_);
        }
        for (int at = 0; at < left; ++at) {
            const int k = pending[at];
            arc_[k] = pick_arc(first_[k], degree_[k], words_.r0[at]);
            __builtin_prefetch(records_ + arc_[k]);
        }
        if constexpr (kWeighted) {
            for (int at = 0; at < left; ++at) {
                const int k = pending[at];
                arc_[k] = resolve_alias(records_[arc_[k]], first_[k], arc_[k], words_.r1[at]);
                __builtin_prefetch(records_ + or_zero(arc_[k]));
            }
        }
    }

    void move(int64_t step) {
        const int64_t row = request_.length + 1;
        const int64_t relation = step + 1 < request_.length ? relation_at(request_, step + 1) : 0;
        int64_t* nodes = request_.nodes + begin_ * row + step + 1;
        float* alphas = request_.alpha + begin_ * row + step + 1;
        for (int k = 0; k < count_; ++k) {
            const Record& record = records_[or_zero(arc_[k])];
            const bool alive = arc_[k] >= 0;
            if constexpr (kSecondOrder) previous_node_[k] = node_[k];
            node_[k] = alive ? static_cast<int64_t>(record.target) : -1;
            alpha_[k] *= alive ? record.weight : 0.0f;
            __builtin_prefetch(row_of(node_[k], relation));
            nodes[k * row] = node_[k];
            alphas[k * row] = alpha_[k];
        }
    }

    void write_edges(int64_t step) {
        for (int k = 0; k < count_; ++k) {
            const int64_t edge = arc_[k] < 0 || graph_.edge_ids == nullptr ? arc_[k] : graph_.edge_ids[arc_[k]];
            request_.edges[(begin_ + k) * request_.length + step] = edge;
        }
    }

    const WalkGraph<Offset, Target> graph_;
    const Record* records_;
    const WalkRequest request_;
    const Record nothing_{};
    int64_t begin_ = 0;
    int count_ = 0;
    uint64_t walk_ids_[kFlight];
    int64_t node_[kFlight];
    int64_t first_[kFlight];
    int64_t degree_[kFlight];
    int64_t arc_[kFlight];
    int64_t previous_node_[kFlight];
    int64_t previous_first_[kFlight];
    int64_t previous_degree_[kFlight];
    float alpha_[kFlight];
    LaneWords words_;
};

/// Call `fly(begin, count)` on all walks, kFlight at a time and in shares for threads, and `end()` after each share.
template <class Fly, class End>
void fly_all(const WalkRequest& request, int num_threads, const Fly& fly, const End& end_share) {
    const int64_t grain = std::max<int64_t>(kFlight, kStepsPerThread / std::max<int64_t>(1, request.length));
    parallel_for(request.num_walks, num_threads, grain, [&](int64_t begin, int64_t end) {
        for (int64_t at = begin; at < end; at += kFlight) {
            fly(at, static_cast<int>(std::min<int64_t>(kFlight, end - at)));
        }
        end_share();
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
void walk_cpu(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, Transition transition,
              int num_threads, WalkIsa isa) {
    if constexpr (std::is_same_v<Offset, uint32_t> && std::is_same_v<Target, int32_t>) {
        if (isa == WalkIsa::avx512 && !transition.second_order && graph.num_relations == 1) {
            const FlyLanes fly = fly_lanes(transition.weighted);
            return fly_all(
                request, num_threads, [&](int64_t at, int count) { fly(graph, request, at, count); }, end_lanes);
        }
    }
    with_transition(transition, [&](auto weighted, auto second_order) {
        using ThisFlight = Flight<decltype(weighted)::value, decltype(second_order)::value, Offset, Target>;
        fly_all(
            request, num_threads, [&](int64_t at, int count) { ThisFlight(graph, request).run(at, count); }, [] {});
    });
}

template void walk_cpu(const WalkGraph<uint32_t, int32_t>&, const WalkRequest&, Transition, int, WalkIsa);
template void walk_cpu(const WalkGraph<int64_t, int32_t>&, const WalkRequest&, Transition, int, WalkIsa);
template void walk_cpu(const WalkGraph<uint32_t, int64_t>&, const WalkRequest&, Transition, int, WalkIsa);
template void walk_cpu(const WalkGraph<int64_t, int64_t>&, const WalkRequest&, Transition, int, WalkIsa);

}  // namespace infoalign
