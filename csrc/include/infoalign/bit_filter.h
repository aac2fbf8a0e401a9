/// \file bit_filter.h
/// The inner loop of the fingerprint search: which of eight folded rows are near enough to a folded query.
#pragma once

#include <cstdint>

namespace infoalign {

constexpr int kLanes = 8;       ///< rows of one block
constexpr int kTileRows = 8;    ///< queries that share one load of a block
constexpr int kFoldLevels = 3;  ///< folds of 2, 4 and 8 words

/// Words of a fold level.
constexpr int fold_words(int level) { return 2 << level; }

/// Rows of one block that passed for one query.
struct FilterHit {
    int32_t block;
    uint16_t query;
    uint16_t lanes;  ///< bit k: row k of the block
};

/// Compare `num_queries` folded queries (each F words in a row) with `num_blocks` blocks (F, 8 each), writing a hit
/// wherever the Hamming distance of the folds is at most `most`. Returns the number of hits, at most the product.
using BitFilter = int64_t (*)(const uint64_t* blocks, int64_t num_blocks, const uint64_t* queries, int num_queries,
                              uint64_t most, FilterHit* hits);

/// The instruction sets there are code paths for.
enum class BitIsa { portable, avx2, avx512 };

/// The best instruction set of this processor.
BitIsa best_isa();

/// The filter of an instruction set, which this processor must have, at a fold level.
BitFilter bit_filter(BitIsa isa, int level);

}  // namespace infoalign
