"""Turn SMILES into vectors by one side's code, in a process of its own.

`python _embed_worker.py ours|package|checkout [CHECKOUT]` answers the requests ``load`` and ``embed``, and
with ours also ``read`` and ``encode``, the halves of it.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _processes import serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.representation import Representation

    Embed = Callable[[list[str]], np.ndarray]

PUBLISHED_BATCH = 32  # the package's default
SETTINGS = {"gnn_type": "gin-virtual", "graph_pooling": "sum", "norm_layer": "batch_norm"}

state: dict[str, Any] = {}


def load_ours(folder: Path, hidden: int, layers: int) -> Embed:
    """Save an untrained model by pretraining for no steps on a small simulated graph, and load it."""
    from rich.console import Console

    from infoalign_dgl.context import build_context_graph
    from infoalign_dgl.representation import load
    from infoalign_dgl.training import PretrainConfig, pretrain

    config = PretrainConfig(hidden=hidden, layers=layers, max_steps=0, device="cpu")
    pretrain(build_context_graph("simulated:200"), folder / "run", config, console=Console(quiet=True))
    ours = state["ours"] = load(folder / "run", device="cpu")
    return lambda smiles: np.asarray(ours.embed(smiles))


def load_package(folder: Path, hidden: int, layers: int) -> Embed:
    """Give the package's own call, on a file of its own untrained weights."""
    import torch
    from infoalign import representer
    from infoalign.models.gnn import PretrainedGNN

    class Config(representer.ModelConfig):
        def __init__(self) -> None:
            super().__init__()
            self.emb_dim, self.num_layer = hidden, layers

    representer.ModelConfig = Config
    weights = PretrainedGNN(num_layer=layers, emb_dim=hidden, **SETTINGS).state_dict()
    torch.save(weights, folder / "published.pt")
    published = representer.InfoAlignRepresenter(str(folder / "published.pt"))
    return lambda smiles: published.predict(smiles)


def load_checkout(folder: Path, hidden: int, layers: int) -> Embed:
    """Give the same steps by a checkout's modules: graphs in a loop, batches, the encoder in eval mode."""
    import pandas as pd
    import torch
    from dataset.data_utils import read_graph_list
    from models.gnn import GNN
    from torch_geometric.loader import DataLoader

    model = GNN(num_layer=layers, emb_dim=hidden, **SETTINGS).eval()

    def embed(smiles: list[str]) -> np.ndarray:
        table = pd.DataFrame({"smiles": smiles, "mol_id": [str(i) for i in range(len(smiles))]})
        found = []
        with torch.no_grad():
            for batch in DataLoader(read_graph_list(table, keep_id=True), batch_size=PUBLISHED_BATCH):
                atoms, _ = model.graph_encoder(batch)
                mu, _ = model.dist_net(model.pool(atoms, batch.batch)).chunk(2, dim=1)
                found.append(mu)
        return torch.cat(found).numpy()

    return embed


LOAD = {"ours": load_ours, "package": load_package, "checkout": load_checkout}


def load(smiles: list[str], folder: str, hidden: int, layers: int) -> dict[str, Any]:
    """Make the side's model; the molecules are those of all requests."""
    state["smiles"], state["shape"] = smiles, (len(smiles), hidden)
    state["embed"] = LOAD[sys.argv[1]](Path(folder), hidden, layers)
    return {}


def embed() -> dict[str, Any]:
    """Embed all molecules."""
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
        vectors = state["embed"](state["smiles"])  # the published code shows progress bars
    if vectors.shape != state["shape"] or not np.isfinite(vectors).all():
        raise RuntimeError(f"{vectors.shape} numbers, or NaN among them, where {state['shape']} are wanted")
    return {}


def read() -> dict[str, Any]:
    """Read structures, in the processes that embedding started."""
    from infoalign_dgl.molecules import standardized_graphs

    ours: Representation = state["ours"]
    state["packed"], _ = standardized_graphs(state["smiles"], helpers=ours.helpers)
    return {}


def encode() -> dict[str, Any]:
    """Encode the structures that were read."""
    state["ours"].encode(state["packed"])
    return {}


if __name__ == "__main__":
    # ogb asks the package index for a newer release of itself when it is imported, from a thread.
    sys.modules.setdefault("outdated", None)  # type: ignore[arg-type]
    sys.path[1:1] = sys.argv[2:]
    serve({"load": load, "embed": embed, "read": read, "encode": encode})
