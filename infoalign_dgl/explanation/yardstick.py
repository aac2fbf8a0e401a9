"""What predictions of a feature space are compared with: what counts as unchanged, and its profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.training.targets import target_spaces, weighted_mean

if TYPE_CHECKING:
    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.evaluation._pairs import Space
    from infoalign_dgl.explanation.results import Reference

_TO_DEVIATION = 1.4826  # median absolute deviation to standard deviation, for normal data
_SIGNED = 0.9  # share of an expression space's columns that go both ways, from which on 0 is unchanged
_UNITS = "in the units of the tables that the graph was built of"


@dataclass(frozen=True)
class Yardstick:
    """How far values of a feature space are from what counts as unchanged, in original units.

    Attributes
    ----------
    kind : {"controls", "zero", "median"}
    said : str
        Why, in a sentence, with what distances are measured in.
    reference, scale : np.ndarray
        (d,) float64; a distance is ``(value - reference) / scale``. Where the scale is 0, no profile differs,
        and neither does a prediction.
    """

    kind: Reference
    said: str
    reference: np.ndarray
    scale: np.ndarray

    def distance(self, values: np.ndarray) -> np.ndarray:
        """Give the distance of raw values, (..., d)."""
        apart = values - self.reference
        return np.divide(apart, self.scale, out=np.zeros_like(apart), where=self.scale > 0)


@dataclass(frozen=True)
class Profiles:
    """The profiles of a feature space in the graph, in original units.

    Attributes
    ----------
    values : np.ndarray
        (rows, d) float64, all of them.
    trained : np.ndarray
        (rows,) bool, those that training may see.
    mean, deviation : np.ndarray
        (d,) float64, of the columns over those.
    """

    values: np.ndarray
    trained: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, graph: ContextGraph, space: Space, excluded: np.ndarray) -> Profiles:
        """Read them, with the global node ids that training never saw in ``excluded``, bool per node."""
        found = target_spaces(graph, [space.name])[space.name]
        has = found.row_index >= 0
        trained = np.zeros(len(found.values), bool)
        trained[found.row_index[has & ~excluded]] = True
        scaled = weighted_mean(found, ~excluded)
        values = space.scaler.inverse_transform(graph.spaces[space.name].dense(slice(None)))
        mean = space.scaler.inverse_transform(scaled[None])[0]
        deviation = np.sqrt(((values[trained] - mean) ** 2).mean(axis=0)) if trained.any() else 0 * mean
        return cls(values, trained, mean, deviation)

    def beyond_means(self, values: np.ndarray) -> np.ndarray:
        """Give what raw values (..., d) differ from the column means, over the columns' deviations."""
        apart = values - self.mean
        return np.divide(apart, self.deviation, out=np.zeros_like(apart), where=self.deviation > 0)


def yardstick(space: Space, profiles: Profiles | None, spec: dict[str, Any]) -> Yardstick:
    """Choose what predictions of a feature space are compared with.

    Parameters
    ----------
    space : Space
    profiles : Profiles or None
        None where the graph is not there.
    spec : dict
        What the graph was built from, as its schema has it.

    Returns
    -------
    Yardstick
    """
    zero, one = np.zeros(len(space.columns)), np.ones(len(space.columns))
    tables = [table for table in spec.get(space.node_type) or [] if table.get("space") == space.name]
    if tables and all(table.get("normalize") for table in tables):
        said = (
            "Control wells are 0: the graph's spec normalizes the space to them. Values and distances are in "
            "robust standard deviations (1.4826 MAD) of the control wells."
        )
        return Yardstick("controls", said, zero, one)
    both_ways = (space.scaler.minimum < 0) & (space.scaler.maximum > 0)
    if space.node_type == "gene_expression" and both_ways.mean() >= _SIGNED:
        said = (
            f"0 counts as unchanged: {both_ways.mean():.0%} of the columns go both ways, as changes against "
            f"a control do (z-scores, log ratios). Values and distances are {_UNITS}."
        )
        return Yardstick("zero", said, zero, one)
    if profiles is None:
        said = (
            "Values are compared with 0, since the graph is not there that would say where controls or the "
            f"median profile are. They are {_UNITS}; features are ordered, and groups averaged, by "
            "what values are of each column's range."
        )
        return Yardstick("zero", said, zero, space.scaler.maximum - space.scaler.minimum)
    chosen = profiles.values[profiles.trained]
    median = np.median(chosen, axis=0)
    spread = _TO_DEVIATION * np.median(np.abs(chosen - median), axis=0)
    said = (
        f"The median of the space's {len(chosen):,} profiles counts as unchanged: the spec does not say that "
        "the space is normalized to control wells. It is the median of treated cells, not of a control. "
        f"Values are {_UNITS}, distances in robust standard deviations (1.4826 MAD) of these profiles."
    )
    return Yardstick("median", said, median, np.where(spread > 0, spread, profiles.deviation))
