/// \file threads.h
/// Work split over threads; the calling thread takes a share, and one share starts no thread at all.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace infoalign {

/// Call `body(begin, end)` on contiguous shares of [0, count), at most `threads` at once.
///
/// A share is at least `grain` items. The first exception of a share is thrown again once all have ended.
template <class Body>
void parallel_for(int64_t count, int threads, int64_t grain, const Body& body) {
    const int64_t most = std::max<int64_t>(1, count / std::max<int64_t>(1, grain));
    const int64_t shares = std::min<int64_t>(std::max(1, threads), most);
    if (shares == 1) {
        if (count > 0) body(int64_t{0}, count);
        return;
    }
    std::exception_ptr failure;
    std::mutex guard;
    const auto share = [&](int64_t k) {
        try {
            body(count * k / shares, count * (k + 1) / shares);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
        }
    };
    std::vector<std::thread> workers;
    workers.reserve(static_cast<size_t>(shares - 1));
    int64_t started = 1;
    try {
        for (; started < shares; ++started) workers.emplace_back(share, started);
    } catch (const std::system_error&) {
        // No more threads to be had: the calling thread does what is left.
    }
    share(0);
    for (int64_t k = started; k < shares; ++k) share(k);
    for (std::thread& worker : workers) worker.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace infoalign
