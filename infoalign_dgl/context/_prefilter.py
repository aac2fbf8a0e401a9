"""Rule pairs of rows out by a short product of low precision, with a proven margin.

Notation. u is a row over its norm, d its number of columns, Q a d x k basis, w what is stored of u in float32
(about Q^T u), a = s q what is stored of w in int8 (s a scale shared by a block of rows, q integers), and the
same of another row v. Norms are Euclidean. An upper bound of u.v is built in three steps; each needs only
norms of what was really left out, so it holds for whatever Q, w and q came out of rounded arithmetic.

1. Fewer columns. Let E = Q^T Q - I with norm at most eta (its Frobenius norm, computed), |Q^T u - w| <= delta
   for each row, and r_u = u - Q w_u. Then Q^T r_u = (Q^T u - w_u) - E w_u has norm at most delta + eta |w_u|,
   so from u.v = w_u.w_v + w_u.E w_v + w_u.Q^T r_v + w_v.Q^T r_u + r_u.r_v, if |w|^2 <= L and L >= 1,

       u.v <= w_u.w_v + R_u R_v + (2 delta + 3 eta) L,
       |r_u|^2 <= R_u^2 = 1 - |w_u|^2 + (2 delta + eta) L.

   delta is the rounding of w to float32 (2^-24, doubled here) and of a float64 product, at most
   gamma_d ||Q||_F with gamma_d = d 2^-53 / (1 - d 2^-53) in any order of summation (Higham 2002, "Accuracy
   and Stability of Numerical Algorithms", section 3.1). Without a basis, Q is the identity.
2. int8. With e_u >= |w_u - a_u| computed from the codes in float64,

       w_u.w_v = a_u.a_v + (w_u - a_u).a_v + w_u.(w_v - a_v) <= s_u s_v q_u.q_v + e_u |a_v| + |w_u| e_v,

   and q_u.q_v is summed in int32 without rounding. The float32 product has no e; it is off by at most
   gamma_k L with unit 2^-24 in place of 2^-53.
3. float64 rounding of u, of the norms and of the comparison itself: all of it is a few d 2^-53, and a term of
   d 2^-48 is added for it; norms are raised by 2^-20 of themselves.

A pair of blocks is compared to one number per row of the first, by the largest norms of the second (rows are
sorted by R, so these are close to each row's own), and what passes to the bound by its own norms.

Q holds the leading principal directions of a sample of rows, turned at random among themselves: the principal
directions make R small, and turning spreads every row evenly over the k columns, which a shared scale of
8 bits needs. The number of columns is the one whose cost, columns plus pairs left to score, is least on a
sample; where rows do not concentrate, that is all of them.

Codes stay within 79: processors that lack dot products of bytes add two products u8 x s8 in 16 bits, one side
shifted by 128, and 2 * (79 + 128) * 79 = 32706 still fits there.
"""

from __future__ import annotations

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from infoalign_dgl import _spill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_BLOCK = 2048
_SCANNED = 64  # rows of a block whose candidates are listed at once
_CODE = 79
_UNIT32 = 2.0**-24
_RAISED = 1 + 2.0**-20
_ROWS_PER_COLUMN = 20  # with fewer rows than this for each column, a basis costs more than it saves
_FIT_ROWS = 4  # rows for each column that the basis is fitted to
_CHECK_ROWS = 2048  # rows of the sample whose pairs are counted, half of them against the other half
_FLOAT_COST = 3.0  # cost of a column in float32, of one in int8
_SCORE_COST = 1000.0  # cost of scoring a pair, for each of its columns, of a column in int8
_SPREAD = 5.0  # largest entry of a turned row, in standard deviations: only to estimate, not to decide


