#include "infoalign/norm.h"

#include <algorithm>
#include <vector>

#include "infoalign/clones.h"
#include "infoalign/philox.h"
#include "infoalign/team.h"

namespace infoalign {

namespace {

constexpr int64_t kRowsPerChunk = 256;  // a chunk of 600 float32 columns stays in the second-level cache
constexpr int64_t kGroupsPerChunk = 16;
constexpr int64_t kLanes = 32;          // counters that are drawn side by side
constexpr int64_t kPerCounter = 8;      // entries of 16 bits
constexpr int64_t kBlock = kLanes * kPerCounter;

struct Rows {
    int64_t begin, end;
};

/// How rows are cut into chunks: by groups where there are any, so that a group's sum is one chunk's work.
struct Cut {
    int64_t rows;
    RowGroups groups;

    int64_t chunks() const {
        return groups.offsets == nullptr ? (rows + kRowsPerChunk - 1) / kRowsPerChunk
                                         : (groups.groups + kGroupsPerChunk - 1) / kGroupsPerChunk;
    }
    Rows groups_of(int64_t k) const {
        return {k * kGroupsPerChunk, std::min((k + 1) * kGroupsPerChunk, groups.groups)};
    }
    Rows rows_of(int64_t k) const {
        if (groups.offsets == nullptr) return {k * kRowsPerChunk, std::min((k + 1) * kRowsPerChunk, rows)};
        const Rows of = groups_of(k);
        return {groups.offsets[of.begin], groups.offsets[of.end]};
    }
};

/// What a chunk's columns come to: their mean is `first` + `apart`. Sums are of differences from the first row, so that
/// columns far from 0 lose nothing and constant ones come out exactly.
struct ChunkMoments {
    float* __restrict first;
    float* __restrict apart;
    float* __restrict deviation;  // sum of squared deviations from the mean

