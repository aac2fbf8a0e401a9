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

#if defined(INFOALIGN_WITH_CUDA)
/// The same on device memory, on a stream, in float32 or bfloat16; `self_weight` lies on the device, so that nothing has
/// to wait for it. `bonds_gradient` and `self_gradient` are added to and must start at 0.
void hear_cuda(const MoleculeArcs& arcs, int64_t num_atoms, const Heard& layer, const float* self_weight, void* x,
               float* pooled, int device, void* stream);
void hear_backward_cuda(const MoleculeArcs& arcs, int64_t num_atoms, const Heard& layer, const float* self_weight,
                        const HeardGradients& given, float* atoms_gradient, float* bonds_gradient,
                        float* self_gradient, int device, void* stream);
#endif

}  // namespace infoalign
