"""``InfoAlign``: encoder, bottleneck and one decoder per feature space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from infoalign_dgl._html import counted, panel, table, typed
from infoalign_dgl.errors import RunError
from infoalign_dgl.models.bottleneck import Bottleneck, Latent
from infoalign_dgl.models.compat import bound_used_rows, start_as_published
from infoalign_dgl.models.decoders import Decoder
from infoalign_dgl.models.encoder import BACKENDS, DEFAULT_BACKEND, Backend, make_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from infoalign_dgl.models.config import ModelConfig
    from infoalign_dgl.molecules import MoleculeBatch


class InfoAlign(nn.Module):
    """From a molecule's structure to a Gaussian latent, and from a latent to what the molecule does in cells.

    The state dict's names are ``encoder.*``, ``bottleneck.linear.*`` and
    ``decoders.<space>.{expand,norm,output}.*``.

    Parameters
    ----------
    config : ModelConfig
        Sizes, encoder and feature spaces.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from infoalign_dgl.models import InfoAlign, ModelConfig
    >>> from infoalign_dgl.molecules import featurize
    >>> config = ModelConfig(hidden=16, layers=2, spaces={"painting": 5}, modality={"painting": "morphology"})
    >>> model = InfoAlign(config).eval()
    >>> latent = model.encode(featurize(["CCO", "c1ccccc1"])[0].gather(np.arange(2)))
    >>> latent.mu.shape, bool((latent.sigma > 0).all())
    (torch.Size([2, 16]), True)
    >>> model.decode("painting", latent.mu).shape
    torch.Size([2, 5])
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = make_encoder(
            config.encoder, hidden=config.hidden, layers=config.layers, dropout=config.dropout
        )
        self.bottleneck = Bottleneck(config.hidden)
        wide = config.decoder_hidden_factor * config.hidden
        self.decoders = nn.ModuleDict()
        for name, columns in config.spaces.items():
            self.decoders[name] = Decoder(config.hidden, wide, columns, config.dropout)
        if config.compat is not None:
            start_as_published(self)

    def __repr__(self) -> str:
        # torch lists every layer: `print(model.encoder)` still does.
        decoders = ", ".join(
            f"{name}: {columns:,} columns of {self.config.modality[name]}"
            for name, columns in self.config.spaces.items()
        )
        return f"InfoAlign({self._summary()})\n  decoders: {decoders or 'none'}"

    def _repr_html_(self) -> str:
        rows = [
            (name, typed(self.config.modality[name]), columns, _parameters(self.decoders[name]))
            for name, columns in self.config.spaces.items()
        ]
        parts = [
            ("encoder", _parameters(self.encoder)),
            ("bottleneck", _parameters(self.bottleneck)),
            ("decoders", _parameters(self.decoders)),
        ]
        return panel(
            "InfoAlign",
            self._summary(),
            table(["part", "parameters"], parts),
            table(["decoder of", "carried by", "columns", "parameters"], rows),
        )

    def _summary(self) -> str:
        config = self.config
        return (
            f"encoder {config.encoder} of {counted(config.layers, 'layer')}, latent of {config.hidden:,} "
            f"dimensions, {counted(len(config.spaces), 'decoder')}, {_parameters(self):,} parameters"
        )

    def initialise_outputs(self, means: Mapping[str, np.ndarray], rows: Mapping[str, int]) -> None:
        """Let every decoder start at its space's column means, see ``Decoder.initialise_output``.

        Parameters
        ----------
        means : mapping of str to np.ndarray
            Per feature space, shape (d,).
        rows : mapping of str to int
            Per feature space, rows that training may see.
        """
        for name in self.config.spaces:
            decoder = self._decoder(name)
            column_means = torch.as_tensor(means[name], dtype=decoder.output.bias.dtype)
            decoder.initialise_output(column_means, rows[name])

    def encode(self, batch: MoleculeBatch, *, backend: Backend | None = None) -> Latent:
        """Return the latent of each molecule of a batch.

        Parameters
        ----------
        batch : MoleculeBatch
            B molecules.
        backend : {"dgl", "torch"}, optional
            What passes the messages; both give the same numbers.

        Returns
        -------
        Latent
            mu and sigma of shape (B, D), float32.

        Raises
        ------
        RunError
            In training, if the batch has fewer than two molecules; if the backend is unknown; or if a
            registered encoder gives another shape.
        """
        chosen = DEFAULT_BACKEND if backend is None else backend
        if chosen not in BACKENDS:
            raise RunError(f"'backend' must be one of {', '.join(BACKENDS)}, not {chosen!r}")
        if self.training and batch.num_molecules < 2:
            raise RunError(
                f"a training batch has {batch.num_molecules} molecule(s) and BatchNorm needs at least 2: "
                f"use a larger batch, or call eval() for embedding"
            )
        if self.training and self.config.compat is not None:
            bound_used_rows(self, batch)
        pooled = self.encoder(batch, chosen)
        if pooled.shape != (batch.num_molecules, self.config.hidden):  # of an encoder that was registered
            raise RunError(
                f"encoder '{self.config.encoder}' gave {batch.num_molecules} molecules a tensor of shape "
                f"{tuple(pooled.shape)}: it must be ({batch.num_molecules}, {self.config.hidden})"
            )
        latent: Latent = self.bottleneck(pooled)
        return latent

    def decode(self, space: str, z: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return a feature space's logits.

        Parameters
        ----------
        space : str
            The feature space.
        z : Tensor
            Shape (B, D), latents of the whole batch.
        rows : Tensor or None
            Shape (R,), int64 positions in the batch whose logits are wanted; None for all.

        Returns
        -------
        Tensor
            Shape (R, d).

        Raises
        ------
        RunError
            If the model has no decoder for the space.
        """
        logits: Tensor = self._decoder(space)(z, rows)
        return logits

    def _decoder(self, space: str) -> Decoder:
        if space not in self.decoders:
            raise RunError(f"no decoder for feature space {space!r}: this model has {list(self.decoders)}")
        decoder = self.decoders[space]
        assert isinstance(decoder, Decoder)
        return decoder


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
