/// \file team.h
/// Threads for the kernels of a network's step, which take turns with the operations of a tensor library.
#pragma once

#include <algorithm>
#include <cstdint>

#include "infoalign/threads.h"

namespace infoalign {

/// Call `share(context, k)` once for each k in [0, shares), on the threads of the OpenMP runtime that PyTorch uses, or
/// like `run_shares` where PyTorch is not loaded, and in a forked child.
///
/// Between two operations those threads spin: waking ones of another pool would take longer than many a kernel, and
/// they would share their processors with the spinning ones. `share` must not throw.
void run_on_team(int64_t shares, int threads, void (*share)(const void* context, int64_t k), const void* context);

/// Call `body(k)` once for each k in [0, count), at most `threads` at once.
template <class Body>
void for_each_chunk(int64_t count, int threads, const Body& body) {
    if (threads <= 1 || count <= 1) {
        for (int64_t k = 0; k < count; ++k) body(k);
        return;
    }
    const auto call = [](const void* context, int64_t k) { (*static_cast<const Body*>(context))(k); };
    run_on_team(count, static_cast<int>(std::min<int64_t>(threads, count)), call, &body);
}

}  // namespace infoalign
