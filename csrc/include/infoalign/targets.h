/// \file targets.h
/// Collapsed targets: one alpha-weighted mean row per molecule whose walk met a feature space.
#pragma once

#include <cstdint>
#include <vector>

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

/// Find the walks that met a space.
TargetRows find_targets(const WalkRows& walks, const FeatureRows& rows);

/// Write the alpha-weighted mean row of each walk in `targets` to `mean` (its number, num_columns).
void average_targets(const WalkRows& walks, const FeatureRows& rows, const TargetRows& targets, int num_threads,
                     float* mean);

}  // namespace infoalign
