/// \file similarity.h
/// All pairs of binary fingerprints that share enough bits, exactly.
///
/// Rows are grouped by their number of set bits, so that one integer per pair of groups, the fewest common bits that
/// make a pair similar, decides any similarity that is a function of (a, b, c): a group pair that cannot reach it is
/// never looked at. Within a group pair the rows are first compared through folds: with words XORed onto F of them the
/// Hamming distance can only fall, so a fold that is too far away rules the pair out for a fraction of the work. What
/// passes is counted in full.
#pragma once

#include <cstdint>
#include <vector>

#include "infoalign/macros.h"

namespace infoalign {

/// A pair of rows (i < j) and the number of bits they share.
struct CommonBits {
    std::vector<int64_t> i, j;
    std::vector<int32_t> common;
};

/// Fingerprints sorted by their number of set bits, with their folds. Rows without a set bit take no part.
class BitTable {
public:
    /// Rows of `row_bytes` bytes each; their order of bits does not matter.
    BitTable(const uint8_t* rows, int64_t num_rows, int64_t row_bytes);

    /// The distinct numbers of set bits, ascending: one per group.
    const std::vector<int32_t>& group_bits() const { return group_bits_; }

    /// Rows are searched from in tiles: a scan takes a range of them, so that a caller can report and stop.
    int64_t num_tiles() const { return static_cast<int64_t>(tiles_.size()); }

    /// All similar pairs whose first row, in sorted order, lies in tiles [begin, end).
    ///
    /// `least_common` (groups, groups): the fewest common bits that make a pair of these groups similar, at least 1;
    /// read for the first group <= the second.
    CommonBits scan(const int32_t* least_common, int64_t begin, int64_t end, int num_threads) const;

private:
    struct Tile {
        int64_t first;  ///< sorted position of its first row
        int32_t count;
        int32_t group;
    };

    void fold_rows();
    void scan_tile(const Tile& tile, const int32_t* least_common, std::vector<uint8_t>& level, CommonBits& found) const;
    int64_t verify(const Tile& tile, int64_t group, int64_t block, int query, unsigned lanes, int least,
                   CommonBits& found) const;

    int64_t num_words_;
    std::vector<int64_t> order_;         ///< row of each sorted position
    std::vector<uint64_t> words_;        ///< (rows, num_words_) in sorted order
    std::vector<int32_t> group_bits_;
    std::vector<int64_t> group_start_;   ///< (groups + 1) sorted positions
    std::vector<int64_t> block_start_;   ///< (groups + 1) blocks of eight rows; a group's last one may be part empty
    std::vector<uint64_t> folds_[3];     ///< (blocks, F, 8): word f of eight rows side by side, F = 2, 4, 8
    std::vector<Tile> tiles_;
};

}  // namespace infoalign