    ChunkMoments(float* parts, int64_t chunk, int64_t width)
        : first(parts + 3 * chunk * width), apart(first + width), deviation(apart + width) {}
};

/// `to` is zeros. The chunk is read twice, the second time from the cache.
template <class T>
INFOALIGN_INLINE void moments_chunk(const T* x, Rows rows, int64_t width, ChunkMoments to) {
    const float share = 1.0F / static_cast<float>(rows.end - rows.begin);
    for (int64_t c = 0; c < width; ++c) to.first[c] = to_float(x[rows.begin * width + c]);
    for (int64_t r = rows.begin; r < rows.end; ++r)
        for (int64_t c = 0; c < width; ++c) to.apart[c] += to_float(x[r * width + c]) - to.first[c];
    for (int64_t c = 0; c < width; ++c) to.apart[c] *= share;
    for (int64_t r = rows.begin; r < rows.end; ++r)
        for (int64_t c = 0; c < width; ++c) {
            const float away = to_float(x[r * width + c]) - to.first[c] - to.apart[c];
            to.deviation[c] += away * away;
        }
}

INFOALIGN_CLONES void moments_float32(const float* x, Rows rows, int64_t width, ChunkMoments to) {
    moments_chunk(x, rows, width, to);
}
INFOALIGN_CLONES void moments_bfloat16(const BFloat16* x, Rows rows, int64_t width, ChunkMoments to) {
    moments_chunk(x, rows, width, to);
}

/// Whole blocks of random bits: `philox4x32` of the counters block * kLanes + lane gives each lane eight numbers of 16
/// bits, low halves before high ones, and the k-th number of lane l is that of entry kLanes * k + l of the block.
INFOALIGN_CLONES void draw_blocks(uint64_t key, uint64_t first_counter, int64_t blocks, uint32_t drop_below,
                                  uint8_t* kept) {
    for (int64_t b = 0; b < blocks; ++b, kept += kBlock) {
        uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
        for (int64_t k = 0; k < kLanes; ++k) {
            const uint64_t counter = first_counter + static_cast<uint64_t>(b * kLanes + k);
            c0[k] = static_cast<uint32_t>(counter);
            c1[k] = static_cast<uint32_t>(counter >> 32);
            c2[k] = c3[k] = 0;
        }
        uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
        for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
            for (int64_t k = 0; k < kLanes; ++k) {
                const uint64_t product0 = static_cast<uint64_t>(0xD2511F53u) * c0[k];
                const uint64_t product1 = static_cast<uint64_t>(0xCD9E8D57u) * c2[k];
                c0[k] = static_cast<uint32_t>(product1 >> 32) ^ c1[k] ^ k0;
                c2[k] = static_cast<uint32_t>(product0 >> 32) ^ c3[k] ^ k1;
                c1[k] = static_cast<uint32_t>(product1);
                c3[k] = static_cast<uint32_t>(product0);
            }
        const uint32_t* words[4] = {c0, c1, c2, c3};
        for (int64_t w = 0; w < 4; ++w)
            for (int64_t k = 0; k < kLanes; ++k) {
                kept[2 * w * kLanes + k] = (words[w][k] & 0xFFFFu) >= drop_below;
                kept[(2 * w + 1) * kLanes + k] = (words[w][k] >> 16) >= drop_below;
            }
    }
}

struct Activating {
    int64_t width;
    const Activation& how;
    const float* residual;
    const float* group_rows;
    RowGroups groups;
    uint8_t* kept;
};

/// Whether ReLU lets a value through. A NaN passes, so that it shows in the loss.
INFOALIGN_INLINE bool passes_relu(float value) { return !(value <= 0.0F); }

/// The activated value of an entry, before dropout.
template <bool kRelu>
INFOALIGN_INLINE float activated(float value) {
    return !kRelu || passes_relu(value) ? value : 0.0F;
}

template <bool kRelu, bool kDrop, class In, class Out>
INFOALIGN_INLINE void activate_row(const Activating& task, const In* x, int64_t row, const float* group, Out* y) {
    const float* __restrict scale = task.how.scale;
    const float* __restrict shift = task.how.shift;
    const int64_t first = row * task.width;
    uint8_t* __restrict kept = task.kept == nullptr ? nullptr : task.kept + first;
    const float keep = task.how.keep_scale;
    const float* residual = task.residual == nullptr ? nullptr : task.residual + first;
    const int64_t width = task.width;
    x += first;
    y += first;
    for (int64_t c = 0; c < width; ++c) {
        float value = to_float(x[c]) * scale[c] + shift[c];
        if (kDrop) {
            const uint8_t pass = static_cast<uint8_t>(kept[c] & (!kRelu || passes_relu(value)));
            kept[c] = pass;
            value = pass != 0 ? value * keep : 0.0F;
        } else {
            value = activated<kRelu>(value);
        }
        if (residual != nullptr) value += residual[c];
        if (group != nullptr) value += group[c];
        store(y[c], value);
    }
}

template <class In, class Out>
INFOALIGN_INLINE void activate_rows(const Activating& task, const In* x, Rows rows, const float* group, Out* y) {
    for (int64_t r = rows.begin; r < rows.end; ++r) {
        if (task.how.drop_below != 0)
            task.how.relu ? activate_row<true, true>(task, x, r, group, y)
                          : activate_row<false, true>(task, x, r, group, y);
        else
            task.how.relu ? activate_row<true, false>(task, x, r, group, y)
                          : activate_row<false, false>(task, x, r, group, y);
    }
}

template <class In, class Out>
INFOALIGN_INLINE void activate_chunk(const Activating& task, const In* x, const Cut& cut, int64_t k, Out* y) {
    if (task.group_rows == nullptr) {
        activate_rows(task, x, cut.rows_of(k), nullptr, y);
        return;
    }
    const Rows groups = cut.groups_of(k);
    for (int64_t g = groups.begin; g < groups.end; ++g)
        activate_rows(task, x, {task.groups.offsets[g], task.groups.offsets[g + 1]}, task.group_rows + g * task.width,
                      y);
}

INFOALIGN_CLONES void activate_ff(const Activating& task, const float* x, const Cut& cut, int64_t k, float* y) {
    activate_chunk(task, x, cut, k, y);
}
INFOALIGN_CLONES void activate_fb(const Activating& task, const float* x, const Cut& cut, int64_t k, BFloat16* y) {
    activate_chunk(task, x, cut, k, y);
}
INFOALIGN_CLONES void activate_bf(const Activating& task, const BFloat16* x, const Cut& cut, int64_t k, float* y) {
    activate_chunk(task, x, cut, k, y);
}
INFOALIGN_CLONES void activate_bb(const Activating& task, const BFloat16* x, const Cut& cut, int64_t k, BFloat16* y) {
    activate_chunk(task, x, cut, k, y);
}

/// dz of one entry: what passes the activation and dropout, given whether the forward pass let the value through.
template <bool kRelu, bool kDrop>
INFOALIGN_INLINE float through(float given, float value, float scale, float shift, uint8_t kept, float keep_scale) {
    if (kDrop) return given * (static_cast<float>(kept) * keep_scale);
    if (kRelu) return passes_relu(value * scale + shift) ? given : 0.0F;
    return given;
}

/// The arrays of one row in the backward pass.
template <class In, class Out>
struct BackwardRow {
    const In* x;
    const Out* given;
    const uint8_t* kept;

