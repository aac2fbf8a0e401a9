#include "infoalign/targets.h"

#include "launch.h"

namespace infoalign {

namespace {

constexpr int kSumBlock = 256;
constexpr int kAverageBlock = 128;

__global__ void sum_kernel(WalkRows walks, FeatureRows rows, float* alpha, int64_t* count) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
    for (int64_t walk = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; walk < walks.num_walks;
         walk += stride) {
        const WalkTotal total = sum_walk(walks, rows, walk);
        alpha[walk] = total.alpha;
        count[walk] = total.count;
    }
}

/// A block takes one row at a time, its threads neighbouring columns.
template <RowFormat kFormat>
__global__ void average_kernel(WalkRows walks, FeatureRows rows, const int64_t* molecule, const float* alpha,
                               int64_t num_targets, float* mean) {
    for (int64_t target = blockIdx.x; target < num_targets; target += gridDim.x) {
        for (int64_t first = threadIdx.x; first < rows.num_columns; first += kColumnsPerThread * kAverageBlock) {
            average_columns<kFormat>(walks, rows, molecule[target], alpha[target], first, kAverageBlock,
                                     mean + target * rows.num_columns);
        }
    }
}

}  // namespace

void sum_walks_cuda(const WalkRows& walks, const FeatureRows& rows, float* alpha, int64_t* count, int device,
                    void* stream) {
    if (walks.num_walks == 0) return;
    launch_on(device, "the sums of alpha could not be started", [&] {
        sum_kernel<<<grid_blocks(walks.num_walks, kSumBlock), kSumBlock, 0, static_cast<cudaStream_t>(stream)>>>(
            walks, rows, alpha, count);
    });
}

void average_targets_cuda(const WalkRows& walks, const FeatureRows& rows, const int64_t* molecule, const float* alpha,
                          int64_t num_targets, float* mean, int device, void* stream) {
    if (num_targets == 0 || rows.num_columns == 0) return;
    launch_on(device, "the mean rows could not be started", [&] {
        const unsigned blocks = grid_blocks(num_targets, 1);
        const auto queue = static_cast<cudaStream_t>(stream);
        const auto kernel = rows.format == RowFormat::float32   ? average_kernel<RowFormat::float32>
                            : rows.format == RowFormat::float16 ? average_kernel<RowFormat::float16>
                                                                : average_kernel<RowFormat::bits>;
        kernel<<<blocks, kAverageBlock, 0, queue>>>(walks, rows, molecule, alpha, num_targets, mean);
    });
}

}  // namespace infoalign
