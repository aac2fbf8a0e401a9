"""How well a representation tells a mechanism from a few labels, method against method on the same splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.evaluation.statistics import t_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MIN_SEEDS = 10
"""Fewer splits than this give no interval worth printing."""

_INVERSE_REGULARIZATION = 1.0  # fixed: a few labels leave none to choose it by


@dataclass(frozen=True)
class FewLabelRow:
    """One method of the comparison.

    Attributes
    ----------
    method : str
        Its name.
    auc : float
        Mean ROC-AUC over mechanisms and seeds.
    half_width : float
        Half of the 95 % t interval of ``auc`` over seeds.
    difference : float or None
        Reference method's ROC-AUC minus this one's, paired by split; None for the reference itself.
    difference_half_width : float or None
        Half of the 95 % t interval of ``difference`` over seeds.
    """

    method: str
    auc: float
    half_width: float
    difference: float | None
    difference_half_width: float | None


@dataclass(frozen=True)
class FewLabelTable:
    """ROC-AUC of every method on every mechanism and split.

    Attributes
    ----------
    methods : list of str
        In the order given.
    mechanisms : list of str
        The K that were compared.
    skipped : list of str
        Mechanisms that have too few active or inactive molecules for the split.
    seeds : list of int
        S seeds; a seed and a mechanism give one split, the same for all methods.
    num_labels : int
        Labelled molecules of a split, half of them active.
    reference : str
        The method that the others are subtracted from.
    auc : numpy.ndarray
        (methods, K, S) float64.
    """

    methods: list[str]
    mechanisms: list[str]
    skipped: list[str]
    seeds: list[int]
    num_labels: int
    reference: str
    auc: np.ndarray

    def rows(self) -> list[FewLabelRow]:
        """Summarize each method.

        The intervals are Student t intervals over seeds of the mean over mechanisms: they cover which
        molecules were labelled, not which molecules, mechanisms or pretraining seed there are.
        """
        by_seed = self.auc.mean(axis=1)
        reference = by_seed[self.methods.index(self.reference)]
        rows = []
        for method, values in zip(self.methods, by_seed, strict=True):
            mean, half_width = t_interval(values)
            paired = (None, None) if method == self.reference else t_interval(reference - values)
            rows.append(FewLabelRow(method, mean, half_width, *paired))
        return rows


def few_label_auc(features: np.ndarray, labels: np.ndarray, *, num_labels: int, seed: int) -> float:
    """Learn from a few labelled molecules, half of them active, and rank all others.

    Columns are standardized over all molecules (which uses no label), those of bits are left as they are;
    the model is a logistic regression with an L2 penalty at C = 1.

    Parameters
    ----------
    features : numpy.ndarray
        (n, d), finite.
    labels : numpy.ndarray
        (n,) bool.
    num_labels : int
        Labelled molecules, an even number.
    seed : int
        Which molecules are labelled.

    Returns
    -------
    float
        ROC-AUC over the n - num_labels others; 0.5 is chance.

    Raises
    ------
    ValueError
        If shapes do not fit, a feature is not finite, or no active or inactive molecule would be left to
        rank.

    Examples
    --------
    >>> import numpy as np
    >>> from infoalign_dgl.evaluation import few_label_auc
    >>> active = np.arange(100) < 40
    >>> few_label_auc(active[:, None] * 1.0, active, num_labels=8, seed=0)  # a feature that tells
    1.0
    >>> few_label_auc(np.ones((100, 1)), active, num_labels=8, seed=0)  # and one that cannot
    0.5
    """
    labels = np.asarray(labels, dtype=bool)
    prepared = _prepare(features, len(labels), "features")
    if not _enough(labels, num_labels):
        raise ValueError(
            f"'num_labels' of {num_labels} needs more than {num_labels // 2} active and inactive molecules, "
            f"and there are {labels.sum()} and {(~labels).sum()}: pass more molecules or ask for fewer"
        )
    return _auc(prepared, labels, _split(labels, num_labels, np.random.default_rng(seed)))


def compare_few_label(
    methods: Mapping[str, np.ndarray],
    labels: np.ndarray,
    mechanisms: Sequence[str],
    *,
    num_labels: int,
    seeds: Iterable[int],
    reference: str,
) -> FewLabelTable:
    """Compare representations of the same molecules on the same splits.

    Parameters
    ----------
    methods : mapping of str to numpy.ndarray
        (n, d) features by method; d may differ.
    labels : numpy.ndarray
        (n, K) bool.
    mechanisms : sequence of str
        K names.
    num_labels : int
        Labelled molecules per mechanism and split, half of them active.
    seeds : iterable of int
        At least 10.
    reference : str
        The method that the others are compared with.

    Returns
    -------
    FewLabelTable
        Every ROC-AUC; `FewLabelTable.rows` sums it up.

    Raises
    ------
    ValueError
        If arguments do not fit each other, or no mechanism has enough molecules.
    """
    labels, seeds = np.asarray(labels, dtype=bool), list(seeds)
    if reference not in methods:
        raise ValueError(f"'reference' must be one of the methods ({', '.join(methods)}), not '{reference}'")
    if len(set(seeds)) != len(seeds) or len(seeds) < MIN_SEEDS:
        raise ValueError(f"'seeds' must be at least {MIN_SEEDS} different numbers, not {seeds}")
    if labels.ndim != 2 or labels.shape[1] != len(mechanisms):
        raise ValueError(
            f"'labels' must be (molecules, {len(mechanisms)}), a column per mechanism, not {labels.shape}"
        )
    prepared = {name: _prepare(features, len(labels), name) for name, features in methods.items()}
    used = [k for k in range(len(mechanisms)) if _enough(labels[:, k], num_labels)]
    if not used:
        raise ValueError(
            f"'num_labels' of {num_labels} needs more than {num_labels // 2} active and inactive molecules, "
            f"and no mechanism has them among {len(labels)} molecules: pass more molecules or ask for fewer"
        )
    auc = np.empty((len(prepared), len(used), len(seeds)))
    for row, k in enumerate(used):
        for column, seed in enumerate(seeds):
            # The split depends on the mechanism's place among all: leaving another one out changes nothing.
            labelled = _split(labels[:, k], num_labels, np.random.default_rng((seed, k)))
            for number, features in enumerate(prepared.values()):
                auc[number, row, column] = _auc(features, labels[:, k], labelled)
    return FewLabelTable(
        methods=list(prepared),
        mechanisms=[mechanisms[k] for k in used],
        skipped=[name for k, name in enumerate(mechanisms) if k not in used],
        seeds=seeds,
        num_labels=num_labels,
        reference=reference,
        auc=auc,
    )


def _prepare(features: np.ndarray, num_molecules: int, name: str) -> np.ndarray:
    features = np.asarray(features)
    if features.ndim != 2 or len(features) != num_molecules:
        raise ValueError(
            f"'{name}' must be (molecules, dimensions) with {num_molecules} molecules, not {features.shape}"
        )
    values = features.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise ValueError(
            f"'{name}' has {bad.size} molecules with values that are not finite, first at row {bad[0]}: "
            "leave them out of all methods"
        )
    bits = ((values == 0) | (values == 1)).all(axis=0)
    centre, scale = values.mean(axis=0), values.std(axis=0)
    # A rare bit, standardized, would outweigh everything else; a constant column says nothing.
    centre[bits] = 0.0
    scale[bits | (scale < 1e-12)] = 1.0
    return (values - centre) / scale


def _enough(labels: np.ndarray, num_labels: int) -> bool:
    if num_labels < 2 or num_labels % 2:
        raise ValueError(
            f"'num_labels' must be an even number from 2, not {num_labels}: half of it is active"
        )
    return min(int(labels.sum()), int((~labels).sum())) > num_labels // 2


def _split(labels: np.ndarray, num_labels: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: which molecules are labelled."""
    labelled = np.zeros(len(labels), dtype=bool)
    for value in (True, False):
        labelled[rng.permutation(np.flatnonzero(labels == value))[: num_labels // 2]] = True
    return labelled


def _auc(features: np.ndarray, labels: np.ndarray, labelled: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    few = features[labelled]
    # The penalized solution lies in the span of the labelled rows, so it is the same in coordinates of that
    # span, where the fit has as many dimensions as there are labels and a Newton step is a tiny solve.
    basis = np.linalg.qr(few.T)[0]
    model = LogisticRegression(C=_INVERSE_REGULARIZATION, solver="newton-cholesky")
    model.fit(few @ basis, labels[labelled])
    scores = features @ (basis @ model.coef_[0])
    return float(roc_auc_score(labels[~labelled], scores[~labelled]))
