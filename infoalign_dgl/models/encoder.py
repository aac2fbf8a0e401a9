"""Encoders: from a batch of molecules to one vector per molecule, through DGL or through plain torch.

Both backends of an encoder share its parameters and give the same numbers. ``"dgl"`` passes messages over a
DGL graph with dgllife's layers; ``"torch"`` does it with segment sums over the sorted arcs, which is faster
on a CPU and runs on a GPU where DGL was installed without CUDA.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, linear, one_hot, relu

from infoalign_dgl._dgl import dgl
from infoalign_dgl.errors import RunError
from infoalign_dgl.extensions import find
from infoalign_dgl.models.config import check_encoder
from infoalign_dgl.models.dropout import Dropout
from infoalign_dgl.models.environments import environments
from infoalign_dgl.models.messages import hear
from infoalign_dgl.models.norm import (
    Finish,
    linear_norm,
    mlp_norm,
    mlp_of_repeated_rows,
    multiplies_each_row_once,
)
from infoalign_dgl.models.segments import Arcs, Grouping, pool, spread
from infoalign_dgl.molecules import ATOM_FEATURE_SIZES, BOND_FEATURE_SIZES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from dgllife.model.gnn.gin import GIN
    from dgllife.model.gnn.gnn_ogb import GINOGBLayer

if TYPE_CHECKING:
    from infoalign_dgl.molecules import MoleculeBatch

Backend = Literal["dgl", "torch"]
BACKENDS: tuple[Backend, ...] = ("dgl", "torch")
DEFAULT_BACKEND: Backend = (
    "torch"  # the faster one on a CPU and the only one that a CPU-only DGL leaves a GPU
)


def _one_hot_bonds(features: Tensor, dtype: torch.dtype) -> Tensor:
    """One-hot bond features side by side, shape (E, 13)."""
    columns = [one_hot(features[:, column], size) for column, size in enumerate(BOND_FEATURE_SIZES)]
    return torch.cat(columns, dim=1).to(dtype)


def _dgl_graph(batch: MoleculeBatch) -> dgl.DGLGraph:
    """Make one DGL graph of the batch's arrays, with the molecules' sizes that pooling needs."""
    graph = dgl.graph((batch.edge_src, batch.edge_dst), num_nodes=len(batch.atom_features))
    graph.set_batch_num_nodes(batch.atoms_per_molecule.to(graph.device))
    graph.set_batch_num_edges(batch.bonds_per_molecule.to(graph.device))
    return graph


class VirtualNodeGIN(nn.Module):
    """GIN with a virtual node per molecule, as the published model has it (``"gin-virtual"``).

    Atoms start as the sum of nine OGB atom embeddings. In each layer the virtual node's vector is added to
    the molecule's atoms, dgllife's ``GINOGBLayer`` passes messages, then come BatchNorm, ReLU (not in the
    last layer), dropout and the residual; meanwhile, except in the last layer, the virtual node adds the sum
    of its atoms (before the layer) and goes through an MLP with dropout and a residual of its own. A
    molecule's vector is the sum of its atoms'.

    Parameters
    ----------
    hidden : int
        Width D.
    layers : int
        Message passing layers.
    dropout : float
        Probability of dropping an entry.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 3.2; Hu et al. 2020, Open Graph
    Benchmark (features and layer); Gilmer et al. 2017, Neural Message Passing for Quantum Chemistry (virtual
    node).
    """

    _atom_offsets: Tensor

    def __init__(self, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.atom_embedding = nn.Embedding(sum(ATOM_FEATURE_SIZES), hidden)
        self.virtual_node = nn.Parameter(torch.zeros(1, hidden))
        bonds = sum(BOND_FEATURE_SIZES)
        self.convs = nn.ModuleList(GINOGBLayer(hidden, bonds) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in range(layers))
        self.virtual_mlps = nn.ModuleList(_virtual_mlp(hidden) for _ in range(layers - 1))
        self.dropout = Dropout(dropout)
        first = torch.tensor([0, *ATOM_FEATURE_SIZES[:-1]]).cumsum(0)
        self.register_buffer("_atom_offsets", first, persistent=False)
        with torch.no_grad():
            for start, size in zip(first.tolist(), ATOM_FEATURE_SIZES, strict=True):
                bound = math.sqrt(6 / (size + hidden))  # Xavier for each feature's own table
                self.atom_embedding.weight[start : start + size].uniform_(-bound, bound)

    def forward(self, batch: MoleculeBatch, backend: Backend) -> Tensor:
        """Return one vector per molecule, shape (B, D)."""
        return self._through_dgl(batch) if backend == "dgl" else self._through_torch(batch)

    def _through_dgl(self, batch: MoleculeBatch) -> Tensor:
        by_molecule = Grouping.of(batch.molecule, batch.num_molecules, is_sorted=True)
        graph = _dgl_graph(batch)
        bonds = _one_hot_bonds(batch.bond_features, self.atom_embedding.weight.dtype)
        h = embedding_bag(batch.atom_features + self._atom_offsets, self.atom_embedding.weight, mode="sum")
        virtual = self.virtual_node.expand(batch.num_molecules, -1)
        last = len(self.convs) - 1
        for layer, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            h = h + spread(virtual, by_molecule)
            update = norm(conv(graph, h, bonds))
            if layer < last:
                update = relu(update)
                pooled = pool(h, by_molecule) + virtual
                virtual = virtual + self.dropout(self.virtual_mlps[layer](pooled))
            h = h + self.dropout(update)
        return pool(h, by_molecule)

    def _through_torch(self, batch: MoleculeBatch) -> Tensor:
        kinds = embedding_bag(batch.atom_kinds + self._atom_offsets, self.atom_embedding.weight, mode="sum")
        h = spread(kinds + self.virtual_node, Grouping.of(batch.atom_kind, len(kinds)))
        virtual = self.virtual_node.expand(batch.num_molecules, -1).contiguous()
        bond_kinds = _one_hot_bonds(batch.bond_kinds, h.dtype)
        last = len(self.convs) - 1
        for layer, norm in enumerate(self.norms):
            conv = cast("Any", self.convs[layer])
            with torch.autocast(h.device.type, enabled=False):
                # The linear layer of a one-hot row is a look-up: a row per kind of bond, not one per arc.
                bonds = conv.project_in_edge_feats(bond_kinds)
            heard, pooled, h = hear(h, bonds, conv.eps, batch)
            if layer < last:
                virtual = self._talk(layer, pooled + virtual, virtual)
            elif not self.training and not torch.is_grad_enabled():
                return pooled + self._pooled_update(heard, batch)
            # The next layer's virtual node is added here already, while the atoms are at hand.
            following = virtual if layer < last else None
            finish = Finish(layer < last, self.dropout, residual=h, per_molecule=following, batch=batch)
            h = self._update(layer, heard, norm, finish, batch)
        return pool(h, Grouping.of(batch.molecule, batch.num_molecules, is_sorted=True))

    def _update(
        self, layer: int, heard: Tensor, norm: nn.Module, finish: Finish, batch: MoleculeBatch
    ) -> Tensor:
        """Give the atoms after a layer, from what they heard."""
        mlp = cast("Any", self.convs[layer]).project_out
        same = environments(batch) if layer == 0 and multiplies_each_row_once(heard, mlp) else None
        if same is not None:
            return mlp_of_repeated_rows(heard, mlp, norm, finish, same)
        return mlp_norm(heard, mlp, norm, finish)

    def _pooled_update(self, heard: Tensor, batch: MoleculeBatch) -> Tensor:
        """Give the sums over molecules of the last layer's updates, in eval mode.

        What comes after the hidden units is linear then, so they are summed before they are multiplied.
        """
        widen, inner_norm, _, narrow = cast("Any", self.convs[-1]).project_out
        norm = cast("Any", self.norms[-1])
        inner = linear_norm(heard, widen, inner_norm, Finish(relu=True))
        by_molecule = Grouping.of(batch.molecule, batch.num_molecules, is_sorted=True)
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        shift = norm.bias + scale * (narrow.bias - norm.running_mean)
        summed = linear(pool(inner, by_molecule), narrow.weight).to(scale.dtype)
        return scale * summed + batch.atoms_per_molecule[:, None] * shift

    def _talk(self, layer: int, pooled: Tensor, virtual: Tensor) -> Tensor:
        """Give the virtual nodes after a layer, from the sums over their molecules."""
        mlp = cast("nn.Sequential", self.virtual_mlps[layer])
        return mlp_norm(pooled, mlp, mlp[4], Finish(relu=True, dropout=self.dropout, residual=virtual))


def _virtual_mlp(hidden: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(hidden, 2 * hidden),
        nn.BatchNorm1d(2 * hidden),
        nn.ReLU(),
        nn.Linear(2 * hidden, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
    )


class PlainGIN(nn.Module):
    """dgllife's ``GIN`` on OGB features with sum pooling (``"gin"``).

    Its layers sum over neighbours only, so each atom gets a self-loop with a bond type of its own (one more
    than OGB's five), as its authors do; without it an atom would not hear itself, and a molecule of one atom
    would be a constant.

    Parameters
    ----------
    hidden : int
        Width D.
    layers : int
        Message passing layers.
    dropout : float
        Probability of dropping an entry.

    References
    ----------
    Hu et al. 2020, Strategies for Pre-training Graph Neural Networks.
    """

    _atom_offsets: Tensor

    def __init__(self, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        first, *others = BOND_FEATURE_SIZES
        self._bond_sizes = (first + 1, *others)
        self._self_loop = (first, *(0 for _ in others))
        self.gin = GIN(list(ATOM_FEATURE_SIZES), list(self._bond_sizes), layers, hidden, dropout=dropout)
        self.gin.dropout = Dropout(dropout)
        offsets = torch.tensor([0, *ATOM_FEATURE_SIZES[:-1]]).cumsum(0)
        self.register_buffer("_atom_offsets", offsets, persistent=False)

    def forward(self, batch: MoleculeBatch, backend: Backend) -> Tensor:
        """Return one vector per molecule, shape (B, D)."""
        by_molecule = Grouping.of(batch.molecule, batch.num_molecules, is_sorted=True)
        atoms = self._through_dgl(batch) if backend == "dgl" else self._through_torch(batch)
        return pool(atoms, by_molecule)

    def _through_dgl(self, batch: MoleculeBatch) -> Tensor:
        graph = dgl.add_self_loop(_dgl_graph(batch))
        loop = batch.bond_features.new_tensor([self._self_loop]).expand(len(batch.atom_features), -1)
        bonds = torch.cat([batch.bond_features, loop])
        atoms: Tensor = self.gin(graph, list(batch.atom_features.T), list(bonds.T))
        return atoms

    def _through_torch(self, batch: MoleculeBatch) -> Tensor:
        arcs = Arcs.of(batch)
        table = torch.cat([embedding.weight for embedding in self.gin.node_embeddings])
        kinds = embedding_bag(batch.atom_kinds + self._atom_offsets, table, mode="sum")
        h = spread(kinds, Grouping.of(batch.atom_kind, len(kinds)))
        loop = batch.bond_kinds.new_tensor([self._self_loop])
        for layer in self.gin.gnn_layers:
            neighbours = spread(h, arcs.by_src) + spread(_embed_bonds(layer, batch.bond_kinds), arcs.by_kind)
            heard = pool(neighbours, arcs.by_dst) + h + _embed_bonds(layer, loop)
            widen, _, narrow = layer.mlp
            finish = Finish(relu=layer.activation is not None, dropout=self.gin.dropout)
            h = linear_norm(relu(widen(heard)), narrow, layer.bn, finish)
        return h


def _embed_bonds(layer: Any, features: Tensor) -> Tensor:
    columns = [embedding(features[:, column]) for column, embedding in enumerate(layer.edge_embeddings)]
    return torch.stack(columns).sum(0)


ENCODERS: dict[str, type[VirtualNodeGIN] | type[PlainGIN]] = {"gin-virtual": VirtualNodeGIN, "gin": PlainGIN}
"""Encoder classes by the name that ``ModelConfig.encoder`` says."""


def make_encoder(name: str, *, hidden: int, layers: int, dropout: float) -> nn.Module:
    """Make the encoder of that name, one of ``ENCODERS`` or a registered one.

    Raises
    ------
    RunError
        If there is none of that name, or it does not make a module.
    """
    check_encoder(name)
    make: Any = ENCODERS.get(name) or find("encoder", name)
    made = make(hidden, layers, dropout)
    if not isinstance(made, nn.Module):
        raise RunError(f"encoder '{name}' made {made!r:.60}, which is no torch.nn.Module: return one")
    return made
