"""A run as a function: SMILES in, vectors out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from infoalign_dgl._html import panel
from infoalign_dgl.errors import RunError
from infoalign_dgl.models import InfoAlign
from infoalign_dgl.models.compat import bound_all_rows
from infoalign_dgl.molecules import PackedMolecules, standardized_graphs
from infoalign_dgl.molecules._workers import Helpers
from infoalign_dgl.sources.tables import read_table
from infoalign_dgl.training.checkpoint import checkpoint_folder, load_model
from infoalign_dgl.training.run_folder import read_config
from infoalign_dgl.training.setup import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from infoalign_dgl.models.bottleneck import Latent

ERROR_COLUMNS = ["row", "smiles", "reason"]
BATCH_SIZE = 128  # on a CPU, a larger batch's activations do not stay in the caches


class Embedding(np.ndarray):
    """An array of vectors, one row per structure, that knows why some rows are NaN.

    Attributes
    ----------
    errors : pandas.DataFrame
        One line per structure without a vector: ``row`` (its position), ``smiles`` (as given) and ``reason``.
        An array cut out of this one or calculated from it has an empty table, since its rows are others.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from infoalign_dgl.representation import Embedding
    >>> errors = pd.DataFrame({"row": [1], "smiles": ["C1CC"], "reason": ["is no SMILES"]})
    >>> vectors = Embedding.of(np.array([[0.5, 2.0], [np.nan, np.nan]]), errors)
    >>> vectors.errors["reason"].tolist(), len(vectors[:1].errors)
    (['is no SMILES'], 0)
    """

    errors: pd.DataFrame

    @classmethod
    def of(cls, vectors: np.ndarray, errors: pd.DataFrame) -> Embedding:
        """Attach a table of errors to vectors of shape (n, D)."""
        embedding = np.asarray(vectors).view(cls)
        embedding.errors = errors
        return embedding

    def __array_finalize__(self, source: np.ndarray | None) -> None:
        self.errors = pd.DataFrame(columns=ERROR_COLUMNS)


@dataclass(frozen=True, repr=False)
class Representation:
    """A pretrained encoder.

    Attributes
    ----------
    model : InfoAlign
        In eval mode.
    checkpoint : Path
        Where its weights came from.
    tautomer : bool
        Whether it was trained on canonical tautomers: what is embedded becomes one too.
    helpers : Helpers
        Processes that read structures; the first :meth:`embed` of many rows starts them, and they are kept
        for the next.
    """

    model: InfoAlign
    checkpoint: Path
    tautomer: bool = False
    helpers: Helpers = field(default_factory=Helpers, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"Representation({self._source()}, vectors of {self.dim:,} dimensions)\n{self.model!r}"

    def _repr_html_(self) -> str:
        summary = f"{self._source()}, vectors of {self.dim:,} dimensions"
        return panel("Representation", summary, self.model._repr_html_())

    def _source(self) -> str:
        # <run>/checkpoints/step-<N>
        run, step = self.checkpoint.resolve().parent.parent.name, self.checkpoint.name.removeprefix("step-")
        return f"run '{run}', step {step}{', of canonical tautomers' if self.tautomer else ''}"

    @property
    def dim(self) -> int:
        """Width D of the vectors."""
        return self.model.config.hidden

    def embed(
        self,
        smiles: Sequence[str | None],
        batch_size: int = BATCH_SIZE,
        *,
        num_workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Embedding:
        """Embed structures as the mean mu of their latent.

        They are standardized as for building the graph of the run: largest fragment, uncharged, and the
        canonical tautomer if that graph has it.

        Parameters
        ----------
        smiles : sequence of (str or None)
            n structures.
        batch_size : int
            Molecules at a time; the vectors do not depend on it.
        num_workers : int, optional
            Processes for reading structures; by default one per CPU.
        progress : callable, optional
            Called with (molecules encoded, all).

        Returns
        -------
        Embedding
            Shape (n, D), float32, row-aligned with ``smiles``; rows of NaN where a structure has no vector,
            with the reason in ``.errors``.

        Raises
        ------
        ValueError
            If ``batch_size`` is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"'batch_size' must be at least 1, not {batch_size}")
        given = list(smiles)
        packed, reasons = standardized_graphs(
            given, tautomer=self.tautomer, num_workers=num_workers, helpers=self.helpers
        )
        rows = np.array([row for row, reason in enumerate(reasons) if reason is None], np.int64)
        vectors = np.full((len(given), self.dim), np.nan, np.float32)
        vectors[rows] = self.encode(packed, rows, batch_size, progress=progress)
        errors = [(row, given[row], reason) for row, reason in enumerate(reasons) if reason is not None]
        return Embedding.of(vectors, pd.DataFrame(errors, columns=ERROR_COLUMNS, dtype=object))

    def encode(
        self,
        packed: PackedMolecules,
        rows: np.ndarray | None = None,
        batch_size: int = BATCH_SIZE,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Encode molecules that were featurized before, as they are.

        Parameters
        ----------
        packed : PackedMolecules
            Molecules.
        rows : np.ndarray, optional
            (m,) int64, which of them; all by default. One without atoms gives a vector that means nothing.
        batch_size, progress
            As for :meth:`embed`.

        Returns
        -------
        np.ndarray
            Shape (m, D), float32.
        """
        chosen = np.arange(len(packed)) if rows is None else rows
        vectors = np.empty((len(chosen), self.dim), np.float32)
        for part, latent in self._encoded(packed, chosen, batch_size, progress):
            vectors[part] = latent.mu.cpu().numpy()
        return vectors

    def latents(
        self,
        packed: PackedMolecules,
        rows: np.ndarray,
        batch_size: int = BATCH_SIZE,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and standard deviation of the latents of molecules that were featurized before.

        Parameters are those of :meth:`encode`.

        Returns
        -------
        mu, sigma : np.ndarray
            Shape (m, D), float32.
        """
        mu, sigma = (np.empty((len(rows), self.dim), np.float32) for _ in range(2))
        for part, latent in self._encoded(packed, rows, batch_size):
            mu[part], sigma[part] = latent.mu.cpu().numpy(), latent.sigma.cpu().numpy()
        return mu, sigma

    def _encoded(
        self,
        packed: PackedMolecules,
        rows: np.ndarray,
        batch_size: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[tuple[slice, Latent]]:
        """Encode some molecules after others."""
        device = next(self.model.parameters()).device
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            with torch.inference_mode():
                latent = self.model.encode(packed.gather(rows[part]).to(device))
            yield part, latent
            if progress is not None:
                progress(min(start + batch_size, len(rows)), len(rows))


def load(run: str | Path, *, step: int | None = None, device: str = "auto") -> Representation:
    """Load a run's encoder.

    Parameters
    ----------
    run : str or Path
        A run folder; the graph it was trained on is not needed.
    step : int, optional
        A checkpoint's step; by default the best one on the molecules held out, or the last one where none
        were.
    device : str
        ``"auto"`` takes a GPU where there is one.

    Returns
    -------
    Representation

    Raises
    ------
    InfoAlignError
        If the folder is no run, or has no such checkpoint, or a damaged one.
    """
    folder = Path(run)
    config = read_config(folder)
    checkpoint = checkpoint_folder(folder, step)
    model = InfoAlign(config.model)
    load_model(checkpoint, model)
    if config.model.compat is not None:
        bound_all_rows(model)
    return Representation(model.to(choose_device(device)).eval(), checkpoint, config.tautomer)


@dataclass(frozen=True)
class EmbeddedTable:
    """What :func:`embed_table` wrote.

    Attributes
    ----------
    rows : int
        Rows of the table, and of the output.
    failed : int
        Of these, molecules without a vector.
    dimensions : int
        Numbers per vector.
    """

    rows: int
    failed: int
    dimensions: int


def embed_table(
    run: str | Path,
    table: str | Path,
    output: str | Path,
    *,
    smiles_column: str = "smiles",
    batch_size: int = BATCH_SIZE,
) -> EmbeddedTable:
    """Embed the molecules of a table and write them as Parquet, row for row.

    Parameters
    ----------
    run : str or Path
        A run folder.
    table : str or Path
        CSV, TSV or Parquet, gzipped or not.
    output : str or Path
        Parquet file with the columns ``smiles`` (as given), ``error`` (null where there is none) and
        ``embedding_0`` to ``embedding_{D-1}``; written whole or not at all.
    smiles_column : str
        The table's column of structures.
    batch_size : int
        Molecules at a time.

    Raises
    ------
    InfoAlignError
        If the run, the table or its column cannot be read; or if the output is the table itself, is not named
        as Parquet is, or cannot be written.
    """
    _check_output(Path(table), Path(output))
    representation = load(run)
    smiles = read_table(Path(table), text=[smiles_column])[smiles_column].tolist()
    vectors = representation.embed(smiles, batch_size)
    errors = np.full(len(vectors), None, object)
    errors[vectors.errors["row"].to_numpy(np.int64)] = vectors.errors["reason"]
    names = [f"embedding_{i}" for i in range(representation.dim)]
    columns = pd.DataFrame(
        {"smiles": pd.Series(smiles, dtype=object), "error": pd.Series(errors, dtype=object)}
    )
    _write_parquet(
        pd.concat([columns, pd.DataFrame(np.asarray(vectors), columns=names)], axis=1), Path(output)
    )
    return EmbeddedTable(len(vectors), len(vectors.errors), representation.dim)


def _check_output(table: Path, output: Path) -> None:
    if output.suffix.lower() not in (".parquet", ".pq"):
        raise RunError(f"'{output}' will be Parquet: give it a name that ends in .parquet")
    if output.exists() and output.samefile(table):
        raise RunError(f"'{output}' is the table of molecules, which would be lost: choose another output")


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write beside the target and rename, so that a full disk leaves no half of a file."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(partial, index=False)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"could not write '{path}': {error.strerror or error}") from error
