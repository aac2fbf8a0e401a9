"""What a predictor says of the molecules of a table, and how sure it is, written row for row."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from infoalign_dgl._folders import replace_file
from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.nearest import nearest_molecules, packed_morgan
from infoalign_dgl.evaluation.predictions import Predictions
from infoalign_dgl.evaluation.predictor import Predictor, load_predictor
from infoalign_dgl.evaluation.uncertainty import Conformal, conformalize, ensemble
from infoalign_dgl.molecules import standardized_graphs
from infoalign_dgl.representation import BATCH_SIZE
from infoalign_dgl.sources.tables import format_by_ending, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DRAWS, CONFIDENCE = 30, 0.9
_ROWS = 256  # predicted at a time: all seeds and tasks of a large table at once would not fit in memory
_SETS = np.array(["none", "0", "1", "0 or 1"], object)


@dataclass(frozen=True)
class PredictedTable:
    """What :func:`predict_table` wrote.

    Attributes
    ----------
    rows : int
        Rows of the table, and of the output.
    failed : int
        Of these, molecules without a prediction.
    tasks : int
        Tasks, those included that could not be trained.
    untrained : int
        Of these, tasks whose columns are empty because they could not be trained.
    uncalibrated : int
        Of the trained ones, tasks without intervals or sets, because too few labels calibrate them.
    """

    rows: int
    failed: int
    tasks: int
    untrained: int
    uncalibrated: int


def predict_table(
    folder: str | Path,
    table: str | Path,
    output: str | Path,
    *,
    smiles_column: str = "smiles",
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    batch_size: int = BATCH_SIZE,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> PredictedTable:
    """Predict the molecules of a table and write them row for row.

    Parameters
    ----------
    folder : str or Path
        A predictor's.
    table : str or Path
        Any table that can be read.
    output : str or Path
        ``.parquet``, ``.csv`` or ``.tsv`` (the latter two also with ``.gz``), written whole or not at all.
        Columns: ``smiles`` (as given); ``error`` (empty where there is none); ``nearest_smiles`` and
        ``nearest_similarity``, the train molecule with the highest Tanimoto similarity (Morgan bits, radius
        2); and of each task

        - ``TASK_mean`` and ``TASK_std``: the mean over seeds (of probabilities of class 1, or values) and the
          standard deviation between them, empty for one seed;
        - ``TASK_std_latent``: the standard deviation that the encoder's own sigma leaves in a prediction,
          the root of its mean square over seeds; not there without ``draws``;
        - ``TASK_low`` and ``TASK_high`` (regression), the ends of an interval, or ``TASK_set`` (binary), the
          classes ``0``, ``1``, ``0 or 1``, or ``none``, that hold the truth with ``confidence`` where
          molecules are like the test rows of ``finetune``; empty where these rows have too few labels.
    smiles_column : str
        The table's column of structures.
    draws : int
        Of each molecule's latent, 0 or at least 2.
    confidence : float
        Between 0 and 1.
    batch_size, device
        As for :meth:`Predictor.predict` and :func:`load_predictor`.
    progress : callable, optional
        Called with (molecules predicted, all that can be read).

    Raises
    ------
    InfoAlignError
        If the predictor, the table or its column cannot be read, the output cannot be written, or ``draws``
        or ``confidence`` make no sense.
    """
    output = Path(output)
    kind = format_by_ending(output)
    if kind not in ("parquet", "csv", "tsv"):
        raise EvaluationError(f"'{output}' must end in .parquet, .csv or .tsv, with or without .gz for text")
    if draws < 0 or draws == 1:
        raise EvaluationError(f"'draws' is 0 for none or at least 2 for a standard deviation, not {draws}")
    predictor = load_predictor(folder, device=device)
    stored = predictor.calibration
    tested = ensemble(Predictions(stored.values)).mean
    conformal = conformalize(stored.labels, tested, predictor.heads.kind, confidence)
    smiles = read_table(Path(table), text=[smiles_column])[smiles_column].tolist()
    frame, failed = _predicted(predictor, conformal, smiles, draws, batch_size, progress)
    output.parent.mkdir(parents=True, exist_ok=True)
    if kind == "parquet":
        replace_file(output, lambda stream: frame.to_parquet(stream, index=False))
    else:
        text = frame.to_csv(None, sep="," if kind == "csv" else "\t", index=False).encode()
        replace_file(
            output, lambda stream: stream.write(gzip.compress(text) if output.suffix == ".gz" else text)
        )
    trained = predictor.heads.trained
    uncalibrated = int((trained & np.isnan(conformal.radius)).sum())
    return PredictedTable(len(smiles), failed, len(trained), int((~trained).sum()), uncalibrated)


def _predicted(
    predictor: Predictor,
    conformal: Conformal,
    smiles: Sequence[str | None],
    draws: int,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[pd.DataFrame, int]:
    """All columns, and how many molecules cannot be read."""
    first = predictor.encoders[0]
    packed, reasons = standardized_graphs(list(smiles), tautomer=first.tautomer, helpers=first.helpers)
    rows = np.array([row for row, reason in enumerate(reasons) if reason is None], np.int64)
    # No name ends in "_" and another name, or tasks "x" and "x_latent" could share a column.
    names = ["mean", "std", "std_latent"] if draws else ["mean", "std"]
    found = {name: np.full((len(rows), len(predictor.tasks)), np.nan) for name in names}
    step = max(_ROWS, batch_size)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        latents = predictor.latents(packed, rows[part], batch_size)
        together = ensemble(Predictions(predictor.predict_latents([mu for mu, _ in latents])))
        found["mean"][part], found["std"][part] = together.mean, together.between
        if draws:
            found["std_latent"][part] = predictor.latent_std(latents, draws)
        if progress is not None:
            progress(min(start + step, len(rows)), len(rows))
    if conformal.kind == "regression":
        found["low"], found["high"] = conformal.intervals(found["mean"])
    else:
        found["set"] = _sets(conformal, found["mean"])
    nearest = nearest_molecules(packed_morgan([smiles[row] for row in rows]), predictor.train.bits)
    known = [predictor.train.smiles[row] if row >= 0 else None for row in nearest.row]
    of_row = {"nearest_smiles": np.array(known, object), "nearest_similarity": nearest.similarity}
    columns = {"smiles": pd.Series(list(smiles), dtype=object), "error": pd.Series(reasons, dtype=object)}
    columns |= {name: _placed(each, rows, len(smiles)) for name, each in of_row.items()}
    for place, task in enumerate(predictor.tasks):
        for name, each in found.items():
            columns[f"{task}_{name}"] = _placed(each[:, place], rows, len(smiles))
    return pd.DataFrame(columns), len(smiles) - len(rows)


def _sets(conformal: Conformal, probabilities: np.ndarray) -> np.ndarray:
    """Name the classes in each set, (m, T) of str, None where there is no prediction or no calibration."""
    members = conformal.sets(probabilities)
    names = _SETS[members[..., 0] + 2 * members[..., 1]]
    names[np.isnan(probabilities) | np.isnan(conformal.radius)] = None
    return names


def _placed(values: np.ndarray, rows: np.ndarray, count: int) -> pd.Series:
    """Put the values of some rows among all, empty elsewhere."""
    column = np.full(count, None if values.dtype == object else np.nan, values.dtype)
    column[rows] = values
    return pd.Series(column)
