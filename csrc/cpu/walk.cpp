#include "infoalign/walk.h"

#include <algorithm>

#include "infoalign/threads.h"

namespace infoalign {

namespace {

/// Walkers that a thread moves in turn: enough that the loads of one step are all under way before the first is used.
constexpr int kFlight = 64;
/// Steps worth starting a thread for: below this the start takes longer than the walk.
constexpr int64_t kStepsPerThread = 1 << 15;

/// The words of one step for each walker in flight.
struct FlightRandom {
    uint32_t r0[kFlight];
    uint32_t r1[kFlight];
};

/// One Philox counter per walker, written so that the compiler runs several in the lanes of a vector register.
INFOALIGN_INLINE void draw_lanes(const WalkRandom& random, const uint64_t* walk_ids, uint32_t step, FlightRandom& out) {
    for (int k = 0; k < kFlight; ++k) {
        const Random4 words = random.draw(walk_ids[k], step);
        out.r0[k] = words.r0;
        out.r1[k] = words.r1;
    }
}

using DrawFlight = void (*)(const WalkRandom&, const uint64_t*, uint32_t, FlightRandom&);

void draw_portable(const WalkRandom& random, const uint64_t* walk_ids, uint32_t step, FlightRandom& out) {
    draw_lanes(random, walk_ids, step, out);
}

#if INFOALIGN_X86
__attribute__((target("avx2"))) void draw_avx2(const WalkRandom& random, const uint64_t* walk_ids, uint32_t step,
                                               FlightRandom& out) {
    draw_lanes(random, walk_ids, step, out);
}

__attribute__((target("avx512f,avx512dq,avx512vl,prefer-vector-width=512"))) void draw_avx512(
    const WalkRandom& random, const uint64_t* walk_ids, uint32_t step, FlightRandom& out) {
    draw_lanes(random, walk_ids, step, out);
}
#endif

DrawFlight choose_draw() {
#if INFOALIGN_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        return draw_avx512;
    }
    if (__builtin_cpu_supports("avx2")) return draw_avx2;
#endif
    return draw_portable;
}

/// Up to kFlight walks moved together, one stage of a step at a time.
template <bool kWeighted, class Offset, class Target>
class Flight {
public:
    Flight(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, DrawFlight draw)
        : graph_(graph), request_(request), draw_(draw) {}

    void run(int64_t begin, int count) {
        begin_ = begin;
        count_ = count;
        start();
        for (int64_t step = 0; step < request_.length; ++step) {
            draw_(request_.random, walk_ids_, static_cast<uint32_t>(step), random_);
            pick();
            if constexpr (kWeighted) resolve();
            if (request_.edges != nullptr) write_edges(step);
            move(step);
        }
    }

private:
    void start() {
        for (int k = 0; k < kFlight; ++k) walk_ids_[k] = k < count_ ? walk_id_at(request_, begin_ + k) : 0;
        const int64_t row = request_.length + 1;
        for (int k = 0; k < count_; ++k) {
            node_[k] = request_.seeds[begin_ + k];
            alpha_[k] = 1.0f;
            __builtin_prefetch(graph_.offsets + node_[k]);
            request_.nodes[(begin_ + k) * row] = node_[k];
            request_.alpha[(begin_ + k) * row] = 1.0f;
        }
    }

    /// Choose each walker's arc, or its alias column, and ask for its memory.
    void pick() {
        for (int k = 0; k < count_; ++k) {
            arc_[k] = -1;
            if (node_[k] < 0) continue;
            const int64_t first = static_cast<int64_t>(graph_.offsets[node_[k]]);
            const int64_t degree = static_cast<int64_t>(graph_.offsets[node_[k] + 1]) - first;
            if (degree == 0) continue;
            first_[k] = first;
            arc_[k] = pick_arc(first, degree, random_.r0[k]);
            prefetch_arc(arc_[k]);
        }
    }

    void resolve() {
        for (int k = 0; k < count_; ++k) {
            if (arc_[k] < 0) continue;
            arc_[k] = resolve_alias(graph_.alias_arcs[arc_[k]], first_[k], arc_[k], random_.r1[k]);
            if (arc_[k] >= 0) prefetch_arc(arc_[k]);
        }
    }

    void move(int64_t step) {
        const int64_t row = request_.length + 1;
        for (int k = 0; k < count_; ++k) {
            if (arc_[k] < 0) {
                node_[k] = -1;
                alpha_[k] = 0.0f;
            } else {
                if constexpr (kWeighted) {
                    node_[k] = graph_.alias_arcs[arc_[k]].target;
                    alpha_[k] *= graph_.alias_arcs[arc_[k]].weight;
                } else {
                    node_[k] = graph_.arcs[arc_[k]].target;
                    alpha_[k] *= graph_.arcs[arc_[k]].weight;
                }
                __builtin_prefetch(graph_.offsets + node_[k]);
            }
            request_.nodes[(begin_ + k) * row + step + 1] = node_[k];
            request_.alpha[(begin_ + k) * row + step + 1] = alpha_[k];
        }
    }

    void write_edges(int64_t step) {
        for (int k = 0; k < count_; ++k) {
            const int64_t edge = arc_[k] < 0 || graph_.edge_ids == nullptr ? arc_[k] : graph_.edge_ids[arc_[k]];
            request_.edges[(begin_ + k) * request_.length + step] = edge;
        }
    }

    void prefetch_arc(int64_t arc) const {
        if constexpr (kWeighted) {
            __builtin_prefetch(graph_.alias_arcs + arc);
        } else {
            __builtin_prefetch(graph_.arcs + arc);
        }
    }

    const WalkGraph<Offset, Target>& graph_;
    const WalkRequest& request_;
    const DrawFlight draw_;
    int64_t begin_ = 0;
    int count_ = 0;
    uint64_t walk_ids_[kFlight];
    int64_t node_[kFlight];
    int64_t first_[kFlight];
    int64_t arc_[kFlight];
    float alpha_[kFlight];
    FlightRandom random_;
};

template <bool kWeighted, class Offset, class Target>
void walk_shares(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, int num_threads) {
    static const DrawFlight draw = choose_draw();
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
