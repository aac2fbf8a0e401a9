/// \file launch.h
/// What every kernel launch does: the right device, a grid that fits, and errors as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace infoalign {

/// Throw std::runtime_error where a CUDA call failed.
inline void check_cuda(cudaError_t status, const char* what) {
    if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

/// Blocks for `count` items of which a block takes `per_block`; kernels step over the grid, so that any number will do.
inline unsigned grid_blocks(int64_t count, int64_t per_block) {
    return static_cast<unsigned>(std::min<int64_t>((count + per_block - 1) / per_block, int64_t{1} << 20));
}

/// Call `launch`, which queues kernels, with `device` current, and give the caller its own device back.
template <class Launch>
void launch_on(int device, const char* what, const Launch& launch) {
    int before = 0;
    check_cuda(cudaGetDevice(&before), "cudaGetDevice");
    check_cuda(cudaSetDevice(device), "cudaSetDevice");
    launch();
    const cudaError_t launched = cudaGetLastError();
    check_cuda(cudaSetDevice(before), "cudaSetDevice");
    check_cuda(launched, what);
}

}  // namespace infoalign
