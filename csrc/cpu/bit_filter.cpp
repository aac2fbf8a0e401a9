#include "infoalign/bit_filter.h"

#include "infoalign/intrinsics.h"

namespace infoalign {

namespace {

INFOALIGN_INLINE uint64_t count_bits(uint64_t word) {
    word -= (word >> 1) & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
    return (word * 0x0101010101010101u) >> 56;
}

template <int F>
int64_t filter_portable(const uint64_t* blocks, int64_t num_blocks, const uint64_t* queries, int num_queries,
                        uint64_t most, FilterHit* hits) {
    int64_t found = 0;
    for (int64_t block = 0; block < num_blocks; ++block) {
        const uint64_t* rows = blocks + block * F * kLanes;
        for (int query = 0; query < num_queries; ++query) {
            unsigned lanes = 0;
            for (int lane = 0; lane < kLanes; ++lane) {
                uint64_t distance = 0;
                for (int f = 0; f < F; ++f) distance += count_bits(rows[f * kLanes + lane] ^ queries[query * F + f]);
                lanes |= (distance <= most ? 1u : 0u) << lane;
            }
            if (lanes != 0) {
                hits[found++] = {static_cast<int32_t>(block), static_cast<uint16_t>(query),
                                 static_cast<uint16_t>(lanes)};
            }
        }
    }
    return found;
}

#if INFOALIGN_X86

/// Bits of each byte, by a table of the 16 nibbles.
__attribute__((target("avx2"))) inline __m256i count_bytes(__m256i words) {
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                           2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_and_si256(words, _mm256_set1_epi8(15));
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(words, 4), _mm256_set1_epi8(15));
    return _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
}

template <int F>
__attribute__((target("avx2"))) int64_t filter_avx2(const uint64_t* blocks, int64_t num_blocks, const uint64_t* queries,
                                                    int num_queries, uint64_t most, FilterHit* hits) {
    int64_t found = 0;
    const __m256i limit = _mm256_set1_epi64x(static_cast<long long>(most));
    for (int64_t block = 0; block < num_blocks; ++block) {
        const uint64_t* rows = blocks + block * F * kLanes;
        for (int query = 0; query < num_queries; ++query) {
            unsigned lanes = 0;
            for (int half = 0; half < 2; ++half) {
                // Eight words of eight bits a byte at most: a byte's sum stays below 256.
                __m256i bytes = _mm256_setzero_si256();
                for (int f = 0; f < F; ++f) {
                    const __m256i row =
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + f * kLanes + 4 * half));
                    const __m256i word = _mm256_set1_epi64x(static_cast<long long>(queries[query * F + f]));
                    bytes = _mm256_add_epi8(bytes, count_bytes(_mm256_xor_si256(row, word)));
                }
                const __m256i far = _mm256_cmpgt_epi64(_mm256_sad_epu8(bytes, _mm256_setzero_si256()), limit);
                const int far_lanes = _mm256_movemask_pd(_mm256_castsi256_pd(far));
                lanes |= static_cast<unsigned>(~far_lanes & 15) << (4 * half);
            }
            if (lanes != 0) {
                hits[found++] = {static_cast<int32_t>(block), static_cast<uint16_t>(query),
                                 static_cast<uint16_t>(lanes)};
            }
        }
    }
    return found;
}

template <int F>
__attribute__((target("avx512f,avx512vpopcntdq,prefer-vector-width=512"))) int64_t filter_avx512(
    const uint64_t* blocks, int64_t num_blocks, const uint64_t* queries, int num_queries, uint64_t most,
    FilterHit* hits) {
    int64_t found = 0;
    const __m512i limit = _mm512_set1_epi64(static_cast<long long>(most));
    for (int64_t block = 0; block < num_blocks; ++block) {
        __m512i row[F];
        for (int f = 0; f < F; ++f) row[f] = _mm512_loadu_si512(blocks + (block * F + f) * kLanes);
        for (int query = 0; query < num_queries; ++query) {
            const uint64_t* words = queries + query * F;
            __m512i distance =
                _mm512_popcnt_epi64(_mm512_xor_si512(row[0], _mm512_set1_epi64(static_cast<long long>(words[0]))));
            for (int f = 1; f < F; ++f) {
                const __m512i word = _mm512_set1_epi64(static_cast<long long>(words[f]));
                distance = _mm512_add_epi64(distance, _mm512_popcnt_epi64(_mm512_xor_si512(row[f], word)));
            }
            const __mmask8 lanes = _mm512_cmple_epu64_mask(distance, limit);
            if (lanes != 0) {
                hits[found++] = {static_cast<int32_t>(block), static_cast<uint16_t>(query),
                                 static_cast<uint16_t>(lanes)};
            }
        }
    }
    return found;
}

#endif

}  // namespace

BitIsa best_isa() {
#if INFOALIGN_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq")) return BitIsa::avx512;
    if (__builtin_cpu_supports("avx2")) return BitIsa::avx2;
#endif
    return BitIsa::portable;
}

BitFilter bit_filter(BitIsa isa, int level) {
    static_assert(kFoldLevels == 3 && fold_words(2) == 8, "one filter per fold level");
    static const BitFilter portable[] = {filter_portable<2>, filter_portable<4>, filter_portable<8>};
#if INFOALIGN_X86
    static const BitFilter avx2[] = {filter_avx2<2>, filter_avx2<4>, filter_avx2<8>};
    static const BitFilter avx512[] = {filter_avx512<2>, filter_avx512<4>, filter_avx512<8>};
    if (isa == BitIsa::avx2) return avx2[level];
    if (isa == BitIsa::avx512) return avx512[level];
#endif
    return portable[level];
}

}  // namespace infoalign