    BackwardRow(const ActivationGradient& in, int64_t first)
        : x(static_cast<const In*>(in.x.data) + first),
          given(static_cast<const Out*>(in.given.data) + first),
          kept(in.kept == nullptr ? nullptr : in.kept + first) {}
};

template <bool kRelu, bool kDrop, class In, class Out>
INFOALIGN_INLINE void sums_row(BackwardRow<In, Out> row, const Activation& how, int64_t width,
                               const float* __restrict mean, float* __restrict dz, float* __restrict dz_x,
                               Out* __restrict again) {
    const float* __restrict scale = how.scale;
    const float* __restrict shift = how.shift;
    const float keep = how.keep_scale;
    for (int64_t c = 0; c < width; ++c) {
        const float value = to_float(row.x[c]);
        const float here = through<kRelu, kDrop>(to_float(row.given[c]), value, scale[c], shift[c],
                                                 kDrop ? row.kept[c] : uint8_t{1}, keep);
        dz[c] += here;
        dz_x[c] += here * (value - mean[c]);
        if (!kDrop && again != nullptr) store(again[c], activated<kRelu>(value * scale[c] + shift[c]));
    }
}

template <bool kRelu, bool kDrop, class In, class Out>
INFOALIGN_INLINE void backward_row(BackwardRow<In, Out> row, const Activation& how, int64_t width,
                                   const float* __restrict mean, const float* __restrict slope,
                                   const float* __restrict constant, In* gradient) {
    const float* __restrict scale = how.scale;
    const float* __restrict shift = how.shift;
    const float keep = how.keep_scale;
#pragma GCC ivdep  // the gradient may lie where `given` does, entry on entry
    for (int64_t c = 0; c < width; ++c) {
        const float value = to_float(row.x[c]);
        const float here = through<kRelu, kDrop>(to_float(row.given[c]), value, scale[c], shift[c],
                                                 kDrop ? row.kept[c] : uint8_t{1}, keep);
        store(gradient[c], scale[c] * here + slope[c] * (value - mean[c]) + constant[c]);
    }
}

/// Both kernels for one pair of formats; which of the four bodies runs is decided once per chunk.
template <class In, class Out, template <bool, bool, class, class> class Body, class... Rest>
INFOALIGN_INLINE void by_activation(const Activation& how, const Rest&... rest) {
    if (how.drop_below != 0)
        how.relu ? Body<true, true, In, Out>::run(rest...) : Body<false, true, In, Out>::run(rest...);
    else
        how.relu ? Body<true, false, In, Out>::run(rest...) : Body<false, false, In, Out>::run(rest...);
}

struct SumsTask {
    const ActivationGradient& in;
    const Activation& how;
    int64_t width;
    const float* mean;
    void* again;
};

template <bool kRelu, bool kDrop, class In, class Out>
struct Sums {
    INFOALIGN_INLINE static void run(const SumsTask& task, Rows rows, float* dz, float* dz_x) {
        Out* again = static_cast<Out*>(task.again);
        for (int64_t r = rows.begin; r < rows.end; ++r)
            sums_row<kRelu, kDrop, In, Out>({task.in, r * task.width}, task.how, task.width, task.mean, dz, dz_x,
                                            again == nullptr ? nullptr : again + r * task.width);
    }
};

struct BackwardTask {
    const ActivationGradient& in;
    const Activation& how;
    int64_t width;
    const float* mean;
    const float* slope;
    const float* constant;
    void* gradient;
};

template <bool kRelu, bool kDrop, class In, class Out>
struct Backward {
    INFOALIGN_INLINE static void run(const BackwardTask& task, Rows rows) {
        for (int64_t r = rows.begin; r < rows.end; ++r)
            backward_row<kRelu, kDrop, In, Out>({task.in, r * task.width}, task.how, task.width, task.mean, task.slope,
                                                task.constant, static_cast<In*>(task.gradient) + r * task.width);
    }
};

#define INFOALIGN_BACKWARD_KERNELS(SUFFIX, In, Out)                                                           \
    INFOALIGN_CLONES void sums_##SUFFIX(const SumsTask& task, Rows rows, float* dz, float* dz_x) {            \
        by_activation<In, Out, Sums>(task.how, task, rows, dz, dz_x);                                         \
    }                                                                                                         \
    INFOALIGN_CLONES void backward_##SUFFIX(const BackwardTask& task, Rows rows) {                            \
        by_activation<In, Out, Backward>(task.how, task, rows);                                               \
    }
