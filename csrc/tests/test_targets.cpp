// Collapsed targets against the plain double sum, in each row format.
#include <cmath>

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
}
