#include <cuda_runtime.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "infoalign/walk.h"

namespace infoalign {

namespace {

constexpr int kBlock = 256;

template <bool kWeighted, bool kSecondOrder, class Offset, class Target>
__global__ void walk_kernel(WalkGraph<Offset, Target> graph, WalkRequest request) {
    const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
    for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < request.num_walks; k += stride) {
        walk_one<kWeighted, kSecondOrder>(graph, request, k);
    }
}

void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

}  // namespace

template <class Offset, class Target>
void walk_cuda(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, Transition transition, int device,
               void* stream) {
    if (request.num_walks == 0) return;
    int before = 0;
    check(cudaGetDevice(&before), "cudaGetDevice");
    check(cudaSetDevice(device), "cudaSetDevice");
    const int64_t blocks = std::min<int64_t>((request.num_walks + kBlock - 1) / kBlock, 1 << 20);
    const auto queue = static_cast<cudaStream_t>(stream);
    with_transition(transition, [&](auto weighted, auto second_order) {
        walk_kernel<decltype(weighted)::value, decltype(second_order)::value>
            <<<static_cast<unsigned>(blocks), kBlock, 0, queue>>>(graph, request);
    });
    const cudaError_t launched = cudaGetLastError();
    check(cudaSetDevice(before), "cudaSetDevice");
    check(launched, "the walk kernel could not be started");
}

CudaStatus cuda_status() {
    int count = 0;
    int driver = 0;
    if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0) return {false, "no NVIDIA driver is installed"};
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) return {false, cudaGetErrorString(status)};
    if (count == 0) return {false, "no CUDA device was found"};
    return {true, "a CUDA device was found"};
}

template void walk_cuda(const WalkGraph<uint32_t, int32_t>&, const WalkRequest&, Transition, int, void*);
template void walk_cuda(const WalkGraph<int64_t, int32_t>&, const WalkRequest&, Transition, int, void*);
template void walk_cuda(const WalkGraph<uint32_t, int64_t>&, const WalkRequest&, Transition, int, void*);
template void walk_cuda(const WalkGraph<int64_t, int64_t>&, const WalkRequest&, Transition, int, void*);

}  // namespace infoalign
