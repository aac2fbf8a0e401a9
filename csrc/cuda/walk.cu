#include "infoalign/walk.h"

#include "launch.h"

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

}  // namespace

template <class Offset, class Target>
void walk_cuda(const WalkGraph<Offset, Target>& graph, const WalkRequest& request, Transition transition, int device,
               void* stream) {
    if (request.num_walks == 0) return;
    launch_on(device, "the walks could not be started", [&] {
        const unsigned blocks = grid_blocks(request.num_walks, kBlock);
        const auto queue = static_cast<cudaStream_t>(stream);
        with_transition(transition, [&](auto weighted, auto second_order) {
            walk_kernel<decltype(weighted)::value, decltype(second_order)::value>
                <<<blocks, kBlock, 0, queue>>>(graph, request);
        });
    });
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
