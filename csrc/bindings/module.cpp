/// \file module.cpp
/// infoalign_dgl._native: the only place that knows Python. Arrays pass without a copy, and the GIL is released while
/// a kernel runs. Values are checked in C++ and reported as (fault, position); the Python side words the error.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "infoalign/alias.h"
#include "infoalign/bit_filter.h"
#include "infoalign/csr.h"
#include "infoalign/similarity.h"
#include "infoalign/targets.h"
#include "infoalign/walk.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using namespace infoalign;

template <class T>
using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Table = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Fault = std::pair<int, int64_t>;

void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

/// Arcs travel as plain 64-bit words: numpy's record types have no place in DLPack.
template <class Record>
void require_records(size_t words, size_t count, const char* what) {
    require(words * sizeof(uint64_t) == count * sizeof(Record), what);
}

template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T>&& values, std::initializer_list<size_t> shape) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* pointer) noexcept { delete static_cast<std::vector<T>*>(pointer); });
    return nb::ndarray<nb::numpy, T>(kept->data(), shape, owner);
}

template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T>&& values) {
    const size_t size = values.size();
    return to_numpy(std::move(values), {size});
}

template <class Target>
Fault pack_edges_as(const Flat<const int64_t>& src, const Flat<const int64_t>& dst, const Flat<const float>& weight,
                    Flat<int64_t>& indptr, Flat<uint64_t>& arcs, Flat<int64_t>& edge_ids) {
    require_records<Arc<Target>>(arcs.size(), src.size(), "arcs has the wrong size");
    const nb::gil_scoped_release release;
    const CsrCheck check =
        pack_edges(src.data(), dst.data(), weight.data(), static_cast<int64_t>(indptr.size()) - 1,
                   static_cast<int64_t>(src.size()), indptr.data(), reinterpret_cast<Arc<Target>*>(arcs.data()),
                   edge_ids.data());
    return {static_cast<int>(check.fault), check.position};
}

Fault pack_edges_py(Flat<const int64_t> src, Flat<const int64_t> dst, Flat<const float> weight, Flat<int64_t> indptr,
                    Flat<uint64_t> arcs, Flat<int64_t> edge_ids, bool wide) {
    require(src.size() == dst.size() && src.size() == weight.size() && src.size() == edge_ids.size(),
            "src, dst, weight and edge_ids differ in size");
    require(indptr.size() >= 1, "indptr is empty");
    return wide ? pack_edges_as<int64_t>(src, dst, weight, indptr, arcs, edge_ids)
                : pack_edges_as<int32_t>(src, dst, weight, indptr, arcs, edge_ids);
}

template <class Target>
Fault pack_csr_as(const Flat<const int64_t>& indptr, const Flat<const int64_t>& indices,
                  const Flat<const float>& weight, Flat<uint64_t>& arcs) {
    require_records<Arc<Target>>(arcs.size(), indices.size(), "arcs has the wrong size");
    const nb::gil_scoped_release release;
    const CsrCheck check = pack_csr(indptr.data(), indices.data(), weight.data(), static_cast<int64_t>(indptr.size()) - 1,
                                    static_cast<int64_t>(indices.size()), reinterpret_cast<Arc<Target>*>(arcs.data()));
    return {static_cast<int>(check.fault), check.position};
}

Fault pack_csr_py(Flat<const int64_t> indptr, Flat<const int64_t> indices, Flat<const float> weight,
                  Flat<uint64_t> arcs, bool wide) {
    require(indices.size() == weight.size(), "indices and weight differ in size");
    require(indptr.size() >= 1, "indptr is empty");
    return wide ? pack_csr_as<int64_t>(indptr, indices, weight, arcs)
                : pack_csr_as<int32_t>(indptr, indices, weight, arcs);
}

template <class Target>
void build_alias_as(const Flat<const int64_t>& indptr, const Flat<const uint64_t>& arcs, Flat<uint64_t>& out,
                    int num_threads) {
    const auto num_arcs = static_cast<size_t>(indptr.data()[indptr.size() - 1]);
    require_records<Arc<Target>>(arcs.size(), num_arcs, "arcs has the wrong size");
    require_records<AliasArc<Target>>(out.size(), num_arcs, "alias_arcs has the wrong size");
    const nb::gil_scoped_release release;
    build_alias(indptr.data(), reinterpret_cast<const Arc<Target>*>(arcs.data()),
                static_cast<int64_t>(indptr.size()) - 1, num_threads, reinterpret_cast<AliasArc<Target>*>(out.data()));
}

void build_alias_py(Flat<const int64_t> indptr, Flat<const uint64_t> arcs, Flat<uint64_t> out, bool wide,
                    int num_threads) {
    require(indptr.size() >= 1, "indptr is empty");
    wide ? build_alias_as<int64_t>(indptr, arcs, out, num_threads)
         : build_alias_as<int32_t>(indptr, arcs, out, num_threads);
}

