/// \file targets.h
/// Collapsed targets: one alpha-weighted mean row per molecule whose walk met a feature space.
///
/// Two passes: a walk's sum of alpha over the space, then, for the walks that have any, the mean of the rows. What a
/// single walk, visit and column do stands here once, for the CPU and for CUDA devices: each element of a mean is the
/// same sequence of float32 operations everywhere, in the order of the visits.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "infoalign/macros.h"

namespace infoalign {

/// How the rows of a feature space are stored.
enum class RowFormat : int {
    float32 = 0,
    float16 = 1,
    bits = 2,  ///< eight columns a byte, the highest bit first, rows padded to whole bytes
};

/// A feature space over global node ids.
struct FeatureRows {
    RowFormat format;
    const void* values;        ///< (num_rows, num_columns), or bytes of 8 columns
    int64_t num_rows;
    int64_t num_columns;
    const int64_t* row_index;  ///< (num_nodes) row of each node, -1: none
    int64_t num_nodes;
};

/// Walks: nodes and alpha, (num_walks, num_steps) each; negative nodes are skipped.
struct WalkRows {
    const int64_t* nodes;
    const float* alpha;
    int64_t num_walks;
    int64_t num_steps;
};

/// Which walks met the space, in ascending order.
struct TargetRows {
    std::vector<int64_t> molecule;  ///< positions of walks whose alpha over the space is above 0
    std::vector<float> alpha;       ///< that sum, float32, left to right
    std::vector<int64_t> count;     ///< visits with a row; a node met twice counts twice
    int64_t bad_walk = -1;          ///< the first walk with a node, or a node with a row, out of range
};

constexpr int64_t kNoRow = -1;
constexpr int64_t kOutOfRange = -2;
constexpr int kColumnsPerThread = 4;  ///< columns whose sums a device thread holds, so that they share the look-ups

/// What a walk has of a space.
struct WalkTotal {
    float alpha;    ///< sum over its visits with a row, left to right
    int64_t count;  ///< their number, or kOutOfRange: a node or a row does not exist
};

/// The row that visit `at` (walk * num_steps + step) asks for, kNoRow or kOutOfRange.
INFOALIGN_HD INFOALIGN_INLINE int64_t visited_row(const WalkRows& walks, const FeatureRows& rows, int64_t at) {
    const int64_t node = walks.nodes[at];
    if (node < 0) return kNoRow;
    if (node >= rows.num_nodes) return kOutOfRange;
    const int64_t row = rows.row_index[node];
    if (row >= rows.num_rows) return kOutOfRange;
    return row < 0 ? kNoRow : row;
}

/// Sum one walk: the body of the first CUDA kernel.
INFOALIGN_HD INFOALIGN_INLINE WalkTotal sum_walk(const WalkRows& walks, const FeatureRows& rows, int64_t walk) {
    WalkTotal total{0.0f, 0};
    for (int64_t at = walk * walks.num_steps; at < (walk + 1) * walks.num_steps; ++at) {
        const int64_t row = visited_row(walks, rows, at);
        if (row == kOutOfRange) return {0.0f, kOutOfRange};
        if (row == kNoRow) continue;
        total.alpha += walks.alpha[at];
        ++total.count;
    }
    return total;
}

/// IEEE half to single, without a branch on the common path, so that it vectorizes.
INFOALIGN_HD INFOALIGN_INLINE float widen_half(uint16_t half) {
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

/// What bit `bit` (from the highest on) of a byte of a bit-packed row adds.
INFOALIGN_HD INFOALIGN_INLINE float bit_share(uint8_t byte, int bit, float share) {
    return ((byte >> (7 - bit)) & 1) ? share : 0.0f;
}

/// What column `column` of a row adds to a mean in which the row counts `share`.
template <RowFormat kFormat>
INFOALIGN_HD INFOALIGN_INLINE float column_share(const FeatureRows& rows, int64_t row, int64_t column, float share) {
    if constexpr (kFormat == RowFormat::float32) {
        return share * static_cast<const float*>(rows.values)[row * rows.num_columns + column];
    } else if constexpr (kFormat == RowFormat::float16) {
        return share * widen_half(static_cast<const uint16_t*>(rows.values)[row * rows.num_columns + column]);
    } else {
        const uint8_t* bytes = static_cast<const uint8_t*>(rows.values) + row * ((rows.num_columns + 7) / 8);
        return bit_share(bytes[column / 8], static_cast<int>(column % 8), share);
    }
}

/// Write columns `first`, `first + stride`, ... (kColumnsPerThread of them, fewer at the end) of the mean row of a walk
/// whose sum of alpha is `total`: the body of the second CUDA kernel. With neighbouring threads at neighbouring `first`
/// each look-up is one word for all of them, and rows are read and written in whole lines; eight threads share a byte
/// of a bit-packed row.
template <RowFormat kFormat>
INFOALIGN_HD INFOALIGN_INLINE void average_columns(const WalkRows& walks, const FeatureRows& rows, int64_t walk,
                                                   float total, int64_t first, int64_t stride, float* mean) {
    float sums[kColumnsPerThread] = {};
    for (int64_t at = walk * walks.num_steps; at < (walk + 1) * walks.num_steps; ++at) {
        const int64_t row = visited_row(walks, rows, at);
        if (row < 0 || walks.alpha[at] == 0.0f) continue;
        const float share = walks.alpha[at] / total;
        for (int k = 0; k < kColumnsPerThread; ++k) {
            const int64_t column = first + k * stride;
            if (column < rows.num_columns) sums[k] += column_share<kFormat>(rows, row, column, share);
        }
    }
    for (int k = 0; k < kColumnsPerThread; ++k) {
        const int64_t column = first + k * stride;
        if (column < rows.num_columns) mean[column] = sums[k];
    }
}

/// Find the walks that met a space.
TargetRows find_targets(const WalkRows& walks, const FeatureRows& rows);

/// Write the alpha-weighted mean row of each walk in `targets` to `mean` (its number, num_columns).
void average_targets(const WalkRows& walks, const FeatureRows& rows, const TargetRows& targets, int num_threads,
                     float* mean);

/// Queue the sums of all walks on `stream` (a cudaStream_t): `alpha` and `count`, (num_walks) each, as `sum_walk` gives
/// them. All pointers are memory of `device`. Throws std::runtime_error.
void sum_walks_cuda(const WalkRows& walks, const FeatureRows& rows, float* alpha, int64_t* count, int device,
                    void* stream);

/// Queue the mean rows of the walks `molecule`, whose sums are `alpha` (num_targets each) and all within range, to
/// `mean` (num_targets, num_columns). All pointers are memory of `device`. Throws std::runtime_error.
void average_targets_cuda(const WalkRows& walks, const FeatureRows& rows, const int64_t* molecule, const float* alpha,
                          int64_t num_targets, float* mean, int device, void* stream);

}  // namespace infoalign
