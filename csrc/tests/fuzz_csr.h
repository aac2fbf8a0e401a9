/// \file fuzz_csr.h
/// The fuzz target of the CSR entry points, and what it counts so that a driver can tell whether it reached everything.
#pragma once

#include <cstddef>
#include <cstdint>

/// Decodes the bytes into arrays, calls the entry points, and aborts with a message where a property does not hold.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace fuzz {

enum Entry : int { kOffsets, kCsr, kEdges, kNumEntries };
constexpr int kNumFaults = 8;      // of CsrFault, none included
constexpr int kNumWalkFaults = 3;  // of WalkFault, none included

/// What the inputs so far came to.
struct Counts {
    long entries[kNumEntries][kNumFaults] = {};
    long walks[kNumWalkFaults] = {};
    long many_arcs = 0;        ///< offsets of more than 2^32 arcs that were accepted
    long dead_ends = 0;        ///< walks that ended at a node without arcs, or without weight
    long weightless = 0;       ///< nodes whose weights sum to 0
    long steps = 0;            ///< steps that were checked
    long second_order_steps = 0;
    long no_nodes = 0;         ///< graphs accepted without a node
    long subnormal = 0;        ///< arcs accepted with a subnormal weight
    long negative_zeros = 0;   ///< arcs accepted with the weight -0.0
};

extern Counts counts;

}  // namespace fuzz
