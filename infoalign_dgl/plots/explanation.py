"""What shaped one molecule's targets, and what is predicted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.explanation.names import COMPARTMENTS
from infoalign_dgl.plots._axes import NODE_COLOURS, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from infoalign_dgl.explanation import AlphaMass, Feature, SpacePrediction

_LETTERS = 34  # of a name on an axis
_NEEDLESS = (
    "AreaShape",
    "Correlation",
    "Intensity",
    "RadialDistribution",
    "Texture",
)  # the next word says more
_ROW = 0.24  # inches


def draw_alpha_mass(found: AlphaMass, axes: Axes | None = None, *, top: int = 15) -> Axes:
    """Draw the nodes that get most of a molecule's alpha mass, itself left out.

    Parameters
    ----------
    found : AlphaMass
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    top : int
        Nodes to draw.

    Returns
    -------
    matplotlib Axes
        A bar a node, coloured by type and with its standard error, hatched where the node has no features of
        the run and is no target.
    """
    nodes = sorted((node for of in found.nodes.values() for node in of), key=lambda n: (-n.mass, n.key))[:top]
    axes = axes_or_new(axes, (5.6, 1.2 + _ROW * max(len(nodes), 2)))
    for place, node in enumerate(nodes):
        axes.barh(
            place,
            node.mass,
            xerr=node.error,
            color=NODE_COLOURS[node.node_type],
            alpha=1 if node.spaces else 0.45,
            hatch=None if node.spaces else "///",
            edgecolor="white",
            error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
        )
    names = [node.label if node.node_type == "gene" else node.key for node in nodes]
    axes.set_yticks(range(len(nodes)), [_short(name) for name in names], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("alpha mass: mean over walks of the sum of alpha")
    present = list(dict.fromkeys(node.node_type for node in nodes))
    handles = [axes.barh([0], [0], color=NODE_COLOURS[kind])[0] for kind in present]
    labels = list(present)
    if any(not node.spaces for node in nodes):
        handles.append(axes.barh([0], [0], color="#999999", alpha=0.45, hatch="///", edgecolor="white")[0])
        labels.append("no target, a way through")
    if nodes:
        axes.legend(handles, labels, frameon=False, fontsize=8, loc="lower right")
    else:
        axes.text(0.5, 0.5, "no other node is visited", ha="center", transform=axes.transAxes)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_features(found: SpacePrediction, axes: Axes | None = None, *, top: int = 10) -> Axes:
    """Draw the features of a space that are predicted furthest up and down.

    Parameters
    ----------
    found : SpacePrediction
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.
    top : int
        Features to draw in each direction.

    Returns
    -------
    matplotlib Axes
        A bar a feature with its sigma, a tick at the column's mean and a diamond at what was measured: raw
        values, or distances where the space is compared with its median.
    """
    features = [*found.up[:top], *reversed(found.down[:top])]
    axes = axes_or_new(axes, (5.6, 1.2 + _ROW * max(len(features), 2)))
    as_distance = found.reference == "median"
    places = np.arange(len(features))
    scales = [_scale(feature) if as_distance else 1.0 for feature in features]
    value = [f.distance if as_distance else f.predicted for f in features]
    axes.barh(
        places,
        value,
        xerr=[f.sigma / scale for f, scale in zip(features, scales, strict=True)],
        color=["#D55E00" if f.distance > 0 else "#0072B2" for f in features],
        error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
        label="predicted",
    )
    for attribute, style in (("mean", _MEAN), ("measured", _MEASURED)):
        raw = [getattr(f, attribute) for f in features]
        if any(v is not None for v in raw):
            shown = [
                np.nan if v is None else (v - (f.reference if as_distance else 0)) / scale
                for v, f, scale in zip(raw, features, scales, strict=True)
            ]
            axes.plot(shown, places, **style)
    axes.set_yticks(places, [_short(f.label) for f in features], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color="#444444", linewidth=0.8)
    axes.set_xlabel("distance from the median, robust deviations" if as_distance else "predicted value")
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


_MEAN: dict[str, Any] = {
    "marker": "|",
    "linestyle": "",
    "color": "#222222",
    "markersize": 9,
    "label": "column mean",
}
_MEASURED: dict[str, Any] = {
    "marker": "D",
    "linestyle": "",
    "color": "#009E73",
    "markersize": 4.5,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
    "label": "measured",
}


def draw_groups(found: SpacePrediction, axes: Axes | None = None) -> Axes:
    """Draw how far features are from the reference, on average, by compartment and channel.

    Parameters
    ----------
    found : SpacePrediction
        Of a space whose features have CellProfiler's names.
    axes : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib Axes
        A heatmap of the predicted distances with the numbers in it, those measured in brackets; empty where
        there are no such features.
    """
    rows = list(dict.fromkeys(group.compartment for group in found.groups))
    columns = list(dict.fromkeys(group.channel for group in found.groups))
    axes = axes_or_new(axes, (5.6, 1.1 + 0.5 * max(len(rows), 1)))
    if not rows:
        axes.text(0.5, 0.5, "no names of compartments", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return axes
    values = np.full((len(rows), len(columns)), np.nan)
    for group in found.groups:
        values[rows.index(group.compartment), columns.index(group.channel)] = group.predicted
    darkest = max(2 * float(np.nanmean(values)), 1e-9)
    axes.imshow(values, cmap="Oranges", vmin=0, vmax=darkest, aspect="auto")
    for group in found.groups:
        measured = "" if group.measured is None else f"\n({group.measured:.2f})"
        axes.text(
            columns.index(group.channel),
            rows.index(group.compartment),
            f"{group.predicted:.2f}{measured}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if group.predicted > 0.65 * darkest else "#111111",
        )
    axes.set_xticks(range(len(columns)), columns, fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return axes


def _scale(feature: Feature) -> float:
    """Give the raw size of one unit of distance."""
    return (feature.predicted - feature.reference) / feature.distance if feature.distance else 1.0


def _short(name: str) -> str:
    """Shorten a name for an axis: its start says the compartment, its end the channel."""
    name = name.removeprefix("Median_")
    words = name.split("_")
    if words[0] in COMPARTMENTS and len(words) > 2 and words[1] in _NEEDLESS:
        name = " ".join([words[0], *words[2:]])
    half = _LETTERS // 2
    return name if len(name) <= _LETTERS else f"{name[: half - 1]}…{name[-half:]}"
