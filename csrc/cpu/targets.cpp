#include "infoalign/targets.h"

#include <cstring>

#include "infoalign/threads.h"

namespace infoalign {

namespace {

/// mean += share * row. Row by row and not, as on a device, column by column: that is what vectorizes here.
INFOALIGN_INLINE void add_row(const FeatureRows& rows, int64_t row, float share, float* mean) {
    const int64_t width = rows.num_columns;
    if (rows.format == RowFormat::float32) {
        for (int64_t c = 0; c < width; ++c) mean[c] += column_share<RowFormat::float32>(rows, row, c, share);
    } else if (rows.format == RowFormat::float16) {
        for (int64_t c = 0; c < width; ++c) mean[c] += column_share<RowFormat::float16>(rows, row, c, share);
    } else {
        const uint8_t* from = static_cast<const uint8_t*>(rows.values) + row * ((width + 7) / 8);
        const int64_t whole = width / 8;
        for (int64_t byte = 0; byte < whole; ++byte) {
            for (int bit = 0; bit < 8; ++bit) mean[8 * byte + bit] += bit_share(from[byte], bit, share);
        }
        for (int64_t c = 8 * whole; c < width; ++c) mean[c] += bit_share(from[whole], static_cast<int>(c % 8), share);
    }
}

INFOALIGN_INLINE void average_share(const WalkRows& walks, const FeatureRows& rows, const TargetRows& targets,
                                    int64_t begin, int64_t end, float* mean) {
    for (int64_t target = begin; target < end; ++target) {
        float* out = mean + target * rows.num_columns;
        std::memset(out, 0, static_cast<size_t>(rows.num_columns) * sizeof(float));
        const int64_t first = targets.molecule[static_cast<size_t>(target)] * walks.num_steps;
        for (int64_t at = first; at < first + walks.num_steps; ++at) {
            const int64_t row = visited_row(walks, rows, at);
            if (row < 0 || walks.alpha[at] == 0.0f) continue;
            add_row(rows, row, walks.alpha[at] / targets.alpha[static_cast<size_t>(target)], out);
        }
    }
}

using AverageShare = void (*)(const WalkRows&, const FeatureRows&, const TargetRows&, int64_t, int64_t, float*);

void average_portable(const WalkRows& walks, const FeatureRows& rows, const TargetRows& targets, int64_t begin,
                      int64_t end, float* mean) {
    average_share(walks, rows, targets, begin, end, mean);
}

#if INFOALIGN_X86
__attribute__((target("avx2"))) void average_avx2(const WalkRows& walks, const FeatureRows& rows,
                                                  const TargetRows& targets, int64_t begin, int64_t end, float* mean) {
    average_share(walks, rows, targets, begin, end, mean);
}
#endif

AverageShare choose_average() {
#if INFOALIGN_X86
    if (__builtin_cpu_supports("avx2")) return average_avx2;
#endif
    return average_portable;
}

}  // namespace

TargetRows find_targets(const WalkRows& walks, const FeatureRows& rows) {
    TargetRows found;
    for (int64_t walk = 0; walk < walks.num_walks; ++walk) {
        const WalkTotal total = sum_walk(walks, rows, walk);
        if (total.count == kOutOfRange) {
            found.bad_walk = walk;
            return found;
        }
        if (total.alpha > 0.0f) {
            found.molecule.push_back(walk);
            found.alpha.push_back(total.alpha);
            found.count.push_back(total.count);
        }
    }
    return found;
}

void average_targets(const WalkRows& walks, const FeatureRows& rows, const TargetRows& targets, int num_threads,
                     float* mean) {
    static const AverageShare average = choose_average();
    parallel_for(static_cast<int64_t>(targets.molecule.size()), num_threads, 512,
                 [&](int64_t begin, int64_t end) { average(walks, rows, targets, begin, end, mean); });
}

}  // namespace infoalign
