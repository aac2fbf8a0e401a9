"""What a model is made of, as plain values that go into ``config.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from infoalign_dgl.errors import RunError
from infoalign_dgl.extensions import find, how_to_register

ENCODER_NAMES = ("gin-virtual", "gin")
COMPATS = ("reference",)


@dataclass(frozen=True)
class ModelConfig:
    """The shape of an :class:`~infoalign_dgl.models.infoalign.InfoAlign` model.

    Parameters
    ----------
    encoder : {"gin-virtual", "gin"} or str
        Which network, one of these or a registered one (:func:`infoalign_dgl.extensions.register_encoder`),
        turns a molecule into a vector.
    hidden : int
        Width D of the encoder and of the latent.
    layers : int
        Message passing layers.
    dropout : float
        Probability of dropping an entry, in the encoder and in the decoders.
    decoder_hidden_factor : int
        A decoder's hidden layer has this many times ``hidden`` units.
    spaces : dict of str to int
        Feature space to number of columns d; one decoder each.
    modality : dict of str to str
        Feature space to the node type that carries it.
    compat : {"reference"} or None
        Follow the published model where this one departs from it, see ``infoalign_dgl.models.compat``:
        atom and bond embeddings of norm 1 at most, and its starting weights.

    Raises
    ------
    RunError
        If a value makes no sense.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, appendix on implementation (the defaults).

    Examples
    --------
    >>> from infoalign_dgl.models import ModelConfig
    >>> ModelConfig(spaces={"painting": 579}, modality={"painting": "morphology"}).hidden
    300
    >>> ModelConfig(layers=1)
    Traceback (most recent call last):
        ...
    infoalign_dgl.errors.RunError: 'layers' must be at least 2, not 1
    """

    encoder: str = "gin-virtual"
    hidden: int = 300
    layers: int = 5
    dropout: float = 0.5
    decoder_hidden_factor: int = 4
    spaces: dict[str, int] = field(default_factory=dict)
    modality: dict[str, str] = field(default_factory=dict)
    compat: str | None = None

    def __post_init__(self) -> None:
        check_encoder(self.encoder)
        for name, least in (("hidden", 1), ("layers", 2), ("decoder_hidden_factor", 1)):
            if getattr(self, name) < least:
                raise RunError(f"'{name}' must be at least {least}, not {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise RunError(f"'dropout' must be in [0, 1), not {self.dropout}")
        if set(self.spaces) != set(self.modality):
            raise RunError(
                f"'spaces' and 'modality' must name the same feature spaces, not {sorted(self.spaces)} and "
                f"{sorted(self.modality)}"
            )
        check_compat(self.compat, self.encoder)
        for name in self.spaces:
            if not name or "." in name:
                raise RunError(f"feature space {name!r} cannot name a decoder: give it a name without dots")

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ModelConfig:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        RunError
            If a key is unknown, or a value makes no sense.
        """
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise RunError(
                f"unknown model setting {sorted(unknown)[0]!r}: the run is of another program version"
            )
        return cls(**values)


def check_encoder(name: str) -> None:
    """Check that there is such an encoder, built in or registered.

    Raises
    ------
    RunError
        If not.
    """
    if not is_known_encoder(name):
        raise RunError(
            f"'encoder' must be one of {', '.join(ENCODER_NAMES)}, not {name!r}; "
            f"{how_to_register('register_encoder')}"
        )


def is_known_encoder(name: str) -> bool:
    """Tell whether there is such an encoder, built in or registered."""
    return name in ENCODER_NAMES or find("encoder", name) is not None


def check_compat(compat: str | None, encoder: str) -> None:
    """Check that there is such a ``compat``, and that it has something to say about the encoder.

    Raises
    ------
    RunError
        If not.
    """
    if compat is not None and compat not in COMPATS:
        raise RunError(f"'compat' must be None or one of {', '.join(COMPATS)}, not {compat!r}")
    if compat is not None and encoder != "gin-virtual":
        raise RunError(
            f"compat={compat!r} is about the encoder gin-virtual, not {encoder!r}: choose that encoder, or "
            "leave 'compat' out"
        )
