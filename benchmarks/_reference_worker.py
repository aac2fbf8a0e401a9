"""Drive a checkout of the published implementation on the CPU: build its graph, run its training steps.

Its modules are imported from the folder given, and nothing in them is changed; what newer versions of its
libraries need is set from here. `python _reference_worker.py CHECKOUT` answers the requests ``build`` and
``steps``.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import joblib
import torch
from _processes import serve
from _step_clock import durations, step_ends
from rdkit import rdBase
from torch_geometric.loader import DataLoader

_SETTINGS = {  # the published defaults, where the benchmark does not set them
    "model": "gin-virtual", "readout": "sum", "norm_layer": "batch_norm", "drop_ratio": 0.5, "threshold": 0.8,
    "prior": 1e-9, "lr": 1e-4, "wdecay": 1e-8,
}  # fmt: skip

state: dict[str, Any] = {}


def adapt() -> None:
    """Let its code run on present versions of its libraries."""
    # It loads its own cached data sets, which are pickled objects; torch refuses those by default since 2.6.
    torch.load = functools.partial(torch.load, weights_only=False)
    # ogb asks the package index for a newer release of itself when it is imported, from a thread.
    sys.modules.setdefault("outdated", None)  # type: ignore[arg-type]
    # RDKit says for each molecule that the fingerprint function it calls is an old one.
    state["quiet"] = rdBase.BlockLogs()


def build(
    data: str, scratch: str, batch_size: int, walk_length: int, hidden: int, layers: int
) -> dict[str, Any]:
    """Build its context graph, its molecules, its model and what trains it."""
    raw = Path(scratch) / "raw_data/pretrain/raw"
    raw.parent.mkdir(parents=True)
    raw.mkdir()
    for file in Path(data).iterdir():
        (raw / file.name).symlink_to(file)
    os.chdir(scratch)
    from dataset.create_datasets import get_data
    from models.gnn import GNN
    from utils import init_weights

    args = Namespace(**_SETTINGS, dataset="pretrain", device="cpu", no_print=True, epochs=300)
    args.batch_size, args.walk_length = batch_size, walk_length
    # One process, as everything else here: its default is one per core, whose memory would not be counted.
    with joblib.parallel_config(backend="sequential"):
        molecules, context = get_data(args, "./raw_data", transform="pyg")
    torch.manual_seed(0)
    model = GNN(
        num_tasks=molecules.num_tasks, num_layer=layers, emb_dim=hidden, gnn_type=args.model,
        drop_ratio=args.drop_ratio, graph_pooling=args.readout, norm_layer=args.norm_layer,
    )  # fmt: skip
    init_weights(model, "default", init_gain=0.02)
    normal = torch.distributions.Normal(torch.zeros(hidden), torch.ones(hidden))
    args.prior_dist = torch.distributions.Independent(normal, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, weight_decay=args.wdecay)
    state.update(
        args=args, model=model, graph=context[0], optimizer=optimizer,
        schedule=torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0),
        loader=DataLoader(molecules, batch_size=batch_size, shuffle=True),
    )  # fmt: skip
    return {"nodes": state["graph"].num_nodes, "arcs": state["graph"].edge_index.shape[1]}


def steps(count: int, leave_out: int) -> dict[str, Any]:
    """Run training steps of its own function, and give the seconds of all but the first ones."""
    from utils.train_funcs import pretrain_func

    args, loader = state["args"], state["loader"]
    args.steps = count
    loaders = {"train_iter": iter(loader), "train_loader": loader}
    with step_ends() as ends:
        loss, _ = pretrain_func(
            args, state["model"], loaders, state["graph"], state["optimizer"], state["schedule"], 0
        )
    return {"seconds": durations(ends, leave_out), "loss": loss}


if __name__ == "__main__":
    logging.disable()
    adapt()
    sys.path.insert(0, sys.argv[1])
    serve({"build": build, "steps": steps})
