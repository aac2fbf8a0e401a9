"""What ``compat="reference"`` changes: embeddings of bounded norm, and how a model starts.

The published model looks atoms and bonds up in embedding tables with ``max_norm=1``: before each look-up, the
rows that the batch uses and that are longer than 1 are shortened in place. Here the atom tables are one
:class:`torch.nn.Embedding`, and a layer's bond tables are the columns of the linear layer that reads one-hot
bonds, whose bias has no counterpart there and stays 0.

References
----------
Liu et al. 2024, Learning Molecular Representation in a Cell, its published code; Hu et al. 2020, Open Graph
Benchmark (the tables).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, distributed, nn

from infoalign_dgl.models.encoder import VirtualNodeGIN
from infoalign_dgl.molecules import ATOM_FEATURE_SIZES, BOND_FEATURE_SIZES

if TYPE_CHECKING:
    from infoalign_dgl.models.infoalign import InfoAlign
    from infoalign_dgl.molecules import MoleculeBatch

MAX_NORM = 1.0
_NORM_EPSILON = 1e-7  # torch.nn.Embedding's own, so that a shortened row is as long as there


def start_as_published(model: InfoAlign) -> None:
    """Give a new model the published starting point, and fix what has no counterpart there.

    Atom and bond tables are Xavier uniform, each for its own size; other weights are torch's default; all
    biases of linear layers are 0, and those of the bond embeddings are no longer trained.

    Parameters
    ----------
    model : InfoAlign
        With the encoder ``"gin-virtual"``, whose atom tables and virtual node start that way anyway.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.bias.zero_()
        for layer in _bond_layers(_encoder(model)):
            layer.bias.requires_grad = False
            for table in layer.weight.split(BOND_FEATURE_SIZES, dim=1):
                nn.init.xavier_uniform_(table)


def bound_used_rows(model: InfoAlign, batch: MoleculeBatch) -> None:
    """Shorten, in place, the embedding rows that a batch uses and that are longer than 1.

    It waits for no device. Where several processes train together, each sees other molecules, and their
    weights must stay the same: all rows are looked at there.

    Parameters
    ----------
    model : InfoAlign
        With the encoder ``"gin-virtual"``.
    batch : MoleculeBatch
        What it is about to encode.
    """
    if distributed.is_available() and distributed.is_initialized():
        bound_all_rows(model)
        return
    encoder = _encoder(model)
    bound_rows(encoder.atom_embedding.weight, _used(batch.atom_kinds, ATOM_FEATURE_SIZES))
    bonds = _used(batch.bond_kinds, BOND_FEATURE_SIZES)
    for layer in _bond_layers(encoder):
        bound_rows(layer.weight.t(), bonds)


def bound_all_rows(model: InfoAlign) -> None:
    """Shorten, in place, every embedding row that is longer than 1, as encoding with all of them would.

    Parameters
    ----------
    model : InfoAlign
        With the encoder ``"gin-virtual"``.
    """
    encoder = _encoder(model)
    bound_rows(encoder.atom_embedding.weight)
    for layer in _bond_layers(encoder):
        bound_rows(layer.weight.t())


def bound_rows(table: Tensor, used: Tensor | None = None) -> None:
    """Scale the rows of norm n > 1 by 1 / (n + 1e-7), in place, as ``torch.embedding_renorm_`` does.

    Parameters
    ----------
    table : Tensor
        Shape (rows, D), of any strides.
    used : Tensor or None
        Shape (rows,), bool, the rows to look at; None for all.
    """
    with torch.no_grad():
        norm = torch.linalg.vector_norm(table, dim=1)
        long = norm > MAX_NORM if used is None else (norm > MAX_NORM) & used
        table.mul_(torch.where(long, MAX_NORM / (norm + _NORM_EPSILON), 1.0).unsqueeze(1))


def _used(features: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Mark the rows of the tables, side by side, that features of shape (n, len(sizes)) name, bool."""
    used = features.new_zeros(sum(sizes), dtype=torch.bool)
    for column, table in enumerate(used.split(sizes)):
        table.index_fill_(0, features[:, column], value=True)
    return used


def _encoder(model: InfoAlign) -> VirtualNodeGIN:
    assert isinstance(model.encoder, VirtualNodeGIN)
    return model.encoder


def _bond_layers(encoder: VirtualNodeGIN) -> list[nn.Linear]:
    return [cast("Any", conv).project_in_edge_feats for conv in encoder.convs]
