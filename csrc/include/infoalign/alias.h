/// \file alias.h
/// Alias tables (Walker 1977, Vose 1991): an arc drawn in proportion to its weight by two random words.
#pragma once

#include <cstdint>

#include "infoalign/csr.h"

namespace infoalign {

/// Fill `out` (num_arcs) with each node's arcs and alias columns, node by node in arc order.
///
/// With w the weights of a node of degree n, p_i = w_i * n / sum(w) in doubles; columns below 1 wait on one stack,
/// the others on a second, both filled in arc order; a small column l takes its missing part from the large column g
/// on top, threshold_l = floor(p_l * 2^32), p_g = (p_g + p_l) - 1. What is left over is full (threshold 2^32 - 1,
/// alias itself), except an arc of weight 0 that rounding left over: that one gets threshold 0 and the node's first
/// heaviest arc, so that it is never taken. A node whose weights sum to 0 gets threshold 0 and alias kNoArc.
template <class Target>
void build_alias(const int64_t* indptr, const Arc<Target>* arcs, int64_t num_nodes, int num_threads,
                 AliasArc<Target>* out);

}  // namespace infoalign
