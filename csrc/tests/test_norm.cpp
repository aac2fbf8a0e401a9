// Normalization's passes against plain loops, in every combination of formats and of what they do; dropout's bits
// against the generator, one by one and by their rates.
#include "infoalign/norm.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "graphs.h"
#include "infoalign/philox.h"

using namespace infoalign;

namespace {

constexpr Number kFormats[] = {Number::float32, Number::bfloat16};
constexpr uint64_t kKey = 0x0123456789ABCDEFu;

float uniform(graphs::Words& words) { return static_cast<float>(words.below(1u << 24)) / 8388608.0f - 1.0f; }

/// A table in one of the formats.
struct Table {
    Number number;
    std::vector<float> singles;
    std::vector<BFloat16> halves;

    // Filled with what no result is, so that an entry that was not written shows.
    Table(Number format, int64_t size)
        : number(format),
          singles(static_cast<size_t>(format == Number::float32 ? size : 0), -12345.0f),
          halves(static_cast<size_t>(format == Number::float32 ? 0 : size), BFloat16{0xC640}) {}

    Matrix view() {
        return {number == Number::float32 ? static_cast<void*>(singles.data()) : halves.data(), number};
    }
    float at(int64_t k) const {
        const auto place = static_cast<size_t>(k);
        return number == Number::float32 ? singles[place] : to_float(halves[place]);
    }
    void set(int64_t k, float value) {
        const auto place = static_cast<size_t>(k);
        number == Number::float32 ? store(singles[place], value) : store(halves[place], value);
    }
    bool operator==(const Table& other) const {
        const auto same = [](const auto& a, const auto& b) {
            return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0);
        };
        return same(singles, other.singles) && same(halves, other.halves);
    }
};

Table random_table(graphs::Words& words, Number number, int64_t size) {
    Table table(number, size);
    for (int64_t k = 0; k < size; ++k) table.set(k, uniform(words));
    return table;
}

std::vector<float> random_floats(graphs::Words& words, int64_t size) {
    return random_table(words, Number::float32, size).singles;
}

/// The 16 random bits of an entry, as norm.h's draw_kept documents them.
uint32_t bits_of(uint64_t key, uint64_t entry) {
    const uint64_t block = entry / 256, within = entry % 256, lane = within % 32, number = within / 32;
    const uint64_t counter = block * 32 + lane;
    const Random4 words = philox4x32(static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0,
                                     static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32));
    const uint32_t all[] = {words.r0, words.r1, words.r2, words.r3};
    return all[number / 2] >> (number % 2 == 0 ? 0 : 16) & 0xFFFFu;
}

/// What one call does, out of all that it may do.
struct Choice {
    Number x, y;
    bool relu, drops, residual, group;
};

template <class Body>
void each_choice(const Body& body) {
    for (int k = 0; k < 64; ++k)
        body(Choice{kFormats[k & 1], kFormats[k >> 1 & 1], (k & 4) != 0, (k & 8) != 0, (k & 16) != 0, (k & 32) != 0});
}

/// Everything that the passes read, and the same passes entry by entry.
struct Example {
    Choice choice;
    int64_t rows, width, num_groups;
    std::vector<int64_t> offsets{0};
    Table x, given;
    std::vector<float> scale, shift, residual, group_rows, slope, constant;
    std::vector<double> mean;
    std::vector<int64_t> group_of;

    Example(Choice what, int64_t columns, int64_t groups, uint64_t seed)
        : choice(what), rows(0), width(columns), num_groups(groups), x(what.x, 0), given(what.y, 0) {
        graphs::Words words(seed);
        for (int64_t g = 0; g < num_groups; ++g) {
            offsets.push_back(offsets.back() + words.below(20));  // none, at times
            group_of.resize(static_cast<size_t>(offsets.back()), g);
        }
        rows = offsets.back();
        x = random_table(words, choice.x, rows * width);
        given = random_table(words, choice.y, rows * width);
        scale = random_floats(words, width);
        shift = random_floats(words, width);
        residual = random_floats(words, rows * width);
        group_rows = random_floats(words, num_groups * width);
        slope = random_floats(words, width);
        constant = random_floats(words, width);
        for (int64_t c = 0; c < width; ++c) mean.push_back(static_cast<double>(uniform(words)) / 3.0);
    }

    Activation how() const {
        const uint32_t drop_below = choice.drops ? 20000 : 0;
        const float keep_scale = 65536.0f / (65536.0f - static_cast<float>(drop_below));
        return {scale.data(), shift.data(), choice.relu, drop_below, keep_scale, kKey};
    }
    RowGroups groups() const { return {offsets.data(), num_groups}; }
    ActivationGradient gradient(const std::vector<uint8_t>& kept) {
        return {x.view(), given.view(), choice.drops ? kept.data() : nullptr, mean.data()};
    }

