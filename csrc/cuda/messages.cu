#include "infoalign/messages.h"

#include "launch.h"

namespace infoalign {

namespace {

constexpr int kColumns = static_cast<int>(HearParts::kColumns);
constexpr int64_t kSharedBytes = 40 << 10;        // of the 48 KiB that a block may have without asking
constexpr int kEntries = 32, kLanesPerEntry = 8;  // of a block that adds parts up

/// Where a block leaves its sums.
struct Scratch {
    float* bonds;  // (parts, kinds, width)
    float* self;   // (parts, tiles)
};

/// The sum of `value` over the block's kThreads threads, on the first of them.
template <int kThreads>
__device__ double block_sum(double value, int thread) {
    __shared__ double values[kThreads];
    values[thread] = value;
    for (int half = kThreads / 2; half > 0; half /= 2) {
        __syncthreads();
        if (thread < half) values[thread] += values[thread + half];
    }
    return values[0];
}

/// A block takes one molecule at a time, a thread one column of it.
template <class X>
__global__ void hear_kernel(MoleculeArcs arcs, Heard layer, const float* self_weight, X* x, float* pooled) {
    const int64_t column = static_cast<int64_t>(blockIdx.y) * kColumns + threadIdx.x;
    if (column >= layer.width) return;
    for (int64_t molecule = blockIdx.x; molecule < arcs.molecules; molecule += gridDim.x)
        hear_column(arcs, layer, *self_weight, molecule, column, x, pooled);
}

/// A block takes one part of the molecules, a thread one column of them. Sums over kinds are taken in shared memory, or
/// where that is too small in place.
template <class X, bool kShared>
__global__ void backward_kernel(MoleculeArcs arcs, Heard layer, const float* self_weight, HeardGradients given,
                                HearParts parts, float* atoms_gradient, Scratch scratch) {
    extern __shared__ float block_sums[];
    const int64_t part = blockIdx.x, column = static_cast<int64_t>(blockIdx.y) * kColumns + threadIdx.x;
    double of_self = 0.0;
    if (column < layer.width) {
        float* const result = scratch.bonds + part * arcs.kinds * layer.width + column;
        const BondSums sums = kShared ? BondSums{block_sums + threadIdx.x, kColumns} : BondSums{result, layer.width};
        for (int64_t k = 0; k < arcs.kinds; ++k) sums.sums[k * sums.stride] = 0.0f;
        const int64_t begin = part * parts.molecules_each;
        const int64_t end = min(begin + parts.molecules_each, arcs.molecules);
        for (int64_t molecule = begin; molecule < end; ++molecule)
            of_self += static_cast<double>(hear_column_backward<X>(arcs, layer, *self_weight, given, molecule, column,
                                                                   atoms_gradient, sums));
        if (kShared)
            for (int64_t k = 0; k < arcs.kinds; ++k) result[k * layer.width] = sums.sums[k * sums.stride];
    }
    of_self = block_sum<kColumns>(of_self, static_cast<int>(threadIdx.x));
    if (threadIdx.x == 0) scratch.self[part * parts.tiles + blockIdx.y] = static_cast<float>(of_self);
}

/// Add the parts up. All blocks but the last take kEntries entries of the gradient of b each, whose parts
/// kLanesPerEntry threads share; the last block takes the gradient of 1 + e.
__global__ void add_parts_kernel(HearParts parts, Scratch scratch, int64_t entries, float* bonds_gradient,
                                 float* self_gradient) {
    const int thread = static_cast<int>(threadIdx.x);
    if (blockIdx.x + 1 == gridDim.x) {
        double sum = 0.0;
        for (int64_t k = thread; k < parts.parts * parts.tiles; k += kEntries * kLanesPerEntry)
            sum += static_cast<double>(scratch.self[k]);
        sum = block_sum<kEntries * kLanesPerEntry>(sum, thread);
        if (thread == 0) *self_gradient = static_cast<float>(sum);
        return;
    }
    __shared__ double sums[kLanesPerEntry][kEntries];
    const int lane = thread / kEntries, own = thread % kEntries;
    const int64_t entry = static_cast<int64_t>(blockIdx.x) * kEntries + own;
    double sum = 0.0;
    if (entry < entries)
        for (int64_t part = lane; part < parts.parts; part += kLanesPerEntry)
            sum += static_cast<double>(scratch.bonds[part * entries + entry]);
    sums[lane][own] = sum;
    __syncthreads();
    if (lane > 0 || entry >= entries) return;
    for (int other = 1; other < kLanesPerEntry; ++other) sum += sums[other][own];
    bonds_gradient[entry] = static_cast<float>(sum);
}

/// The kernel for the format of x and the number of kinds.
template <class X>
auto backward_kernel_for(bool shared) {
    return shared ? backward_kernel<X, true> : backward_kernel<X, false>;
}

}  // namespace

void hear_cuda(const MoleculeArcs& arcs, const Heard& layer, const float* self_weight, void* x, float* pooled,
               int device, void* stream) {
    if (arcs.molecules == 0 || layer.width == 0) return;
    launch_on(device, "the messages could not be started", [&] {
        const auto tiles = static_cast<unsigned>(HearParts(arcs.molecules, layer.width).tiles);
        const dim3 blocks(grid_blocks(arcs.molecules, 1), tiles);
        const auto queue = static_cast<cudaStream_t>(stream);
        if (layer.number == Number::bfloat16)
            hear_kernel<<<blocks, kColumns, 0, queue>>>(arcs, layer, self_weight, static_cast<BFloat16*>(x), pooled);
        else
            hear_kernel<<<blocks, kColumns, 0, queue>>>(arcs, layer, self_weight, static_cast<float*>(x), pooled);
    });
}

void hear_backward_cuda(const MoleculeArcs& arcs, const Heard& layer, const float* self_weight,
                        const HeardGradients& given, float* atoms_gradient, float* bonds_gradient,
                        float* self_gradient, float* scratch, int device, void* stream) {
    const HearParts parts(arcs.molecules, layer.width);
    const int64_t entries = arcs.kinds * layer.width;
    const Scratch places{scratch, scratch + parts.parts * entries};
    launch_on(device, "the gradients of messages could not be started", [&] {
        const auto queue = static_cast<cudaStream_t>(stream);
        const dim3 blocks(static_cast<unsigned>(parts.parts), static_cast<unsigned>(parts.tiles));
        const int64_t bytes = arcs.kinds * kColumns * static_cast<int64_t>(sizeof(float));
        const bool shared = bytes <= kSharedBytes;
        const auto kernel = layer.number == Number::bfloat16 ? backward_kernel_for<BFloat16>(shared)
                                                             : backward_kernel_for<float>(shared);
        if (blocks.x > 0 && blocks.y > 0)
            kernel<<<blocks, kColumns, shared ? static_cast<size_t>(bytes) : 0, queue>>>(
                arcs, layer, self_weight, given, parts, atoms_gradient, places);
        const auto groups = static_cast<unsigned>((entries + kEntries - 1) / kEntries);
        add_parts_kernel<<<groups + 1, kEntries * kLanesPerEntry, 0, queue>>>(parts, places, entries, bonds_gradient,
                                                                              self_gradient);
    });
}

}  // namespace infoalign