INFOALIGN_BACKWARD_KERNELS(ff, float, float)
INFOALIGN_BACKWARD_KERNELS(fb, float, BFloat16)
INFOALIGN_BACKWARD_KERNELS(bf, BFloat16, float)
INFOALIGN_BACKWARD_KERNELS(bb, BFloat16, BFloat16)
#undef INFOALIGN_BACKWARD_KERNELS

/// One of four kernels by the formats of x and y.
template <class Kernel>
Kernel choose(Number x, Number y, Kernel ff, Kernel fb, Kernel bf, Kernel bb) {
    if (x == Number::float32) return y == Number::float32 ? ff : fb;
    return y == Number::float32 ? bf : bb;
}

INFOALIGN_CLONES void add_groups(const float* given, RowGroups groups, Rows of, int64_t width, float* sums) {
    for (int64_t g = of.begin; g < of.end; ++g) {
        float* sum = sums + g * width;
        std::fill(sum, sum + width, 0.0F);
        for (int64_t r = groups.offsets[g]; r < groups.offsets[g + 1]; ++r)
            for (int64_t c = 0; c < width; ++c) sum[c] += given[r * width + c];
    }
}

std::vector<float> as_floats(const double* values, int64_t count) { return {values, values + count}; }

}  // namespace

void column_moments(Matrix x, int64_t rows, int64_t width, double* mean, double* deviation, int threads) {
    const Cut cut{rows, {nullptr, 0}};
    const int64_t chunks = cut.chunks();
    std::vector<float> parts(static_cast<size_t>(3 * chunks * width));
    for_each_chunk(chunks, threads, [&](int64_t k) {
        const ChunkMoments part(parts.data(), k, width);
        if (x.number == Number::float32)
            moments_float32(static_cast<const float*>(x.data), cut.rows_of(k), width, part);
        else
            moments_bfloat16(static_cast<const BFloat16*>(x.data), cut.rows_of(k), width, part);
    });
    std::fill(mean, mean + width, 0.0);
    std::fill(deviation, deviation + width, 0.0);
    double before = 0;
    for (int64_t k = 0; k < chunks; ++k) {
        const Rows of = cut.rows_of(k);
        const double here = static_cast<double>(of.end - of.begin), all = before + here;
        const ChunkMoments part(parts.data(), k, width);
        for (int64_t c = 0; c < width; ++c) {  // Chan et al. 1979: moments of two sets from those of each
            const double apart = static_cast<double>(part.first[c]) + part.apart[c] - mean[c];
            mean[c] += apart * here / all;
            deviation[c] += part.deviation[c] + apart * apart * before * here / all;
        }
        before = all;
    }
}

