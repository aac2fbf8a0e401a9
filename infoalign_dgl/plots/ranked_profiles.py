"""The profiles that a molecule was matched with, under what the decoder predicted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.plots._axes import axes_or_new

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_STRONGEST = 2.0  # colours end at this many times a row's own size


def draw_ranked_profiles(
    predicted: np.ndarray,
    profiles: np.ndarray,
    scores: np.ndarray,
    right: Sequence[bool] | np.ndarray,
    axes: Axes | None = None,
    *,
    names: Sequence[str] | None = None,
    best: int = 5,
) -> Axes:
    """Draw what was predicted for a molecule above the best-ranked profiles, and its own wherever it stands.

    A row shows how far each feature is from the candidates' mean, divided by the row's own size (its root
    mean square), because a prediction is much flatter than a measurement. Features are in the order of what
    is predicted, from low to high, so that a profile like the prediction runs from blue to red too.

    Parameters
    ----------
    predicted : (d,) float array
        Features that were predicted, on the profiles' scale.
    profiles : (P, d) float array
        The candidates.
    scores : (P,) float array
        Of the candidates, the higher the better; where some tie, the first is on top.
    right : (P,) bool array
        Which candidates are the molecule's own.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    names : sequence of str, length P, optional
        What to call the candidates; by default their ranks alone.
    best : int
        Candidates to draw; the molecule's own best-ranked profile is added if it is not among them.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    EvaluationError
        If the arrays do not fit together.
    """
    predicted, profiles = np.asarray(predicted, np.float64), np.asarray(profiles, np.float64)
    scores, own = np.asarray(scores), np.asarray(right, bool)
    shapes = (*predicted.shape, len(scores), len(own), len(scores if names is None else names))
    if profiles.ndim != 2 or shapes != (profiles.shape[1], *[len(profiles)] * 3):
        raise EvaluationError(
            f"{profiles.shape} profiles need as many scores, answers and names, and a prediction of as many "
            f"features, not {len(scores)}, {len(own)}, {len(scores if names is None else names)} and "
            f"{predicted.shape}"
        )
    order = np.argsort(-scores, kind="stable")
    places = list(range(min(best, len(order))))
    places += [place for place in np.flatnonzero(own[order])[:1].tolist() if place not in places]
    rows = np.vstack([predicted, profiles[order[places]]]) - profiles.mean(axis=0)
    size = np.sqrt(np.mean(rows**2, axis=1, keepdims=True))
    rows = np.divide(rows, size, out=np.zeros_like(rows), where=size > 0)
    rows = rows[:, np.argsort(rows[0], kind="stable")]
    axes = axes_or_new(axes, (8.0, 0.6 + 0.34 * len(rows)))
    image = axes.imshow(
        rows, aspect="auto", cmap="RdBu_r", vmin=-_STRONGEST, vmax=_STRONGEST, interpolation="nearest"
    )
    labels = ["predicted", *(_label(place, order, own, names) for place in places)]
    axes.set_yticks(range(len(rows)), labels, parse_math=False)
    for number, place in enumerate(places, start=1):
        if own[order[place]]:
            axes.get_yticklabels()[number].set_fontweight("bold")
    for line in (
        0.5,
        *([best + 0.5] if len(places) > best else []),
    ):  # below the prediction; where ranks jump
        axes.axhline(line, color="white", linewidth=5)
    axes.set(xticks=[], xlabel=f"{profiles.shape[1]:,} features, by what is predicted")
    plt.colorbar(image, ax=axes, label="from the mean,\nby row size", pad=0.02)
    return axes


def _label(place: int, order: np.ndarray, own: np.ndarray, names: Sequence[str] | None) -> str:
    """Say a candidate's rank, its name, and whether it is the molecule's own."""
    candidate = order[place]
    parts = [f"rank {place + 1}", *([] if names is None else [str(names[candidate])])]
    return " ".join([*parts, *(["(its own)"] if own[candidate] else [])])
