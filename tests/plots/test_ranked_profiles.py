"""Profiles are drawn in the order of their scores, and the molecule's own is never missing."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.plots import draw_ranked_profiles

mpl.use("Agg")

PREDICTED = np.array([3.0, 1.0, 2.0])
PROFILES = np.array([[0.0, 4.0, 2.0], [4.0, 0.0, 2.0], [3.0, 3.0, 5.0], [1.0, 1.0, -1.0]])  # means 2, 2, 2


def _labels(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def test_rows_are_ranked_and_scaled_by_hand() -> None:
    """Deviations from the means, e.g. of the prediction (1, -1, 0), over their root mean square sqrt(2/3)."""
    right = [False, False, False, True]
    axes = draw_ranked_profiles(PREDICTED, PROFILES, np.array([1.0, 9.0, 5.0, 0.0]), right, best=2)
    assert _labels(axes) == ["predicted", "rank 1", "rank 2", "rank 4 (its own)"]
    rows = np.asarray(axes.images[0].get_array())
    size = np.sqrt([2 / 3, 8 / 3, 11 / 3, 11 / 3])[:, None]
    columns = [1, 2, 0]  # predicted -1, 0, 1
    expected = np.array([[1, -1, 0], [2, -2, 0], [1, 1, 3], [-1, -1, -3]])[:, columns] / size
    np.testing.assert_allclose(rows, expected)
    weights = [text.get_fontweight() for text in axes.get_yticklabels()]
    assert weights == ["normal", "normal", "normal", "bold"]


def test_an_own_profile_among_the_best_is_not_drawn_twice() -> None:
    scores, right = np.array([1.0, 9.0, 9.0, 0.0]), [True, False, True, False]
    axes = draw_ranked_profiles(PREDICTED, PROFILES, scores, right, names=list("abcd"), best=9)
    assert _labels(axes) == ["predicted", "rank 1 b", "rank 2 c (its own)", "rank 3 a (its own)", "rank 4 d"]


def test_a_profile_equal_to_the_mean_is_blank() -> None:
    axes = draw_ranked_profiles(np.full(3, 2.0), PROFILES, np.arange(4.0), [False] * 4, best=1)
    assert _labels(axes) == ["predicted", "rank 1"]
    assert not np.asarray(axes.images[0].get_array())[0].any()


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"\(4, 3\) profiles need as many scores"):
        draw_ranked_profiles(PREDICTED[:2], PROFILES, np.arange(4.0), [False] * 4)
    with pytest.raises(EvaluationError, match="not 3, 4, 4 and"):
        draw_ranked_profiles(PREDICTED, PROFILES, np.arange(3.0), [False] * 4, names=list("abcd"))
    assert not plt.get_fignums()
