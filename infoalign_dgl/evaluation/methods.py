"""The methods of a comparison: what each learns from, and how."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.features import (
    Features,
    embed_features,
    file_features,
    measured_features,
    morgan_counts,
    pooled_features,
    standardize,
    untrained_features,
)
from infoalign_dgl.sources.tables import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.evaluation.features import Modality
    from infoalign_dgl.evaluation.heads import HeadConfig
    from infoalign_dgl.evaluation.predictions import Predictions
    from infoalign_dgl.evaluation.splits import Split
    from infoalign_dgl.evaluation.tasks import Kind, TaskSet
    from infoalign_dgl.representation import Representation

Head = Literal["mlp", "linear", "rf", "gp"]
HEADS: tuple[Head, ...] = ("mlp", "linear", "rf", "gp")
MODALITIES: dict[str, Modality] = {"morphology": "morphology", "expression": "gene_expression"}
THIS_RUN = "infoalign"
"""What methods call the run that is compared."""

STRUCTURE = "morgan"
"""What a method on profiles falls back to where a molecule has none."""

MANY_TASKS, TREES, TREES_OF_MANY = 100, 500, 200
"""A forest has 500 trees, and 200 for a set of more than 100 tasks."""

_GROUPS = {
    THIS_RUN: "This run",
    "untrained": "This run, taken apart",
    "no-bottleneck": "This run, taken apart",
    STRUCTURE: "Morgan fingerprints",
    "morphology": "Cell morphology",
    "expression": "Gene expression",
}
_OWN = "Own embeddings"
CONTROL_RUNS, OTHER_RUNS = "Controls", "Other runs"


@dataclass(frozen=True)
class Method:
    """Features, and what is trained on them.

    Attributes
    ----------
    source : str
        ``"infoalign"`` (mu), ``"untrained"`` (mu of weights as they were drawn), ``"no-bottleneck"`` (what
        the encoder hands to the bottleneck), ``"morgan"``, ``"morphology"``, ``"expression"``, or the name of
        an embedding file or of another run.
    head : {"mlp", "linear", "rf", "gp"}
    heading : str or None
        What tables put a source of the user's under; by default own embeddings.
    """

    source: str
    head: Head
    heading: str | None = None

    @property
    def name(self) -> str:
        """As tables have it, such as ``morgan-rf``."""
        return f"{self.source}-{self.head}"

    @property
    def group(self) -> str:
        """Heading that tables put it under."""
        return _GROUPS.get(self.source) or self.heading or _OWN

    @property
    def is_random(self) -> bool:
        """Whether seeds differ."""
        return self.head in ("mlp", "rf")

    def settings(self, num_tasks: int) -> dict[str, Any]:
        """Give what its head is called with, as JSON can hold it."""
        from infoalign_dgl.evaluation.heads import HeadConfig

        if self.head == "mlp":
            return asdict(HeadConfig())
        if self.head == "rf":
            return {"num_trees": TREES if num_tasks <= MANY_TASKS else TREES_OF_MANY}
        if self.head == "gp":
            return {"kernel": "tanimoto" if self.source == STRUCTURE else "rbf"}
        return {}

    def fit(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        split: Split,
        kind: Kind,
        seeds: Sequence[int],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Predictions:
        """Train on the train rows and predict all rows; see the functions for each head."""
        settings = self.settings(labels.shape[1])
        return _fit(self.head, settings)(features, labels, split, kind, seeds, progress=progress)


def _fit(head: Head, settings: dict[str, Any]) -> Callable[..., Predictions]:
    if head == "mlp":
        from infoalign_dgl.evaluation.heads import HeadConfig, fit_mlp_heads

        config: HeadConfig = HeadConfig(**settings)
        return partial(fit_mlp_heads, config=config)
    if head == "gp":
        from infoalign_dgl.evaluation.gaussian_process import fit_gp

        return partial(fit_gp, **settings)
    from infoalign_dgl.evaluation.probes import fit_forest, fit_linear

    return partial(fit_forest, **settings) if head == "rf" else fit_linear


DEFAULT_METHODS: tuple[Method, ...] = (
    Method(THIS_RUN, "mlp"),
    Method("untrained", "mlp"),
    Method("no-bottleneck", "mlp"),
    *(
        Method(source, head)
        for source in (STRUCTURE, *MODALITIES)
        for head in ("mlp", "rf", "gp")  # as in the paper
    ),
)


def choose_methods(
    names: Sequence[str], files: Sequence[str] = (), runs: Mapping[str, str] | None = None
) -> list[Method]:
    """Give the methods of these names, or all those that are compared by default, and the user's own.

    Parameters
    ----------
    names : sequence of str
        Such as ``morgan-rf``; none for the default ones.
    files : sequence of str
        Names of embedding files, which are sources too.
    runs : mapping of str to str
        Names of other runs, which are sources too, and what tables put them under.

    Returns
    -------
    list of Method
        An MLP on each file and run of which no method is named comes last.

    Raises
    ------
    EvaluationError
        If there is no such method, or two sources have one name.
    """
    own = [*((name, None) for name in files), *(runs or {}).items()]
    taken = list(_GROUPS)
    for source, _ in own:
        if source in taken:
            raise EvaluationError(f"two sources are named '{source}': give your file or run another name")
        taken.append(source)
    known = {
        method.name: method
        for source, heading in (*((name, None) for name in _GROUPS), *own)
        for head in HEADS
        for method in (Method(source, head, heading),)
    }
    for name in names:
        if name not in known:
            raise EvaluationError(f"there is no method '{name}': {did_you_mean(name, known)}")
    chosen = [known[name] for name in dict.fromkeys(names)] or list(DEFAULT_METHODS)
    named = {method.source for method in chosen}
    return chosen + [Method(source, "mlp", heading) for source, heading in own if source not in named]


@dataclass
class Inputs:
    """Features of one task set's molecules, each made when a method first asks for it.

    Attributes
    ----------
    task_set : TaskSet
    split : Split
    runs : mapping of str to Representation
        The run that is compared, by the name ``"infoalign"``, and other runs by theirs.
    profiles : ContextGraph or None
        Where measured profiles come from; it must have the task set's molecules.
    files : mapping of str to Path
        Embedding files by name.
    profile_keys : list of (str or None), optional
        Of the task set's molecules, made as the graph of ``profiles`` has them; by default the task set's.
    """

    task_set: TaskSet
    split: Split
    runs: Mapping[str, Representation]
    profiles: ContextGraph | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    profile_keys: Sequence[str | None] | None = None
    _made: dict[str, Features] = field(default_factory=dict)

    def of(self, method: Method, progress: Callable[[int, int], None] | None = None) -> Features:
        """Features for a method, standardized on the train rows unless they are counts.

        Raises
        ------
        EvaluationError
            If there are none, saying why.
        """
        if method.source not in self._made:
            self._made[method.source] = self._make(method.source, progress)
        found = self._made[method.source]
        return found if method.source == STRUCTURE else standardize(found, self.split.train)

    def _make(self, source: str, progress: Callable[[int, int], None] | None) -> Features:
        smiles = self.task_set.smiles
        if source in self.runs:
            return embed_features(self.runs[source], smiles, progress=progress)
        if source == "untrained":
            return untrained_features(self.runs[THIS_RUN], smiles, seed=0, progress=progress)
        if source == "no-bottleneck":
            return pooled_features(self.runs[THIS_RUN], smiles)
        if source == STRUCTURE:
            return morgan_counts(smiles, progress=progress)
        if source in MODALITIES:
            if self.profiles is None:
                raise EvaluationError(
                    "no measured profiles were given: pass a context graph that has these molecules"
                )
            keys = self.task_set.keys if self.profile_keys is None else self.profile_keys
            return measured_features(keys, self.profiles, MODALITIES[source])
        return file_features(self.files[source], smiles)
