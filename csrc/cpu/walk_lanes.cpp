#include "infoalign/walk_lanes.h"

#include <algorithm>
#include <cstring>

#include "infoalign/philox_lanes.h"

#if INFOALIGN_X86
#include <immintrin.h>
#if !defined(__clang__)
// GCC 12 takes the don't-care operands of its own AVX-512 intrinsics for mistakes (its bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace infoalign {

#if INFOALIGN_X86

namespace {

#define INFOALIGN_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,prefer-vector-width=512")))

constexpr int kVector = 8;  // walkers in one register of 64-bit lanes
constexpr int kWalkers = kPhiloxLanes;
constexpr int64_t kShortRow = 16;
/// Results of this many bytes fall out of the caches before they are read: they go past them.
constexpr int64_t kManyBytes = 4 << 20;

const DrawLanes draw = draw_lanes(best_philox_isa());

/// The state of a flight: node and arc are -1 at a dead end, and in lanes without a walker.
struct alignas(64) Lanes {
    uint64_t walk_id[kWalkers];
    int64_t node[kWalkers];
    int64_t first[kWalkers];
    int64_t arc[kWalkers];
    float alpha[kWalkers];
    LaneWords words;
};

INFOALIGN_AVX512 inline __m512i load8(const int64_t* from) { return _mm512_load_si512(from); }

INFOALIGN_AVX512 inline __m512i widen8(const uint32_t* from) {
    return _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

/// Choose each walker's arc, or its alias column: both ends of a row come in one load, since they lie side by side.
INFOALIGN_AVX512 inline void pick8(const uint32_t* offsets, Lanes& lanes, int at) {
    const __m512i node = load8(lanes.node + at);
    const __mmask8 there = _mm512_cmpge_epi64_mask(node, _mm512_setzero_si512());
    const __m512i ends = _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), there, node, offsets, 4);
    const __m512i first = _mm512_and_si512(ends, _mm512_set1_epi64(0xFFFFFFFF));
    const __m512i degree = _mm512_sub_epi64(_mm512_srli_epi64(ends, 32), first);
    const __m512i chosen = _mm512_srli_epi64(_mm512_mul_epu32(widen8(lanes.words.r0 + at), degree), 32);
    const __mmask8 alive = _mm512_test_epi64_mask(degree, degree);
    _mm512_store_si512(lanes.first + at, first);
    _mm512_store_si512(lanes.arc + at,
                       _mm512_mask_add_epi64(_mm512_set1_epi64(-1), alive, first, chosen));
}

/// Decide between each walker's column and its alias; `words` are the records, two words each.
INFOALIGN_AVX512 inline void resolve8(const uint64_t* words, Lanes& lanes, int at) {
    const __m512i none = _mm512_set1_epi64(-1);
    const __m512i arc = load8(lanes.arc + at);
    const __mmask8 alive = _mm512_cmpneq_epi64_mask(arc, none);
    const __m512i second = _mm512_add_epi64(_mm512_add_epi64(arc, arc), _mm512_set1_epi64(1));
    const __m512i column = _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), alive, second, words, 8);
    const __m512i threshold = _mm512_and_si512(column, _mm512_set1_epi64(0xFFFFFFFF));
    const __m512i alias = _mm512_srli_epi64(column, 32);
    const __mmask8 other = _mm512_mask_cmpge_epu64_mask(alive, widen8(lanes.words.r1 + at), threshold);
    const __mmask8 dead = _mm512_mask_cmpeq_epi64_mask(other, alias, _mm512_set1_epi64(kNoArc));
    const __m512i taken = _mm512_mask_add_epi64(arc, other, load8(lanes.first + at), alias);
    _mm512_store_si512(lanes.arc + at, _mm512_mask_mov_epi64(taken, dead, none));
}

/// Go along each walker's arc: target and weight come in one load.
template <class Record>
INFOALIGN_AVX512 inline void move8(const Record* records, Lanes& lanes, int at) {
    const __m512i none = _mm512_set1_epi64(-1);
    const __m512i arc = load8(lanes.arc + at);
    const __mmask8 alive = _mm512_cmpneq_epi64_mask(arc, none);
    constexpr int kWords = sizeof(Record) / 8;
    const __m512i word = kWords == 2 ? _mm512_add_epi64(arc, arc) : arc;
    const __m512i record = _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), alive, word, records, 8);
    const __m512i target = _mm512_srai_epi64(_mm512_slli_epi64(record, 32), 32);
    const __m256 weight = _mm256_castsi256_ps(_mm512_cvtepi64_epi32(_mm512_srli_epi64(record, 32)));
    _mm512_store_si512(lanes.node + at, _mm512_mask_mov_epi64(none, alive, target));
    _mm256_store_ps(lanes.alpha + at, _mm256_maskz_mul_ps(alive, _mm256_load_ps(lanes.alpha + at), weight));
}

