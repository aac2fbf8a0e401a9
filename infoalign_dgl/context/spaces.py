"""Feature spaces: complete matrices in [0, 1] for the nodes that have them, and the way back to raw units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MISSING_SHARE = 0.05
_CHUNK_ROWS = 8192  # rows unpacked or converted at a time, so that a mean needs no dense copy of the space


@dataclass(frozen=True)
class MinMaxScaler:
    """Per-column min-max scaling to [0, 1]; constant columns give 0.5.

    Parameters
    ----------
    minimum, maximum : np.ndarray
        Shape (d,), float64: the smallest and largest value each column had when the space was built.

    Examples
    --------
    >>> import numpy as np
    >>> from infoalign_dgl.context import MinMaxScaler
    >>> scaler = MinMaxScaler.fit(np.array([[-2.0, 7.0], [2.0, 7.0]]))
    >>> scaled, clipped = scaler.transform(np.array([[0.0, 7.0], [3.0, 7.0]]))
    >>> scaled.tolist(), clipped
    ([[0.5, 0.5], [1.0, 0.5]], 1)
    >>> scaler.inverse_transform(scaled).tolist()
    [[0.0, 7.0], [2.0, 7.0]]
    """

    minimum: np.ndarray
    maximum: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> MinMaxScaler:
        """Take the column bounds of a complete matrix.

        Parameters
        ----------
        values : np.ndarray
            Shape (rows, d), without NaN, at least one row.
        """
        minimum, maximum = np.empty((2, values.shape[1]))
        for part in _spill.column_parts(values):
            minimum[part], maximum[part] = values[:, part].min(axis=0), values[:, part].max(axis=0)
        return cls(minimum, maximum)

    @property
    def constant(self) -> np.ndarray:
        """Which columns had one value only, shape (d,), bool."""
        return self.minimum == self.maximum

    def transform(self, raw: np.ndarray) -> tuple[np.ndarray, int]:
        """Scale raw rows and clip what lies outside the bounds seen at build time.

        Parameters
        ----------
        raw : np.ndarray
            Shape (rows, d), in the source's units.

        Returns
        -------
        scaled : np.ndarray
            Shape (rows, d), float32 in [0, 1]; a NaN stays NaN.
        num_clipped : int
            How many entries lay outside [0, 1] before clipping. Entries of a constant column that differ
            from the constant are among them: they too cannot be told apart after scaling.
        """
        raw = np.asarray(raw, dtype=np.float64)
        constant = self.constant
        # Halving first keeps the span of two huge floats of opposite sign finite.
        span = np.where(constant, 1.0, self.maximum / 2 - self.minimum / 2)
        scaled = (raw / 2 - self.minimum / 2) / span
        outside = (raw < self.minimum) | (raw > self.maximum)
        scaled = np.where(constant & ~np.isnan(raw), 0.5, np.clip(scaled, 0.0, 1.0))
        return scaled.astype(np.float32), int(outside.sum())

    def inverse_transform(self, scaled: np.ndarray) -> np.ndarray:
        """Return scaled rows to raw units, shape (rows, d), float64; constant columns give their constant."""
        span = self.maximum - self.minimum
        return np.asarray(scaled, dtype=np.float64) * span + self.minimum

    def to_json(self) -> dict[str, list[float]]:
        """Bounds as plain lists, for ``schema.json``."""
        return {"minimum": self.minimum.tolist(), "maximum": self.maximum.tolist()}

    @classmethod
    def from_json(cls, stored: dict[str, list[float]]) -> MinMaxScaler:
        """Read what :meth:`to_json` wrote."""
        return cls(np.asarray(stored["minimum"], np.float64), np.asarray(stored["maximum"], np.float64))


@dataclass(frozen=True)
class Settled:
    """A matrix without gaps, and what was done to make it so."""

    values: np.ndarray
    columns: list[str]
    dropped_columns: dict[str, float] = field(default_factory=dict)  # name -> share missing
    num_imputed: int = 0
    num_infinite: int = 0


def settle_missing(
    values: np.ndarray, columns: Sequence[str], *, max_missing: float = MAX_MISSING_SHARE
) -> Settled:
    """Drop columns with too many gaps and fill the others with their median.

    Parameters
    ----------
    values : np.ndarray
        Shape (rows, d), float. NaN and infinite entries are missing.
    columns : sequence of str
        The d column names.
    max_missing : float
        A column with a larger share of missing entries is dropped, and one without any value always.

    Returns
    -------
    Settled
        ``values`` of shape (rows, kept columns), float64, all finite.
    """
    settled = _spill.empty(values.shape, by_column=True)
    kept: list[str] = []
    dropped: dict[str, float] = {}
    num_imputed = num_infinite = 0
    for part in _spill.column_parts(values):
        for number, raw in enumerate(values[:, part].T, start=part.start):
            column = np.array(raw, np.float64)
            num_infinite += int(np.isinf(column).sum())
            gaps = ~np.isfinite(column)
            share = float(gaps.mean()) if len(gaps) else 0.0
            if share > max_missing or gaps.all():
                dropped[columns[number]] = share
                continue
            if gaps.any():
                column[gaps] = np.median(column[~gaps])
                num_imputed += int(gaps.sum())
            settled[:, len(kept)] = column
            kept.append(columns[number])
        _spill.release(settled)
    return Settled(settled[:, : len(kept)], kept, dropped, num_imputed, num_infinite)


@dataclass(frozen=True, repr=False)
class FeatureSpace:
    """The features of those nodes of one type that have them.

    Parameters
    ----------
    name : str
        For instance ``"comas"`` or ``"fingerprint"``.
    node_type : str
        The type of node that carries the features.
    columns : list of str
        The d feature names.
    values : np.ndarray
        Shape (rows, d), float32 or float16 in [0, 1]; or bit-packed uint8 of shape (rows, ceil(d / 8)) in
        ``np.packbits`` order. Kept in C order, whatever it came in: whoever follows a walk reads whole rows.
    node_rows : np.ndarray
        Shape (nodes of the type,), int64: a node's row, or -1.
    num_bits : int or None
        d where ``values`` is bit-packed.
    scaler : MinMaxScaler or None
        What made ``values`` out of raw units; None for bits.

    Examples
    --------
    Nodes 0 and 2 of three were measured:

    >>> import numpy as np
    >>> from infoalign_dgl import FeatureSpace
    >>> values = np.array([[0.0, 1.0], [0.5, 0.25]], np.float32)
    >>> space = FeatureSpace("painting", "morphology", ["size", "count"], values, np.array([0, -1, 1]))
    >>> space.num_rows, space.dim, space.nodes().tolist()
    (2, 2, [0, 2])
    >>> space.dense([1]).tolist()
    [[0.5, 0.25]]
    """

    name: str
    node_type: str
    columns: list[str]
    values: np.ndarray
    node_rows: np.ndarray
    num_bits: int | None = None
    scaler: MinMaxScaler | None = None

    def __post_init__(self) -> None:
        if not self.values.flags.c_contiguous:
            object.__setattr__(self, "values", np.ascontiguousarray(self.values))
        width = self.values.shape[1] if self.num_bits is None else self.num_bits
        if width != len(self.columns):
            raise GraphError(
                f"feature space '{self.name}' has {len(self.columns)} column names for {width} columns: "
                f"give one name per column"
            )
        if self.num_bits is not None and self.values.shape[1] != (self.num_bits + 7) // 8:
            raise GraphError(
                f"feature space '{self.name}' has {self.values.shape[1]} bytes per row for "
                f"{self.num_bits} bits: "
                f"pack the rows with np.packbits"
            )

    def __repr__(self) -> str:
        return f"FeatureSpace({self.name!r}, {self.node_type}, rows={self.num_rows}, dim={self.dim})"

    @property
    def dim(self) -> int:
        """Number of features d."""
        return len(self.columns)

    @property
    def num_rows(self) -> int:
        """Number of nodes that have the features."""
        return len(self.values)

    def nodes(self) -> np.ndarray:
        """Local ids of the nodes by row, shape (rows,), int64: the inverse of ``node_rows``."""
        have = np.flatnonzero(self.node_rows >= 0)
        ids = np.empty(self.num_rows, np.int64)
        ids[self.node_rows[have]] = have
        return ids

    def dense(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return the named rows as float32, shape (len(rows), d), bits as 0 and 1."""
        chosen = self.values[rows]
        if self.num_bits is not None:
            chosen = np.unpackbits(chosen, axis=1, count=self.num_bits)
        return np.asarray(chosen, dtype=np.float32)

    def mean(self) -> np.ndarray:
        """Column means of the scaled rows, shape (d,), float64; zeros for a space without rows."""
        total = np.zeros(self.dim, np.float64)
        for start in range(0, self.num_rows, _CHUNK_ROWS):
            total += self.dense(slice(start, start + _CHUNK_ROWS)).sum(axis=0, dtype=np.float64)
        return total / max(self.num_rows, 1)

    def transform(self, raw: np.ndarray) -> tuple[np.ndarray, int]:
        """Scale raw profiles with this space's scaler; see :meth:`MinMaxScaler.transform`.

        Raises
        ------
        GraphError
            For a space of bits, or if the number of columns differs.
        """
        scaler = self._scaler_for(np.asarray(raw))
        return scaler.transform(raw)

    def inverse_transform(self, scaled: np.ndarray) -> np.ndarray:
        """Return scaled profiles to raw units, shape (rows, d), float64.

        Raises
        ------
        GraphError
            For a space of bits, or if the number of columns differs.
        """
        scaler = self._scaler_for(np.asarray(scaled))
        return scaler.inverse_transform(scaled)

    def _scaler_for(self, rows: np.ndarray) -> MinMaxScaler:
        if self.scaler is None:
            raise GraphError(
                f"feature space '{self.name}' holds bits and has no scaler: use its rows as they are"
            )
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise GraphError(
                f"feature space '{self.name}' expects rows of shape (n, {self.dim}), got {rows.shape}: "
                f"give its columns in their order"
            )
        return self.scaler

    def describe(self) -> dict[str, Any]:
        """Return what ``schema.json`` keeps of this space."""
        return {
            "node_type": self.node_type,
            "rows": self.num_rows,
            "dim": self.dim,
            "dtype": str(self.values.dtype),
            "num_bits": self.num_bits,
            "columns": self.columns,
            "scaler": None if self.scaler is None else self.scaler.to_json(),
        }


def scaled_space(
    name: str, node_type: str, settled: Settled, node_rows: np.ndarray, *, float16: bool = False
) -> tuple[FeatureSpace, list[str]]:
    """Scale a settled matrix to [0, 1] and wrap it.

    Parameters
    ----------
    name, node_type : str
        As in :class:`FeatureSpace`.
    settled : Settled
        Complete raw values.
    node_rows : np.ndarray
        Shape (nodes of the type,), int64.
    float16 : bool
        Store half precision; values are clipped to [0, 1] after rounding.

    Returns
    -------
    space : FeatureSpace
    constant_columns : list of str
        The columns that had one value only.
    """
    scaler = MinMaxScaler.fit(settled.values)
    values = _spill.empty(settled.values.shape, np.float16 if float16 else np.float32)
    for part in _spill.row_parts(settled.values):
        values[part], _ = scaler.transform(_spill.rows_of(settled.values, part))
        if float16:
            np.clip(values[part], np.float16(0), np.float16(1), out=values[part])
        _spill.release(values)
    constant = [settled.columns[c] for c in np.flatnonzero(scaler.constant)]
    return FeatureSpace(name, node_type, settled.columns, values, node_rows, None, scaler), constant
