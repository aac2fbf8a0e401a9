/// \file similarity.cpp
/// The fingerprint search.
#include "infoalign/similarity.h"

#include "infoalign/bit_filter.h"
#include "arrays.h"

namespace infoalign::bindings {

using namespace nb::literals;

namespace {

nb::tuple scan_py(const BitTable& table, Table<const int32_t> least_common, int64_t begin, int64_t end,
                  int num_threads) {
    const size_t groups = table.group_bits().size();
    require(least_common.shape(0) == groups && least_common.shape(1) == groups, "least_common has the wrong shape");
    require(begin >= 0 && end <= table.num_tiles(), "the tiles are out of range");
    CommonBits found;
    {
        const nb::gil_scoped_release release;
        found = table.scan(least_common.data(), begin, end, num_threads);
    }
    return nb::make_tuple(to_numpy(std::move(found.i)), to_numpy(std::move(found.j)),
                          to_numpy(std::move(found.common)));
}

const char* isa_name() {
    switch (best_isa()) {
        case BitIsa::avx512: return "avx512";
        case BitIsa::avx2: return "avx2";
        default: return "portable";
    }
}

}  // namespace

void bind_similarity(nb::module_& m) {
    m.def("similarity_isa", &isa_name, "The instruction set that the similarity search uses.");
    nb::class_<BitTable>(m, "BitTable")
        .def("__init__",
             [](BitTable* self, Table<const uint8_t> rows) {
                 const nb::gil_scoped_release release;
                 new (self) BitTable(rows.data(), static_cast<int64_t>(rows.shape(0)),
                                     static_cast<int64_t>(rows.shape(1)));
             })
        .def_prop_ro(
            "group_bits", [](const BitTable& table) { return to_numpy(std::vector<int32_t>(table.group_bits())); },
            nb::rv_policy::automatic)
        .def_prop_ro("num_tiles", &BitTable::num_tiles)
        .def("scan", &scan_py, "least_common"_a, "begin"_a, "end"_a, "num_threads"_a);
}

}  // namespace infoalign::bindings
