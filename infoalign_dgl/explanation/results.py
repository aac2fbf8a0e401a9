"""What an explanation says, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from infoalign_dgl.explanation.walked import AlphaMass

Status = Literal["training", "held out", "new"]
Reference = Literal["controls", "zero", "median"]


@dataclass(frozen=True)
class Subject:
    """The molecule that is explained.

    Attributes
    ----------
    given : str
        As it was asked for.
    smiles : str
        What the encoder reads: standardized, and for a molecule of the graph the graph's own.
    inchikey : str
        Of that structure.
    node : int or None
        Its node in the graph.
    key : str or None
        The node's key.
    ids : list of str
        What the graph's tables call it.
    status : {"training", "held out", "new"}
        Whether its targets were trained on, were kept for validation, or never were in the graph.
    said : str
        The same in a sentence.
    """

    given: str
    smiles: str
    inchikey: str
    node: int | None
    key: str | None
    ids: list[str]
    status: Status
    said: str


@dataclass(frozen=True)
class Feature:
    """One column of a feature space, in the units of the tables that the graph was built of.

    Attributes
    ----------
    column : str
    label : str
        A gene's symbol where the graph has it; else the column's name.
    predicted : float
        What the decoder gives for the latent's mean mu.
    sigma : float
        Standard deviation of the prediction over draws of the latent; not how sure the prediction is, and
        next to 0 where training shrank the latent's sigma to its floor.
    reference : float
        What it is compared with: see :class:`SpacePrediction`.
    distance : float
        ``(predicted - reference) / scale``, see :class:`SpacePrediction`.
    mean : float or None
        The column's mean over the profiles that training may see.
    beyond : float or None
        ``(predicted - mean)`` over the column's standard deviation: what the prediction says of this molecule
        and not of all.
    measured : float or None
        The molecule's own profile.
    compartment, channels : str, list of str
        Of a CellProfiler feature; empty for others.
    """

    column: str
    label: str
    predicted: float
    sigma: float
    reference: float
    distance: float
    mean: float | None
    beyond: float | None
    measured: float | None
    compartment: str
    channels: list[str]


@dataclass(frozen=True)
class Group:
    """The features of a compartment and a channel.

    Attributes
    ----------
    features : int
    predicted : float
        Their mean distance from the reference, regardless of its sign.
    measured : float or None
        The same of the measured profile.
    """

    compartment: str
    channel: str
    features: int
    predicted: float
    measured: float | None


@dataclass(frozen=True)
class Validation:
    """How the checkpoint did on the molecules held out, nats per column, as ``metrics.jsonl`` has it."""

    step: int
    loss: float
    mean_loss: float
    difference: float
    targets: int


@dataclass(frozen=True)
class SpacePrediction:
    """What the decoder of a feature space predicts of the molecule.

    Attributes
    ----------
    space, node_type : str
    columns, rows : int
        Of the space; ``rows`` are the profiles that training may see, 0 where the graph is not there.
    reference : {"controls", "zero", "median"}
        What counts as unchanged: control wells, which are 0 where the graph's spec normalizes all of the
        space's tables to them; 0 for expression whose columns go both ways; else the median of each column
        over the space's profiles.
    said : str
        The same in a sentence, with what distances are measured in.
    up, down : list of Feature
        The columns furthest above and below the reference, by distance.
    groups : list of Group
        By compartment and channel. A feature of two channels counts in both.
    ungrouped : int
        Columns whose names say no compartment.
    departure : float or None
        Root mean square over columns of (predicted - mean) over the column's standard deviation. For the
        profiles themselves that is 1 on average: at 0 the decoder predicts the column means for everybody.
    validation : Validation or None
        Where molecules were held out that have a target in the space.
    profiles : list of str
        Keys of the molecule's measured profiles; several are averaged.
    correlation : float or None
        Pearson, of predicted and measured distances over the columns.
    beyond_means : float or None
        The same of what each differs from the column means, over their standard deviations.
    rank, ranked : int or None
        Where the measured profile stands among the space's, the one that correlates most with the prediction
        (beyond the means) first; 1 is the best of ``ranked``.
    """

    space: str
    node_type: str
    columns: int
    rows: int
    reference: Reference
    said: str
    up: list[Feature]
    down: list[Feature]
    groups: list[Group]
    ungrouped: int
    departure: float | None
    validation: Validation | None
    profiles: list[str]
    correlation: float | None
    beyond_means: float | None
    rank: int | None
    ranked: int | None


@dataclass(frozen=True)
class Similar:
    """A molecule of the graph that is like a new one.

    Attributes
    ----------
    similarity : float
        Tanimoto, of Morgan fingerprints of radius 2 and 2,048 bits.
    measured : list of str
        Feature spaces in which it has a profile.
    """

    key: str
    smiles: str
    ids: list[str]
    similarity: float
    measured: list[str]


@dataclass(frozen=True)
class Explanation:
    """What :func:`explain` found.

    Attributes
    ----------
    run, checkpoint : str
    graph : str or None
        Its folder; None where it is not there, and only predictions could be made.
    subject : Subject
    alpha_mass : AlphaMass or None
        What walks from it visit; None for a molecule that is new.
    predictions : list of SpacePrediction
        By what validation says of the decoders, the best first.
    draws : int
        Of the latent, for sigma.
    latent_sigma : float
        Mean over dimensions of the latent's standard deviation.
    similar : list of Similar
        The nearest molecules in the graph, for one that is new.
    notes : list of str
        What a reader should know before believing any of it, a sentence each.
    """

    run: str
    checkpoint: str
    graph: str | None
    subject: Subject
    alpha_mass: AlphaMass | None
    predictions: list[SpacePrediction]
    draws: int
    latent_sigma: float
    similar: list[Similar]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return asdict(self)
