"""Decoders: from the latent to one feature space's logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from infoalign_dgl.models.dropout import Dropout
from infoalign_dgl.models.norm import Finish, linear_norm, linear_with_exact_bias

OUTPUT_SCALE = 0.1  # of torch's own initialisation, see Decoder.initialise_output
ROWS_FOR_FULL_SCALE = 40_000  # targets from which a decoder starts at full scale, see start_scale
_LEAST_MEAN = 1e-4  # column means are kept this far from 0 and 1, so that no logit is infinite


def start_scale(rows: int) -> float:
    """Return the size at which the hidden activations of a feature space with so many rows start.

    Adam moves each of the hidden layer's many output weights by about the learning rate in every step,
    however few targets a batch has. With activations of full size a space with a hundred rows is memorised
    before anything that holds for other molecules is learned of it. The scale is the BatchNorm's weight,
    which is learned from there.

    Parameters
    ----------
    rows : int
        Rows of the space that training may see.

    Returns
    -------
    float
        min(1, sqrt(rows / 40,000)).
    """
    return min(1.0, math.sqrt(rows / ROWS_FOR_FULL_SCALE))


class Decoder(nn.Module):
    """A latent's MLP to one feature space: linear, BatchNorm, GELU, dropout, linear.

    Parameters
    ----------
    latent : int
        Width D of the latent.
    hidden : int
        Units of the hidden layer (the published 4 D).
    columns : int
        Columns d of the feature space.
    dropout : float
        Probability of dropping a hidden unit.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 3.2 (q(y|z)).
    """

    def __init__(self, latent: int, hidden: int, columns: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(latent, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden, columns)

    def initialise_output(self, means: Tensor, rows: int) -> None:
        """Let training start at the predictor of the column means.

        The last layer's bias becomes the logit of the means and its weights a tenth of what torch drew. They
        are not zero: no gradient would then reach the hidden layer and the encoder in the first step, and for
        the next ones it would be so small that Adam's epsilon outweighs it.

        Parameters
        ----------
        means : Tensor
            Shape (d,), the column means in [0, 1].
        rows : int
            Rows that they were taken over, see :func:`start_scale`.
        """
        with torch.no_grad():
            kept = means.clamp(_LEAST_MEAN, 1 - _LEAST_MEAN)
            self.output.bias.copy_(torch.logit(kept))
            bound = OUTPUT_SCALE / math.sqrt(self.output.in_features)
            self.output.weight.uniform_(-bound, bound)
            self.norm.weight.fill_(start_scale(rows))

    def forward(self, z: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the logits of some molecules.

        BatchNorm sees every row of the batch whatever ``rows`` names; what follows it runs on the named rows
        only, with one dropout mask per row. So the logits are those of the whole batch's, of which the named
        rows are taken.

        Parameters
        ----------
        z : Tensor
            Shape (B, D).
        rows : Tensor or None
            Shape (R,), int64 positions in the batch; None for all.

        Returns
        -------
        Tensor
            Shape (R, d), logits of features in [0, 1].
        """
        h = linear_norm(z, self.expand, self.norm, Finish())
        if rows is not None:
            h = h.index_select(0, rows)
        return linear_with_exact_bias(self.dropout(nn.functional.gelu(h)), self.output)
