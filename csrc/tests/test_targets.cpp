// Collapsed targets against the plain double sum, in each row format; the kernel bodies against the CPU, bit for bit.
#include <cmath>
#include <cstring>
#include <limits>

#include "check.h"
#include "graphs.h"
#include "infoalign/targets.h"

using namespace infoalign;

namespace {

/// The half-precision number with these bits, by its definition.
double half_value(uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const double fraction = (bits & 1023) / 1024.0;
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1.0 + fraction, exponent - 15);
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

/// The same number, or neither one; which of its bits a NaN keeps is no part of the arithmetic.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    bool same = a.size() == b.size();
    for (size_t k = 0; same && k < a.size(); ++k) {
        same = std::memcmp(&a[k], &b[k], sizeof a[k]) == 0 || (std::isnan(a[k]) && std::isnan(b[k]));
    }
    return same;
}

/// Runs `average_columns`, the body of the CUDA kernel, as a grid of threads would: blocks step over the targets, the
/// threads of one take neighbouring columns, and come back until the row is done.
template <RowFormat kFormat>
void average_as_grid(const WalkRows& walks, const FeatureRows& rows, const TargetRows& targets, float* mean) {
    const size_t num_blocks = 7;
    const int64_t num_threads = 3;
    for (size_t block = 0; block < num_blocks; ++block) {
        for (int64_t thread = 0; thread < num_threads; ++thread) {
            for (size_t target = block; target < targets.molecule.size(); target += num_blocks) {
                for (int64_t first = thread; first < rows.num_columns; first += kColumnsPerThread * num_threads) {
                    average_columns<kFormat>(walks, rows, targets.molecule[target], targets.alpha[target], first,
                                             num_threads, mean + static_cast<int64_t>(target) * rows.num_columns);
                }
            }
        }
    }
}

/// Both kernels' bodies, and the selection between them, give what the CPU gave.
void compare_kernel_bodies(const WalkRows& walks, const FeatureRows& rows, const TargetRows& found,
                           const std::vector<float>& mean) {
    TargetRows selected;
    for (int64_t walk = 0; walk < walks.num_walks; ++walk) {
        const WalkTotal total = sum_walk(walks, rows, walk);
        CHECK(total.count >= 0);
        if (!(total.alpha > 0.0f)) continue;
        selected.molecule.push_back(walk);
        selected.alpha.push_back(total.alpha);
        selected.count.push_back(total.count);
    }
    CHECK(selected.molecule == found.molecule && selected.count == found.count);
    CHECK(same_bits(selected.alpha, found.alpha));
    // Filled with what no mean is, so that a column that no thread wrote shows.
    std::vector<float> by_grid(mean.size(), -12345.0f);
    switch (rows.format) {
        case RowFormat::float32: average_as_grid<RowFormat::float32>(walks, rows, selected, by_grid.data()); break;
        case RowFormat::float16: average_as_grid<RowFormat::float16>(walks, rows, selected, by_grid.data()); break;
        case RowFormat::bits: average_as_grid<RowFormat::bits>(walks, rows, selected, by_grid.data()); break;
    }
    CHECK(same_bits(by_grid, mean));
}

void compare(RowFormat format, int64_t columns, int num_threads) {
    const int64_t num_nodes = 50, num_rows = 20, num_walks = 1500, steps = 5;
    graphs::Words words(static_cast<uint64_t>(columns));
    std::vector<int64_t> row_index(static_cast<size_t>(num_nodes), -1);
    for (int64_t row = 0; row < num_rows; ++row) row_index[static_cast<size_t>(row * 2)] = row;
    const int64_t width = format == RowFormat::bits ? (columns + 7) / 8 : columns;
    std::vector<float> singles;
    std::vector<uint16_t> halves;
    std::vector<uint8_t> bytes;
    for (int64_t k = 0; k < num_rows * width; ++k) {
        singles.push_back(static_cast<float>(words.below(1001)) / 1000.0f);
        halves.push_back(static_cast<uint16_t>(words.below(0x3C01)));
        bytes.push_back(static_cast<uint8_t>(words.next()));
    }
    const void* values = format == RowFormat::float32   ? static_cast<const void*>(singles.data())
                         : format == RowFormat::float16 ? static_cast<const void*>(halves.data())
                                                        : static_cast<const void*>(bytes.data());
    const auto value = [&](int64_t row, int64_t column) -> double {
        const auto at = static_cast<size_t>(row * width + column);
        if (format == RowFormat::float32) return static_cast<double>(singles[at]);
        if (format == RowFormat::float16) return half_value(halves[at]);
        return (bytes[static_cast<size_t>(row * width + column / 8)] >> (7 - column % 8)) & 1;
    };
    std::vector<int64_t> nodes;
    std::vector<float> alpha;
    for (int64_t k = 0; k < num_walks * steps; ++k) {
        nodes.push_back(static_cast<int64_t>(words.below(static_cast<uint32_t>(num_nodes + 10))) - 10);
        if (nodes.back() < 0) nodes.back() = -1;
        alpha.push_back(words.below(5) == 0 ? 0.0f : static_cast<float>(words.below(100)) / 99.0f);
    }
    const WalkRows walks{nodes.data(), alpha.data(), num_walks, steps};
    const FeatureRows rows{format, values, num_rows, columns, row_index.data(), num_nodes};
    const TargetRows found = find_targets(walks, rows);
    CHECK(found.bad_walk == -1);
    std::vector<float> mean(found.molecule.size() * static_cast<size_t>(columns));
    average_targets(walks, rows, found, num_threads, mean.data());
    compare_kernel_bodies(walks, rows, found, mean);
    size_t at = 0;
    for (int64_t walk = 0; walk < num_walks; ++walk) {
        double total = 0.0;
        std::vector<double> sum(static_cast<size_t>(columns), 0.0);
        int64_t count = 0;
        for (int64_t k = walk * steps; k < (walk + 1) * steps; ++k) {
            const int64_t node = nodes[static_cast<size_t>(k)];
            const int64_t row = node < 0 ? -1 : row_index[static_cast<size_t>(node)];
            if (row < 0) continue;
            ++count;
            total += static_cast<double>(alpha[static_cast<size_t>(k)]);
            for (int64_t c = 0; c < columns; ++c) {
                sum[static_cast<size_t>(c)] += static_cast<double>(alpha[static_cast<size_t>(k)]) * value(row, c);
            }
        }
        if (total == 0.0) continue;
        CHECK(at < found.molecule.size() && found.molecule[at] == walk && found.count[at] == count);
        CHECK(std::abs(static_cast<double>(found.alpha[at]) - total) < 1e-6 * total);
        bool close = true;
        for (int64_t c = 0; c < columns; ++c) {
            const double got = static_cast<double>(mean[at * static_cast<size_t>(columns) + static_cast<size_t>(c)]);
            close = close && std::abs(got - sum[static_cast<size_t>(c)] / total) < 1e-6;
        }
        CHECK(close);
        ++at;
    }
    CHECK(at == found.molecule.size());
}

}  // namespace