/// A walk index as the Python side keeps it: which of `arcs` is read depends on the transition.
struct IndexArrays {
    const void* offsets;
    const void* arcs;
    const int64_t* edge_ids;
    int64_t num_nodes;
    bool wide_offsets, wide_targets, weighted;
};

template <class Offset, class Target, class Run>
void run_as(const IndexArrays& index, const Run& run) {
    WalkGraph<Offset, Target> graph{static_cast<const Offset*>(index.offsets), nullptr, nullptr, index.edge_ids,
                                    index.num_nodes};
    if (index.weighted) {
        graph.alias_arcs = static_cast<const AliasArc<Target>*>(index.arcs);
    } else {
        graph.arcs = static_cast<const Arc<Target>*>(index.arcs);
    }
    run(graph);
}

template <class Run>
void run_typed(const IndexArrays& index, const Run& run) {
    if (index.wide_offsets && index.wide_targets) return run_as<int64_t, int64_t>(index, run);
    if (index.wide_offsets) return run_as<int64_t, int32_t>(index, run);
    if (index.wide_targets) return run_as<uint32_t, int64_t>(index, run);
    run_as<uint32_t, int32_t>(index, run);
}

Fault walk_py(AnyArray offsets, Flat<const uint64_t> arcs, std::optional<Flat<const int64_t>> edge_ids, bool wide,
              bool weighted, Flat<const int64_t> seeds, std::optional<Flat<const int64_t>> walk_ids, uint64_t seed,
              uint32_t stream, Table<int64_t> nodes, Table<float> alpha, std::optional<Table<int64_t>> edges,
              int num_threads) {
    require(offsets.ndim() == 1 && offsets.size() >= 1, "offsets is empty");
    const bool wide_offsets = offsets.dtype() == nb::dtype<int64_t>();
    require(wide_offsets || offsets.dtype() == nb::dtype<uint32_t>(), "offsets is neither uint32 nor int64");
    const auto num_walks = seeds.size();
    const auto length = static_cast<int64_t>(nodes.shape(1)) - 1;
    require(length >= 0 && length <= kMaxWalkLength, "length is out of range");
    require(nodes.shape(0) == num_walks && alpha.shape(0) == num_walks && alpha.shape(1) == nodes.shape(1),
            "nodes and alpha have the wrong shape");
    require(!walk_ids || walk_ids->size() == num_walks, "walk_ids has the wrong size");
    require(!edges || (edges->shape(0) == num_walks && static_cast<int64_t>(edges->shape(1)) == length),
            "edges has the wrong shape");
    const IndexArrays index{offsets.data(),  arcs.data(),     edge_ids ? edge_ids->data() : nullptr,
                            static_cast<int64_t>(offsets.size()) - 1, wide_offsets, wide, weighted};
    const WalkRequest request{seeds.data(), walk_ids ? walk_ids->data() : nullptr, static_cast<int64_t>(num_walks),
                              length,       WalkRandom{seed, stream},             nodes.data(),
                              alpha.data(), edges ? edges->data() : nullptr};
    const nb::gil_scoped_release release;
    const WalkCheck check = check_walks(request, index.num_nodes);
    if (check.fault == WalkFault::none) {
        run_typed(index, [&](const auto& graph) { walk_cpu(graph, request, weighted, num_threads); });
    }
    return {static_cast<int>(check.fault), check.position};
}

#if defined(INFOALIGN_WITH_CUDA)

/// Device addresses come as integers: the caller holds the tensors and has checked them.
template <class T>
T* at_address(uint64_t address) {
    return reinterpret_cast<T*>(static_cast<uintptr_t>(address));
}

