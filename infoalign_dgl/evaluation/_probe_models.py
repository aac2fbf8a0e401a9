"""One task's linear model or forest. Processes import this module, so it imports nothing that is heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from infoalign_dgl.evaluation.tasks import Kind

STRENGTHS = tuple(10.0**exponent for exponent in range(-5, 3))
"""What the C of a linear model is chosen from; ridge regression's alpha is 1 / C."""

MOSTLY_ZERO = 0.1
"""Largest share of other cells; Morgan counts have 2 %."""


def linear_task(
    x: np.ndarray, train: np.ndarray, y: np.ndarray, valid: np.ndarray, y_valid: np.ndarray, kind: Kind
) -> tuple[np.ndarray, np.ndarray]:
    """Give (strengths, m) predictions and (strengths,) scores on valid, NaN where it cannot be scored."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import mean_absolute_error, roc_auc_score

    x = x.astype(np.float64)
    if len(train) < x.shape[1]:
        # The penalized solution lies in the span of the train rows: same fit, fewer dimensions.
        x = x @ np.linalg.qr(x[train].T)[0]
    values = np.empty((len(STRENGTHS), len(x)), np.float32)
    scores = np.full(len(STRENGTHS), np.nan)
    for number, strength in enumerate(STRENGTHS):
        if kind == "binary":
            model = LogisticRegression(C=strength, solver="newton-cholesky").fit(x[train], y)
            values[number] = model.predict_proba(x)[:, 1]
            if len(np.unique(y_valid)) == 2:
                scores[number] = roc_auc_score(y_valid, values[number, valid])
        else:
            values[number] = Ridge(alpha=1 / strength).fit(x[train], y).predict(x)
            if len(y_valid):
                scores[number] = -mean_absolute_error(y_valid, values[number, valid])
    return values, scores


def forest_task(
    x: np.ndarray, train: np.ndarray, y: np.ndarray, others: np.ndarray, kind: Kind, num_trees: int, seed: int
) -> np.ndarray:
    """Give (m,) predictions for the rows ``others``, NaN for the rest."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    values = np.full(len(x), np.nan, np.float32)
    if kind == "binary":
        forest = RandomForestClassifier(num_trees, random_state=seed).fit(_by_column(x[train]), y)
        values[others] = forest.predict_proba(x[others])[:, 1]
    else:
        forest = RandomForestRegressor(num_trees, max_features=1 / 3, random_state=seed)
        values[others] = forest.fit(np.asfortranarray(x[train]), y).predict(x[others])
    return values


def _by_column(x: np.ndarray) -> Any:
    """Store features by column, as a tree looks at them, without the zeros where there is little else.

    Trees are the same. A regression's would not always be, since zeros left out are labels summed in another
    order; classes are counted.
    """
    from scipy import sparse

    few = np.count_nonzero(x) < MOSTLY_ZERO * x.size
    return sparse.csc_matrix(x) if few else np.asfortranarray(x)
