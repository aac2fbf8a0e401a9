"""The published model's equations over a dictionary of tensors with its names, one atom and bond at a time.

Written from the equations for the tests alone: it uses no module of torch's and none of the package's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

ATOM_TABLES = (119, 5, 12, 12, 10, 6, 6, 2, 2)
BOND_TABLES = (5, 6, 2)
HIDDEN, LAYERS = 16, 3
COLUMNS = (12, 7, 5, 6, 4, 8)  # molecule, CRISPR, ORF, Bray, JUMP, expression


def random_state(seed=0):
    """A state dict with the published names and shapes; nothing is at its first value, many rows are long."""
    generator = torch.Generator().manual_seed(seed)
    state = {}

    def normal(name, *shape, scale=0.3, mean=0.0):
        state[name] = mean + scale * torch.randn(shape, generator=generator)

    def linear(name, inputs, outputs):
        normal(f"{name}.weight", outputs, inputs, scale=1 / math.sqrt(inputs))
        normal(f"{name}.bias", outputs)

    def norm(name, width):
        normal(f"{name}.weight", width, scale=0.1, mean=0.5)
        normal(f"{name}.bias", width)
        normal(f"{name}.running_mean", width)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(3)

    for number, size in enumerate(ATOM_TABLES):
        normal(f"graph_encoder.atom_encoder.atom_embedding_list.{number}.weight", size, HIDDEN, scale=0.27)
    for number, size in enumerate(BOND_TABLES):
        normal(f"graph_encoder.bond_encoder.bond_embedding_list.{number}.weight", size, HIDDEN)
    normal("graph_encoder.virtualnode_embedding.weight", 1, HIDDEN, scale=0.1)
    for layer in range(LAYERS):
        conv = f"graph_encoder.convs.{layer}"
        normal(f"{conv}.eps", 1)
        linear(f"{conv}.mlp.0", HIDDEN, 2 * HIDDEN)
        norm(f"{conv}.mlp.1", 2 * HIDDEN)
        linear(f"{conv}.mlp.3", 2 * HIDDEN, HIDDEN)
        for number, size in enumerate(BOND_TABLES):
            normal(f"{conv}.bond_encoder.bond_embedding_list.{number}.weight", size, HIDDEN, scale=0.27)
    for layer in range(LAYERS):
        norm(f"graph_encoder.batch_norms.{layer}", HIDDEN)
    for layer in range(LAYERS - 1):
        linear(f"graph_encoder.mlp_virtualnode_list.{layer}.0", HIDDEN, 2 * HIDDEN)
        norm(f"graph_encoder.mlp_virtualnode_list.{layer}.1", 2 * HIDDEN)
        linear(f"graph_encoder.mlp_virtualnode_list.{layer}.3", 2 * HIDDEN, HIDDEN)
        norm(f"graph_encoder.mlp_virtualnode_list.{layer}.4", HIDDEN)
    linear("dist_net.1", HIDDEN, 2 * HIDDEN)
    for number, columns in enumerate(COLUMNS):
        linear(f"decoder_list.{number}.fc1", HIDDEN, 4 * HIDDEN)
        norm(f"decoder_list.{number}.bn1", 4 * HIDDEN)
        linear(f"decoder_list.{number}.fc2", 4 * HIDDEN, columns)
    return state


@dataclass
class Molecule:
    """Atoms' nine features, and bonds as (atom, atom, three features), each once."""

    atoms: list[list[int]]
    bonds: list[tuple[int, int, list[int]]]


def unpack(packed):
    """Take packed molecules apart."""
    found = []
    for i in range(len(packed)):
        atoms = packed.atom_features[packed.atom_offsets[i] : packed.atom_offsets[i + 1]].tolist()
        here = slice(packed.bond_offsets[i], packed.bond_offsets[i + 1])
        ends, features = packed.bond_atoms[here].tolist(), packed.bond_features[here].tolist()
        found.append(Molecule(atoms, [(u, v, f) for (u, v), f in zip(ends, features, strict=True)]))
    return found