    struct Forward {
        Table y;
        std::vector<uint8_t> kept;
        bool operator==(const Forward& other) const { return y == other.y && kept == other.kept; }
    };

    Forward forward(int threads) {
        Forward result{Table(choice.y, rows * width), {}};
        if (choice.drops) result.kept.assign(static_cast<size_t>(rows * width), 77);
        activate(x.view(), rows, width, how(), choice.residual ? residual.data() : nullptr,
                 choice.group ? group_rows.data() : nullptr, choice.group ? groups() : RowGroups{nullptr, 0},
                 result.y.view(), choice.drops ? result.kept.data() : nullptr, threads);
        return result;
    }

    Forward expected_forward() const {
        Forward result{Table(choice.y, rows * width), {}};
        for (int64_t e = 0; e < rows * width; ++e) {
            const auto column = static_cast<size_t>(e % width), row = static_cast<size_t>(e / width);
            float value = x.at(e) * scale[column] + shift[column];
            bool passes = !choice.relu || value > 0;
            if (choice.drops) {
                passes = passes && bits_of(kKey, static_cast<uint64_t>(e)) >= how().drop_below;
                result.kept.push_back(passes);
                value *= how().keep_scale;
            }
            if (!passes) value = 0.0f;
            if (choice.residual) value += residual[static_cast<size_t>(e)];
            if (choice.group)
                value += group_rows[static_cast<size_t>(group_of[row] * width) + column];
            result.y.set(e, value);
        }
        return result;
    }

    struct Sums {
        std::vector<double> dz, dz_x;
        std::vector<float> of_groups;
        Table again;
        bool operator==(const Sums& other) const {
            return dz == other.dz && dz_x == other.dz_x && of_groups == other.of_groups && again == other.again;
        }
    };

    bool sums_groups() const { return choice.group && choice.y == Number::float32; }

    Sums sums(const std::vector<uint8_t>& kept, int threads) {
        const auto wide = static_cast<size_t>(width);
        Sums result{std::vector<double>(wide, -7.0), std::vector<double>(wide, -7.0), {},
                    Table(choice.y, rows * width)};
        if (sums_groups()) result.of_groups.assign(group_rows.size(), -7.0f);
        activation_sums(gradient(kept), rows, width, how(), sums_groups() ? groups() : RowGroups{nullptr, 0},
                        result.dz.data(), result.dz_x.data(), sums_groups() ? result.of_groups.data() : nullptr,
                        choice.drops ? nullptr : result.again.view().data, threads);
        return result;
    }

    /// dz of one entry.
    float dz(const std::vector<uint8_t>& kept, int64_t e) const {
        const auto column = static_cast<size_t>(e % width);
        if (choice.drops) return kept[static_cast<size_t>(e)] != 0 ? given.at(e) * how().keep_scale : 0.0f;
        return !choice.relu || x.at(e) * scale[column] + shift[column] > 0 ? given.at(e) : 0.0f;
    }

    Table backward(const std::vector<uint8_t>& kept, int threads) {
        Table result(choice.x, rows * width);
        activation_backward(gradient(kept), rows, width, how(), slope.data(), constant.data(), result.view(), threads);
        return result;
    }

    /// The same, written over what it reads; both are of one format.
    Table backward_in_place(const std::vector<uint8_t>& kept) {
        Table result = given;
        activation_backward({x.view(), result.view(), gradient(kept).kept, mean.data()}, rows, width, how(),
                            slope.data(), constant.data(), result.view(), 2);
        return result;
    }

    Table expected_backward(const std::vector<uint8_t>& kept) const {
        Table result(choice.x, rows * width);
        for (int64_t e = 0; e < rows * width; ++e) {
            const auto c = static_cast<size_t>(e % width);
            const float away = x.at(e) - static_cast<float>(mean[c]);
            result.set(e, scale[c] * dz(kept, e) + slope[c] * away + constant[c]);
        }
        return result;
    }
};

/// The same numbers; zeros of either sign are one.
bool equal(const Table& a, const Table& b, int64_t size) {
    bool same = true;
    for (int64_t k = 0; k < size; ++k) same = same && a.at(k) == b.at(k);
    return same;
}

