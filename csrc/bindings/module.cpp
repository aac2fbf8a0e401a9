/// \file module.cpp
/// infoalign_dgl._native: this folder is the only place that knows Python. Arrays pass without a copy, and the GIL is
/// released while a kernel runs. Values are checked in C++ and reported as (fault, position); the Python side words the
/// error.
#include "arrays.h"

NB_MODULE(_native, m) {
    m.doc() =
        "Native kernels: walks, alias tables, collapsed targets, fingerprint similarity, batches of molecules, GIN layers.";
    infoalign::bindings::bind_index(m);
    infoalign::bindings::bind_walks(m);
    infoalign::bindings::bind_targets(m);
    infoalign::bindings::bind_similarity(m);
    infoalign::bindings::bind_molecules(m);
    infoalign::bindings::bind_network(m);
}
