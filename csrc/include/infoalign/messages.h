/// \file messages.h
/// What atoms hear from their neighbours in a GIN layer, forward and backward in one pass each.
///
/// With atoms h (N, D), bonds b (V, D), one row per kind of bond, and e a number:
///     x_i = (1 + e) h_i + sum over neighbours j of i of relu(h_j + b_ij),   pooled_m = sum over atoms i of m of h_i.
/// Nothing of size arcs times D is ever held.
#pragma once

#include <cstdint>

#include "infoalign/numbers.h"

namespace infoalign {

/// The arcs of a batch of molecules, grouped by the atom they enter. Every bond is two arcs of one kind, so those that
/// leave an atom are the same ones turned around, and the backward pass needs no second grouping.
struct MoleculeArcs {
    const int64_t* atom_offsets;  ///< (molecules + 1,): a molecule's atoms.
    const int64_t* arc_offsets;   ///< (atoms + 1,): the arcs that enter an atom.
    const int32_t* neighbor;      ///< (arcs,): the atom at the other end.
    const int32_t* kind;          ///< (arcs,): row of b.
    int64_t molecules;
    int64_t kinds;
};

/// Molecules that are worked on together: sums over chunks are added in order, so that no result depends on threads.
constexpr int64_t kMoleculesPerChunk = 16;

INFOALIGN_HD INFOALIGN_INLINE int64_t molecule_chunks(int64_t molecules) {
    return (molecules + kMoleculesPerChunk - 1) / kMoleculesPerChunk;
}

/// A layer's input: all float32, or all float64.
struct Heard {
    const void* atoms;   ///< (N, width): h.
    const void* bonds;   ///< (V, width): b.
    double self_weight;  ///< 1 + e.
    int64_t width;
    Number number;       ///< Of x: float64 where h is, else float32 or bfloat16.
};

/// x, and pooled unless null, which is of the format of h.
void hear_cpu(const MoleculeArcs& arcs, const Heard& layer, void* x, void* pooled, int threads);

/// What reaches a layer in the backward pass.
struct HeardGradients {
    const void* x;         ///< (N, width), of the format of x.
    const void* residual;  ///< (N, width) or null, of the format of h: of h, from whoever else reads it.
    const void* pooled;    ///< (molecules, width) or null, of the format of h.
};

/// Gradients of h (N, width) and of b (V, width), of their formats, and of 1 + e.
void hear_backward_cpu(const MoleculeArcs& arcs, const Heard& layer, const HeardGradients& given, void* atoms_gradient,
                       void* bonds_gradient, double* self_gradient, int threads);

/// Write column `column` of what the atoms of molecule `molecule` hear, and of their sum unless `pooled` is null: what
/// one thread of a device does. Each entry is the sequence of float32 operations that `hear_cpu` does for it. X is the
/// format of x.
template <class X>
INFOALIGN_HD INFOALIGN_INLINE void hear_column(const MoleculeArcs& arcs, const Heard& layer, float self_weight,
                                               int64_t molecule, int64_t column, X* x, float* pooled) {
    const float* atoms = static_cast<const float*>(layer.atoms) + column;
    const float* bonds = static_cast<const float*>(layer.bonds) + column;
    const int64_t width = layer.width;
    float all = 0.0f;
    for (int64_t i = arcs.atom_offsets[molecule]; i < arcs.atom_offsets[molecule + 1]; ++i) {
        const float own = atoms[i * width];
        float sum = self_weight * own;
        for (int64_t a = arcs.arc_offsets[i]; a < arcs.arc_offsets[i + 1]; ++a) {
            const float message = atoms[arcs.neighbor[a] * width] + bonds[arcs.kind[a] * width];
            sum += message < 0.0f ? 0.0f : message;
        }
        store(x[i * width + column], sum);
        all += own;
    }
    if (pooled != nullptr) pooled[molecule * width + column] = all;
}

/// Where one column's share of the gradient of b adds up: that of kind k at `sums[k * stride]`.
struct BondSums {
    float* sums;
    int64_t stride;
};

/// Write column `column` of the gradient of h for the atoms of one molecule, add to that of b, and return what the
/// gradient of 1 + e gains: the backward pass of `hear_column`. The gradient of h is `hear_backward_cpu`'s, bit for bit;
/// the other two are sums in another order.
template <class X>
INFOALIGN_HD INFOALIGN_INLINE float hear_column_backward(const MoleculeArcs& arcs, const Heard& layer,
                                                         float self_weight, const HeardGradients& given,
                                                         int64_t molecule, int64_t column, float* atoms_gradient,
                                                         BondSums of_bonds) {
    const float* atoms = static_cast<const float*>(layer.atoms) + column;
    const float* bonds = static_cast<const float*>(layer.bonds) + column;
    const X* of_x = static_cast<const X*>(given.x) + column;
    const float* pooled = static_cast<const float*>(given.pooled);
    const float* residual = static_cast<const float*>(given.residual);
    const int64_t width = layer.width;
    float of_self = 0.0f;
    for (int64_t i = arcs.atom_offsets[molecule]; i < arcs.atom_offsets[molecule + 1]; ++i) {
        const float own = atoms[i * width], here = to_float(of_x[i * width]);
        float gradient = self_weight * here;
        of_self += own * here;
        // An arc that enters i from j is, turned around, the one by which j heard i.
        for (int64_t a = arcs.arc_offsets[i]; a < arcs.arc_offsets[i + 1]; ++a) {
            const float there = to_float(of_x[arcs.neighbor[a] * width]);
            const float passed = own + bonds[arcs.kind[a] * width] > 0.0f ? there : 0.0f;
            gradient += passed;
            of_bonds.sums[arcs.kind[a] * of_bonds.stride] += passed;
        }
        if (pooled != nullptr) gradient += pooled[molecule * width + column];
        if (residual != nullptr) gradient += residual[i * width + column];
        atoms_gradient[i * width + column] = gradient;
    }
    return of_self;
}

/// How a device shares out the backward pass: a block takes some columns of one part of the molecules, and sums over
/// parts are added up in a second pass.
struct HearParts {
    static constexpr int64_t kMost = 512;
    static constexpr int64_t kColumns = 64;  ///< threads of a block, at neighbouring columns: rows are whole lines

    int64_t molecules_each, parts, tiles;

    HearParts(int64_t molecules, int64_t width)
        : molecules_each(molecules <= kMost ? 1 : (molecules + kMost - 1) / kMost),
          parts((molecules + molecules_each - 1) / molecules_each),
          tiles((width + kColumns - 1) / kColumns) {}

    /// float32 numbers that a device needs to work in: (parts, kinds, width) for b, (parts, tiles) for 1 + e.
    int64_t scratch(int64_t kinds, int64_t width) const { return parts * (kinds * width + tiles); }
};

/// Queue `hear_cpu` on `stream` (a cudaStream_t): float32 h, x float32 or bfloat16. All pointers are memory of
/// `device`, also `self_weight`, which stands for the one in `layer`, so that nothing has to wait for it. Throws
/// std::runtime_error.
void hear_cuda(const MoleculeArcs& arcs, const Heard& layer, const float* self_weight, void* x, float* pooled,
               int device, void* stream);

/// Queue `hear_backward_cpu` likewise. `scratch` is as large as `HearParts` says and may hold anything. No atomics: the
/// order of every sum is a matter of sizes alone, so that the same input gives the same bits.
void hear_backward_cuda(const MoleculeArcs& arcs, const Heard& layer, const float* self_weight,
                        const HeardGradients& given, float* atoms_gradient, float* bonds_gradient,
                        float* self_gradient, float* scratch, int device, void* stream);

}  // namespace infoalign
