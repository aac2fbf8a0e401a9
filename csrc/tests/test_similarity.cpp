// Fingerprint search: every instruction set gives the portable filter's hits, and a scan every pair of the plain loop.
#include <bitset>
#include <set>
#include <tuple>

#include "check.h"
#include "graphs.h"
#include "infoalign/bit_filter.h"
#include "infoalign/similarity.h"

using namespace infoalign;

namespace {

int count_bits(const std::vector<uint8_t>& rows, int64_t width, int64_t a, int64_t b) {
    int common = 0;
    for (int64_t k = 0; k < width; ++k) {
        common += static_cast<int>(std::bitset<8>(rows[static_cast<size_t>(a * width + k)] &
                                                  rows[static_cast<size_t>(b * width + k)])
                                       .count());
    }
    return common;
}

/// Rows in families: copies of a parent with some bits flipped, rows of zeros among them.
std::vector<uint8_t> families(uint64_t seed, int64_t num_rows, int64_t width) {
    graphs::Words words(seed);
    std::vector<uint8_t> rows(static_cast<size_t>(num_rows * width), 0);
    for (int64_t row = 0; row < num_rows; ++row) {
        if (words.below(20) == 0) continue;
        for (int64_t k = 0; k < width; ++k) {
            const auto at = static_cast<size_t>(row * width + k);
            const bool child = row % 5 != 0;
            rows[at] = child ? rows[static_cast<size_t>((row - row % 5) * width + k)]
                             : static_cast<uint8_t>(words.next() & words.next() & 0xFF);
            if (child && words.below(4) == 0) rows[at] ^= static_cast<uint8_t>(1u << words.below(8));
        }
    }
    return rows;
}

void scan_equals_loop(int64_t num_rows, int64_t width, double fraction, int num_threads) {
    const std::vector<uint8_t> rows = families(static_cast<uint64_t>(num_rows + width), num_rows, width);
    const BitTable table(rows.data(), num_rows, width);
    const std::vector<int32_t>& bits = table.group_bits();
    const size_t groups = bits.size();
    std::vector<int32_t> least(groups * groups, 0);
    const auto needed = [&](int a, int b) { return std::max(1, static_cast<int>(fraction * (a + b) / 2.0 + 0.5)); };
    for (size_t a = 0; a < groups; ++a) {
        for (size_t b = a; b < groups; ++b) least[a * groups + b] = needed(bits[a], bits[b]);
    }
    std::set<std::tuple<int64_t, int64_t, int32_t>> expected, found;
    for (int64_t i = 0; i < num_rows; ++i) {
        for (int64_t j = i + 1; j < num_rows; ++j) {
            const int a = count_bits(rows, width, i, i), b = count_bits(rows, width, j, j);
            const int common = count_bits(rows, width, i, j);
            if (a > 0 && b > 0 && common >= needed(a, b)) expected.emplace(i, j, common);
        }
    }
    size_t pairs = 0;
    const int64_t middle = table.num_tiles() / 3;
    for (const auto& [begin, end] : {std::pair{int64_t{0}, middle}, std::pair{middle, table.num_tiles()}}) {
        const CommonBits part = table.scan(least.data(), begin, end, num_threads);
        pairs += part.i.size();
        for (size_t k = 0; k < part.i.size(); ++k) found.emplace(part.i[k], part.j[k], part.common[k]);
    }
    CHECK(found == expected);
    CHECK(pairs == expected.size());
}

}  // namespace

CASE(filters_agree_on_every_instruction_set) {
    graphs::Words words(9);
    for (int level = 0; level < kFoldLevels; ++level) {
        const int width = fold_words(level);
        std::vector<uint64_t> blocks(static_cast<size_t>(37 * width * kLanes)), queries(static_cast<size_t>(8 * width));
        for (uint64_t& word : blocks) word = static_cast<uint64_t>(words.next()) << 32 | words.next();
        for (uint64_t& word : queries) word = static_cast<uint64_t>(words.next()) << 32 | words.next();
        queries[0] = blocks[0];
        for (const uint64_t most : {0u, 20u, 32u * static_cast<unsigned>(width), 10000u}) {
            std::vector<FilterHit> plain(37 * 8), other(37 * 8);
            const int64_t expected =
                bit_filter(BitIsa::portable, level)(blocks.data(), 37, queries.data(), 8, most, plain.data());
            for (int isa = 0; isa <= static_cast<int>(best_isa()); ++isa) {
                const int64_t got = bit_filter(static_cast<BitIsa>(isa), level)(blocks.data(), 37, queries.data(), 8,
                                                                                most, other.data());
                CHECK(got == expected);
                for (int64_t h = 0; h < std::min(got, expected); ++h) {
                    const auto at = static_cast<size_t>(h);
                    CHECK(plain[at].block == other[at].block && plain[at].query == other[at].query &&
                          plain[at].lanes == other[at].lanes);
                }
            }
            for (int64_t h = 0; h < expected; ++h) {
                for (int lane = 0; lane < kLanes; ++lane) {
                    size_t distance = 0;
                    for (int f = 0; f < width; ++f) {
                        const auto hit = plain[static_cast<size_t>(h)];
                        const uint64_t row = blocks[static_cast<size_t>((hit.block * width + f) * kLanes + lane)];
                        distance += std::bitset<64>(row ^ queries[static_cast<size_t>(hit.query * width + f)]).count();
                    }
                    CHECK(((plain[static_cast<size_t>(h)].lanes >> lane) & 1) == (distance <= most ? 1 : 0));
                }
            }
        }
    }
}

CASE(a_scan_finds_what_the_plain_loop_finds) {
    for (const int64_t width : {int64_t{1}, int64_t{3}, int64_t{16}, int64_t{21}, int64_t{64}, int64_t{128}}) {
        for (const double fraction : {0.2, 0.6, 0.9, 1.0}) scan_equals_loop(190, width, fraction, 3);
    }
    scan_equals_loop(0, 8, 0.5, 1);
    scan_equals_loop(1, 8, 0.5, 1);
}