CASE(targets_equal_the_double_sum) {
    for (const int64_t columns : {int64_t{1}, int64_t{7}, int64_t{8}, int64_t{33}}) {
        for (const RowFormat format : {RowFormat::float32, RowFormat::float16, RowFormat::bits}) {
            compare(format, columns, 1);
            compare(format, columns, 3);
        }
    }
}

CASE(kernel_bodies_equal_the_cpu_on_odd_numbers) {
    const float infinity = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float odd[] = {infinity, -infinity, nan, -0.0f, 1e-42f, -0.5f, 3e38f, 1.0f};
    for (uint64_t seed = 0; seed < 100; ++seed) {
        graphs::Words words(seed + 1000);
        const int64_t num_walks = 40, steps = 1 + static_cast<int64_t>(seed % 6), columns = 1 + words.below(30);
        std::vector<int64_t> nodes, row_index{2, -1, 0, 1, 2, -7};
        std::vector<float> alpha, values;
        for (int64_t k = 0; k < num_walks * steps; ++k) {
            nodes.push_back(static_cast<int64_t>(words.below(8)) - 2);
            alpha.push_back(words.below(4) == 0 ? odd[words.below(8)] : static_cast<float>(words.below(100)) / 7.0f);
        }
        // Three rows of singles, that serve as halves and bits of any kind too.
        for (int64_t k = 0; k < 3 * columns; ++k) {
            const uint32_t word = words.next();
            values.push_back(0.0f);
            std::memcpy(&values.back(), &word, sizeof word);
        }
        const WalkRows walks{nodes.data(), alpha.data(), num_walks, steps};
        for (const RowFormat format : {RowFormat::float32, RowFormat::float16, RowFormat::bits}) {
            const FeatureRows rows{format, values.data(), 3, columns, row_index.data(), 6};
            const TargetRows found = find_targets(walks, rows);
            CHECK(found.bad_walk == -1);
            std::vector<float> mean(found.molecule.size() * static_cast<size_t>(columns));
            average_targets(walks, rows, found, 1, mean.data());
            compare_kernel_bodies(walks, rows, found, mean);
        }
    }
}

CASE(every_half_is_widened_exactly) {
    for (uint32_t bits = 0; bits < 0x7C00; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const int64_t node = 0, row_index = 0;
        const float alpha = 1.0f;
        const TargetRows target{{0}, {1.0f}, {1}};
        float mean = -1.0f;
        average_targets({&node, &alpha, 1, 1}, {RowFormat::float16, &half, 1, 1, &row_index, 1}, target, 1, &mean);
        CHECK(static_cast<double>(mean) == half_value(half));
    }
}

CASE(nodes_and_rows_out_of_range_are_named) {
    const int64_t nodes[] = {0, 1, 0, 2};
    const float alpha[] = {1, 1, 1, 1};
    const float values[] = {0.5f};
    const int64_t fits[] = {0, -1, -1}, beyond[] = {0, 1, -1};
    CHECK(find_targets({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, fits, 3}).bad_walk == -1);
    CHECK(find_targets({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, fits, 2}).bad_walk == 1);
    CHECK(find_targets({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, beyond, 3}).bad_walk == 0);
    CHECK(sum_walk({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, fits, 2}, 0).count == 1);
    CHECK(sum_walk({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, fits, 2}, 1).count == kOutOfRange);
    CHECK(sum_walk({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, beyond, 3}, 0).count == kOutOfRange);
    CHECK(sum_walk({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, beyond, 3}, 1).count == 1);
    const int64_t negative[] = {-2, -7, 0};
    CHECK(sum_walk({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, negative, 3}, 0).count == 0);
    CHECK(sum_walk({nodes, alpha, 2, 2}, {RowFormat::float32, values, 1, 1, negative, 3}, 1).count == 1);
}
