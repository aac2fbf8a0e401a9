/// \file index.cpp
/// Packing arcs and building alias tables.
#include "infoalign/alias.h"
#include "infoalign/csr.h"

#include "arrays.h"

namespace infoalign::bindings {

using namespace nb::literals;

namespace {

/// Arcs travel as plain 64-bit words: numpy's record types have no place in DLPack.
template <class Record>
void require_records(size_t words, size_t count, const char* what) {
    require(words * sizeof(uint64_t) == count * sizeof(Record), what);
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
    const CsrCheck check =
        pack_csr(indptr.data(), indices.data(), weight.data(), static_cast<int64_t>(indptr.size()) - 1,
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

template <class Target>
void sort_neighbors_py(Flat<const int64_t> indptr, Flat<const uint64_t> arcs, Flat<Target> out, int num_threads) {
    require(indptr.size() >= 1, "indptr is empty");
    const auto num_arcs = static_cast<size_t>(indptr.data()[indptr.size() - 1]);
    require_records<Arc<Target>>(arcs.size(), num_arcs, "arcs has the wrong size");
    require(out.size() == num_arcs, "neighbors has the wrong size");
    const nb::gil_scoped_release release;
    sort_neighbors(indptr.data(), reinterpret_cast<const Arc<Target>*>(arcs.data()),
                   static_cast<int64_t>(indptr.size()) - 1, num_threads, out.data());
}

}  // namespace

void bind_index(nb::module_& m) {
    m.def("pack_edges", &pack_edges_py, "src"_a, "dst"_a, "weight"_a, "indptr"_a, "arcs"_a, "edge_ids"_a, "wide"_a);
    m.def("pack_csr", &pack_csr_py, "indptr"_a, "indices"_a, "weight"_a, "arcs"_a, "wide"_a);
    m.def("sort_neighbors", &sort_neighbors_py<int32_t>, "indptr"_a, "arcs"_a, "neighbors"_a, "num_threads"_a);
    m.def("sort_neighbors", &sort_neighbors_py<int64_t>, "indptr"_a, "arcs"_a, "neighbors"_a, "num_threads"_a);
    m.def("build_alias", &build_alias_py, "indptr"_a, "arcs"_a, "alias_arcs"_a, "wide"_a, "num_threads"_a);
}

}  // namespace infoalign::bindings
