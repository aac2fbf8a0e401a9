#include "infoalign/philox_lanes.h"

#include "infoalign/intrinsics.h"

namespace infoalign {

namespace {

void draw_portable(const WalkRandom& random, const uint64_t* walk_ids, uint32_t step, uint32_t attempt,
                   LaneWords& words) {
    for (int lane = 0; lane < kPhiloxLanes; ++lane) {
        const Random4 drawn = random.draw(walk_ids[lane], step, attempt);
        words.r0[lane] = drawn.r0;
        words.r1[lane] = drawn.r1;
        words.r2[lane] = drawn.r2;
    }
}

#if INFOALIGN_X86

// Each 32-bit counter word sits in a 64-bit lane, since the multiplication reads only the low half of a lane: what an
// earlier product left in the high half does no harm, and a word's low half is taken by leaving it where it is.
// Several registers go through the rounds together, because one multiplication takes longer than a round's other work.

constexpr int kTogether = 4;

__attribute__((target("avx2"))) void draw_avx2(const WalkRandom& random, const uint64_t* walk_ids, uint32_t step,
                                               uint32_t attempt, LaneWords& words) {
    const __m256i factor0 = _mm256_set1_epi64x(0xD2511F53), factor1 = _mm256_set1_epi64x(0xCD9E8D57);
    const __m256i evens = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    for (int lane = 0; lane < kPhiloxLanes; lane += 4 * kTogether) {
        __m256i c0[kTogether], c1[kTogether], c2[kTogether], c3[kTogether];
        for (int k = 0; k < kTogether; ++k) {
            c0[k] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(walk_ids + lane + 4 * k));
            c1[k] = _mm256_srli_epi64(c0[k], 32);
            c2[k] = _mm256_set1_epi64x(step | attempt << 16);
            c3[k] = _mm256_set1_epi64x(random.stream);
        }
        auto k0 = static_cast<uint32_t>(random.seed), k1 = static_cast<uint32_t>(random.seed >> 32);
        for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
            const __m256i key0 = _mm256_set1_epi64x(k0), key1 = _mm256_set1_epi64x(k1);
            for (int k = 0; k < kTogether; ++k) {
                const __m256i product0 = _mm256_mul_epu32(factor0, c0[k]), product1 = _mm256_mul_epu32(factor1, c2[k]);
                c0[k] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product1, 32), c1[k]), key0);
                c2[k] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product0, 32), c3[k]), key1);
                c1[k] = product1;
                c3[k] = product0;
            }
        }
        for (int k = 0; k < kTogether; ++k) {
            const auto store = [&](__m256i word, uint32_t* to) __attribute__((target("avx2"))) {
                const __m256i low = _mm256_permutevar8x32_epi32(word, evens);
                _mm_storeu_si128(reinterpret_cast<__m128i*>(to + lane + 4 * k), _mm256_castsi256_si128(low));
            };
            store(c0[k], words.r0);
            store(c1[k], words.r1);
            store(c2[k], words.r2);
        }
    }
}

__attribute__((target("avx512f,prefer-vector-width=512"))) void draw_avx512(const WalkRandom& random,
                                                                            const uint64_t* walk_ids, uint32_t step,
                                                                            uint32_t attempt, LaneWords& words) {
    constexpr int kXor3 = 0x96;
    const __m512i factor0 = _mm512_set1_epi64(0xD2511F53), factor1 = _mm512_set1_epi64(0xCD9E8D57);
    for (int lane = 0; lane < kPhiloxLanes; lane += 8 * kTogether) {
        __m512i c0[kTogether], c1[kTogether], c2[kTogether], c3[kTogether];
        for (int k = 0; k < kTogether; ++k) {
            c0[k] = _mm512_loadu_si512(walk_ids + lane + 8 * k);
            c1[k] = _mm512_srli_epi64(c0[k], 32);
            c2[k] = _mm512_set1_epi64(step | attempt << 16);
            c3[k] = _mm512_set1_epi64(random.stream);
        }
        auto k0 = static_cast<uint32_t>(random.seed), k1 = static_cast<uint32_t>(random.seed >> 32);
        for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
            const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
            for (int k = 0; k < kTogether; ++k) {
                const __m512i product0 = _mm512_mul_epu32(factor0, c0[k]), product1 = _mm512_mul_epu32(factor1, c2[k]);
                c0[k] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(product1, 32), c1[k], key0, kXor3);
                c2[k] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(product0, 32), c3[k], key1, kXor3);
                c1[k] = product1;
                c3[k] = product0;
            }
        }
        for (int k = 0; k < kTogether; ++k) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(words.r0 + lane + 8 * k), _mm512_cvtepi64_epi32(c0[k]));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(words.r1 + lane + 8 * k), _mm512_cvtepi64_epi32(c1[k]));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(words.r2 + lane + 8 * k), _mm512_cvtepi64_epi32(c2[k]));
        }
    }
}

#endif

}  // namespace

PhiloxIsa best_philox_isa() {
#if INFOALIGN_X86
    if (__builtin_cpu_supports("avx512f")) return PhiloxIsa::avx512;
    if (__builtin_cpu_supports("avx2")) return PhiloxIsa::avx2;
#endif
    return PhiloxIsa::portable;
}

DrawLanes draw_lanes(PhiloxIsa isa) {
#if INFOALIGN_X86
    if (isa == PhiloxIsa::avx2) return draw_avx2;
    if (isa == PhiloxIsa::avx512) return draw_avx512;
#endif
    (void)isa;
    return draw_portable;
}

}  // namespace infoalign