void walk_cuda_py(uint64_t offsets, uint64_t arcs, uint64_t edge_ids, int64_t num_nodes, bool wide_offsets, bool wide,
                  bool weighted, uint64_t seeds, uint64_t walk_ids, int64_t num_walks, int64_t length, uint64_t seed,
                  uint32_t stream, uint64_t nodes, uint64_t alpha, uint64_t edges, int device, uint64_t queue) {
    const IndexArrays index{at_address<const void>(offsets), at_address<const void>(arcs),
                            at_address<const int64_t>(edge_ids), num_nodes, wide_offsets, wide, weighted};
    const WalkRequest request{at_address<const int64_t>(seeds),
                              at_address<const int64_t>(walk_ids),
                              num_walks,
                              length,
                              WalkRandom{seed, stream},
                              at_address<int64_t>(nodes),
                              at_address<float>(alpha),
                              at_address<int64_t>(edges)};
    run_typed(index, [&](const auto& graph) { walk_cuda(graph, request, weighted, device, at_address<void>(queue)); });
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

nb::tuple collapse_py(Table<const int64_t> nodes, Table<const float> alpha, Flat<const int64_t> row_index,
                      AnyArray values, int64_t num_columns, int format, int num_threads) {
    require(nodes.shape(0) == alpha.shape(0) && nodes.shape(1) == alpha.shape(1), "nodes and alpha differ in shape");
    require(values.ndim() == 2, "values is not a table");
    const auto kind = static_cast<RowFormat>(format);
    const int64_t width = kind == RowFormat::bits ? (num_columns + 7) / 8 : num_columns;
    const int item = kind == RowFormat::bits ? 1 : kind == RowFormat::float16 ? 2 : 4;
    require(static_cast<int64_t>(values.shape(1)) == width && values.itemsize() == static_cast<size_t>(item),
            "values has the wrong width");
    const WalkRows walks{nodes.data(), alpha.data(), static_cast<int64_t>(nodes.shape(0)),
                         static_cast<int64_t>(nodes.shape(1))};
    const FeatureRows rows{kind,
                           values.data(),
                           static_cast<int64_t>(values.shape(0)),
                           num_columns,
                           row_index.data(),
                           static_cast<int64_t>(row_index.size())};
    TargetRows targets;
    float* mean = nullptr;
    {
        const nb::gil_scoped_release release;
        targets = find_targets(walks, rows);
        mean = new float[targets.molecule.size() * static_cast<size_t>(num_columns) + 1];
        if (targets.bad_walk < 0) average_targets(walks, rows, targets, num_threads, mean);
    }
    nb::capsule owner(mean, [](void* pointer) noexcept { delete[] static_cast<float*>(pointer); });
    const int64_t bad_walk = targets.bad_walk;
    const size_t found = targets.molecule.size();
    nb::ndarray<nb::numpy, float> means(mean, {found, static_cast<size_t>(num_columns)}, owner);
    return nb::make_tuple(bad_walk, to_numpy(std::move(targets.molecule)), to_numpy(std::move(targets.alpha)),
                          to_numpy(std::move(targets.count)), means);
}

nb::tuple scan_py(const BitTable& table, Table<const int32_t> least_common, int64_t begin, int64_t end,
                  int num_threads) {
    const size_t groups = table.group_bits().size();
    require(least_common.shape(0) == groups && least_common.shape(1) == groups, "least_common has the wrong shape");
    require(begin >= 0 && end <= table.num_tiles(), "the tiles are out of range");
    CommonBits found;
    {
        const nb::gil_scoped_release release;
        found = table.scan(least_common.data(), begin, end, num_threads);
    }
    return nb::make_tuple(to_numpy(std::move(found.i)), to_numpy(std::move(found.j)),
                          to_numpy(std::move(found.common)));
}

const char* isa_name() {
    switch (best_isa()) {
        case BitIsa::avx512: return "avx512";
        case BitIsa::avx2: return "avx2";
        default: return "portable";
    }
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Native kernels: walks, alias tables, collapsed targets, fingerprint similarity.";
    m.def("pack_edges", &pack_edges_py, "src"_a, "dst"_a, "weight"_a, "indptr"_a, "arcs"_a, "edge_ids"_a, "wide"_a);
    m.def("pack_csr", &pack_csr_py, "indptr"_a, "indices"_a, "weight"_a, "arcs"_a, "wide"_a);
    m.def("build_alias", &build_alias_py, "indptr"_a, "arcs"_a, "alias_arcs"_a, "wide"_a, "num_threads"_a);
    m.def("walk", &walk_py, "offsets"_a, "arcs"_a, "edge_ids"_a.none(), "wide"_a, "weighted"_a, "seeds"_a,
          "walk_ids"_a.none(), "seed"_a, "stream"_a, "nodes"_a, "alpha"_a, "edges"_a.none(), "num_threads"_a);
#if defined(INFOALIGN_WITH_CUDA)
    m.def("walk_cuda", &walk_cuda_py, "offsets"_a, "arcs"_a, "edge_ids"_a, "num_nodes"_a, "wide_offsets"_a, "wide"_a,
          "weighted"_a, "seeds"_a, "walk_ids"_a, "num_walks"_a, "length"_a, "seed"_a, "stream"_a, "nodes"_a, "alpha"_a,
          "edges"_a, "device"_a, "queue"_a);
#endif
    m.def("cuda_status", &cuda_status_py, "Whether CUDA walks can run here, and why not.");
    m.def("collapse", &collapse_py, "nodes"_a, "alpha"_a, "row_index"_a, "values"_a, "num_columns"_a, "format"_a,
          "num_threads"_a);
    m.def("similarity_isa", &isa_name, "The instruction set that the similarity search uses.");
    nb::class_<BitTable>(m, "BitTable")
        .def("__init__",
             [](BitTable* self, Table<const uint8_t> rows) {
                 const nb::gil_scoped_release release;
                 new (self) BitTable(rows.data(), static_cast<int64_t>(rows.shape(0)),
                                     static_cast<int64_t>(rows.shape(1)));
             })
        .def_prop_ro(
            "group_bits", [](const BitTable& table) { return to_numpy(std::vector<int32_t>(table.group_bits())); },
            nb::rv_policy::automatic)
        .def_prop_ro("num_tiles", &BitTable::num_tiles)
        .def("scan", &scan_py, "least_common"_a, "begin"_a, "end"_a, "num_threads"_a);
}
