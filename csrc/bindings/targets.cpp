/// \file targets.cpp
/// Collapsed targets on the CPU and on CUDA devices.
#include "infoalign/targets.h"
#include "arrays.h"
#include "buffers.h"

namespace infoalign::bindings {

using namespace nb::literals;

namespace {

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
    {
        const nb::gil_scoped_release release;
        targets = find_targets(walks, rows);
    }
    auto means = empty_table<float>(targets.molecule.size(), static_cast<size_t>(num_columns));
    if (targets.bad_walk < 0) {
        const nb::gil_scoped_release release;
        average_targets(walks, rows, targets, num_threads, means.data());
    }
    const int64_t bad_walk = targets.bad_walk;
    return nb::make_tuple(bad_walk, to_numpy(std::move(targets.molecule)), to_numpy(std::move(targets.alpha)),
                          to_numpy(std::move(targets.count)), means);
}

#if defined(INFOALIGN_WITH_CUDA)

void sum_walks_cuda_py(uint64_t nodes, uint64_t alpha, int64_t num_walks, int64_t num_steps, uint64_t row_index,
                       int64_t num_nodes, int64_t num_rows, uint64_t total, uint64_t count, int device,
                       uint64_t queue) {
    // The sums need no values, so their format does not matter.
    const FeatureRows rows{RowFormat::bits, nullptr, num_rows, 0, at_address<const int64_t>(row_index), num_nodes};
    sum_walks_cuda({at_address<const int64_t>(nodes), at_address<const float>(alpha), num_walks, num_steps}, rows,
                   at_address<float>(total), at_address<int64_t>(count), device, at_address<void>(queue));
}

void average_targets_cuda_py(uint64_t nodes, uint64_t alpha, int64_t num_walks, int64_t num_steps, uint64_t row_index,
                             int64_t num_nodes, uint64_t values, int64_t num_rows, int64_t num_columns, int format,
                             uint64_t molecule, uint64_t total, int64_t num_targets, uint64_t mean, int device,
                             uint64_t queue) {
    const FeatureRows rows{static_cast<RowFormat>(format),
                           at_address<const void>(values),
                           num_rows,
                           num_columns,
                           at_address<const int64_t>(row_index),
                           num_nodes};
    average_targets_cuda({at_address<const int64_t>(nodes), at_address<const float>(alpha), num_walks, num_steps}, rows,
                         at_address<const int64_t>(molecule), at_address<const float>(total), num_targets,
                         at_address<float>(mean), device, at_address<void>(queue));
}

#endif

}  // namespace

void bind_targets(nb::module_& m) {
    m.def("collapse", &collapse_py, "nodes"_a, "alpha"_a, "row_index"_a, "values"_a, "num_columns"_a, "format"_a,
          "num_threads"_a);
#if defined(INFOALIGN_WITH_CUDA)
    m.def("sum_walks_cuda", &sum_walks_cuda_py, "nodes"_a, "alpha"_a, "num_walks"_a, "num_steps"_a, "row_index"_a,
          "num_nodes"_a, "num_rows"_a, "total"_a, "count"_a, "device"_a, "queue"_a);
    m.def("average_targets_cuda", &average_targets_cuda_py, "nodes"_a, "alpha"_a, "num_walks"_a, "num_steps"_a,
          "row_index"_a, "num_nodes"_a, "values"_a, "num_rows"_a, "num_columns"_a, "format"_a, "molecule"_a, "total"_a,
          "num_targets"_a, "mean"_a, "device"_a, "queue"_a);
#endif
}

}  // namespace infoalign::bindings
