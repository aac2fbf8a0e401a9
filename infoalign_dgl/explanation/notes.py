"""What a reader of an explanation should know before believing any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.models.bottleneck import AT_FLOOR, SIGMA_FLOOR

if TYPE_CHECKING:
    import numpy as np

    from infoalign_dgl.explanation.results import SpacePrediction, Subject
    from infoalign_dgl.explanation.walked import AlphaMass
    from infoalign_dgl.training.run_folder import RunConfig

_FEW_PROFILES = 20  # medians and deviations of fewer say little
_NO_SPREAD = 0.01  # of a prediction
_LEAST_DEPARTURE = 0.1  # of a profile's own: a prediction that is nearer to the column means says little


def notes_on(
    config: RunConfig, subject: Subject, shaped: AlphaMass | None, predictions: list[SpacePrediction]
) -> list[str]:
    """Say how far what was found can be believed, a sentence or two each."""
    notes = []
    if config.pretrain is not None and config.pretrain.control is not None:
        notes.append(
            f"The run is the control '{config.pretrain.control}', which is to learn nothing of cells."
        )
    if shaped is not None:
        notes.append(
            "Alpha mass says what the molecule's training targets are made of. It is not a causal "
            "attribution: the encoder sees the structure only, and learns from all other molecules too."
        )
        if config.pretrain is not None and config.pretrain.loss == "balanced":
            notes.append(
                "The run's loss, 'balanced', takes a mean over each feature space: a space with little alpha "
                "mass counts as much in training as one with most of it."
            )
        if shaped.without_features > 0:
            notes.append(
                f"{shaped.without_features:.0%} of the alpha mass falls on nodes without features of the "
                "run: walks go through them, but they are no targets."
            )
    if shaped is not None and shaped.isolated:
        notes.append("The molecule is isolated: its only target is its own fingerprint.")
    if subject.status == "training" and any(found.profiles for found in predictions):
        notes.append(
            "Its measured profiles were targets of training: their agreement with the predictions shows what "
            "was learnt by heart, not what holds for other molecules."
        )
    worse = [
        found.space
        for found in predictions
        if found.validation is not None and found.validation.difference >= 0
    ]
    if worse:
        notes.append(
            f"On molecules held out the decoders of {', '.join(worse)} are no better than the spaces' column "
            "means: what they predict of molecules not trained on in these spaces cannot be trusted."
        )
    near = [
        found.space
        for found in predictions
        if found.departure is not None and found.departure < _LEAST_DEPARTURE
    ]
    if near:
        notes.append(
            f"The predictions of {', '.join(near)} hardly differ from the column means: the features that "
            "stand out here stand out for nearly every molecule."
        )
    few = [f"{found.space} ({found.rows})" for found in predictions if 0 < found.rows < _FEW_PROFILES]
    if few:
        notes.append(
            f"Few profiles were trained on in {', '.join(few)}: medians, means and deviations of so few say "
            "little, and distances may look large."
        )
    return notes


def said_of_sigma(latent: np.ndarray, beta: float | None, predictions: list[SpacePrediction]) -> str:
    """Say what sigma is, given that of the latent's dimensions, and what it is not."""
    said = (
        f"Sigma is what the latent's own spread ({float(latent.mean()):.2g} on average) makes of a "
        "prediction. It does not cover what the model does not know, and is no error bar of a measurement."
    )
    floored = int((latent < AT_FLOOR).sum())
    if floored:
        many = f"all {latent.size:,}" if floored == latent.size else f"{floored:,} of the {latent.size:,}"
        weight = "" if beta is None else f" ({beta:g})"
        return (
            f"{said} Here it is at the floor that keeps it above 0 ({SIGMA_FLOOR:g}) in {many} dimensions: "
            f"with so small a beta{weight} training had next to no reason to leave any spread. That it is "
            "next to nothing does not make the predictions certain."
        )
    features = [feature for found in predictions for feature in (*found.up, *found.down)]
    if (
        features
        and max(feature.sigma / max(abs(feature.predicted), 1e-9) for feature in features) < _NO_SPREAD
    ):
        said += (
            " Here it is next to nothing, since a small beta lets training shrink it away: that does not "
            "make the predictions certain."
        )
    return said
