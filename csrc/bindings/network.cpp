/// \file network.cpp
/// The parts of a network's step. Tensors come as addresses: there are thirty such calls a step, and wrapping a tensor
/// as an array takes as long as a small kernel.
#include "infoalign/messages.h"
#include "infoalign/norm.h"

#include "arrays.h"

namespace infoalign::bindings {

using namespace nb::literals;

namespace {

using Address = uint64_t;

void hear_py(const MoleculeArcs& arcs, Address atoms, Address bonds, double self_weight, int64_t width, int number,
             Address x, Address pooled, int threads) {
    const nb::gil_scoped_release release;
    hear_cpu(arcs,
             {at_address<const void>(atoms), at_address<const void>(bonds), self_weight, width,
              static_cast<Number>(number)},
             at_address<void>(x), at_address<void>(pooled), threads);
}

double hear_backward_py(const MoleculeArcs& arcs, Address atoms, Address bonds, double self_weight, int64_t width,
                        int number, Address x, Address residual, Address pooled, Address atoms_gradient,
                        Address bonds_gradient, int threads) {
    const nb::gil_scoped_release release;
    double self_gradient = 0;
    hear_backward_cpu(
        arcs,
        {at_address<const void>(atoms), at_address<const void>(bonds), self_weight, width, static_cast<Number>(number)},
        {at_address<const void>(x), at_address<const void>(residual), at_address<const void>(pooled)},
        at_address<void>(atoms_gradient), at_address<void>(bonds_gradient), &self_gradient, threads);
    return self_gradient;
}

Matrix matrix_at(Address data, int number) { return {at_address<void>(data), static_cast<Number>(number)}; }

void column_moments_py(Address x, int number, int64_t rows, int64_t width, Address mean, Address deviation,
                       int threads) {
    const nb::gil_scoped_release release;
    column_moments(matrix_at(x, number), rows, width, at_address<double>(mean), at_address<double>(deviation), threads);
}

/// What is the same in the forward and the backward pass.
struct ActivationArguments {
    int64_t rows, width;
    Activation how;
    RowGroups groups;
};

void activate_py(const ActivationArguments& all, Address x, int x_number, Address residual, Address group_rows,
                 Address y, int y_number, Address kept, int threads) {
    const nb::gil_scoped_release release;
    activate(matrix_at(x, x_number), all.rows, all.width, all.how, at_address<const float>(residual),
             at_address<const float>(group_rows), all.groups, matrix_at(y, y_number), at_address<uint8_t>(kept),
             threads);
}

ActivationGradient gradient_at(Address x, int x_number, Address given, int given_number, Address kept, Address mean) {
    return {matrix_at(x, x_number), matrix_at(given, given_number), at_address<const uint8_t>(kept),
            at_address<const double>(mean)};
}

void activation_sums_py(const ActivationArguments& all, Address x, int x_number, Address given, int given_number,
                        Address kept, Address mean, Address dz, Address dz_x, Address group_gradient, Address again,
                        int threads) {
    const nb::gil_scoped_release release;
    activation_sums(gradient_at(x, x_number, given, given_number, kept, mean), all.rows, all.width, all.how, all.groups,
                    at_address<double>(dz), at_address<double>(dz_x), at_address<float>(group_gradient),
                    at_address<void>(again), threads);
}

void activation_backward_py(const ActivationArguments& all, Address x, int x_number, Address given, int given_number,
                            Address kept, Address mean, Address slope, Address constant, Address x_gradient,
                            int threads) {
    const nb::gil_scoped_release release;
    activation_backward(gradient_at(x, x_number, given, given_number, kept, mean), all.rows, all.width, all.how,
                        at_address<const float>(slope), at_address<const float>(constant),
                        matrix_at(x_gradient, x_number), threads);
}

#if defined(INFOALIGN_WITH_CUDA)

void hear_cuda_py(const MoleculeArcs& arcs, Address atoms, Address bonds, Address self_weight, int64_t width,
                  int number, Address x, Address pooled, int device, Address queue) {
    hear_cuda(arcs,
              {at_address<const void>(atoms), at_address<const void>(bonds), 0, width, static_cast<Number>(number)},
              at_address<const float>(self_weight), at_address<void>(x), at_address<float>(pooled), device,
              at_address<void>(queue));
}

void hear_backward_cuda_py(const MoleculeArcs& arcs, Address atoms, Address bonds, Address self_weight, int64_t width,
                           int number, Address x, Address residual, Address pooled, Address atoms_gradient,
                           Address bonds_gradient, Address self_gradient, Address scratch, int device,
                           Address queue) {
    hear_backward_cuda(
        arcs, {at_address<const void>(atoms), at_address<const void>(bonds), 0, width, static_cast<Number>(number)},
        at_address<const float>(self_weight),
        {at_address<const void>(x), at_address<const void>(residual), at_address<const void>(pooled)},
        at_address<float>(atoms_gradient), at_address<float>(bonds_gradient), at_address<float>(self_gradient),
        at_address<float>(scratch), device, at_address<void>(queue));
}

int64_t hear_scratch_py(const MoleculeArcs& arcs, int64_t width) {
    return HearParts(arcs.molecules, width).scratch(arcs.kinds, width);
}

#endif

}  // namespace

void bind_network(nb::module_& m) {
    nb::class_<MoleculeArcs>(m, "MoleculeArcs")
        .def("__init__", [](MoleculeArcs* self, Address atom_offsets, Address arc_offsets, Address neighbor,
                            Address kind, int64_t molecules, int64_t kinds) {
            new (self) MoleculeArcs{at_address<const int64_t>(atom_offsets),
                                    at_address<const int64_t>(arc_offsets),
                                    at_address<const int32_t>(neighbor),
                                    at_address<const int32_t>(kind),
                                    molecules,
                                    kinds};
        });
    m.def("hear", &hear_py);
    m.def("hear_backward", &hear_backward_py);
    m.def("column_moments", &column_moments_py);
    nb::class_<ActivationArguments>(m, "Activation")
        .def("__init__",
             [](ActivationArguments* self, int64_t rows, int64_t width, Address scale, Address shift, bool relu,
                uint32_t drop_below, float keep_scale, uint64_t key, Address group_offsets, int64_t groups) {
                 new (self) ActivationArguments{rows,
                                                width,
                                                {at_address<const float>(scale), at_address<const float>(shift), relu,
                                                 drop_below, keep_scale, key},
                                                {at_address<const int64_t>(group_offsets), groups}};
             })
        .def("forward", &activate_py)
        .def("sums", &activation_sums_py)
        .def("backward", &activation_backward_py);
#if defined(INFOALIGN_WITH_CUDA)
    m.def("hear_cuda", &hear_cuda_py);
    m.def("hear_backward_cuda", &hear_backward_cuda_py);
    m.def("hear_scratch", &hear_scratch_py);
#endif
}

}  // namespace infoalign::bindings
