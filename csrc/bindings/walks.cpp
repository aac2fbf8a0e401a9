/// \file walks.cpp
/// Random walks on the CPU and on CUDA devices.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>

#include "infoalign/walk.h"
#include "arrays.h"
#include "buffers.h"

namespace infoalign::bindings {

using namespace nb::literals;

namespace {

/// A walk index as the Python side keeps it: which of `arcs` is read depends on the transition.
struct IndexArrays {
    const void* offsets;
    const void* arcs;
    const int64_t* edge_ids;
    const void* neighbors;
    int64_t num_nodes, num_relations;
    bool wide_offsets, wide_targets, weighted;
};

template <class Offset, class Target, class Run>
void run_as(const IndexArrays& index, const Run& run) {
    WalkGraph<Offset, Target> graph{static_cast<const Offset*>(index.offsets), nullptr, nullptr, index.edge_ids,
                                    index.num_nodes, index.num_relations,
                                    static_cast<const Target*>(index.neighbors)};
    if (index.weighted) {
        graph.alias_arcs = static_cast<const AliasArc<Target>*>(index.arcs);
    } else {
        graph.arcs = static_cast<const Arc<Target>*>(index.arcs);
    }
    run(graph);
}

/// p and q, or none for a first-order walk.
using Factors = std::optional<std::pair<double, double>>;

SecondOrder order_of(const Factors& factors) {
    return factors ? second_order(factors->first, factors->second) : SecondOrder{};
}

template <class Run>
void run_typed(const IndexArrays& index, const Run& run) {
    if (index.wide_offsets && index.wide_targets) return run_as<int64_t, int64_t>(index, run);
    if (index.wide_offsets) return run_as<int64_t, int32_t>(index, run);
    if (index.wide_targets) return run_as<uint32_t, int64_t>(index, run);
    run_as<uint32_t, int32_t>(index, run);
}

Fault walk_py(AnyArray offsets, Flat<const uint64_t> arcs, std::optional<Flat<const int64_t>> edge_ids,
              std::optional<AnyArray> neighbors, bool wide, bool weighted, Factors factors,
              std::optional<Flat<const int32_t>> relations, int64_t num_relations, Flat<const int64_t> seeds,
              std::optional<Flat<const int64_t>> walk_ids, uint64_t seed, uint32_t stream, Table<int64_t> nodes,
              Table<float> alpha, std::optional<Table<int64_t>> edges, int num_threads) {
    require(offsets.ndim() == 1 && offsets.size() >= 1, "offsets is empty");
    const bool wide_offsets = offsets.dtype() == nb::dtype<int64_t>();
    require(wide_offsets || offsets.dtype() == nb::dtype<uint32_t>(), "offsets is neither uint32 nor int64");
    require(num_relations >= 1 && (offsets.size() - 1) % static_cast<size_t>(num_relations) == 0,
            "offsets has the wrong size");
    require(!factors || (neighbors && neighbors->itemsize() == (wide ? 8 : 4)), "neighbors is missing");
    const auto num_walks = seeds.size();
    const auto length = static_cast<int64_t>(nodes.shape(1)) - 1;
    require(length >= 0 && length <= kMaxWalkLength, "length is out of range");
    require(nodes.shape(0) == num_walks && alpha.shape(0) == num_walks && alpha.shape(1) == nodes.shape(1),
            "nodes and alpha have the wrong shape");
    require(!walk_ids || walk_ids->size() == num_walks, "walk_ids has the wrong size");
    require(!relations || static_cast<int64_t>(relations->size()) == length, "relations has the wrong size");
    require(!edges || (edges->shape(0) == num_walks && static_cast<int64_t>(edges->shape(1)) == length),
            "edges has the wrong shape");
    const IndexArrays index{offsets.data(),
                            arcs.data(),
                            edge_ids ? edge_ids->data() : nullptr,
                            factors ? neighbors->data() : nullptr,
                            (static_cast<int64_t>(offsets.size()) - 1) / num_relations,
                            num_relations,
                            wide_offsets,
                            wide,
                            weighted};
    const WalkRequest request{seeds.data(),
                              walk_ids ? walk_ids->data() : nullptr,
                              static_cast<int64_t>(num_walks),
                              length,
                              WalkRandom{seed, stream},
                              nodes.data(),
                              alpha.data(),
                              edges ? edges->data() : nullptr,
                              relations ? relations->data() : nullptr,
                              order_of(factors)};
    const Transition transition{weighted, factors.has_value()};
    const nb::gil_scoped_release release;
    const WalkCheck check = check_walks(request, index.num_nodes);
    if (check.fault == WalkFault::none) {
        run_typed(index, [&](const auto& graph) { walk_cpu(graph, request, transition, num_threads); });
    }
    return {static_cast<int>(check.fault), check.position};
}

#if defined(INFOALIGN_WITH_CUDA)

void walk_cuda_py(uint64_t offsets, uint64_t arcs, uint64_t edge_ids, uint64_t neighbors, int64_t num_nodes,
                  bool wide_offsets, bool wide, bool weighted, Factors factors, uint64_t relations,
                  int64_t num_relations, uint64_t seeds, uint64_t walk_ids, int64_t num_walks, int64_t length,
                  uint64_t seed, uint32_t stream, uint64_t nodes, uint64_t alpha, uint64_t edges, int device,
                  uint64_t queue) {
    const IndexArrays index{at_address<const void>(offsets),
                            at_address<const void>(arcs),
                            at_address<const int64_t>(edge_ids),
                            at_address<const void>(neighbors),
                            num_nodes,
                            num_relations,
                            wide_offsets,
                            wide,
                            weighted};
    const WalkRequest request{at_address<const int64_t>(seeds),
                              at_address<const int64_t>(walk_ids),
                              num_walks,
                              length,
                              WalkRandom{seed, stream},
                              at_address<int64_t>(nodes),
                              at_address<float>(alpha),
                              at_address<int64_t>(edges),
                              at_address<const int32_t>(relations),
                              order_of(factors)};
    const Transition transition{weighted, factors.has_value()};
    run_typed(index,
              [&](const auto& graph) { walk_cuda(graph, request, transition, device, at_address<void>(queue)); });
}

std::pair<bool, std::string> cuda_status_py() {
    const CudaStatus status = cuda_status();
    return {status.available, status.reason};
}

#else

std::pair<bool, std::string> cuda_status_py() {
    return {false, "this build has no CUDA code: install again where nvcc is found, with INFOALIGN_CUDA=1"};
}

#endif

}  // namespace

void bind_walks(nb::module_& m) {
    m.def("empty_nodes", &empty_table<int64_t>, "rows"_a, "columns"_a);
    m.def("empty_alphas", &empty_table<float>, "rows"_a, "columns"_a);
    m.def("walk", &walk_py, "offsets"_a, "arcs"_a, "edge_ids"_a.none(), "neighbors"_a.none(), "wide"_a, "weighted"_a,
          "factors"_a.none(), "relations"_a.none(), "num_relations"_a, "seeds"_a, "walk_ids"_a.none(), "seed"_a,
          "stream"_a, "nodes"_a, "alpha"_a, "edges"_a.none(), "num_threads"_a);
#if defined(INFOALIGN_WITH_CUDA)
    m.def("walk_cuda", &walk_cuda_py, "offsets"_a, "arcs"_a, "edge_ids"_a, "neighbors"_a, "num_nodes"_a,
          "wide_offsets"_a, "wide"_a, "weighted"_a, "factors"_a.none(), "relations"_a, "num_relations"_a, "seeds"_a,
          "walk_ids"_a, "num_walks"_a, "length"_a, "seed"_a, "stream"_a, "nodes"_a, "alpha"_a, "edges"_a, "device"_a,
          "queue"_a);
#endif
    m.def("cuda_status", &cuda_status_py, "Whether CUDA walks can run here, and why not.");
}

}  // namespace infoalign::bindings
