"""What decoders predict of one molecule, in original units, beside what was measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from infoalign_dgl.evaluation.uncertainty import carry_latent
from infoalign_dgl.explanation.names import CHANNELS, COMPARTMENTS, NO_CHANNEL, OTHER, parse_feature
from infoalign_dgl.explanation.results import Feature, Group, SpacePrediction, Validation
from infoalign_dgl.explanation.yardstick import Profiles, yardstick
from infoalign_dgl.training.holdout import PROFILE_EDGES
from infoalign_dgl.training.reporting import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.evaluation._pairs import Space
    from infoalign_dgl.models import InfoAlign


@dataclass(frozen=True)
class Decoded:
    """What a decoder gives for one latent, in original units, each (d,) float64.

    Attributes
    ----------
    value : np.ndarray
        For the mean mu.
    sigma : np.ndarray
        Standard deviation over draws of the latent.
    """

    value: np.ndarray
    sigma: np.ndarray


def decode(
    model: InfoAlign, space: Space, mu: np.ndarray, sigma: np.ndarray, *, draws: int, seed: int
) -> Decoded:
    """Decode one latent into original units, with the spread that its sigma gives.

    Parameters
    ----------
    model : InfoAlign
        In eval mode.
    space : Space
    mu, sigma : np.ndarray
        (1, D) float32.
    draws : int
        Of N(mu, diag(sigma^2)), at least 2; all spaces take the same ones.
    seed : int
        Of the draws.

    Returns
    -------
    Decoded
    """
    device = next(model.parameters()).device

    def predict(latents: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits = model.decode(space.name, torch.from_numpy(latents).to(device)).double()
        return space.scaler.inverse_transform(torch.sigmoid(logits).cpu().numpy())

    spread = carry_latent(predict, mu, sigma, samples=draws, seed=seed)
    return Decoded(predict(np.asarray(mu, np.float32))[0], spread.std[0])


def predict_space(
    space: Space,
    decoded: Decoded,
    graph: ContextGraph | None,
    molecule: int | None,
    excluded: np.ndarray,
    validation: Validation | None,
    *,
    top: int,
) -> SpacePrediction:
    """Say what a decoder predicts of a molecule.

    Parameters
    ----------
    space : Space
    decoded : Decoded
    graph : ContextGraph or None
    molecule : int or None
        The molecule's node.
    excluded : np.ndarray
        (total nodes,) bool: what training never saw.
    validation : Validation or None
    top : int
        Features to name in each direction.

    Returns
    -------
    SpacePrediction
    """
    profiles = None if graph is None else Profiles.of(graph, space, excluded)
    by = yardstick(space, profiles, {} if graph is None else graph.schema.get("spec", {}))
    keys, rows = _own_profiles(graph, space, molecule)
    measured = None if profiles is None or not rows else profiles.values[rows].mean(axis=0)
    distance = by.distance(decoded.value)
    apart = None if profiles is None else profiles.beyond_means(decoded.value)
    order = np.argsort(-distance, kind="stable")
    names = _labels(graph, space)

    def feature(column: int) -> Feature:
        parsed = parse_feature(space.columns[column])
        is_named = parsed.compartment != OTHER
        return Feature(
            space.columns[column],
            names[column],
            float(decoded.value[column]),
            float(decoded.sigma[column]),
            float(by.reference[column]),
            float(distance[column]),
            None if profiles is None else float(profiles.mean[column]),
            None if apart is None else float(apart[column]),
            None if measured is None else float(measured[column]),
            parsed.compartment if is_named else "",
            list(parsed.channels),
        )

    groups, ungrouped = group_features(
        space.columns, np.abs(distance), None if measured is None else np.abs(by.distance(measured))
    )
    correlation = beyond = rank = ranked = None
    if profiles is not None and apart is not None and measured is not None:
        correlation = _pearson(distance, by.distance(measured))
        beyond = _pearson(apart, profiles.beyond_means(measured))
        rank, ranked = _rank(apart, profiles, rows)
    return SpacePrediction(
        space=space.name,
        node_type=space.node_type,
        columns=len(space.columns),
        rows=0 if profiles is None else int(profiles.trained.sum()),
        reference=by.kind,
        said=by.said,
        up=[feature(int(column)) for column in order[:top] if distance[column] > 0],
        down=[feature(int(column)) for column in order[::-1][:top] if distance[column] < 0],
        groups=groups if space.node_type == "morphology" else [],
        ungrouped=ungrouped if space.node_type == "morphology" else 0,
        departure=None if apart is None else float(np.sqrt((apart**2).mean())),
        validation=validation,
        profiles=keys,
        correlation=correlation,
        beyond_means=beyond,
        rank=rank,
        ranked=ranked,
    )


def group_features(
    columns: list[str], predicted: np.ndarray, measured: np.ndarray | None
) -> tuple[list[Group], int]:
    """Take means over the features of each compartment and channel.

    Parameters
    ----------
    columns : list of str
        d names.
    predicted, measured : np.ndarray
        (d,), distances regardless of their sign.

    Returns
    -------
    groups : list of Group
        Those that have features, in the order of ``COMPARTMENTS`` and ``CHANNELS``; last of a compartment
        what is of no channel.
    ungrouped : int
        Columns whose names say no compartment.
    """
    members: dict[tuple[str, str], list[int]] = {}
    ungrouped = 0
    for number, column in enumerate(columns):
        parsed = parse_feature(column)
        ungrouped += parsed.compartment == OTHER
        for channel in parsed.channels or (NO_CHANNEL,):
            members.setdefault((parsed.compartment, channel), []).append(number)
    groups = [
        Group(
            compartment,
            channel,
            len(of),
            float(predicted[of].mean()),
            None if measured is None else float(measured[of].mean()),
        )
        for compartment in COMPARTMENTS
        for channel in (*CHANNELS, NO_CHANNEL)
        if (of := members.get((compartment, channel)))
    ]
    return groups, ungrouped


def read_validation(run: Path, step: int) -> dict[str, Validation]:
    """Read how a checkpoint did on the molecules held out, by feature space; empty where nothing says."""
    try:
        lines = (run / METRICS).read_text(errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, Validation] = {}
    for line in lines:
        if '"validation/' not in line:
            continue
        try:
            values = json.loads(line)
        except ValueError:
            continue  # a line that is being written
        if values.get("step") == step:
            found = _validations(values, step)
    return found


def _validations(values: Mapping[str, float], step: int) -> dict[str, Validation]:
    names = [key.split("/")[1] for key in values if key.startswith("validation/") and key.endswith("/loss")]
    return {
        name: Validation(
            step=step,
            loss=values[f"validation/{name}/loss"],
            mean_loss=values[f"validation/{name}/mean_loss"],
            difference=values[f"validation/{name}/difference"],
            targets=int(values[f"validation/{name}/targets"]),
        )
        for name in names
    }


def _own_profiles(
    graph: ContextGraph | None, space: Space, molecule: int | None
) -> tuple[list[str], list[int]]:
    """Find the molecule's profiles in the space: their keys and rows."""
    if graph is None or molecule is None:
        return [], []
    kind = next(kind for kind in PROFILE_EDGES if kind[2] == space.node_type)
    source, target, _ = graph.edges(kind)
    rows = graph.spaces[space.name].node_rows
    own = [int(node) for node in target[source == molecule] if rows[node] >= 0]
    return [str(graph.nodes[space.node_type]["key"].iloc[node]) for node in own], [int(rows[n]) for n in own]


def _labels(graph: ContextGraph | None, space: Space) -> list[str]:
    """Name columns: a gene by its symbol where the graph has it, others by their names."""
    if graph is None or space.node_type != "gene_expression":
        return space.columns
    genes = graph.nodes["gene"]
    symbols = dict(zip(genes["key"], genes["symbol"], strict=True))
    return [str(symbols.get(column) or column) for column in space.columns]


def _pearson(one: np.ndarray, other: np.ndarray) -> float | None:
    """Correlate two rows; None where one does not vary."""
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0 else None


def _rank(apart: np.ndarray, profiles: Profiles, own: list[int]) -> tuple[int | None, int | None]:
    """Rank the space's profiles by their correlation with the prediction: where the best own one stands."""
    every = profiles.beyond_means(profiles.values)
    every = every - every.mean(axis=1, keepdims=True)
    size = np.linalg.norm(every, axis=1)
    score = np.divide(every @ (apart - apart.mean()), size, out=np.zeros(len(every)), where=size > 0)
    if len(score) <= len(own):
        return None, None
    others = np.delete(score, own)
    return 1 + int((others > score[own].max()).sum()), len(others) + 1
