#include "infoalign/similarity.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>
#include <numeric>

#include "infoalign/bit_filter.h"
#include "infoalign/threads.h"

namespace infoalign {

namespace {

/// Blocks per filter call: at the widest fold 256 KiB, within a second-level cache.
constexpr int64_t kBlocksPerCall = 512;
/// Above one survivor in this many rows a wider fold costs less than counting the survivors in full.
constexpr int64_t kSurvivorShare = 48;

INFOALIGN_INLINE int64_t common_words(const uint64_t* left, const uint64_t* right, int64_t count) {
    int64_t common = 0;
    for (int64_t w = 0; w < count; ++w) common += __builtin_popcountll(left[w] & right[w]);
    return common;
}

using CountCommon = int64_t (*)(const uint64_t*, const uint64_t*, int64_t);

int64_t common_portable(const uint64_t* left, const uint64_t* right, int64_t count) {
    return common_words(left, right, count);
}

#if INFOALIGN_X86
__attribute__((target("popcnt"))) int64_t common_popcnt(const uint64_t* left, const uint64_t* right, int64_t count) {
    return common_words(left, right, count);
}
#endif

CountCommon choose_count() {
#if INFOALIGN_X86
    if (__builtin_cpu_supports("popcnt")) return common_popcnt;
#endif
    return common_portable;
}

const CountCommon count_common = choose_count();

void append(CommonBits& to, CommonBits& from) {
    to.i.insert(to.i.end(), from.i.begin(), from.i.end());
    to.j.insert(to.j.end(), from.j.begin(), from.j.end());
    to.common.insert(to.common.end(), from.common.begin(), from.common.end());
    from = {};
}

}  // namespace

BitTable::BitTable(const uint8_t* rows, int64_t num_rows, int64_t row_bytes) : num_words_((row_bytes + 7) / 8) {
    const auto width = static_cast<size_t>(num_words_);
    std::vector<uint64_t> words(static_cast<size_t>(num_rows) * width, 0);
    std::vector<int32_t> bits(static_cast<size_t>(num_rows));
    for (int64_t row = 0; row < num_rows; ++row) {
        uint64_t* into = words.data() + static_cast<size_t>(row) * width;
        if (row_bytes > 0) std::memcpy(into, rows + row * row_bytes, static_cast<size_t>(row_bytes));
        bits[static_cast<size_t>(row)] = static_cast<int32_t>(count_common(into, into, num_words_));
        if (bits[static_cast<size_t>(row)] > 0) order_.push_back(row);
    }
    const auto bits_of = [&](int64_t row) { return bits[static_cast<size_t>(row)]; };
    std::stable_sort(order_.begin(), order_.end(), [&](int64_t a, int64_t b) { return bits_of(a) < bits_of(b); });
    words_.resize(order_.size() * width);
    block_start_.push_back(0);
    for (size_t position = 0; position < order_.size(); ++position) {
        const int64_t row = order_[position];
        std::copy_n(words.data() + static_cast<size_t>(row) * width, width, words_.data() + position * width);
        if (group_bits_.empty() || group_bits_.back() != bits_of(row)) {
            group_bits_.push_back(bits_of(row));
            group_start_.push_back(static_cast<int64_t>(position));
        }
    }
    group_start_.push_back(static_cast<int64_t>(order_.size()));
    for (size_t group = 0; group < group_bits_.size(); ++group) {
        const int64_t size = group_start_[group + 1] - group_start_[group];
        block_start_.push_back(block_start_.back() + (size + kLanes - 1) / kLanes);
        for (int64_t at = 0; at < size; at += kTileRows) {
            tiles_.push_back({group_start_[group] + at, static_cast<int32_t>(std::min<int64_t>(kTileRows, size - at)),
                              static_cast<int32_t>(group)});
        }
    }
    fold_rows();
}

void BitTable::fold_rows() {
    for (int level = 0; level < kFoldLevels; ++level) {
        const int width = fold_words(level);
        std::vector<uint64_t>& fold = folds_[level];
        fold.assign(static_cast<size_t>(block_start_.back() * width * kLanes), 0);
        for (size_t group = 0; group < group_bits_.size(); ++group) {
            for (int64_t position = group_start_[group]; position < group_start_[group + 1]; ++position) {
                const int64_t offset = position - group_start_[group];
                uint64_t* block = fold.data() + (block_start_[group] + offset / kLanes) * width * kLanes;
                for (int64_t w = 0; w < num_words_; ++w) {
                    const uint64_t word = words_[static_cast<size_t>(position * num_words_ + w)];
                    block[(w % width) * kLanes + offset % kLanes] ^= word;
                }
            }
        }
    }
}

int64_t BitTable::verify(const Tile& tile, int64_t group, int64_t block, int query, unsigned lanes, int least,
                         CommonBits& found) const {
    const int64_t left = tile.first + query;
    int64_t looked = 0;
    for (; lanes != 0; lanes &= lanes - 1) {
        const int64_t right =
            group_start_[static_cast<size_t>(group)] + block * kLanes + __builtin_ctz(lanes);
        // Within its own group a row meets only those after it; and a group's last block may be part empty.
        if (right <= left || right >= group_start_[static_cast<size_t>(group) + 1]) continue;
        ++looked;
        const int64_t common =
            count_common(words_.data() + left * num_words_, words_.data() + right * num_words_, num_words_);
        if (common < least) continue;
        const int64_t a = order_[static_cast<size_t>(left)];
        const int64_t b = order_[static_cast<size_t>(right)];
        found.i.push_back(std::min(a, b));
        found.j.push_back(std::max(a, b));
        found.common.push_back(static_cast<int32_t>(common));
    }
    return looked;
}

void BitTable::scan_tile(const Tile& tile, const int32_t* least_common, std::vector<uint8_t>& level,
                         CommonBits& found) const {
    static const BitIsa isa = best_isa();
    const int64_t groups = static_cast<int64_t>(group_bits_.size());
    uint64_t queries[kFoldLevels][kTileRows * fold_words(kFoldLevels - 1)];
    for (int at = 0; at < kFoldLevels; ++at) {
        const int width = fold_words(at);
        std::memset(queries[at], 0, sizeof queries[at]);
        for (int query = 0; query < tile.count; ++query) {
            const uint64_t* words = words_.data() + (tile.first + query) * num_words_;
            for (int64_t w = 0; w < num_words_; ++w) queries[at][query * width + w % width] ^= words[w];
        }
    }
    FilterHit hits[kBlocksPerCall * kTileRows];
    const int bits = group_bits_[static_cast<size_t>(tile.group)];
    for (int64_t group = tile.group; group < groups; ++group) {
        const int least = least_common[tile.group * groups + group];
        if (least > bits) continue;  // c is at most the smaller of a and b
        const auto most = static_cast<uint64_t>(bits + group_bits_[static_cast<size_t>(group)] - 2 * least);
        const int64_t base = block_start_[static_cast<size_t>(group)];
        const int64_t blocks = block_start_[static_cast<size_t>(group) + 1] - base;
        const int64_t skip = group == tile.group ? (tile.first - group_start_[static_cast<size_t>(group)]) / kLanes : 0;
        uint8_t& fold = level[static_cast<size_t>(group)];
        for (int64_t at = skip; at < blocks; at += kBlocksPerCall) {
            const int64_t count = std::min(kBlocksPerCall, blocks - at);
            const int width = fold_words(fold);
            const int64_t num_hits = bit_filter(isa, fold)(folds_[fold].data() + (base + at) * width * kLanes, count,
                                                           queries[fold], tile.count, most, hits);
            int64_t survivors = 0;
            for (int64_t h = 0; h < num_hits; ++h) {
                survivors += verify(tile, group, at + hits[h].block, hits[h].query, hits[h].lanes, least, found);
            }
            const bool crowded = survivors * kSurvivorShare > count * kLanes * tile.count + 64 * kSurvivorShare;
            if (crowded && fold + 1 < kFoldLevels && width < num_words_) ++fold;
        }
    }
}

CommonBits BitTable::scan(const int32_t* least_common, int64_t begin, int64_t end, int num_threads) const {
    std::atomic<int64_t> next{begin};
    std::vector<CommonBits> shares(static_cast<size_t>(std::max(1, num_threads)));
    parallel_for(static_cast<int64_t>(shares.size()), num_threads, 1, [&](int64_t first, int64_t last) {
        for (int64_t share = first; share < last; ++share) {
            std::vector<uint8_t> level(group_bits_.size(), 0);
            int64_t group = -1;
            for (int64_t tile = next++; tile < end; tile = next++) {
                const Tile& here = tiles_[static_cast<size_t>(tile)];
                if (here.group != group) std::fill(level.begin(), level.end(), uint8_t{0});
                group = here.group;
                scan_tile(here, least_common, level, shares[static_cast<size_t>(share)]);
            }
        }
    });
    CommonBits all = std::move(shares[0]);
    for (size_t share = 1; share < shares.size(); ++share) append(all, shares[share]);
    return all;
}

}  // namespace infoalign
