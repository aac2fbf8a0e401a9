"""What a pretraining run is asked to do, as plain values that go into ``config.json``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from infoalign_dgl.errors import RunError
from infoalign_dgl.extensions import find, how_to_register
from infoalign_dgl.models.config import check_compat, check_encoder

Transition = Literal["uniform", "weight"]

LOSSES = ("balanced", "eq3", "reference")
TRANSITIONS = ("uniform", "weight")
PRECISIONS = ("fp32", "bf16")
CONTROLS = ("permuted", "fingerprints")
MAY_CHANGE_ON_RESUME = (
    "epochs",
    "max_steps",
    "device",
    "checkpoint_every",
    "keep",
    "max_minutes",
    "stop_after",
    "micro_batch",
)
_LEAST = {
    "epochs": 1,
    "batch_size": 2,
    "walk_length": 0,
    "num_walks": 1,
    "max_steps": 0,
    "checkpoint_every": 1,
    "keep": 1,
    "stop_after": 1,
    "micro_batch": 2,
}


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of a run; the defaults are the published ones where the paper has them.

    Parameters
    ----------
    epochs : int
        Passes over the training molecules.
    batch_size : int
        Molecules per step.
    walk_length : int
        Steps L of a walk.
    num_walks : int
        Walks from each molecule of a batch; its targets are over the nodes of all of them.
    beta : float
        Weight of the divergence from the prior.
    lr, weight_decay : float
        Of Adam; the learning rate falls along a cosine over 7/16 of a cycle.
    encoder : {"gin-virtual", "gin"} or str
        Which network; or a registered one (:func:`infoalign_dgl.extensions.register_encoder`).
    hidden, layers, dropout
        Its size and the dropout of encoder and decoders, see :class:`~infoalign_dgl.models.ModelConfig`.
    compat : {"reference"} or None
        Make the model as the published code does, see :class:`~infoalign_dgl.models.ModelConfig`; decoders
        then don't start at column means.
    loss : {"balanced", "eq3", "reference"} or str
        Which objective; or a registered one (:func:`infoalign_dgl.extensions.register_loss`).
    transition : {"uniform", "weight"}
        How a walk picks its next arc.
    sampling : str
        ``"uniform"``, or ``"measured=S"``: the share S of each batch is drawn from molecules with a profile
        within ``walk_length`` steps.
    precision : {"fp32", "bf16"}
        Whether matrix products run under bf16 autocast.
    device : str
        ``"auto"`` takes a GPU where there is one; else what torch calls a device.
    seed : int
        Of everything random, in [0, 2**63).
    max_steps : int or None
        Stop after this many steps; the learning rate's schedule then ends there too. 0 saves the untrained
        model.
    spaces : sequence of str or None
        The feature spaces that are targets; all of the graph's by default.
    holdout : float
        Share of the molecules that is kept out of training for validation; 0 for none.
    checkpoint_every : int
        Steps between validations, each of which is followed by a checkpoint; the end is always one.
    keep : int
        Newest checkpoints that are kept, besides the best one.
    max_minutes : float or None
        Save and stop after the first step that ends later than this after the call.
    stop_after : int or None
        Save and stop after this step of the whole run, whose schedule stays; a resumed run goes on from it.
    control : {"permuted", "fingerprints"} or None
        Learn from what says nothing of cells, to see what a run owes to them: every molecule has another
        one's responses (``infoalign_dgl.context.permuted.permute_responses`` with ``seed``), or the
        molecules' fingerprints are the only targets, whatever ``spaces`` says.
    micro_batch : int or None
        Most molecules that go through the model at once; the gradients of a batch are those of its
        micro-batches added up, but BatchNorm sees one micro-batch at a time. None for the whole batch. It is
        halved when memory runs out, and a run that goes on never takes a larger one than it had before.
    sync_batchnorm : bool
        Let BatchNorm see what all processes of the run have in the model, not each its own share.

    Raises
    ------
    RunError
        Naming the first setting that makes no sense.

    Examples
    --------
    >>> from infoalign_dgl.training import PretrainConfig
    >>> published = PretrainConfig()
    >>> published.batch_size, published.epochs, published.walk_length, published.beta
    (3072, 300, 4, 1e-09)
    >>> PretrainConfig(batch_size=1)
    Traceback (most recent call last):
        ...
    infoalign_dgl.errors.RunError: 'batch_size' must be at least 2, not 1
    """

    epochs: int = 300
    batch_size: int = 3072
    walk_length: int = 4
    num_walks: int = 1
    beta: float = 1e-9
    lr: float = 1e-4
    weight_decay: float = 1e-8
    encoder: str = "gin-virtual"
    hidden: int = 300
    layers: int = 5
    dropout: float = 0.5
    compat: str | None = None
    loss: str = "balanced"
    transition: Transition = "uniform"
    sampling: str = "uniform"
    precision: str = "fp32"
    device: str = "auto"
    seed: int = 0
    max_steps: int | None = None
    spaces: tuple[str, ...] | None = None
    holdout: float = 0.05
    checkpoint_every: int = 500
    keep: int = 2
    max_minutes: float | None = None
    stop_after: int | None = None
    control: str | None = None
    micro_batch: int | None = None
    sync_batchnorm: bool = False

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise RunError(f"'{name}' must be at least {least}, not {value}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise RunError(f"'max_minutes' must be above 0, not {self.max_minutes}")
        for name in ("beta", "lr", "weight_decay"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise RunError(f"'{name}' must be a finite number of at least 0, not {getattr(self, name)}")
        check_loss(self.loss)
        check_encoder(self.encoder)
        for name, known in (("transition", TRANSITIONS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise RunError(f"'{name}' must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        if self.control not in (None, *CONTROLS):
            raise RunError(f"'control' must be one of {', '.join(CONTROLS)}, not {self.control!r}")
        check_compat(self.compat, self.encoder)
        if not 0 <= self.holdout < 1:
            raise RunError(f"'holdout' must be in [0, 1), not {self.holdout}")
        if not 0 <= self.seed < 2**63:
            raise RunError(f"'seed' must be in [0, 2**63), not {self.seed}")
        _ = self.measured_share

    @property
    def measured_share(self) -> float | None:
        """The share S of ``sampling="measured=S"``; None for ``"uniform"``."""
        if self.sampling == "uniform":
            return None
        kind, _, share = self.sampling.partition("=")
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if kind != "measured" or not 0 < value <= 1:
            raise RunError(
                "'sampling' must be uniform or measured=S with S in (0, 1], as in measured=0.5, not "
                f"{self.sampling!r}"
            )
        return value

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PretrainConfig:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        RunError
            If a key is unknown, or a value makes no sense.
        """
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise RunError(
                f"unknown pretraining setting {sorted(unknown)[0]!r}: use the program version that wrote "
                "the run"
            )
        spaces = values.get("spaces")
        given = {**values, "spaces": None if spaces is None else tuple(spaces)}
        loss = given.pop("loss", cls.loss)
        config = cls(**given)
        # Not checked here: who embeds with a run does not need the loss that it was trained with.
        object.__setattr__(config, "loss", loss)
        return config

    def check_resumes(self, earlier: PretrainConfig | None) -> None:
        """Check that this run can go on where ``earlier`` stopped.

        Raises
        ------
        RunError
            Naming the first setting that differs and must not; or if there is no ``earlier``, the run's
            weights having been imported.
        """
        if earlier is None:
            raise RunError(
                "the run's weights were imported without the state of an optimizer, so that it cannot be "
                "resumed: embed with it, or start another run folder"
            )
        for name, value in self.to_json().items():
            before = getattr(earlier, name)
            if name not in MAY_CHANGE_ON_RESUME and value != before:
                raise RunError(
                    f"the run was started with {name}={before!r} and cannot go on with {value!r}: pass "
                    "the former, "
                    f"or start another run folder"
                )


def check_loss(name: str) -> None:
    """Check that there is such a loss, built in or registered.

    Raises
    ------
    RunError
        If not.
    """
    if name not in LOSSES and find("loss", name) is None:
        raise RunError(
            f"'loss' must be one of {', '.join(LOSSES)}, not {name!r}; {how_to_register('register_loss')}"
        )
