"""A map of vectors that keeps neighbours together: UMAP, coloured by a label."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.plots._axes import axes_or_new
from infoalign_dgl.plots._labelled import draw_labelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_COMPONENTS = 30  # of the principal components that neighbours are looked for in: less noise, and less time
_NEIGHBOURS = 15
_LEAST = 10  # vectors; UMAP's spectral start fails on a handful
_EXACT = 4096  # up to here finding all neighbours is quicker than compiling UMAP's search for them


def draw_umap(
    vectors: np.ndarray,
    labels: Sequence[str],
    axes: Axes | None = None,
    seed: int = 0,
    *,
    title: str = "UMAP of the latent",
) -> Axes:
    """Draw a UMAP of the standardized vectors.

    What is close was close before; how far islands are apart, and how large they are, means nothing. The
    first call in a process takes some ten seconds more, in which UMAP is compiled.

    Parameters
    ----------
    vectors : (n, D) float array
        One vector a molecule, at least 10; rows with NaN are left out.
    labels : sequence of str, length n
        What to colour by; the empty string is drawn in grey underneath.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    seed : int
        The same seed gives the same map, on one machine.
    title : str
        The title.

    Returns
    -------
    matplotlib Axes
        The axes drawn on.

    Raises
    ------
    EvaluationError
        If there are too few vectors, labels of another number, or UMAP is not installed.

    References
    ----------
    McInnes, Healy and Melville 2018, UMAP: Uniform Manifold Approximation and Projection.
    """
    vectors, names = np.asarray(vectors), np.asarray(labels, dtype=str)
    if len(names) != len(vectors):
        raise EvaluationError(
            f"'labels' must have one for each of the {len(vectors):,} vectors, not {len(names):,}"
        )
    whole = np.isfinite(vectors).all(axis=1)
    if whole.sum() < _LEAST:
        raise EvaluationError(
            f"UMAP needs at least {_LEAST} vectors without NaN, not {int(whole.sum())}: "
            "draw_latent_map draws few"
        )
    points = _umap(StandardScaler().fit_transform(vectors[whole]), seed)
    axes = axes_or_new(axes, (7.0, 5.5))
    draw_labelled(axes, points, names[whole])
    axes.set(xlabel="UMAP 1", ylabel="UMAP 2", title=title, xticks=[], yticks=[])
    return axes


def _umap(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Map (n, D) standardized vectors to (n, 2)."""
    umap = _import_umap()
    if min(vectors.shape) > _COMPONENTS:
        vectors = PCA(_COMPONENTS, random_state=seed).fit_transform(vectors)
    count = min(_NEIGHBOURS, len(vectors) - 1)
    known: dict[str, Any] = {}
    if len(vectors) <= _EXACT:
        distances, indices = NearestNeighbors(n_neighbors=count).fit(vectors).kneighbors(vectors)
        known["precomputed_knn"] = (indices, distances.astype(np.float32), None)
    # With a seed UMAP computes in one thread, and warns unless it is asked to.
    mapped = umap.UMAP(n_neighbors=count, random_state=seed, n_jobs=1, **known)
    with warnings.catch_warnings():
        # That further points could not be mapped, which nobody asks for.
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]")
        found: np.ndarray = mapped.fit_transform(vectors)
    return found


def _import_umap() -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        try:
            import umap
        except ModuleNotFoundError as error:
            raise EvaluationError(
                "UMAP is not installed: pip install 'infoalign-dgl[notebooks]', or use draw_latent_map"
            ) from error
    return umap
