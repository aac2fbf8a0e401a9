/// \file arrays.h
/// What the bindings share: how numpy arrays come in and go out, and the parts of the module.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <utility>
#include <vector>

namespace infoalign::bindings {

namespace nb = nanobind;

template <class T>
using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Table = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using AnyArray = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
/// What is wrong, and at which position; the Python side words the error.
using Fault = std::pair<int, int64_t>;

inline void require(bool condition, const char* what) {
    if (!condition) throw std::invalid_argument(what);
}

template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T>&& values, std::initializer_list<size_t> shape) {
    auto* kept = new std::vector<T>(std::move(values));
    nb::capsule owner(kept, [](void* pointer) noexcept { delete static_cast<std::vector<T>*>(pointer); });
    return nb::ndarray<nb::numpy, T>(kept->data(), shape, owner);
}

template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::vector<T>&& values) {
    const size_t size = values.size();
    return to_numpy(std::move(values), {size});
}

/// Tensors come as addresses, on a device or where a call must not take longer than its kernel: the caller holds them
/// and has checked their types and sizes.
template <class T>
T* at_address(uint64_t address) {
    return reinterpret_cast<T*>(static_cast<uintptr_t>(address));
}

void bind_index(nb::module_& module);
void bind_walks(nb::module_& module);
void bind_targets(nb::module_& module);
void bind_similarity(nb::module_& module);
void bind_molecules(nb::module_& module);
void bind_network(nb::module_& module);

}  // namespace infoalign::bindings
