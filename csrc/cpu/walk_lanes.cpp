#include "infoalign/walk_lanes.h"

#include <algorithm>
#include <cstring>

#include "infoalign/intrinsics.h"
#include "infoalign/philox_lanes.h"

namespace infoalign {

#if INFOALIGN_X86

namespace {

#define INFOALIGN_AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,prefer-vector-width=512")))

constexpr int kVector = 8;  // walkers in one register of 64-bit lanes
constexpr int kWalkers = kPhiloxLanes;
constexpr int kColumns = 8;  // columns of the result that are turned into rows together
constexpr int64_t kShortRow = 16;
/// Of a graph this large most reads go to main memory.
constexpr int64_t kFarBytes = 32 << 20;
constexpr int64_t kLineBytes = 64;
/// Results of this many bytes fall out of the caches before they are read: they go past them.
constexpr int64_t kManyBytes = 4 << 20;

const DrawLanes draw = draw_lanes(best_philox_isa());

/// The state of a flight: node and arc are -1 at a dead end, and in lanes without a walker.
struct alignas(64) Lanes {
    uint64_t walk_id[kWalkers];
    int64_t first[kWalkers];
    int64_t arc[kWalkers];
    LaneWords words[2];  ///< of an even step and of an odd one
    int64_t node[kColumns][kWalkers];  ///< the last columns of the result, column by column
    float alpha[kColumns][kWalkers];
};

INFOALIGN_AVX512 inline __m512i load8(const int64_t* from) { return _mm512_load_si512(from); }

INFOALIGN_AVX512 inline __m512i widen8(const uint32_t* from) {
    return _mm512_cvtepu32_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

/// Choose each walker's arc, or its alias column: both ends of a row come in one load, since they lie side by side.
INFOALIGN_AVX512 inline void pick8(const uint32_t* offsets, const int64_t* nodes, const LaneWords& words, Lanes& lanes,
                                   int at) {
    const __m512i node = load8(nodes + at);
    const __mmask8 there = _mm512_cmpge_epi64_mask(node, _mm512_setzero_si512());
    const __m512i ends = _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), there, node, offsets, 4);
    const __m512i first = _mm512_and_si512(ends, _mm512_set1_epi64(0xFFFFFFFF));
    const __m512i degree = _mm512_sub_epi64(_mm512_srli_epi64(ends, 32), first);
    const __m512i chosen = _mm512_srli_epi64(_mm512_mul_epu32(widen8(words.r0 + at), degree), 32);
    const __mmask8 alive = _mm512_test_epi64_mask(degree, degree);
    _mm512_store_si512(lanes.first + at, first);
    _mm512_store_si512(lanes.arc + at,
                       _mm512_mask_add_epi64(_mm512_set1_epi64(-1), alive, first, chosen));
}

/// Decide between each walker's column and its alias.
INFOALIGN_AVX512 inline void resolve8(const AliasArc<int32_t>* records, const LaneWords& words, Lanes& lanes, int at) {
    const __m512i none = _mm512_set1_epi64(-1);
    const __m512i arc = load8(lanes.arc + at);
    const __mmask8 alive = _mm512_cmpneq_epi64_mask(arc, none);
    const __m512i second = _mm512_add_epi64(_mm512_add_epi64(arc, arc), _mm512_set1_epi64(1));
    const __m512i column = _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), alive, second, records, 8);
    const __m512i threshold = _mm512_and_si512(column, _mm512_set1_epi64(0xFFFFFFFF));
    const __m512i alias = _mm512_srli_epi64(column, 32);
    const __mmask8 other = _mm512_mask_cmpge_epu64_mask(alive, widen8(words.r1 + at), threshold);
    const __mmask8 dead = _mm512_mask_cmpeq_epi64_mask(other, alias, _mm512_set1_epi64(kNoArc));
    const __m512i taken = _mm512_mask_add_epi64(arc, other, load8(lanes.first + at), alias);
    _mm512_store_si512(lanes.arc + at, _mm512_mask_mov_epi64(taken, dead, none));
}

