/// \file second_order.h
/// Second-order walks (node2vec; Grover and Leskovec 2016, section 3.2.2): an arc's chance is its first-order one times
/// 1/p if it leads back to the node before, 1 if that node has an arc to where it leads, 1/q otherwise.
///
/// Arcs are proposed by the first-order walk and accepted in proportion to that factor, so no table per pair of nodes
/// is needed. After as many refusals as reading all arcs of the node would cost, they are read, and one is drawn from
/// the sums: the result has the same distribution, and a step has a bound.
#pragma once

#include <cstdint>

#include "infoalign/csr.h"
#include "infoalign/macros.h"
#include "infoalign/philox.h"

namespace infoalign {

/// Where an arc leads, seen from the node before.
enum Hop : int { kBack = 0, kNear = 1, kFar = 2 };

/// The factors of p and q.
struct SecondOrder {
    double factor[3];    ///< by Hop: 1/p, 1, 1/q
    uint64_t accept[3];  ///< floor(2^32 factor / the largest factor): accept if a 32-bit random word is below
};

/// The factors of positive finite p and q.
inline SecondOrder second_order(double p, double q) {
    SecondOrder made{{1.0 / p, 1.0, 1.0 / q}, {}};
    double largest = 1.0;
    for (const double factor : made.factor) largest = factor > largest ? factor : largest;
    for (int hop = 0; hop < 3; ++hop) {
        made.accept[hop] = static_cast<uint64_t>(made.factor[hop] / largest * 4294967296.0);
    }
    return made;
}

/// Proposals before all arcs of a node are read; the attempt number has 16 bits of its counter word.
INFOALIGN_HD INFOALIGN_INLINE int64_t attempt_limit(int64_t degree) {
    return degree < 8 ? 8 : degree > 65535 ? 65535 : degree;
}

/// The node that a walk came from, with the targets of its arcs in ascending order.
template <class Target>
struct Previous {
    int64_t node;
    const Target* neighbors;
    int64_t degree;
};

/// Whether ascending `values` hold `wanted`.
template <class Target>
INFOALIGN_HD INFOALIGN_INLINE bool holds(const Target* values, int64_t count, int64_t wanted) {
    const Target* first = values;
    while (count > 1) {
        const int64_t half = count / 2;
        first += static_cast<int64_t>(first[half - 1]) < wanted ? half : 0;
        count -= half;
    }
    return count == 1 && static_cast<int64_t>(*first) == wanted;
}

template <class Target>
INFOALIGN_HD INFOALIGN_INLINE Hop hop_of(const Previous<Target>& previous, int64_t target) {
    if (target == previous.node) return kBack;
    return holds(previous.neighbors, previous.degree, target) ? kNear : kFar;
}

/// Whether a proposal is accepted; looks for the target among the neighbours only where the answer depends on it.
template <class Target>
INFOALIGN_HD INFOALIGN_INLINE bool accepts(const SecondOrder& order, const Previous<Target>& previous, int64_t target,
                                           uint32_t word) {
    if (target == previous.node) return word < order.accept[kBack];
    const bool if_near = word < order.accept[kNear];
    const bool if_far = word < order.accept[kFar];
    if (if_near == if_far) return if_near;
    return holds(previous.neighbors, previous.degree, target) ? if_near : if_far;
}

/// An arc drawn from the sums over all arcs of a node (`Record`: Arc or AliasArc), or -1 where all of them are 0.
template <bool kWeighted, class Record, class Target>
INFOALIGN_HD inline int64_t draw_from_all(const SecondOrder& order, const Previous<Target>& previous,
                                          const Record* records, int64_t first, int64_t degree, Random4 random) {
    const auto share = [&](int64_t arc) {
        const double weight = kWeighted ? static_cast<double>(records[arc].weight) : 1.0;
        return weight * order.factor[hop_of(previous, static_cast<int64_t>(records[arc].target))];
    };
    double total = 0.0;
    for (int64_t arc = first; arc < first + degree; ++arc) total += share(arc);
    const uint64_t word = static_cast<uint64_t>(random.r0) << 32 | random.r1;
    const double aim = static_cast<double>(word >> 11) * (1.0 / 9007199254740992.0) * total;  // 53 bits: below total
    double reached = 0.0;
    int64_t last = -1;
    for (int64_t arc = first; arc < first + degree; ++arc) {
        const double here = share(arc);
        if (!(here > 0.0)) continue;
        last = arc;
        reached += here;
        if (aim < reached) break;
    }
    return last;
}

}  // namespace infoalign
