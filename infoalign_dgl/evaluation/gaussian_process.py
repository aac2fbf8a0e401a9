"""Gaussian processes on fixed features, all tasks on one kernel matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._per_task import Problem
from infoalign_dgl.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.tasks import Kind

Kernel = Literal["tanimoto", "rbf", "linear"]

MAX_EXACT = 8000
"""Train rows up to which the posterior is exact: beyond, the kernel matrix would need gigabytes."""

NUM_INDUCING = 2000
"""Train rows, drawn at random, that the approximate posterior goes through."""

_LIKELIHOOD_TASKS, _LIKELIHOOD_ROWS = 16, 512  # what hyperparameters are fitted on
_ROWS = 4096  # predicted at a time
_JITTER = 1e-6


def fit_gp(
    features: np.ndarray,
    labels: np.ndarray,
    split: Split,
    kind: Kind,
    seeds: Sequence[int],
    *,
    kernel: Kernel = "tanimoto",
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Fit a Gaussian process per task on its observed train rows and predict all rows.

    All tasks share one kernel matrix, and its scale, noise and lengthscale, which maximize the marginal
    likelihood of 16 tasks, spread evenly over numbers of labels, on up to 512 rows of each. So tasks with the
    same observed rows, as most assays of a platform have, share one Cholesky factor too.

    Binary labels are regressed on as 0 and 1, around their train mean: the posterior mean, cut to [0, 1], is
    the probability. A probit of mean and variance pulls rows far from train towards 1/2 whatever the task's
    share of actives, and a Dirichlet likelihood needs a factor per task and class; neither ranks or
    calibrates better here (docs/evaluation.md).

    Above 8,000 train rows the posterior goes through 2,000 of them (the subset of regressors with Titsias'
    variance), and a note says so. Nothing else is random, so that all seeds have the same predictions. Valid
    rows are not used.

    Parameters
    ----------
    features : np.ndarray
        (n, d) float32: bits or counts for ``"tanimoto"``, standardized on the train rows for others. A row
        with NaN has no features and is not used.
    labels : np.ndarray
        (n, T) float64, NaN where unmeasured.
    split : Split
        Of the test rows nothing is used.
    kind : {"binary", "regression"}
    seeds : sequence of int
        S seeds.
    kernel : {"tanimoto", "rbf", "linear"}
        ``"tanimoto"`` is sum(min) / sum(max) of two rows, ``"linear"`` the dot product divided by d.
    progress : callable, optional
        Called with (tasks done, tasks to train).

    Returns
    -------
    Predictions
        Probabilities of class 1, or values. The spread is the posterior standard deviation of the
        probability, or that of a measured value, noise included.

    Raises
    ------
    EvaluationError
        If GPyTorch is not installed, fewer than two train rows have features, no task can be trained,
        features are infinite, or not counts where the kernel needs them, or covariances cannot be factored.

    References
    ----------
    Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, sections 2.2 and 6.5; Ralaivola et
    al. 2005, doi:10.1016/j.neunet.2005.07.009, for the kernel; Titsias 2009, Variational learning of inducing
    variables, for the approximation; Milios et al. 2018, arXiv:1805.10915, for the Dirichlet likelihood.
    """
    problem = Problem.of(features, labels, split, kind)
    train = problem.place[problem.targets.train]
    base = train
    if len(train) > MAX_EXACT:
        base = np.sort(np.random.default_rng(0).choice(train, NUM_INDUCING, replace=False))
    tasks = [_Task.of(*problem.observed(task, problem.targets.train)) for task in range(problem.num_tasks)]
    try:
        prior, notes = _prior(problem.x, base, tasks, kernel)
        values, spread = _posteriors(prior, tasks, progress, exact=len(base) == len(train))
    except torch.linalg.LinAlgError as error:
        raise EvaluationError(
            "the covariances of these features cannot be factored, too many rows are nearly the same: use "
            "another head, or fewer or other features"
        ) from error
    if len(base) < len(train):
        notes.append(
            f"The posterior is approximate: of {len(train):,} train rows it goes through {len(base):,}, "
            "drawn at random."
        )
    if kind == "binary":
        values = values.clip(0, 1)
    else:
        spread = np.sqrt(spread**2 + prior.noise * np.array([task.scale for task in tasks]) ** 2)
    copies = (len(seeds), 1, 1)
    return Predictions(
        np.tile(problem.placed(values), copies),
        np.tile(problem.placed(spread, spread=True), copies),
        [*problem.targets.notes, *notes],
    )


