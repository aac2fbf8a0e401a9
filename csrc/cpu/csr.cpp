#include "infoalign/csr.h"

#include <algorithm>
#include <vector>

#include "infoalign/threads.h"

namespace infoalign {

namespace {

/// First of the arc's own faults; a weight that is not a number fails both comparisons.
CsrFault check_arc(int64_t target, float weight, int64_t num_nodes) {
    if (target < 0 || target >= num_nodes) return CsrFault::target_range;
    if (!(weight >= 0.0f && weight <= 1.0f)) return CsrFault::weight_range;
    return CsrFault::none;
}

}  // namespace

CsrCheck check_offsets(const int64_t* indptr, int64_t num_nodes, int64_t num_arcs) {
    if (indptr[0] != 0) return {CsrFault::first_offset, 0};
    for (int64_t node = 0; node < num_nodes; ++node) {
        if (indptr[node + 1] < indptr[node]) return {CsrFault::decreasing_offset, node};
        // The comparison above bounds nothing from above, but both are >= 0 here, so the difference cannot overflow.
        if (indptr[node + 1] - indptr[node] > kMaxDegree) return {CsrFault::degree, node};
    }
    if (indptr[num_nodes] != num_arcs) return {CsrFault::last_offset, num_nodes};
    return {};
}

template <class Target>
CsrCheck pack_csr(const int64_t* indptr, const int64_t* targets, const float* weights, int64_t num_nodes,
                  int64_t num_arcs, Arc<Target>* arcs) {
    const CsrCheck offsets = check_offsets(indptr, num_nodes, num_arcs);
    if (offsets.fault != CsrFault::none) return offsets;
    for (int64_t arc = 0; arc < num_arcs; ++arc) {
        const CsrFault fault = check_arc(targets[arc], weights[arc], num_nodes);
        if (fault != CsrFault::none) return {fault, arc};
        arcs[arc] = {static_cast<Target>(targets[arc]), weights[arc] + 0.0f};
    }
    return {};
}

template <class Target>
CsrCheck pack_edges(const int64_t* sources, const int64_t* targets, const float* weights, int64_t num_nodes,
                    int64_t num_edges, int64_t* indptr, Arc<Target>* arcs, int64_t* edge_ids) {
    std::vector<int64_t> cursor(static_cast<size_t>(num_nodes) + 1, 0);
    for (int64_t edge = 0; edge < num_edges; ++edge) {
        if (sources[edge] < 0 || sources[edge] >= num_nodes) return {CsrFault::source_range, edge};
        const CsrFault fault = check_arc(targets[edge], weights[edge], num_nodes);
        if (fault != CsrFault::none) return {fault, edge};
        ++cursor[static_cast<size_t>(sources[edge])];
    }
    int64_t total = 0;
    for (int64_t node = 0; node < num_nodes; ++node) {
        const int64_t degree = cursor[static_cast<size_t>(node)];
        if (degree > kMaxDegree) return {CsrFault::degree, node};
        indptr[node] = total;
        cursor[static_cast<size_t>(node)] = total;
        total += degree;
    }
    indptr[num_nodes] = total;
    for (int64_t edge = 0; edge < num_edges; ++edge) {
        const int64_t arc = cursor[static_cast<size_t>(sources[edge])]++;
        arcs[arc] = {static_cast<Target>(targets[edge]), weights[edge] + 0.0f};
        edge_ids[arc] = edge;
    }
    return {};
}

template <class Target>
void sort_neighbors(const int64_t* indptr, const Arc<Target>* arcs, int64_t num_rows, int num_threads, Target* out) {
    parallel_for(num_rows, num_threads, 1 << 15, [&](int64_t begin, int64_t end) {
        for (int64_t arc = indptr[begin]; arc < indptr[end]; ++arc) out[arc] = arcs[arc].target;
        for (int64_t row = begin; row < end; ++row) std::sort(out + indptr[row], out + indptr[row + 1]);
    });
}

template CsrCheck pack_csr(const int64_t*, const int64_t*, const float*, int64_t, int64_t, Arc<int32_t>*);
template CsrCheck pack_csr(const int64_t*, const int64_t*, const float*, int64_t, int64_t, Arc<int64_t>*);
template CsrCheck pack_edges(const int64_t*, const int64_t*, const float*, int64_t, int64_t, int64_t*, Arc<int32_t>*,
                             int64_t*);
template CsrCheck pack_edges(const int64_t*, const int64_t*, const float*, int64_t, int64_t, int64_t*, Arc<int64_t>*,
                             int64_t*);

template void sort_neighbors(const int64_t*, const Arc<int32_t>*, int64_t, int, int32_t*);
template void sort_neighbors(const int64_t*, const Arc<int64_t>*, int64_t, int, int64_t*);

}  // namespace infoalign
