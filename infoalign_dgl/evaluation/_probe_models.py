"""One task's linear model or forest. Processes import this module, so it imports nothing that is heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from infoalign_dgl.evaluation.tasks import Kind

STRENGTHS = tuple(10.0**exponent for exponent in range(-5, 3))
"""What the C of a linear model is chosen from; ridge regression's alpha is 1 / C."""


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
    x: np.ndarray, train: np.ndarray, y: np.ndarray, kind: Kind, num_trees: int, seed: int
) -> np.ndarray:
    """Give (m,) predictions."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    if kind == "binary":
        forest = RandomForestClassifier(num_trees, random_state=seed).fit(x[train], y)
        return forest.predict_proba(x)[:, 1].astype(np.float32)
    forest = RandomForestRegressor(num_trees, max_features=1 / 3, random_state=seed).fit(x[train], y)
    return forest.predict(x).astype(np.float32)
