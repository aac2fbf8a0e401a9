/// \file graphs.h
/// Random graphs for the tests, drawn from Philox so that every run sees the same ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "infoalign/alias.h"
#include "infoalign/csr.h"
#include "infoalign/philox.h"
#include "infoalign/walk.h"

namespace graphs {

/// A stream of random words.
class Words {
public:
    explicit Words(uint64_t seed) : random_{seed, 0xC0FFEE} {}
    uint32_t next() { return random_.draw(at_++, 0).r0; }
    uint32_t below(uint32_t limit) { return static_cast<uint32_t>((static_cast<uint64_t>(next()) * limit) >> 32); }

private:
    infoalign::WalkRandom random_;
    uint64_t at_ = 0;
};

struct Edges {
    std::vector<int64_t> src, dst;
    std::vector<float> weight;
};

/// Random edges with self-loops, parallel edges, nodes without any and weights of 0 and 1 among them.
inline Edges random_edges(uint64_t seed, int64_t num_nodes, int64_t num_edges) {
    Words words(seed);
    Edges edges;
    for (int64_t e = 0; e < num_edges; ++e) {
        edges.src.push_back(words.below(static_cast<uint32_t>(std::max<int64_t>(1, num_nodes * 3 / 4))));
        edges.dst.push_back(words.below(static_cast<uint32_t>(num_nodes)));
        const uint32_t kind = words.below(8);
        edges.weight.push_back(kind == 0 ? 0.0f : kind == 1 ? 1.0f : static_cast<float>(words.below(1000)) / 1000.0f);
    }
    return edges;
}

/// A graph with everything a walk needs, in the widths asked for.
template <class Offset, class Target>
struct Graph {
    std::vector<int64_t> indptr, edge_ids;
    std::vector<Offset> offsets;
    std::vector<infoalign::Arc<Target>> arcs;
    std::vector<infoalign::AliasArc<Target>> alias;
    std::vector<Target> neighbors;
    infoalign::CsrCheck check;

    Graph(const Edges& edges, int64_t num_nodes, int num_threads = 1)
        : indptr(static_cast<size_t>(num_nodes) + 1), edge_ids(edges.src.size()), arcs(edges.src.size()),
          alias(edges.src.size()), neighbors(edges.src.size()) {
        check = infoalign::pack_edges(edges.src.data(), edges.dst.data(), edges.weight.data(), num_nodes,
                                      static_cast<int64_t>(edges.src.size()), indptr.data(), arcs.data(),
                                      edge_ids.data());
        if (check.fault != infoalign::CsrFault::none) return;
        offsets.assign(indptr.begin(), indptr.end());
        infoalign::build_alias(indptr.data(), arcs.data(), num_nodes, num_threads, alias.data());
        infoalign::sort_neighbors(indptr.data(), arcs.data(), num_nodes, num_threads, neighbors.data());
    }

    infoalign::WalkGraph<Offset, Target> view() const {
        return {offsets.data(),  arcs.data(), alias.data(),
                edge_ids.data(), static_cast<int64_t>(indptr.size()) - 1, 1, neighbors.data()};
    }
};

/// What a request writes.
struct Output {
    std::vector<int64_t> nodes, edges;
    std::vector<float> alpha;

    Output(int64_t walks, int64_t length)
        : nodes(static_cast<size_t>(walks * (length + 1))), edges(static_cast<size_t>(walks * length)),
          alpha(static_cast<size_t>(walks * (length + 1))) {}

    bool operator==(const Output& other) const {
        return nodes == other.nodes && edges == other.edges && alpha == other.alpha;
    }
};

inline infoalign::WalkRequest request(const std::vector<int64_t>& seeds, const std::vector<int64_t>* ids,
                                      int64_t length, uint64_t seed, uint32_t stream, Output& output) {
    return {seeds.data(),
            ids == nullptr ? nullptr : ids->data(),
            static_cast<int64_t>(seeds.size()),
            length,
            infoalign::WalkRandom{seed, stream},
            output.nodes.data(),
            output.alpha.data(),
            output.edges.data()};
}

}  // namespace graphs