template <class Record>
inline void prefetch(const Record* records, const Lanes& lanes, int count) {
    for (int k = 0; k < count; ++k) __builtin_prefetch(records + (lanes.arc[k] < 0 ? 0 : lanes.arc[k]));
}

/// Copy past the caches: a line that is written whole need not be read first.
INFOALIGN_AVX512 inline void stream(void* to, const void* from, int64_t bytes) {
    auto* target = static_cast<char*>(to);
    const auto* source = static_cast<const char*>(from);
    const int64_t head = std::min<int64_t>(bytes, -reinterpret_cast<intptr_t>(target) & 63);
    std::memcpy(target, source, static_cast<size_t>(head));
    int64_t at = head;
    for (; at + 64 <= bytes; at += 64) {
        _mm512_stream_si512(reinterpret_cast<__m512i*>(target + at), _mm512_loadu_si512(source + at));
    }
    std::memcpy(target + at, source + at, static_cast<size_t>(bytes - at));
}

template <bool kWeighted>
INFOALIGN_AVX512 void fly_into(const WalkGraph<uint32_t, int32_t>& graph, const WalkRequest& request, int64_t begin,
                               int count, int64_t* nodes, float* alphas) {
    const auto* records = records_of<kWeighted>(graph);
    const int64_t row = request.length + 1;
    Lanes lanes;
    for (int k = 0; k < kWalkers; ++k) {
        const bool there = k < count;
        lanes.walk_id[k] = there ? walk_id_at(request, begin + k) : 0;
        lanes.node[k] = there ? request.seeds[begin + k] : -1;
        lanes.alpha[k] = 1.0f;
    }
    for (int k = 0; k < count; ++k) {
        __builtin_prefetch(graph.offsets + lanes.node[k]);
        nodes[k * row] = lanes.node[k];
        alphas[k * row] = 1.0f;
    }
    for (int64_t step = 0; step < request.length; ++step) {
        draw(request.random, lanes.walk_id, static_cast<uint32_t>(step), 0, lanes.words);
        for (int at = 0; at < kWalkers; at += kVector) pick8(graph.offsets, lanes, at);
        prefetch(records, lanes, count);
        if constexpr (kWeighted) {
            const auto* words = reinterpret_cast<const uint64_t*>(records);
            for (int at = 0; at < kWalkers; at += kVector) resolve8(words, lanes, at);
            prefetch(records, lanes, count);
        }
        for (int at = 0; at < kWalkers; at += kVector) move8(records, lanes, at);
        for (int k = 0; k < count; ++k) {
            __builtin_prefetch(graph.offsets + (lanes.node[k] < 0 ? 0 : lanes.node[k]));
            nodes[k * row + step + 1] = lanes.node[k];
            alphas[k * row + step + 1] = lanes.alpha[k];
        }
        for (int k = 0; request.edges != nullptr && k < count; ++k) {
            const int64_t arc = lanes.arc[k];
            request.edges[(begin + k) * request.length + step] =
                arc < 0 || graph.edge_ids == nullptr ? arc : graph.edge_ids[arc];
        }
    }
}

template <bool kWeighted>
INFOALIGN_AVX512 void fly_avx512(const WalkGraph<uint32_t, int32_t>& graph, const WalkRequest& request, int64_t begin,
                                 int count) {
    const int64_t row = request.length + 1;
    int64_t* nodes = request.nodes + begin * row;
    float* alphas = request.alpha + begin * row;
    const auto row_bytes = static_cast<int64_t>(sizeof *nodes + sizeof *alphas) * row;
    if (row > kShortRow || request.num_walks * row_bytes < kManyBytes) {
        fly_into<kWeighted>(graph, request, begin, count, nodes, alphas);
        return;
    }
    int64_t near_nodes[kWalkers * kShortRow];
    float near_alphas[kWalkers * kShortRow];
    fly_into<kWeighted>(graph, request, begin, count, near_nodes, near_alphas);
    stream(nodes, near_nodes, count * row * static_cast<int64_t>(sizeof *nodes));
    stream(alphas, near_alphas, count * row * static_cast<int64_t>(sizeof *alphas));
    _mm_sfence();
}

}  // namespace

#endif

WalkIsa best_walk_isa() {
#if INFOALIGN_X86
    static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl");
    if (has) return WalkIsa::avx512;
#endif
    return WalkIsa::portable;
}

FlyLanes fly_lanes(bool weighted) {
#if INFOALIGN_X86
    return weighted ? fly_avx512<true> : fly_avx512<false>;
#else
    (void)weighted;
    return nullptr;
#endif
}

}  // namespace infoalign
