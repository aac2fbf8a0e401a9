#include "infoalign/alias.h"

#include <vector>

#include "infoalign/threads.h"

namespace infoalign {

namespace {

/// Working memory of one thread, kept from node to node.
struct Worklists {
    std::vector<double> share;
    std::vector<uint32_t> small, large;
};

template <class Target>
void build_node(const Arc<Target>* arcs, int64_t degree, Worklists& lists, AliasArc<Target>* out) {
    double sum = 0.0;
    uint32_t heaviest = 0;
    for (int64_t i = 0; i < degree; ++i) {
        sum += static_cast<double>(arcs[i].weight);
        if (arcs[i].weight > arcs[heaviest].weight) heaviest = static_cast<uint32_t>(i);
    }
    if (!(sum > 0.0)) {
        for (int64_t i = 0; i < degree; ++i) out[i] = {arcs[i].target, arcs[i].weight, 0, kNoArc};
        return;
    }
    auto& [share, small, large] = lists;
    share.clear();
    small.clear();
    large.clear();
    for (int64_t i = 0; i < degree; ++i) {
        share.push_back(static_cast<double>(arcs[i].weight) * static_cast<double>(degree) / sum);
        (share.back() < 1.0 ? small : large).push_back(static_cast<uint32_t>(i));
    }
    while (!small.empty() && !large.empty()) {
        const uint32_t low = small.back();
        const uint32_t high = large.back();
        small.pop_back();
        large.pop_back();
        out[low] = {arcs[low].target, arcs[low].weight, static_cast<uint32_t>(share[low] * 4294967296.0), high};
        share[high] = (share[high] + share[low]) - 1.0;
        (share[high] < 1.0 ? small : large).push_back(high);
    }
    for (const uint32_t i : large) out[i] = {arcs[i].target, arcs[i].weight, kFullColumn, i};
    for (const uint32_t i : small) {
        const bool weightless = arcs[i].weight == 0.0f;
        out[i] = {arcs[i].target, arcs[i].weight, weightless ? 0 : kFullColumn, weightless ? heaviest : i};
    }
}

}  // namespace

template <class Target>
void build_alias(const int64_t* indptr, const Arc<Target>* arcs, int64_t num_nodes, int num_threads,
                 AliasArc<Target>* out) {
    parallel_for(num_nodes, num_threads, 1 << 15, [&](int64_t begin, int64_t end) {
        Worklists lists;
        for (int64_t node = begin; node < end; ++node) {
            const int64_t first = indptr[node];
            build_node(arcs + first, indptr[node + 1] - first, lists, out + first);
        }
    });
}

template void build_alias(const int64_t*, const Arc<int32_t>*, int64_t, int, AliasArc<int32_t>*);
template void build_alias(const int64_t*, const Arc<int64_t>*, int64_t, int, AliasArc<int64_t>*);

}  // namespace infoalign