def similarities(left: np.ndarray, right: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Compare rows: Tanimoto similarities, squared distances (``"rbf"``) or dot products divided by d.

    Parameters
    ----------
    left, right : np.ndarray
        (m, d) and (b, d). Two rows of zeros have a Tanimoto similarity of 1.
    kernel : {"tanimoto", "rbf", "linear"}

    Returns
    -------
    np.ndarray
        (m, b) float32, of the latter two rounded once; float64 where ``left`` is float64.

    Raises
    ------
    EvaluationError
        If the kernel is unknown, or ``"tanimoto"`` is asked for of what are no counts.
    """
    if kernel == "tanimoto":
        return _tanimoto(left, right)
    if kernel not in ("rbf", "linear"):
        raise EvaluationError(f"there is no kernel '{kernel}': use tanimoto, rbf or linear")
    # In float64: the distance of two long rows that lie close together is a small difference of large
    # numbers, and with a wrong one the kernel matrix of a heavy-tailed embedding cannot be factored.
    found = np.empty((len(left), len(right)), np.float64 if left.dtype == np.float64 else np.float32)
    others = right.astype(np.float64)
    for start in range(0, len(left), _ROWS):
        part = slice(start, start + _ROWS)
        rows = left[part].astype(np.float64)
        products = rows @ others.T
        if kernel == "linear":
            found[part] = products / left.shape[1]
        else:
            norms = np.square(rows).sum(axis=1)[:, None] + np.square(others).sum(axis=1)
            found[part] = np.maximum(norms - 2 * products, 0)
    return found


def _tanimoto(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    for rows in (left, right):
        bad = (rows < 0) | (rows != np.floor(rows))
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise EvaluationError(
                f"a Tanimoto kernel compares bits or counts, and column {column} of row {row} holds "
                f"{rows[row, column]:g}: use the kernel 'rbf' for real numbers"
            )
    common = np.zeros((len(left), len(right)), np.float32)
    # The smaller of two counts is the number of levels that both reach, and few columns reach high ones.
    for level in range(1, int(min(left.max(initial=0), right.max(initial=0))) + 1):
        columns = (left >= level).any(axis=0) & (right >= level).any(axis=0)
        high_left, high_right = left[:, columns] >= level, right[:, columns] >= level
        rows, others = np.flatnonzero(high_left.any(axis=1)), np.flatnonzero(high_right.any(axis=1))
        products = high_left[rows].astype(np.float32) @ high_right[others].astype(np.float32).T
        common[np.ix_(rows, others)] += products
    either = left.sum(axis=1, dtype=np.float32)[:, None] + right.sum(axis=1, dtype=np.float32) - common
    return np.divide(common, either, out=np.ones_like(common), where=either > 0)


@dataclass(frozen=True)
class _Task:
    """A task's observed train rows by their places, ascending, and standardized labels, float64."""

    rows: np.ndarray
    labels: np.ndarray
    mean: float
    scale: float

    @classmethod
    def of(cls, rows: np.ndarray, labels: np.ndarray) -> _Task:
        mean, scale = float(labels.mean(dtype=np.float64)), float(labels.std(dtype=np.float64))
        return cls(rows, (labels.astype(np.float64) - mean) / scale, mean, scale)


@dataclass(frozen=True)
class _Prior:
    """What all tasks share, for standardized labels.

    Attributes
    ----------
    matrix : Tensor
        (m, b) float32: covariances of all rows with the base.
    variance : Tensor
        (m,) float64: of each row with itself.
    base : np.ndarray
        (b,) places of rows, ascending: all train rows, or the inducing ones.
    noise : float
        Variance of a label around the process.
    """

    matrix: Tensor
    variance: Tensor
    base: np.ndarray
    noise: float

    def blocks(self, columns: np.ndarray | slice) -> Iterator[tuple[slice, Tensor]]:
        """Give columns of the matrix, some rows at a time, float64."""
        for start in range(0, len(self.matrix), _ROWS):
            part = slice(start, start + _ROWS)
            yield part, self.matrix[part][:, columns].double()


def _prior(
    x: np.ndarray, base: np.ndarray, tasks: Sequence[_Task], kernel: Kernel
) -> tuple[_Prior, list[str]]:
    """Make the kernel matrix, with the hyperparameters of the largest marginal likelihood."""
    try:
        from infoalign_dgl.evaluation._gp_likelihood import most_likely
    except ImportError as error:
        raise EvaluationError(
            "gpytorch is not installed, which Gaussian processes need: pip install "
            "'infoalign-dgl[evaluation]'"
        ) from error
    matrix = similarities(x, x[base], kernel)
    variance = np.square(x.astype(np.float64)).mean(axis=1) if kernel == "linear" else np.ones(len(x))
    # In units in which the usual entry is about 1: the search for hyperparameters starts there.
    unit = {"rbf": float(np.median(matrix)), "linear": float(variance.mean())}.get(kernel, 1.0) or 1.0
    chosen = _spread_over_sizes(tasks)
    pairs = []
    for rows, labels in chosen:
        precise = x[rows] if kernel == "tanimoto" else x[rows].astype(np.float64)
        square = similarities(precise, precise, kernel) / unit
        pairs.append((torch.from_numpy(square).double(), torch.from_numpy(labels)))
    fitted = most_likely(pairs, squared_distances=kernel == "rbf")
    matrix /= unit
    if kernel == "rbf":
        np.exp(matrix / (-2 * fitted.lengthscale**2), out=matrix)
    elif kernel == "linear":
        variance /= unit
    matrix *= fitted.scale
    length = f", lengthscale {fitted.lengthscale * unit**0.5:.3g}" if kernel == "rbf" else ""
    note = (
        f"All tasks share the hyperparameters with the largest marginal likelihood on {len(chosen)} tasks, "
        f"on up to {_LIKELIHOOD_ROWS} rows of each: scale {fitted.scale:.3g}, "
        f"noise {fitted.noise:.3g}{length}, where labels have variance 1."
    )
    variance *= fitted.scale
    return _Prior(torch.from_numpy(matrix), torch.from_numpy(variance), base, fitted.noise), [note]


def _spread_over_sizes(tasks: Sequence[_Task]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and labels of tasks, from the smallest to the largest; of a large one, rows drawn at random."""
    order = sorted(range(len(tasks)), key=lambda task: len(tasks[task].rows))
    places = np.linspace(0, len(order) - 1, min(_LIKELIHOOD_TASKS, len(order))).round().astype(int)
    rng = np.random.default_rng(0)
    chosen = []
    for task in (tasks[order[place]] for place in places):
        size = min(_LIKELIHOOD_ROWS, len(task.rows))
        drawn = np.sort(rng.choice(len(task.rows), size, replace=False))
        chosen.append((task.rows[drawn], task.labels[drawn]))
    return chosen


def _posteriors(
    prior: _Prior, tasks: Sequence[_Task], progress: Callable[[int, int], None] | None, *, exact: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of all rows, (m, U) float32, in the tasks' units."""
    alike: dict[bytes, list[int]] = {}
    for number, task in enumerate(tasks):
        alike.setdefault(task.rows.tobytes(), []).append(number)
    values = np.empty((2, len(prior.matrix), len(tasks)), np.float32)
    through = None if exact else _through_base(prior)
    done = 0
    for numbers in alike.values():
        group = [tasks[number] for number in numbers]
        labels = torch.from_numpy(np.stack([task.labels for task in group], axis=1))
        rows = group[0].rows
        if through is None:
            mean, variance = _exact(prior, rows, labels)
        else:
            mean, variance = _approximate(prior, through, rows, labels)
        scale = np.array([task.scale for task in group])
        values[0][:, numbers] = np.array([task.mean for task in group]) + scale * mean.numpy()
        values[1][:, numbers] = scale * variance.clamp(min=0).sqrt().numpy()[:, None]
        done += len(numbers)
        if progress is not None:
            progress(done, len(tasks))
    return values[0], values[1]


def _exact(prior: _Prior, rows: np.ndarray, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior means (m, g) and variances (m,) of g tasks with the same observed rows."""
    columns = np.searchsorted(prior.base, rows)
    among = prior.matrix[rows][:, columns].double()
    among.diagonal().add_(prior.noise)
    factor = torch.linalg.cholesky(among)
    weights = torch.cholesky_solve(labels, factor)
    mean, variance = torch.empty(len(prior.matrix), labels.shape[1]).double(), prior.variance.clone()
    for part, block in prior.blocks(columns):
        mean[part] = block @ weights
        known = torch.linalg.solve_triangular(factor, block.T, upper=False)
        variance[part] -= known.square().sum(0)
    return mean, variance


def _through_base(prior: _Prior) -> Tensor:
    """Coordinates of all rows in which the covariance through the base is a dot product, (m, b) float32."""
    among = prior.matrix[prior.base].double()
    among.diagonal().add_(_JITTER * float(prior.variance.mean()))
    factor = torch.linalg.cholesky(among)
    coordinates = torch.empty_like(prior.matrix)
    for part, block in prior.blocks(slice(None)):
        coordinates[part] = torch.linalg.solve_triangular(factor, block.T, upper=False).T.float()
    return coordinates


def _approximate(prior: _Prior, through: Tensor, rows: np.ndarray, labels: Tensor) -> tuple[Tensor, Tensor]:
    """As `_exact`, for a process whose covariances go through the base: a linear model of coordinates."""
    known = through[rows].double()
    precision = known.T @ known / prior.noise
    precision.diagonal().add_(1.0)
    factor = torch.linalg.cholesky(precision)
    weights = torch.cholesky_solve(known.T @ labels / prior.noise, factor)
    mean, variance = torch.empty(len(through), labels.shape[1]).double(), prior.variance.clone()
    for start in range(0, len(through), _ROWS):
        part = slice(start, start + _ROWS)
        block = through[part].double()
        mean[part] = block @ weights
        left = torch.linalg.solve_triangular(factor, block.T, upper=False)
        variance[part] += left.square().sum(0) - block.square().sum(1)
    return mean, variance