void compare_sums(Example& example, const std::vector<uint8_t>& kept) {
    const Example::Sums found = example.sums(kept, 2);
    const auto rows = static_cast<double>(example.rows);
    for (int64_t c = 0; c < example.width; ++c) {
        double dz = 0.0, dz_x = 0.0;
        for (int64_t r = 0; r < example.rows; ++r) {
            const int64_t e = r * example.width + c;
            const double away = static_cast<double>(example.x.at(e)) - example.mean[static_cast<size_t>(c)];
            dz += static_cast<double>(example.dz(kept, e));
            dz_x += static_cast<double>(example.dz(kept, e)) * away;
        }
        CHECK(std::abs(found.dz[static_cast<size_t>(c)] - dz) < 1e-6 * (1.0 + rows));
        CHECK(std::abs(found.dz_x[static_cast<size_t>(c)] - dz_x) < 1e-6 * (1.0 + rows));
    }
    if (!example.choice.drops) {
        Example alone = example;
        alone.choice.residual = alone.choice.group = false;
        CHECK(equal(found.again, alone.expected_forward().y, example.rows * example.width));
    }
    if (found.of_groups.empty()) return;
    std::vector<double> expected(example.group_rows.size(), 0.0);
    for (int64_t e = 0; e < example.rows * example.width; ++e) {
        const int64_t group = example.group_of[static_cast<size_t>(e / example.width)];
        expected[static_cast<size_t>(group * example.width + e % example.width)] +=
            static_cast<double>(example.given.at(e));
    }
    for (size_t k = 0; k < expected.size(); ++k)
        CHECK(std::abs(static_cast<double>(found.of_groups[k]) - expected[k]) < 1e-5);
}

/// A column by its number: ordinary, far from 0, constant, constant and far from 0, small.
float column_value(graphs::Words& words, int64_t column) {
    const float noise = 1.7320508f * uniform(words);  // of variance 1
    switch (column % 5) {
        case 0: return noise;
        case 1: return 1e4f + noise;
        case 2: return 0.3f;
        case 3: return -1234.567f;
        default: return 1e-3f * noise;
    }
}

void compare_moments(Number number, int64_t rows, int64_t width) {
    graphs::Words words(static_cast<uint64_t>(rows * 1000 + width));
    Table x(number, rows * width);
    for (int64_t e = 0; e < rows * width; ++e) x.set(e, column_value(words, e % width));
    const auto wide = static_cast<size_t>(width);
    std::vector<double> mean(wide, -7.0), deviation(wide, -7.0), mean_again(wide), deviation_again(wide);
    column_moments(x.view(), rows, width, mean.data(), deviation.data(), 1);
    for (const int threads : {2, 3}) {
        column_moments(x.view(), rows, width, mean_again.data(), deviation_again.data(), threads);
        CHECK(mean_again == mean && deviation_again == deviation);
    }
    for (int64_t c = 0; c < width; ++c) {
        double sum = 0.0, squares = 0.0, most = 0.0;
        for (int64_t r = 0; r < rows; ++r) sum += static_cast<double>(x.at(r * width + c));
        const double expected = rows == 0 ? 0.0 : sum / static_cast<double>(rows);
        for (int64_t r = 0; r < rows; ++r) {
            const double away = static_cast<double>(x.at(r * width + c)) - expected;
            squares += away * away;
            most = std::max(most, std::abs(away));
        }
        // Relative to how far the column spreads, wherever it lies; a constant column has no spread at all.
        const auto at = static_cast<size_t>(c);
        CHECK(std::abs(mean[at] - expected) <= 1e-6 * most + 1e-13 * std::abs(expected));
        CHECK(std::abs(deviation[at] - squares) <= 1e-5 * squares + 1e-18);
        if (c % 5 == 2 || c % 5 == 3) CHECK(deviation[at] == 0.0);
    }
}

}  // namespace

CASE(moments_equal_two_passes_in_double_precision) {
    for (const Number number : kFormats)
        for (const int64_t rows : {0, 1, 2, 255, 256, 257, 3000})
            for (const int64_t width : {1, 5, 70}) compare_moments(number, rows, width);
}

CASE(activation_equals_the_plain_loop) {
    each_choice([](Choice choice) {
        for (const int64_t width : {int64_t{1}, int64_t{33}}) {
            Example example(choice, width, 70, 3);
            const Example::Forward found = example.forward(2), expected = example.expected_forward();
            CHECK(equal(found.y, expected.y, example.rows * width));
            CHECK(found.kept == expected.kept);
            CHECK(example.forward(1) == found && example.forward(3) == found);
        }
    });
}

