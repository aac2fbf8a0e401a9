#include "infoalign/messages.h"

#include <algorithm>
#include <vector>

#include "infoalign/clones.h"
#include "infoalign/team.h"

namespace infoalign {

namespace {

/// The molecules of one chunk.
struct Span {
    int64_t begin, end;
};

Span molecules_of(const MoleculeArcs& arcs, int64_t chunk) {
    const int64_t begin = chunk * kMoleculesPerChunk;
    return {begin, std::min(begin + kMoleculesPerChunk, arcs.molecules)};
}

struct HearTask {
    const MoleculeArcs& arcs;
    const Heard& layer;
    void* x;
    void* pooled;
};

/// `sum` (width,) is scratch. V is the format of h, X that of x.
template <class V, class X>
INFOALIGN_INLINE void hear_chunk(const HearTask& task, Span span, V* __restrict sum) {
    const MoleculeArcs& arcs = task.arcs;
    const int64_t width = task.layer.width;
    const V self_weight = static_cast<V>(task.layer.self_weight);
    const V* atoms = static_cast<const V*>(task.layer.atoms);
    const V* bonds = static_cast<const V*>(task.layer.bonds);
    for (int64_t m = span.begin; m < span.end; ++m) {
        V* pooled = task.pooled == nullptr ? nullptr : static_cast<V*>(task.pooled) + m * width;
        if (pooled != nullptr) std::fill(pooled, pooled + width, V{0});
        for (int64_t i = arcs.atom_offsets[m]; i < arcs.atom_offsets[m + 1]; ++i) {
            const V* own = atoms + i * width;
            for (int64_t c = 0; c < width; ++c) sum[c] = self_weight * own[c];
            for (int64_t a = arcs.arc_offsets[i]; a < arcs.arc_offsets[i + 1]; ++a) {
                const V* atom = atoms + arcs.neighbor[a] * width;
                const V* bond = bonds + arcs.kind[a] * width;
                for (int64_t c = 0; c < width; ++c) sum[c] += std::max(atom[c] + bond[c], V{0});
            }
            X* x = static_cast<X*>(task.x) + i * width;
            for (int64_t c = 0; c < width; ++c) store(x[c], sum[c]);
            if (pooled != nullptr)
                for (int64_t c = 0; c < width; ++c) pooled[c] += own[c];
        }
    }
}

struct BackwardTask {
    const MoleculeArcs& arcs;
    const Heard& layer;
    const HeardGradients& given;
    void* atoms_gradient;
};

/// `bonds_gradient` (V, width) and `self_gradient` (width,), whose sum is the gradient of 1 + e, are added to.
template <class V, class X>
INFOALIGN_INLINE void backward_chunk(const BackwardTask& task, Span span, V* __restrict bonds_gradient,
                                     V* __restrict self_gradient) {
    const MoleculeArcs& arcs = task.arcs;
    const int64_t width = task.layer.width;
    const V self_weight = static_cast<V>(task.layer.self_weight);
    const V* atoms = static_cast<const V*>(task.layer.atoms);
    const V* bonds = static_cast<const V*>(task.layer.bonds);
    const X* given = static_cast<const X*>(task.given.x);
    for (int64_t m = span.begin; m < span.end; ++m) {
        const V* pooled = task.given.pooled == nullptr ? nullptr : static_cast<const V*>(task.given.pooled) + m * width;
        for (int64_t i = arcs.atom_offsets[m]; i < arcs.atom_offsets[m + 1]; ++i) {
            const V* own = atoms + i * width;
            const X* here = given + i * width;
            V* __restrict gradient = static_cast<V*>(task.atoms_gradient) + i * width;
            for (int64_t c = 0; c < width; ++c) {
                const V of_x = to_float(here[c]);
                gradient[c] = self_weight * of_x;
                self_gradient[c] += own[c] * of_x;
            }
            // An arc that enters i from j is, turned around, the one by which j heard i.
            for (int64_t a = arcs.arc_offsets[i]; a < arcs.arc_offsets[i + 1]; ++a) {
                const X* back = given + arcs.neighbor[a] * width;
                const V* bond = bonds + arcs.kind[a] * width;
                V* __restrict of_bond = bonds_gradient + arcs.kind[a] * width;
                for (int64_t c = 0; c < width; ++c) {
                    const V passed = own[c] + bond[c] > 0 ? to_float(back[c]) : V{0};
                    gradient[c] += passed;
                    of_bond[c] += passed;
                }
            }
            if (pooled != nullptr)
                for (int64_t c = 0; c < width; ++c) gradient[c] += pooled[c];
            if (task.given.residual != nullptr) {
                const V* residual = static_cast<const V*>(task.given.residual) + i * width;
                for (int64_t c = 0; c < width; ++c) gradient[c] += residual[c];
            }
        }
    }
}

INFOALIGN_CLONES void hear_ff(const HearTask& task, Span span, float* sum) {
    hear_chunk<float, float>(task, span, sum);
}
INFOALIGN_CLONES void hear_fb(const HearTask& task, Span span, float* sum) {
    hear_chunk<float, BFloat16>(task, span, sum);
}
INFOALIGN_CLONES void hear_dd(const HearTask& task, Span span, double* sum) {
    hear_chunk<double, double>(task, span, sum);
}
INFOALIGN_CLONES void backward_ff(const BackwardTask& task, Span span, float* bonds, float* self) {
    backward_chunk<float, float>(task, span, bonds, self);
}
INFOALIGN_CLONES void backward_fb(const BackwardTask& task, Span span, float* bonds, float* self) {
    backward_chunk<float, BFloat16>(task, span, bonds, self);
}
INFOALIGN_CLONES void backward_dd(const BackwardTask& task, Span span, double* bonds, double* self) {
    backward_chunk<double, double>(task, span, bonds, self);
}

template <class V, class Kernel>
void run_hear(const HearTask& task, int threads, Kernel kernel) {
    const int64_t chunks = molecule_chunks(task.arcs.molecules), width = task.layer.width;
    std::vector<V> sums(static_cast<size_t>(chunks * width));
    for_each_chunk(chunks, threads,
                   [&](int64_t k) { kernel(task, molecules_of(task.arcs, k), sums.data() + k * width); });
}

template <class V, class Kernel>
void run_backward(const BackwardTask& task, void* bonds_gradient, double* self_gradient, int threads, Kernel kernel) {
    const int64_t chunks = molecule_chunks(task.arcs.molecules), width = task.layer.width;
    const int64_t of_bonds = task.arcs.kinds * width, of_chunk = of_bonds + width;
    std::vector<V> sums(static_cast<size_t>(chunks * of_chunk));
    for_each_chunk(chunks, threads, [&](int64_t k) {
        V* own = sums.data() + k * of_chunk;
        kernel(task, molecules_of(task.arcs, k), own, own + of_bonds);
    });
    V* bonds = static_cast<V*>(bonds_gradient);
    std::fill(bonds, bonds + of_bonds, V{0});
    double self_sum = 0;
    for (int64_t k = 0; k < chunks; ++k) {
        const V* own = sums.data() + k * of_chunk;
        for (int64_t c = 0; c < of_bonds; ++c) bonds[c] += own[c];
        for (int64_t c = 0; c < width; ++c) self_sum += own[of_bonds + c];
    }
    *self_gradient = self_sum;
}

}  // namespace

void hear_cpu(const MoleculeArcs& arcs, const Heard& layer, void* x, void* pooled, int threads) {
    const HearTask task{arcs, layer, x, pooled};
    switch (layer.number) {
        case Number::float64: return run_hear<double>(task, threads, hear_dd);
        case Number::bfloat16: return run_hear<float>(task, threads, hear_fb);
        default: return run_hear<float>(task, threads, hear_ff);
    }
}

void hear_backward_cpu(const MoleculeArcs& arcs, const Heard& layer, const HeardGradients& given, void* atoms_gradient,
                       void* bonds_gradient, double* self_gradient, int threads) {
    const BackwardTask task{arcs, layer, given, atoms_gradient};
    switch (layer.number) {
        case Number::float64: return run_backward<double>(task, bonds_gradient, self_gradient, threads, backward_dd);
        case Number::bfloat16: return run_backward<float>(task, bonds_gradient, self_gradient, threads, backward_fb);
        default: return run_backward<float>(task, bonds_gradient, self_gradient, threads, backward_ff);
    }
}

}  // namespace infoalign