/// Go along each walker's arc from one column to the next: target and weight come in one load.
template <class Record>
INFOALIGN_AVX512 inline void move8(const Record* records, Lanes& lanes, int from, int to, int at) {
    const __m512i none = _mm512_set1_epi64(-1);
    const __m512i arc = load8(lanes.arc + at);
    const __mmask8 alive = _mm512_cmpneq_epi64_mask(arc, none);
    constexpr int kWords = sizeof(Record) / 8;
    const __m512i word = kWords == 2 ? _mm512_add_epi64(arc, arc) : arc;
    const __m512i record = _mm512_mask_i64gather_epi64(_mm512_setzero_si512(), alive, word, records, 8);
    const __m512i target = _mm512_srai_epi64(_mm512_slli_epi64(record, 32), 32);
    const __m256 weight = _mm256_castsi256_ps(_mm512_cvtepi64_epi32(_mm512_srli_epi64(record, 32)));
    const __m256 alpha = _mm256_load_ps(lanes.alpha[from] + at);
    _mm512_store_si512(lanes.node[to] + at, _mm512_mask_mov_epi64(none, alive, target));
    _mm256_store_ps(lanes.alpha[to] + at, _mm256_maskz_mul_ps(alive, alpha, weight));
}

/// Turn eight columns of eight walkers into rows, and write the first columns of each.
INFOALIGN_AVX512 inline void write_nodes8(const int64_t (*columns)[kWalkers], int at, int count, __mmask8 used,
                                          int64_t* to, int64_t row) {
    __m512i c[8], pairs[8], fours[8], rows[8];
    for (int k = 0; k < 8; ++k) c[k] = load8(columns[k] + at);
    for (int k = 0; k < 8; k += 2) {
        pairs[k] = _mm512_unpacklo_epi64(c[k], c[k + 1]);
        pairs[k + 1] = _mm512_unpackhi_epi64(c[k], c[k + 1]);
    }
    for (int k = 0; k < 2; ++k) {  // k: whether the walker's number is odd
        fours[k] = _mm512_shuffle_i64x2(pairs[k], pairs[k + 2], 0x88);
        fours[k + 2] = _mm512_shuffle_i64x2(pairs[k], pairs[k + 2], 0xDD);
        fours[k + 4] = _mm512_shuffle_i64x2(pairs[k + 4], pairs[k + 6], 0x88);
        fours[k + 6] = _mm512_shuffle_i64x2(pairs[k + 4], pairs[k + 6], 0xDD);
    }
    for (int k = 0; k < 2; ++k) {
        rows[k] = _mm512_shuffle_i64x2(fours[k], fours[k + 4], 0x88);
        rows[k + 2] = _mm512_shuffle_i64x2(fours[k + 2], fours[k + 6], 0x88);
        rows[k + 4] = _mm512_shuffle_i64x2(fours[k], fours[k + 4], 0xDD);
        rows[k + 6] = _mm512_shuffle_i64x2(fours[k + 2], fours[k + 6], 0xDD);
    }
    for (int k = 0; k < count; ++k) _mm512_mask_storeu_epi64(to + k * row, used, rows[k]);
}

/// The same for alpha.
INFOALIGN_AVX512 inline void write_alphas8(const float (*columns)[kWalkers], int at, int count, __mmask8 used,
                                           float* to, int64_t row) {
    __m256 c[8], pairs[8], fours[8], rows[8];
    for (int k = 0; k < 8; ++k) c[k] = _mm256_load_ps(columns[k] + at);
    for (int k = 0; k < 8; k += 2) {
        pairs[k] = _mm256_unpacklo_ps(c[k], c[k + 1]);
        pairs[k + 1] = _mm256_unpackhi_ps(c[k], c[k + 1]);
    }
    for (int k = 0; k < 8; k += 4) {
        fours[k] = _mm256_shuffle_ps(pairs[k], pairs[k + 2], 0x44);
        fours[k + 1] = _mm256_shuffle_ps(pairs[k], pairs[k + 2], 0xEE);
        fours[k + 2] = _mm256_shuffle_ps(pairs[k + 1], pairs[k + 3], 0x44);
        fours[k + 3] = _mm256_shuffle_ps(pairs[k + 1], pairs[k + 3], 0xEE);
    }
    for (int k = 0; k < 4; ++k) {
        rows[k] = _mm256_permute2f128_ps(fours[k], fours[k + 4], 0x20);
        rows[k + 4] = _mm256_permute2f128_ps(fours[k], fours[k + 4], 0x31);
    }
    for (int k = 0; k < count; ++k) _mm256_mask_storeu_ps(to + k * row, used, rows[k]);
}

