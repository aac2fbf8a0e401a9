"""Matrix products of a training step: which there are, what they take, and what they would take alone."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PRODUCTS = {
    "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::_addmm_activation", "aten::mkldnn_linear",
    "mkldnn::_linear_pointwise", "mkl::_mkl_linear",
}  # fmt: skip
_ROUNDED_FROM = 2_000  # the atoms of a batch differ from step to step; everything else is smaller
_REPEATS = 7

Shape = tuple[int, int, int]
"""Rows, inner, columns."""


@dataclass(frozen=True)
class Step:
    """What the profiler saw of a step, in the mean.

    Attributes
    ----------
    seconds : float
        Between the ends of two steps, the profiler running.
    product_seconds : float
        In matrix products.
    shapes : dict of Shape to float
        How many products of a shape there are.
    others : dict of str to float
        Seconds of the ten operations that take longest beside them.
    """

    seconds: float
    product_seconds: float
    shapes: dict[Shape, float]
    others: dict[str, float]

    @property
    def flops(self) -> float:
        """Multiplications and additions of all products."""
        return sum(count * 2 * m * k * n for (m, k, n), count in self.shapes.items())


def read_profile(profile: torch.profiler.profile, steps: int, seconds: float) -> dict[str, Any]:
    """Sum a profile of so many steps up, as values that JSON can hold; see `Step`."""
    shapes: Counter[Shape] = Counter()
    own: Counter[str] = Counter()
    for event in profile.key_averages(group_by_input_shape=True):
        own[event.key] += event.self_cpu_time_total / 1e6
        if event.key in PRODUCTS and (shape := _shape(event.input_shapes)) is not None:
            shapes[shape] += event.count
    products = sum(own.pop(key, 0.0) for key in PRODUCTS)
    return {
        "seconds": seconds / steps,
        "product_seconds": products / steps,
        "shapes": [[*shape, count / steps] for shape, count in shapes.items()],
        "others": {key: value / steps for key, value in own.most_common(10)},
    }


def as_step(profile: dict[str, Any]) -> Step:
    """Read what `read_profile` gave."""
    shapes = {(m, k, n): count for m, k, n, count in profile["shapes"]}
    return Step(profile["seconds"], profile["product_seconds"], shapes, profile["others"])


def _shape(inputs: list[list[int]]) -> Shape | None:
    matrices = [size for size in inputs if len(size) == 2]
    if len(matrices) < 2:
        return None
    (m, k), (_, n) = (tuple(_rounded(size) for size in matrix) for matrix in matrices[-2:])
    return m, k, n


def _rounded(size: int) -> int:
    return size if size < _ROUNDED_FROM else round(size, -2)


def time_products(shapes: list[Shape], dtype: str) -> list[float]:
    """Seconds that a product of each shape takes alone, in turn, medians."""
    import torch

    taken: list[list[float]] = [[] for _ in shapes]
    made = []
    for m, k, n in shapes:
        one, other = torch.randn(m, k), torch.randn(k, n)
        made.append([part.to(getattr(torch, dtype)) for part in (one, other, torch.empty(m, n))])
    for repeat in range(_REPEATS + 1):
        for seconds, (one, other, result) in zip(taken, made, strict=True):
            begin = time.perf_counter()
            torch.mm(one, other, out=result)
            if repeat:
                seconds.append(time.perf_counter() - begin)
    return [statistics.median(seconds) for seconds in taken]


def matrix_units() -> list[str]:
    """Instructions for products of bfloat16 that this processor has."""
    flags = {
        flag
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("flags")
        for flag in line.split(":", 1)[1].split()
    }
    return sorted(flags & {"amx_bf16", "avx512_bf16", "avx_ne_convert"})