CASE(gradients_of_the_activation_equal_the_plain_loop) {
    each_choice([](Choice choice) {
        for (const int64_t width : {int64_t{1}, int64_t{33}}) {
            Example example(choice, width, 70, 4);
            const std::vector<uint8_t> kept = example.expected_forward().kept;
            compare_sums(example, kept);
            const Example::Sums sums = example.sums(kept, 1);
            CHECK(example.sums(kept, 2) == sums && example.sums(kept, 3) == sums);
            const Table back = example.backward(kept, 1);
            CHECK(equal(back, example.expected_backward(kept), example.rows * width));
            if (choice.x == choice.y) CHECK(example.backward_in_place(kept) == back);
            CHECK(example.backward(kept, 2) == back && example.backward(kept, 3) == back);
        }
    });
}

CASE(an_activation_without_rows) {
    each_choice([](Choice choice) {
        Example example(choice, 3, 0, 1);
        CHECK(example.forward(2).y == Table(choice.y, 0));
        for (const double sum : example.sums({}, 2).dz) CHECK(sum == 0.0);
        CHECK(example.backward({}, 2) == Table(choice.x, 0));
    });
}

CASE(a_nan_passes_relu) {
    const float nan = std::numeric_limits<float>::quiet_NaN(), one = 1.0f, zero = 0.0f;
    Table x(Number::float32, 1), y(Number::float32, 1);
    x.set(0, nan);
    activate(x.view(), 1, 1, {&one, &zero, true, 0, 1.0f, 0}, nullptr, nullptr, {nullptr, 0}, y.view(), nullptr, 1);
    CHECK(std::isnan(y.at(0)));
    int passed = 0;
    for (uint64_t key = 0; key < 64; ++key) {
        uint8_t kept = 77;
        activate(x.view(), 1, 1, {&one, &zero, true, 32768, 2.0f, key}, nullptr, nullptr, {nullptr, 0}, y.view(), &kept,
                 1);
        CHECK(kept == (std::isnan(y.at(0)) ? 1 : 0));
        passed += kept;
    }
    CHECK(passed > 10 && passed < 54);
}

CASE(entries_are_dropped_by_their_own_bits) {
    for (const uint64_t key : {uint64_t{0}, kKey, ~uint64_t{0}})
        for (const int64_t first : {int64_t{0}, int64_t{256 * 5}, int64_t{1} << 36})  // counters above 2^32, last
            for (const int64_t count : {0, 1, 255, 256, 257, 1000}) {
                std::vector<uint8_t> kept(static_cast<size_t>(count) + 1, 77);
                draw_kept(key, first, count, 30000, kept.data());
                bool same = true;
                for (int64_t k = 0; k < count; ++k)
                    same = same && kept[static_cast<size_t>(k)] ==
                                       (bits_of(key, static_cast<uint64_t>(first + k)) >= 30000 ? 1 : 0);
                CHECK(same);
                CHECK(kept.back() == 77);
            }
}

CASE(the_share_of_dropped_entries_is_the_one_asked_for) {
    const int64_t count = 10000000;
    std::vector<uint8_t> kept(static_cast<size_t>(count));
    for (const uint32_t drop_below : {32768u, 6554u, 1u, 65535u}) {
        draw_kept(kKey + drop_below, 0, count, drop_below, kept.data());
        const double p = 1.0 - drop_below / 65536.0, sigma = std::sqrt(p * (1.0 - p) * static_cast<double>(count));
        int64_t sum = 0;
        for (const uint8_t one : kept) sum += one;
        CHECK(std::abs(static_cast<double>(sum) - p * static_cast<double>(count)) < 4.0 * sigma);
        // Pairs of entries within a word, of neighbouring words, of neighbouring counters, and a row apart.
        for (const int64_t apart : {1, 32, 64, 256, 300}) {
            int64_t both = 0;
            for (int64_t k = apart; k < count; ++k)
                both += kept[static_cast<size_t>(k)] & kept[static_cast<size_t>(k - apart)];
            const auto pairs = static_cast<double>(count - apart);
            // Of two pairs that share an entry the counts are correlated, hence the second term.
            const double variance = pairs * (p * p * (1 - p * p) + 2 * (p * p * p - p * p * p * p));
            CHECK(std::abs(static_cast<double>(both) - p * p * pairs) < 4.0 * std::sqrt(variance));
        }
    }
}

CASE(other_keys_drop_other_entries) {
    const int64_t count = 1 << 20;
    std::vector<uint8_t> one(static_cast<size_t>(count)), other(static_cast<size_t>(count));
    draw_kept(kKey, 0, count, 32768, one.data());
    for (const uint64_t key : {kKey + 1, kKey ^ (uint64_t{1} << 63)}) {
        draw_kept(key, 0, count, 32768, other.data());
        int64_t same = 0;
        for (size_t k = 0; k < one.size(); ++k) same += one[k] == other[k];
        CHECK(std::abs(static_cast<double>(same - count / 2)) < 4.0 * std::sqrt(static_cast<double>(count)) / 2.0);
    }
}
