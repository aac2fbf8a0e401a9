"""A run as a scikit-learn transformer: SMILES in, vectors out, in pipelines and grid searches."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin

from infoalign_dgl.errors import MoleculeError
from infoalign_dgl.representation import BATCH_SIZE, load
from infoalign_dgl.training.checkpoint import FOLDER
from infoalign_dgl.training.run_folder import read_config

if TYPE_CHECKING:
    from infoalign_dgl.representation import Representation


class InfoAlignTransformer(TransformerMixin, BaseEstimator):
    """Embed SMILES by a pretrained encoder.

    It learns nothing from the data: :meth:`fit` only checks that the run can be read, and :meth:`transform`
    works without it. An object holds no weights, only what is given here. They are read when they are first
    needed, once for all copies in a process, and so a pickle is small and needs the run where it is loaded.
    A grid search embeds the same molecules again for each candidate, unless its pipeline has a ``memory``.

    Parameters
    ----------
    run : str or Path
        A run folder. Where other processes or machines are to use the object, an absolute path.
    step : int, optional
        A checkpoint's step; by default the best one, as of :func:`infoalign_dgl.load`.
    device : str
        ``"auto"`` takes a GPU where there is one.
    batch_size : int
        Molecules at a time; the vectors do not depend on it.
    on_error : {"raise", "nan"}
        What is done about a structure that cannot be read: ``"raise"`` ends with its row and the reason;
        ``"nan"`` gives a row of NaN.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> model = make_pipeline(InfoAlignTransformer("run"), LogisticRegression())  # doctest: +SKIP
    >>> model.fit(["CCO", "c1ccccc1"], [0, 1]).predict(["CCN"])  # doctest: +SKIP
    """

    def __init__(
        self,
        run: str | Path,
        *,
        step: int | None = None,
        device: str = "auto",
        batch_size: int = BATCH_SIZE,
        on_error: Literal["raise", "nan"] = "raise",
    ) -> None:
        self.run = run
        self.step = step
        self.device = device
        self.batch_size = batch_size
        self.on_error = on_error

    def fit(self, X: Any, y: Any = None) -> InfoAlignTransformer:
        """Check the settings, the run and the form of the input; nothing is learned.

        Parameters
        ----------
        X : sequence of str
            As of :meth:`transform`.
        y : None
            Not used.

        Returns
        -------
        InfoAlignTransformer
            Itself.

        Raises
        ------
        InfoAlignError
            If the run cannot be read, or ``X`` is not a column of strings.
        ValueError
            If ``on_error`` or ``batch_size`` is none of the values it can have.
        """
        self._check_settings()
        read_config(Path(self.run))
        structures(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed structures, standardized as for building the run's graph.

        Parameters
        ----------
        X : sequence of str
            n SMILES: a list, array or Series, or an array or DataFrame with one column. None and NaN are
            missing structures.

        Returns
        -------
        np.ndarray
            (n, D) float32; a DataFrame where ``set_output`` asks for one.

        Raises
        ------
        InfoAlignError
            If the run cannot be read, ``X`` is not a column of strings, or, with ``on_error="raise"``, a
            structure cannot be read.
        ValueError
            If ``on_error`` or ``batch_size`` is none of the values it can have.
        """
        self._check_settings()
        smiles = structures(X)
        vectors = self._representation().embed(smiles, self.batch_size)
        if self.on_error == "raise" and len(vectors.errors):
            row, text, reason = vectors.errors.iloc[0]
            raise MoleculeError(
                f"row {row} of the input, {text!r}, has no vector: {reason} ({len(vectors.errors)} of "
                f"{len(smiles)} rows have none); leave these rows out, or use on_error='nan' for rows of NaN"
            )
        return np.asarray(vectors)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns ``embedding_0`` to ``embedding_{D-1}``, as ``infoalign-dgl embed`` does.

        Parameters
        ----------
        input_features : None
            Not used.

        Returns
        -------
        np.ndarray
            (D,) of str objects.
        """
        width = read_config(Path(self.run)).model.hidden
        return np.array([f"embedding_{place}" for place in range(width)], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = self.on_error == "nan"
        tags.transformer_tags.preserves_dtype = []  # strings become float32
        return tags

    def _check_settings(self) -> None:
        if self.on_error not in ("raise", "nan"):
            raise ValueError(f"'on_error' must be 'raise' or 'nan', not {self.on_error!r}")
        if self.batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, not {self.batch_size}")

    def _representation(self) -> Representation:
        folder = Path(self.run).absolute()
        try:
            stamp = (folder / FOLDER).stat().st_mtime_ns
        except OSError:
            stamp = 0  # no run: loading says so
        return _loaded(folder, self.step, self.device, stamp)


@lru_cache(maxsize=2)
def _loaded(run: Path, step: int | None, device: str, stamp: int) -> Representation:
    """Load a run once for all the copies that a grid search makes; again when it has another checkpoint."""
    del stamp  # when a checkpoint was last written or removed
    return load(run, step=step, device=device)


def structures(X: Any) -> list[str | None]:
    """Take the structures out of what scikit-learn hands over.

    Parameters
    ----------
    X : sequence or array
        As of :meth:`InfoAlignTransformer.transform`.

    Returns
    -------
    list of (str or None)
        n; None where a structure is missing.

    Raises
    ------
    MoleculeError
        If it is no column, or holds something else than strings.
    """
    if isinstance(X, str):
        raise MoleculeError(f"SMILES are asked for in a list or a column, not a single string: [{X!r}]")
    if issparse(X):
        raise MoleculeError("sparse input is not supported: SMILES are asked for in a list or a column")
    column = X.to_numpy(dtype=object) if isinstance(X, pd.DataFrame | pd.Series) else _as_objects(X)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise MoleculeError(
            f"SMILES are asked for in one column, and the input has the shape {column.shape}: choose the "
            "column of structures, as a ColumnTransformer does"
        )
    missing = pd.isna(column)
    for row in np.flatnonzero(~missing):
        if not isinstance(column[row], str):
            raise MoleculeError(
                f"row {row} of the input is {column[row]!r}, which is no string: choose the column of SMILES"
            )
    return [None if gone else str(text) for text, gone in zip(column, missing, strict=True)]


def _as_objects(X: Any) -> np.ndarray:
    try:
        return np.asarray(X, dtype=object)
    except ValueError as error:
        raise MoleculeError(
            f"SMILES are asked for in one column, and the input is no array: {error}"
        ) from error
