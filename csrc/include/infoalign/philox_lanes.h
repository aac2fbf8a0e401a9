/// \file philox_lanes.h
/// The same step of many walks at once, in the lanes of vector registers.
#pragma once

#include <cstdint>

#include "infoalign/philox.h"

namespace infoalign {

/// Walks drawn for in one call.
constexpr int kPhiloxLanes = 64;

/// Three words for each of kPhiloxLanes walks, word by word.
struct LaneWords {
    uint32_t r0[kPhiloxLanes], r1[kPhiloxLanes], r2[kPhiloxLanes];
};

/// The words of one step and attempt for kPhiloxLanes walks: `WalkRandom::draw`, lane by lane.
using DrawLanes = void (*)(const WalkRandom& random, const uint64_t* walk_ids, uint32_t step, uint32_t attempt,
                           LaneWords& words);

/// The instruction sets there are code paths for.
enum class PhiloxIsa { portable, avx2, avx512 };

/// The best instruction set of this processor.
PhiloxIsa best_philox_isa();

/// The draw of an instruction set, which this processor must have.
DrawLanes draw_lanes(PhiloxIsa isa);

}  // namespace infoalign