class Arithmetic:
    """Matrix products on threads that each work on blocks of their own, through torch or else numpy.

    One thread per block, not several inside each product: on shared processors a product waits for its
    slowest thread. Through numpy, products use the threads that its BLAS was set to.
    """

    def __init__(self, num_threads: int) -> None:
        self._torch: Any = None
        if importlib.util.find_spec("torch") is not None:
            import torch

            self._torch = torch
        self._num_threads = num_threads

    def __enter__(self) -> Arithmetic:
        # The margin is proven for float32: a caller's leave to use less must not reach these products.
        if self._torch is not None:
            self._before = (self._torch.get_num_threads(), self._torch.get_float32_matmul_precision())
            self._torch.set_float32_matmul_precision("highest")
        self._pool = ThreadPoolExecutor(self._num_threads, initializer=self._use_one_thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._torch is not None:
            self._torch.set_num_threads(self._before[0])
            self._torch.set_float32_matmul_precision(self._before[1])

    def _use_one_thread(self) -> None:
        if self._torch is not None:
            self._torch.set_num_threads(1)

    def map(self, work: Callable[..., Any], *items: Iterable[Any]) -> Iterator[Any]:
        """Run ``work`` on every item, on the threads; results come in order."""
        return self._pool.map(work, *items)

    def product(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Give left @ right of float32 or float64, or the int32 product of int8."""
        if self._torch is None:
            return left @ right
        with self._torch.inference_mode():
            mm = self._torch._int_mm if left.dtype == np.int8 else self._torch.mm
            return mm(self._torch.from_numpy(left), self._torch.from_numpy(right)).numpy()

    def principal(self, symmetric: np.ndarray) -> np.ndarray:
        """Give the eigenvectors of a symmetric matrix as columns, that of the largest eigenvalue first."""
        if self._torch is None:
            vectors = np.linalg.eigh(symmetric)[1]
        else:
            vectors = self._torch.linalg.eigh(self._torch.from_numpy(symmetric))[1].numpy()
        return vectors[:, ::-1].copy()

    def integers_pay(self, dim: int) -> bool:
        """Whether int8 products are there, do not saturate, and are well faster than float32 here."""
        if not hasattr(self._torch, "_int_mm") or dim * _CODE**2 >= 2**31:
            return False
        codes = np.full((256, dim), _CODE, dtype=np.int8)
        try:
            exact = bool((self.product(codes, codes.T) == dim * _CODE**2).all())
        except RuntimeError:
            return False
        return exact and 1.5 * self._seconds(codes) < self._seconds(codes.astype(np.float32))

    def takes_integers(self, num_rows: int, width: int) -> bool:
        """Whether int8 products of the shapes that blocks of these rows have are accepted and right.

        Not all are: torch 2.13 reads the transpose of a single column wrongly.
        """
        sizes = {min(num_rows, _BLOCK), num_rows % _BLOCK or _BLOCK}
        codes = np.random.Generator(np.random.Philox(0)).integers(-3, 4, (max(sizes), width), dtype=np.int8)
        wide = codes.astype(np.float32)  # 9 k < 2^24, or long products of float32 are not whole numbers
        try:
            return width < 2**20 and all(
                np.array_equal(
                    self.product(codes[:left], codes[:right].T), self.product(wide[:left], wide[:right].T)
                )
                for left in sizes
                for right in sizes
            )
        except RuntimeError:
            return False

    def _seconds(self, matrix: np.ndarray) -> float:
        took = []
        for _ in range(4):
            begin = time.perf_counter()
            self.product(matrix, matrix.T)
            took.append(time.perf_counter() - begin)
        return min(took)


class Plan(NamedTuple):
    """How rows are stored: ``basis`` (d, k) float64 or None for the rows themselves, and whether as int8."""

    basis: np.ndarray | None
    integers: bool


class Prefilter:
    """Candidates for pairs of rows whose cosine is at least a number, from the product of stored rows.

    Parameters
    ----------
    rows : np.ndarray
        (n, d) float32.
    squares : np.ndarray
        (n,) float64 squared norms of the rows; rows of norm 0 are left out.
    threshold : float
        Least cosine that will be asked for, to choose the number of columns by.
    arithmetic : Arithmetic
        Entered; it runs the products.
    """

    def __init__(
        self, rows: np.ndarray, squares: np.ndarray, threshold: float, arithmetic: Arithmetic
    ) -> None:
        self._rows, self._squares, self._arithmetic = rows, squares, arithmetic
        self._present = np.flatnonzero(squares > 0)
        (plan,) = arithmetic.map(self._plan, [threshold])
        stored, delta, eta = self._project(plan.basis)
        _spill.release(rows)
        self._rounding = (rows.shape[1] + 16) * 2.0**-48
        self._encode(stored, delta, eta, integers=plan.integers)

    @property
    def block_pairs(self) -> list[tuple[int, int]]:
        """Pairs of blocks to go through, (first, second) with first <= second."""
        count = -(-len(self._present) // _BLOCK)
        return [(first, second) for first in range(count) for second in range(first, count)]

    def candidates(self, first: int, second: int, least: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give rows i < j of a pair of blocks, in parts: all pairs of cosine ``least`` or more and others."""
        left, right = (slice(block * _BLOCK, (block + 1) * _BLOCK) for block in (first, second))
        scale = self._scales[first] * self._scales[second]
        near = self._arithmetic.product(self._codes[left], self._codes[right].T)
        most_left_out = self._left_out(self._norms[:, left], self._norms[:, right].max(axis=1))
        bound = self._rounded_down((least - most_left_out) / scale)
        hit = np.flatnonzero(near.max(axis=1) >= bound)
        for begin in range(0, len(hit), _SCANNED):
            part = hit[begin : begin + _SCANNED]
            row, column = np.divmod(np.flatnonzero(near[part] >= bound[part, None]), near.shape[1])
            a, b = left.start + part[row], right.start + column
            left_out = self._left_out(self._norms[:, a], self._norms[:, b])
            kept = near[part[row], column] * scale >= least - left_out
            if first == second:
                kept &= a < b
            i, j = self._order[a[kept]], self._order[b[kept]]
            yield np.minimum(i, j), np.maximum(i, j)

    def _left_out(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Give how far above the product of codes a cosine can be, by the norms (R, e, |w|) of both rows."""
        of_codes = left[1] * (right[2] + right[1]) + left[2] * right[1]
        return self._margin + left[0] * right[0] + of_codes

    def _rounded_down(self, bound: np.ndarray) -> np.ndarray:
        """Give a bound of products in a type that compares fast, not above what it stands for."""
        if self._codes.dtype == np.float32:
            return np.nextafter(bound.astype(np.float32), np.float32(-np.inf))
        return np.clip(np.ceil(bound), -(2**31), 2**31 - 1).astype(np.int32)

    def _unit(self, chosen: np.ndarray) -> np.ndarray:
        """Give some of the rows over their norms, in float64."""
        return self._rows[chosen].astype(np.float64) / np.sqrt(self._squares[chosen])[:, None]

    def _plan(self, threshold: float) -> Plan:
        """Choose basis and product by their cost on a sample."""
        count, dim = len(self._present), self._rows.shape[1]
        if count <= max(_ROWS_PER_COLUMN * dim, 1):
            return Plan(None, integers=False)
        fast = self._arithmetic.integers_pay(dim)
        stride = max(count // (_FIT_ROWS * dim), 1)
        moments = np.zeros((dim, dim))
        for begin in range(0, count, stride * _BLOCK):
            unit = self._unit(self._present[begin : begin + stride * _BLOCK : stride])
            moments += self._arithmetic.product(unit.T, unit)
        directions = self._arithmetic.principal(moments)
        checked = self._present[stride // 2 :: max(count // _CHECK_ROWS, 1)][:_CHECK_ROWS]
        turned = self._arithmetic.product(self._unit(checked), directions).astype(np.float32)
        costs = {}
        for width, near, unsure in self._bounds_by_width(turned[::2], turned[1::2]):
            share = {False: np.mean(near >= threshold), True: np.mean(near + unsure >= threshold)}
            for integers in (False, True)[: 1 + fast]:
                column = 1.0 if integers else _FLOAT_COST
                costs[width, integers] = width * column + _SCORE_COST * dim * float(share[integers])
        width, integers = min(costs, key=lambda plan: (costs[plan], plan))
        integers = integers and self._arithmetic.takes_integers(count, width)
        if width == dim and not integers:
            return Plan(None, integers=False)
        mixed = np.random.Generator(np.random.Philox(0)).normal(size=(width, width))
        turn = self._arithmetic.principal(mixed + mixed.T)
        basis = self._arithmetic.product(directions[:, :width], turn)
        return Plan(basis, integers=integers)

    def _bounds_by_width(
        self, left: np.ndarray, right: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Give (k, bound, int8's part of it) of pairs of turned rows, for widths k up to all the columns."""
        dim = left.shape[1]
        step = 32 * max(dim // 512, 1)
        near = np.zeros((len(left), len(right)), dtype=np.float32)
        squares = [np.zeros(len(side), dtype=np.float32) for side in (left, right)]
        for begin in range(0, dim, step):
            parts = [side[:, begin : begin + step] for side in (left, right)]
            near += self._arithmetic.product(parts[0], parts[1].T)
            squares = [own + (part**2).sum(axis=1) for own, part in zip(squares, parts, strict=True)]
            dropped = [np.sqrt(np.maximum(1 - own, 0)) for own in squares]
            unsure = 2 * _SPREAD / (_CODE * np.sqrt(12)) * np.sqrt(np.outer(*squares))
            yield min(begin + step, dim), near + np.outer(*dropped), unsure

    def _project(self, basis: np.ndarray | None) -> tuple[np.ndarray, float, float]:
        """Give (n, k) float32 rows in a basis, with delta and eta of the margin."""
        dim = self._rows.shape[1]
        width = dim if basis is None else basis.shape[1]
        stored = _spill.empty((len(self._present), width), np.float32)

        def fill(begin: int) -> None:
            unit = self._unit(self._present[begin : begin + _BLOCK])
            stored[begin : begin + _BLOCK] = unit if basis is None else self._arithmetic.product(unit, basis)

        for _ in self._arithmetic.map(fill, range(0, len(stored), _BLOCK)):
            pass
        if basis is None:
            return stored, 2 * _UNIT32, 0.0
        (gram,) = self._arithmetic.map(lambda q: self._arithmetic.product(q.T, q), [basis])
        rounding = dim * np.sqrt(width) * 2.0**-52
        eta = float(np.linalg.norm(gram - np.eye(width))) + np.sqrt(width) * rounding
        return stored, 2 * _UNIT32 + rounding, eta

    def _encode(self, stored: np.ndarray, delta: float, eta: float, *, integers: bool) -> None:
        """Sort rows by what the basis left of them, store them block by block, and set the margin."""
        width = stored.shape[1]
        squares = np.einsum("ij,ij->i", stored, stored, dtype=np.float64)
        longest = max(float(squares.max(initial=0.0)), 1.0) * _RAISED
        self._margin = (2 * delta + 3 * eta) * longest + self._rounding
        if not integers:
            self._margin += width * _UNIT32 / (1 - width * _UNIT32) * longest
        rest = 1 - squares + (2 * delta + eta) * longest + self._rounding
        dropped = np.sqrt(np.maximum(rest, 0.0)) * _RAISED
        order = np.argsort(dropped, kind="stable")
        self._order = self._present[order]
        self._norms = np.stack([dropped[order], np.zeros(len(order)), np.sqrt(squares[order]) * _RAISED])
        self._codes = np.empty(stored.shape, dtype=np.int8 if integers else np.float32)
        self._scales = np.ones(-(-len(order) // _BLOCK))

        def fill(block: int) -> None:
            own = slice(block * _BLOCK, (block + 1) * _BLOCK)
            rows = stored[order[own]]
            if integers:
                rows = rows.astype(np.float64)
                scale = float(np.abs(rows).max()) / _CODE or 1.0
                self._scales[block] = scale
                self._codes[own] = codes = np.rint(rows / scale)
                self._norms[1, own] = np.linalg.norm(rows - scale * codes, axis=1) * _RAISED
            else:
                self._codes[own] = rows

        for _ in self._arithmetic.map(fill, range(len(self._scales))):
            pass
