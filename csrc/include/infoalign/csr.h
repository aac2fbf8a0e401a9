/// \file csr.h
/// The arcs of a walk index: compressed sparse rows over node ids, target and weight packed side by side.
#pragma once

#include <cstddef>
#include <cstdint>

namespace infoalign {

/// One arc. With 32-bit targets it is one 8-byte word, so that a step loads both at once.
template <class Target>
struct Arc {
    Target target;
    float weight;
};

/// One arc with its column of the node's alias table.
template <class Target>
struct AliasArc {
    Target target;
    float weight;
    uint32_t threshold;  ///< take this arc if a 32-bit random word is below
    uint32_t alias;      ///< else the arc at this position of the node; kNoArc where the node has no weight at all
};

constexpr uint32_t kNoArc = 0xFFFFFFFFu;
constexpr uint32_t kFullColumn = 0xFFFFFFFFu;
constexpr int64_t kMaxDegree = int64_t{1} << 31;

static_assert(sizeof(Arc<int32_t>) == 8 && sizeof(AliasArc<int32_t>) == 16, "arcs of small graphs are packed");
static_assert(sizeof(Arc<int64_t>) == 16 && sizeof(AliasArc<int64_t>) == 24, "the arrays passed in count on this");

/// What is wrong with the arrays that shall become an index.
enum class CsrFault : int {
    none = 0,
    first_offset,       ///< indptr[0] is not 0
    decreasing_offset,  ///< indptr[position + 1] < indptr[position]
    last_offset,        ///< indptr[num_nodes] is not the number of arcs
    source_range,       ///< src[position] is no node
    target_range,       ///< the target at `position` is no node
    weight_range,       ///< the weight at `position` is not a number in [0, 1]
    degree,             ///< node `position` has more than 2^31 arcs
};

/// A fault and the first position that shows it.
struct CsrCheck {
    CsrFault fault = CsrFault::none;
    int64_t position = -1;
};

/// Check offsets alone: `indptr` has `num_nodes + 1` entries. Nothing it points at is read.
CsrCheck check_offsets(const int64_t* indptr, int64_t num_nodes, int64_t num_arcs);

/// Check rows given as CSR and pack them into `arcs` (num_arcs); on a fault `arcs` holds nothing of use. A weight of -0
/// becomes 0, so that no product of weights has a sign.
template <class Target>
CsrCheck pack_csr(const int64_t* indptr, const int64_t* targets, const float* weights, int64_t num_nodes,
                  int64_t num_arcs, Arc<Target>* arcs);

/// Check a list of edges and sort it by source, stably: fills `indptr` (num_nodes + 1), `arcs` and `edge_ids`, the
/// position that each arc had in the list.
template <class Target>
CsrCheck pack_edges(const int64_t* sources, const int64_t* targets, const float* weights, int64_t num_nodes,
                    int64_t num_edges, int64_t* indptr, Arc<Target>* arcs, int64_t* edge_ids);

/// Fill `out` (num_arcs) with each row's targets in ascending order; duplicates stay.
template <class Target>
void sort_neighbors(const int64_t* indptr, const Arc<Target>* arcs, int64_t num_rows, int num_threads, Target* out);

}  // namespace infoalign
