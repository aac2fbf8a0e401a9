/// \file philox.h
/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): random numbers that are a
/// function of a key and a counter, so that a walk does not depend on who computes it, or when.
#pragma once

#include <cstdint>

#include "infoalign/macros.h"

namespace infoalign {

/// The four 32-bit words that one counter gives.
struct Random4 {
    uint32_t r0, r1, r2, r3;
};

/// Ten rounds of Philox4x32 on counter (c0, c1, c2, c3) under key (k0, k1).
INFOALIGN_HD INFOALIGN_INLINE Random4 philox4x32(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                                                 uint32_t k1) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t product0 = static_cast<uint64_t>(0xD2511F53u) * c0;
        const uint64_t product1 = static_cast<uint64_t>(0xCD9E8D57u) * c2;
        c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ k0;
        c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ k1;
        c1 = static_cast<uint32_t>(product1);
        c3 = static_cast<uint32_t>(product0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {c0, c1, c2, c3};
}

/// What every draw of one `random_walks` call shares: the 64-bit seed is the key, the stream a counter word.
struct WalkRandom {
    uint64_t seed;
    uint32_t stream;

    /// The words of step `step` (below 2^16, from 0) of walk `walk`, at its `attempt`-th try.
    INFOALIGN_HD INFOALIGN_INLINE Random4 draw(uint64_t walk, uint32_t step, uint32_t attempt = 0) const {
        return philox4x32(static_cast<uint32_t>(walk), static_cast<uint32_t>(walk >> 32), step | (attempt << 16),
                          stream, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    }
};

}  // namespace infoalign