/// Write the first `used` of the columns that a flight holds.
INFOALIGN_AVX512 inline void write_columns(const Lanes& lanes, int used, int count, int64_t* nodes, float* alphas,
                                           int64_t row) {
    const auto mask = static_cast<__mmask8>((1u << used) - 1);
    for (int at = 0; at < count; at += kVector) {
        const int here = std::min(kVector, count - at);
        write_nodes8(lanes.node, at, here, mask, nodes + at * row, row);
        write_alphas8(lanes.alpha, at, here, mask, alphas + at * row, row);
    }
}

template <class Item>
inline void prefetch(const Item* items, const int64_t* at, int count) {
    // Into the second level: the first has too few lines on their way at once.
    for (int k = 0; k < count; ++k) __builtin_prefetch(items + (at[k] < 0 ? 0 : at[k]), 0, 2);
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
    // Asking for memory early pays where it is far: in a large graph, or one that the request reads little of.
    const int64_t bytes = graph.offsets[graph.num_nodes] * static_cast<int64_t>(sizeof *records);
    const bool far = bytes > kFarBytes || request.num_walks * request.length * kLineBytes < bytes;
    Lanes lanes;
    for (int k = 0; k < kWalkers; ++k) {
        const bool there = k < count;
        lanes.walk_id[k] = there ? walk_id_at(request, begin + k) : 0;
        lanes.node[0][k] = there ? request.seeds[begin + k] : -1;
        lanes.alpha[0][k] = 1.0f;
    }
    int column = 0;
    if (request.length > 0) draw(request.random, lanes.walk_id, 0, 0, lanes.words[0]);
    for (int64_t step = 0; step < request.length; ++step) {
        const int next = (column + 1) % kColumns;
        const LaneWords& words = lanes.words[step % 2];
        if (far) prefetch(graph.offsets, lanes.node[column], count);
        for (int at = 0; at < kWalkers; at += kVector) pick8(graph.offsets, lanes.node[column], words, lanes, at);
        if (far) prefetch(records, lanes.arc, count);
        // What needs no memory is done while the arcs are on their way.
        if (step + 1 < request.length) {
            draw(request.random, lanes.walk_id, static_cast<uint32_t>(step + 1), 0, lanes.words[(step + 1) % 2]);
        }
        if constexpr (kWeighted) {
            for (int at = 0; at < kWalkers; at += kVector) resolve8(records, words, lanes, at);
            if (far) prefetch(records, lanes.arc, count);
        }
        if (next == 0) {
            const int64_t oldest = step + 1 - kColumns;
            write_columns(lanes, kColumns, count, nodes + oldest, alphas + oldest, row);
        }
        for (int at = 0; at < kWalkers; at += kVector) move8(records, lanes, column, next, at);
        column = next;
        for (int k = 0; request.edges != nullptr && k < count; ++k) {
            const int64_t arc = lanes.arc[k];
            request.edges[(begin + k) * request.length + step] =
                arc < 0 || graph.edge_ids == nullptr ? arc : graph.edge_ids[arc];
        }
    }
    write_columns(lanes, column + 1, count, nodes + request.length - column, alphas + request.length - column, row);
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

void end_lanes() {
#if INFOALIGN_X86
    _mm_sfence();
#endif
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
