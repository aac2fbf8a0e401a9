"""Feature spaces of one node type as the columns of one matrix, which is never whole in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.context.edges import centred_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class Carried:
    """A feature space and the nodes of one type that carry it.

    Parameters
    ----------
    node_type : str
    nodes : np.ndarray
        Local ids, one per row, ascending, shape (rows,), int64.
    values : np.ndarray
        Raw values, shape (rows, d), complete; or packed fingerprints.
    """

    node_type: str
    nodes: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class SideBySide:
    """Features of all nodes of a type: the columns of all parts, zeros where a node has none.

    Parameters
    ----------
    parts : sequence of Carried
        At least one.
    count : int
        Nodes of the type.
    """

    parts: Sequence[Carried]
    count: int

    @property
    def shape(self) -> tuple[int, int]:
        """Nodes and columns."""
        return self.count, sum(part.values.shape[1] for part in self.parts)

    def rows(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Give consecutive rows, float64, and where they stand; their memory goes with them."""
        for which in _spill.parts(self.count, 8 * self.shape[1]):
            block = np.zeros((which.stop - which.start, self.shape[1]))
            end = 0
            for part in self.parts:
                start, end = end, end + part.values.shape[1]
                first, last = np.searchsorted(part.nodes, [which.start, which.stop]).tolist()
                values = _spill.rows_of(part.values, slice(first, last))
                block[part.nodes[first:last] - which.start, start:end] = values
            yield which, block

    def columns(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Give consecutive columns, float64, and where they stand; their memory goes with them."""
        end = 0
        for part in self.parts:
            start, end = end, end + part.values.shape[1]
            for which in _spill.parts(part.values.shape[1], 8 * self.count):
                block = np.zeros((self.count, which.stop - which.start))
                block[part.nodes] = part.values[:, which]
                _spill.release(part.values)
                yield slice(start + which.start, start + which.stop), block

    def centred(self) -> np.ndarray:
        """Rows as :func:`~infoalign_dgl.context.edges.centred_rows` makes them, (count, columns) float32."""
        centred = _spill.empty(self.shape, np.float32)
        for which, block in self.rows():
            centred[which] = centred_rows(block)
            _spill.release(centred)
        return centred

    def principal(self, components: int) -> np.ndarray:
        """First principal components of all nodes, shape (count, components), float64.

        The directions come of the sum of products of centred columns, or of centred rows where these are
        fewer; each points to where its largest entry is positive. One without any variance gives zeros.
        """
        mean = sum(block.sum(axis=0) for _, block in self.rows()) / self.count
        directions = self._directions(components, mean)
        found = np.empty((self.count, components))
        for which, block in self.rows():
            block -= mean
            for component in range(components):  # row by row: equal rows have to give equal points
                found[which, component] = (block * directions[component]).sum(axis=1)
        return found

    def _directions(self, components: int, mean: np.ndarray) -> np.ndarray:
        """Give the unit vectors of the largest variance, shape (components, columns)."""
        from scipy.linalg import eigh

        by_row = self.shape[1] <= self.count
        size = min(self.shape)
        products = np.zeros((size, size))
        for which, block in self.rows() if by_row else self.columns():
            block -= mean if by_row else mean[which]
            products += block.T @ block if by_row else block @ block.T
        span = [size - components, size - 1]
        variances, vectors = eigh(products, subset_by_index=span, overwrite_a=True, check_finite=False)
        directions = vectors.T[::-1]
        if not by_row:
            directions = self._across(directions, mean)
        rounding = max(self.shape) * np.finfo(float).eps * variances[-1]
        directions[variances[::-1] <= rounding] = 0
        largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
        return np.where(largest < 0, -directions, directions)

    def _across(self, points: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Give the unit vectors over columns for which nodes have such points, shape (components, d)."""
        found = np.empty((len(points), self.shape[1]))
        for which, block in self.columns():
            found[:, which] = points @ (block - mean[which])
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return found / np.where(length > 0, length, 1)
