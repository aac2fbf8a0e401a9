/// \file walk_lanes.h
/// First-order walks of the common widths with one walker per lane of the vector registers.
#pragma once

#include <cstdint>

#include "infoalign/walk.h"

namespace infoalign {

/// Walk up to kPhiloxLanes walks of a request from `begin` on, along one relation.
using FlyLanes = void (*)(const WalkGraph<uint32_t, int32_t>& graph, const WalkRequest& request, int64_t begin,
                          int count);

/// The function for WalkIsa::avx512, or null where this program has none.
FlyLanes fly_lanes(bool weighted);

/// Make what those functions wrote visible to other threads: they write past the caches.
void end_lanes();

}  // namespace infoalign
