/// \file norm.h
/// What follows a linear layer, in as few passes as there are dependencies: batch normalization, activation, dropout,
/// residual, and a vector per molecule.
///
///     y = dropout(act(x * scale + shift)) + residual + group[molecule of the row],
/// with scale and shift per column, from the batch's moments in training and from the running ones otherwise.
#pragma once

#include <cstdint>

#include "infoalign/numbers.h"

namespace infoalign {

/// A table (rows, width) in one of the formats.
struct Matrix {
    void* data;
    Number number;
};

/// Rows that belong together: one molecule's atoms. Null offsets: rows belong to nobody.
struct RowGroups {
    const int64_t* offsets;  ///< (groups + 1,)
    int64_t groups;
};

/// Mean and sum of squared deviations of every column, in double precision; each of the four arrays is (width,).
void column_moments(Matrix x, int64_t rows, int64_t width, double* mean, double* deviation, int threads);

/// What happens to a column's values besides the affine map.
struct Activation {
    const float* scale;    ///< (width,)
    const float* shift;    ///< (width,)
    bool relu;
    uint32_t drop_below;   ///< An entry is dropped if its 16 random bits are below this; 0: none is.
    float keep_scale;      ///< 1 / (1 - drop_below / 65536).
    uint64_t key;          ///< Of the random bits, which are a function of it and of the entry's position.
};

/// y from x. `kept`, (rows, width) bytes, gets 1 where a value passed ReLU and dropout; it may be null without dropout.
/// `residual` (rows, width) float32 and `group_rows` (groups, width) float32 may be null.
void activate(Matrix x, int64_t rows, int64_t width, const Activation& how, const float* residual,
              const float* group_rows, RowGroups groups, Matrix y, uint8_t* kept, int threads);

/// What the backward pass reads; `given` is the gradient of y.
struct ActivationGradient {
    Matrix x;
    Matrix given;
    const uint8_t* kept;  ///< Of the forward pass, null if that had none.
    const double* mean;   ///< (width,)
};

/// Per column the sums over rows of dz and of dz * (x - mean), where dz is the gradient of the normalized value before
/// the activation; and per group, unless null, the sum of `given`, which must be float32, over its rows. `again`, unless
/// null, gets the activated values once more, act(x * scale + shift) in the format of `given`; only without dropout.
void activation_sums(const ActivationGradient& in, int64_t rows, int64_t width, const Activation& how,
                     RowGroups groups, double* dz, double* dz_x, float* group_gradient, void* again, int threads);

/// Gradient of x: scale * dz + slope * (x - mean) + constant, with slope and constant (width,). It may take the place of
/// `given` where both have one format.
void activation_backward(const ActivationGradient& in, int64_t rows, int64_t width, const Activation& how,
                         const float* slope, const float* constant, Matrix x_gradient, int threads);

/// kept[e] = whether the 16 random bits of entry first + e are at least `drop_below`; `first` is a multiple of 256.
void draw_kept(uint64_t key, int64_t first, int64_t count, uint32_t drop_below, uint8_t* kept);

}  // namespace infoalign
