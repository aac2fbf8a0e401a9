#include "infoalign/targets.h"

#include <cstring>

#include "infoalign/macros.h"
#include "infoalign/threads.h"

namespace infoalign {

namespace {

/// IEEE half to single, without a branch on the common path, so that it vectorizes.
INFOALIGN_INLINE float widen_half(uint16_t half) {
    const uint32_t magnitude = static_cast<uint32_t>(half & 0x7FFFu) << 13;
    // Scaling by 2^112 rebiases the exponent and is exact for subnormal halves too.
    const uint32_t scale_bits = 0x77800000u;
    float value, scale;
    std::memcpy(&value, &magnitude, sizeof value);
    std::memcpy(&scale, &scale_bits, sizeof scale);
    value *= scale;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits |= (magnitude >= 0x0F800000u) ? 0x7F800000u : 0u;
    bits |= static_cast<uint32_t>(half & 0x8000u) << 16;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/// mean += share * row for each stored format.
INFOALIGN_INLINE void add_row(const FeatureRows& rows, int64_t row, float share, float* mean) {
    const int64_t width = rows.num_columns;
    if (rows.format == RowFormat::float32) {
        const float* from = static_cast<const float*>(rows.values) + row * width;
        for (int64_t c = 0; c < width; ++c) mean[c] += share * from[c];
    } else if (rows.format == RowFormat::float16) {
        const uint16_t* from = static_cast<const uint16_t*>(rows.values) + row * width;
        for (int64_t c = 0; c < width; ++c) mean[c] += share * widen_half(from[c]);
    } else {
        const uint8_t* from = static_cast<const uint8_t*>(rows.values) + row * ((width + 7) / 8);
        const int64_t whole = width / 8;
        for (int64_t byte = 0; byte < whole; ++byte) {
            for (int bit = 0; bit < 8; ++bit) mean[8 * byte + bit] += ((from[byte] >> (7 - bit)) & 1) ? share : 0.0f;
        }
        for (int64_t c = 8 * whole; c < width; ++c) mean[c] += ((from[whole] >> (7 - c % 8)) & 1) ? share : 0.0f;
    }
}

INFOALIGN_INLINE void average_share(const WalkRows& walks, const FeatureRows& rows, const TargetRows& targets,
                                    int64_t begin, int64_t end, float* mean) {
    for (int64_t target = begin; target < end; ++target) {
        float* out = mean + target * rows.num_columns;
        std::memset(out, 0, static_cast<size_t>(rows.num_columns) * sizeof(float));
        const int64_t first = targets.molecule[static_cast<size_t>(target)] * walks.num_steps;
        for (int64_t k = first; k < first + walks.num_steps; ++k) {
            const int64_t row = walks.nodes[k] < 0 ? -1 : rows.row_index[walks.nodes[k]];
            if (row < 0 || walks.alpha[k] == 0.0f) continue;
            add_row(rows, row, walks.alpha[k] / targets.alpha[static_cast<size_t>(target)], out);
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
        float alpha = 0.0f;
        int64_t count = 0;
        for (int64_t k = walk * walks.num_steps; k < (walk + 1) * walks.num_steps; ++k) {
            const int64_t node = walks.nodes[k];
            if (node < 0) continue;
            if (node >= rows.num_nodes || rows.row_index[node] >= rows.num_rows) {
                found.bad_walk = walk;
                return found;
            }
            if (rows.row_index[node] < 0) continue;
            alpha += walks.alpha[k];
            ++count;
        }
        if (alpha > 0.0f) {
            found.molecule.push_back(walk);
            found.alpha.push_back(alpha);
            found.count.push_back(count);
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