class Equations:
    """The model of a state dict; ``training`` says whose statistics a BatchNorm uses."""

    def __init__(self, state, *, training=False):
        self.state = state
        self.training = training

    def shorten(self, tables, features):
        """What embeddings with max_norm=1 do to the rows that are about to be read."""
        for number, row in sorted({pair for rows in features for pair in enumerate(rows)}):
            table = self.state[f"{tables}.{number}.weight"]
            with torch.no_grad():
                length = float((table[row] ** 2).sum() ** 0.5)
                if length > 1:
                    table[row] *= 1 / (length + 1e-7)

    def embed(self, tables, features):
        """The sum of one row per table."""
        rows = [self.state[f"{tables}.{number}.weight"][row] for number, row in enumerate(features)]
        return torch.stack(rows).sum(0)

    def linear(self, name, x):
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, name, x):
        mean, variance = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        if self.training:
            mean = x.sum(0) / len(x)
            variance = ((x - mean) ** 2).sum(0) / len(x)
        scaled = (x - mean) / (variance + 1e-5) ** 0.5
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def conv(self, layer, h, owner, molecules):
        """GIN over all molecules; ``owner`` is the molecule of each atom."""
        name = f"graph_encoder.convs.{layer}"
        first = [owner.index(i) for i in range(len(molecules))]
        heard = [torch.zeros_like(h[0]) for _ in owner]
        for i, molecule in enumerate(molecules):
            for u, v, features in molecule.bonds:
                bond = self.embed(f"{name}.bond_encoder.bond_embedding_list", features)
                a, b = first[i] + u, first[i] + v
                heard[b] = heard[b] + (h[a] + bond).clamp(min=0)
                heard[a] = heard[a] + (h[b] + bond).clamp(min=0)
        h = (1 + self.state[f"{name}.eps"]) * h + torch.stack(heard)
        h = self.norm(f"{name}.mlp.1", self.linear(f"{name}.mlp.0", h)).clamp(min=0)
        return self.linear(f"{name}.mlp.3", h)

    def virtual_mlp(self, layer, x):
        name = f"graph_encoder.mlp_virtualnode_list.{layer}"
        x = self.norm(f"{name}.1", self.linear(f"{name}.0", x)).clamp(min=0)
        return self.norm(f"{name}.4", self.linear(f"{name}.3", x)).clamp(min=0)

    def latent(self, molecules):
        """mu and sigma, shape (B, D) each, without dropout."""
        owner = [i for i, molecule in enumerate(molecules) for _ in molecule.atoms]
        atoms = [features for molecule in molecules for features in molecule.atoms]
        bonds = [features for molecule in molecules for _, _, features in molecule.bonds]
        tables = "graph_encoder.atom_encoder.atom_embedding_list"
        self.shorten(tables, atoms)
        for layer in range(LAYERS):
            self.shorten(f"graph_encoder.convs.{layer}.bond_encoder.bond_embedding_list", bonds)
        h = torch.stack([self.embed(tables, features) for features in atoms])
        where = torch.tensor(owner)

        def pool(rows):
            zeros = torch.zeros(len(molecules), rows.shape[1], dtype=rows.dtype)
            return zeros.index_add(0, where, rows)

        virtual = self.state["graph_encoder.virtualnode_embedding.weight"].repeat(len(molecules), 1)
        for layer in range(LAYERS):
            h = h + virtual[where]
            new = self.norm(f"graph_encoder.batch_norms.{layer}", self.conv(layer, h, owner, molecules))
            if layer < LAYERS - 1:
                new = new.clamp(min=0)
                virtual = virtual + self.virtual_mlp(layer, pool(h) + virtual)
            h = h + new
        pooled = pool(h)
        both = self.linear("dist_net.1", pooled * (1 + torch.tanh(pooled / 2)) / 2)
        mu, raw = both[:, :HIDDEN], both[:, HIDDEN:]
        return mu, raw.clamp(min=0) + torch.log1p(torch.exp(-raw.abs())) + 1e-7

    def decode(self, number, z):
        """Logits of a decoder, shape (B, columns)."""
        name = f"decoder_list.{number}"
        h = self.norm(f"{name}.bn1", self.linear(f"{name}.fc1", z))
        return self.linear(f"{name}.fc2", h * 0.5 * (1 + torch.erf(h / math.sqrt(2))))


def nan_padded_loss(model, molecules, targets, alpha, noise, beta):
    """The published training loss.

    Parameters
    ----------
    model : Equations
    molecules : list of Molecule
        B of them.
    targets : list of Tensor
        For molecule, gene, cell and expression: shape (B, L+1, columns), NaN where a node has no entry.
    alpha : Tensor
        Shape (B, L+1).
    noise : Tensor
        Shape (B, D), of the one sample that the divergence from the prior is taken on.
    beta : float
        Weight of the divergence.
    """
    mu, sigma = model.latent(molecules)
    logits = [model.decode(number, mu) for number in range(6)]
    per_modality = [logits[0], torch.cat(logits[1:3], 1), torch.cat(logits[3:5], 1), logits[5]]
    z = mu + sigma * noise
    log_posterior = -(((z - mu) / sigma) ** 2) / 2 - torch.log(sigma) - math.log(2 * math.pi) / 2
    log_prior = -(z**2) / 2 - math.log(2 * math.pi) / 2
    total = beta * (log_posterior - log_prior).sum(1).mean()
    for x, target in zip(per_modality, targets, strict=True):
        x, weight = x[:, None].expand_as(target), alpha[:, :, None].expand_as(target)
        seen = ~target.isnan()
        x, y, weight = x[seen], target[seen], weight[seen]
        cost = x.clamp(min=0) - x * y + torch.log1p(torch.exp(-x.abs()))
        total = total + (weight * cost).mean()
    return total