void draw_kept(uint64_t key, int64_t first, int64_t count, uint32_t drop_below, uint8_t* kept) {
    const int64_t whole = count / kBlock;
    const auto counter = static_cast<uint64_t>(first / kPerCounter);
    draw_blocks(key, counter, whole, drop_below, kept);
    if (whole * kBlock == count) return;
    uint8_t rest[kBlock];
    draw_blocks(key, counter + static_cast<uint64_t>(whole * kLanes), 1, drop_below, rest);
    std::copy(rest, rest + (count - whole * kBlock), kept + whole * kBlock);
}

void activate(Matrix x, int64_t rows, int64_t width, const Activation& how, const float* residual,
              const float* group_rows, RowGroups groups, Matrix y, uint8_t* kept, int threads) {
    const Activating task{width, how, residual, group_rows, groups, kept};
    if (how.drop_below != 0) {  // a pass of its own, in pieces that begin at a whole counter
        constexpr int64_t kPiece = kBlock * 64;
        const int64_t entries = rows * width;
        for_each_chunk((entries + kPiece - 1) / kPiece, threads, [&](int64_t k) {
            draw_kept(how.key, k * kPiece, std::min(kPiece, entries - k * kPiece), how.drop_below, kept + k * kPiece);
        });
    }
    const Cut cut{rows, group_rows == nullptr ? RowGroups{nullptr, 0} : groups};
    for_each_chunk(cut.chunks(), threads, [&](int64_t k) {
        if (x.number == Number::float32) {
            const auto* in = static_cast<const float*>(x.data);
            y.number == Number::float32 ? activate_ff(task, in, cut, k, static_cast<float*>(y.data))
                                        : activate_fb(task, in, cut, k, static_cast<BFloat16*>(y.data));
        } else {
            const auto* in = static_cast<const BFloat16*>(x.data);
            y.number == Number::float32 ? activate_bf(task, in, cut, k, static_cast<float*>(y.data))
                                        : activate_bb(task, in, cut, k, static_cast<BFloat16*>(y.data));
        }
    });
}

void activation_sums(const ActivationGradient& in, int64_t rows, int64_t width, const Activation& how,
                     RowGroups groups, double* dz, double* dz_x, float* group_gradient, void* again, int threads) {
    const std::vector<float> mean = as_floats(in.mean, width);
    const SumsTask task{in, how, width, mean.data(), again};
    const Cut cut{rows, group_gradient == nullptr ? RowGroups{nullptr, 0} : groups};
    const int64_t chunks = cut.chunks();
    std::vector<float> parts(static_cast<size_t>(2 * chunks * width));
    const auto kernel = choose(in.x.number, in.given.number, sums_ff, sums_fb, sums_bf, sums_bb);
    for_each_chunk(chunks, threads, [&](int64_t k) {
        float* part = parts.data() + 2 * k * width;
        kernel(task, cut.rows_of(k), part, part + width);
        if (group_gradient != nullptr)
            add_groups(static_cast<const float*>(in.given.data), groups, cut.groups_of(k), width, group_gradient);
    });
    std::fill(dz, dz + width, 0.0);
    std::fill(dz_x, dz_x + width, 0.0);
    for (int64_t k = 0; k < chunks; ++k) {
        const float* part = parts.data() + 2 * k * width;
        for (int64_t c = 0; c < width; ++c) dz[c] += part[c];
        for (int64_t c = 0; c < width; ++c) dz_x[c] += part[width + c];
    }
}

void activation_backward(const ActivationGradient& in, int64_t rows, int64_t width, const Activation& how,
                         const float* slope, const float* constant, Matrix x_gradient, int threads) {
    const std::vector<float> mean = as_floats(in.mean, width);
    const BackwardTask task{in, how, width, mean.data(), slope, constant, x_gradient.data};
    const Cut cut{rows, {nullptr, 0}};
    const auto kernel = choose(in.x.number, in.given.number, backward_ff, backward_fb, backward_bf, backward_bb);
    for_each_chunk(cut.chunks(), threads, [&](int64_t k) { kernel(task, cut.rows_of(k)); });
}

}  // namespace infoalign
