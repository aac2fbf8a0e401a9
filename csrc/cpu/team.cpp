#include "infoalign/team.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>

namespace infoalign {

namespace {

/// How compiled code starts a parallel region: part of the runtime's binary interface since GCC 4.9.
using StartRegion = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);

/// The region starter that PyTorch itself calls, or null where PyTorch is not loaded or has none. A process may hold
/// several OpenMP runtimes (scikit-learn, for one, brings its own), each with threads of its own: the right one is that
/// which PyTorch's library was linked with.
StartRegion find_openmp() {
    std::string path;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* found) {
            const char* name = std::strrchr(info->dlpi_name, '/');
            if (name == nullptr || std::strncmp(name, "/libtorch_cpu.", 14) != 0) return 0;
            *static_cast<std::string*>(found) = info->dlpi_name;
            return 1;
        },
        &path);
    // Never closed, so that what was found stays.
    void* library = path.empty() ? nullptr : dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    return library == nullptr ? nullptr : reinterpret_cast<StartRegion>(dlsym(library, "GOMP_parallel"));
}

std::atomic<StartRegion> known{nullptr};
std::atomic<bool> forked{false};

/// Asked for at each call until it is there: PyTorch may be imported later than this library. A forked child has none:
/// the runtime would wait there for threads that the fork did not copy.
StartRegion openmp() {
    if (forked.load(std::memory_order_relaxed)) return nullptr;
    StartRegion start = known.load(std::memory_order_acquire);
    if (start == nullptr && (start = find_openmp()) != nullptr) {
        static std::once_flag once;
        std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { forked = true; }); });
        known.store(start, std::memory_order_release);
    }
    return start;
}

/// Shares that the threads of a region draw until none is left.
struct Region {
    int64_t shares;
    void (*share)(const void* context, int64_t k);
    const void* context;
    std::atomic<int64_t> next{0};
};

}  // namespace

void run_on_team(int64_t shares, int threads, void (*share)(const void* context, int64_t k), const void* context) {
    const StartRegion start = openmp();
    if (start == nullptr) {
        run_shares(shares, threads, share, context);
        return;
    }
    Region region{shares, share, context};
    const auto body = [](void* data) {
        auto& all = *static_cast<Region*>(data);
        for (int64_t k = all.next++; k < all.shares; k = all.next++) all.share(all.context, k);
    };
    start(body, &region, static_cast<unsigned>(threads), 0);
}

}  // namespace infoalign
