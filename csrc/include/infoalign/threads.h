/// \file threads.h
/// Work split over threads; the calling thread takes part, and one share starts or wakes no thread at all.
#pragma once

#include <algorithm>
#include <cstdint>

namespace infoalign {

/// Call `share(context, k)` once for each k in [0, shares), on the calling thread and on up to `threads - 1` of a pool
/// that the process keeps and that grows as needed; where no more can be started, those there are do all.
///
/// Calls may come from several threads at once, and from within a share. A forked child starts a pool of its own. The
/// first exception of a share is thrown again once all have ended.
void run_shares(int64_t shares, int64_t threads, void (*share)(const void* context, int64_t k), const void* context);

/// Shares per thread: a thread that the machine holds up leaves some of its own to the others.
constexpr int64_t kSharesPerThread = 4;

/// Call `body(begin, end)` on contiguous shares of [0, count), at most `threads` at once.
///
/// A share is at least `grain` items.
template <class Body>
void parallel_for(int64_t count, int threads, int64_t grain, const Body& body) {
    const int64_t most = std::max<int64_t>(1, count / std::max<int64_t>(1, grain));
    const int64_t workers = std::min<int64_t>(std::max(1, threads), most);
    if (workers == 1) {
        if (count > 0) body(int64_t{0}, count);
        return;
    }
    const int64_t shares = std::min(workers * kSharesPerThread, most);
    const auto share = [&](int64_t k) { body(count * k / shares, count * (k + 1) / shares); };
    using Share = decltype(share);
    const auto call = [](const void* context, int64_t k) { (*static_cast<const Share*>(context))(k); };
    run_shares(shares, workers, call, &share);
}

}  // namespace infoalign
