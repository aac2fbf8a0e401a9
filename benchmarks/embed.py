"""SMILES to vectors: ours and the published package's, on the molecules of ChEMBL2K.

Both start at the same text and end at an array with a row of 300 numbers per molecule; the models (GIN with
a virtual node, 5 layers of 300, weights as they are drawn) are loaded before, and our processes that read
structures are started before. Ours standardizes each molecule (largest fragment, uncharged); the package
does not.

The published side is the package `infoalign` of the package index where it is installed, or the same steps by
the modules of a checkout of the published implementation. Its batch size is its default, 32.

Run it with::

    python benchmarks/embed.py --data-root ../shared/data --json embed.json
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from _harness import Entry, Ratio, Report, Section, build_peer, common_options, data_root_option, measure
from _machine import limit_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.representation import Representation

    Embed = Callable[[list[str]], np.ndarray]

OURS, PACKAGE, CHECKOUT = "ours", "infoalign, from the package index", "published modules"
READING, ENCODING = "ours, reading structures", "ours, encoding"
CAP_SECONDS = 60.0
PUBLISHED_BATCH = 32
SETTINGS = {"gnn_type": "gin-virtual", "graph_pooling": "sum", "norm_layer": "batch_norm"}


def make_run(folder: Path, hidden: int, layers: int) -> Representation:
    """Save an untrained model by pretraining for no steps on a small simulated graph, and load it."""
    from rich.console import Console

    from infoalign_dgl.context import build_context_graph
    from infoalign_dgl.representation import load
    from infoalign_dgl.training import PretrainConfig, pretrain

    config = PretrainConfig(hidden=hidden, layers=layers, max_steps=0, device="cpu")
    graph = build_context_graph("simulated:200")
    pretrain(graph, folder / "run", config, console=Console(file=sys.stderr, quiet=True))
    return load(folder / "run", device="cpu")


def package_entry(folder: Path, hidden: int, layers: int) -> list[Embed]:
    """Give the package's own call, on a file of its own untrained weights."""
    sys.modules.setdefault("outdated", None)  # type: ignore[arg-type]  # ogb asks the package index, in a thread
    import torch
    from infoalign import representer
    from infoalign.models.gnn import PretrainedGNN

    class Smaller(representer.ModelConfig):
        def __init__(self) -> None:
            super().__init__()
            self.emb_dim, self.num_layer = hidden, layers

    representer.ModelConfig = Smaller
    weights = PretrainedGNN(num_layer=layers, emb_dim=hidden, **SETTINGS).state_dict()
    torch.save(weights, folder / "published.pt")
    published = representer.InfoAlignRepresenter(str(folder / "published.pt"))

    def embed(smiles: list[str]) -> np.ndarray:
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):  # its progress bar
            return published.predict(smiles)

    return [embed]


def checkout_entry(checkout: Path, hidden: int, layers: int) -> list[Embed]:
    """Give the same steps by a checkout's modules: graphs in a loop, batches, the encoder in eval mode."""
    sys.modules.setdefault("outdated", None)  # type: ignore[arg-type]
    sys.path.insert(0, str(checkout))
    import pandas as pd
    import torch
    from dataset.data_utils import read_graph_list
    from models.gnn import GNN
    from torch_geometric.loader import DataLoader

    model = GNN(num_layer=layers, emb_dim=hidden, **SETTINGS).eval()

    def embed(smiles: list[str]) -> np.ndarray:
        table = pd.DataFrame({"smiles": smiles, "mol_id": [str(i) for i in range(len(smiles))]})
        with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere), redirect_stdout(nowhere):
            graphs = read_graph_list(table, keep_id=True)
        found = []
        with torch.no_grad():
            for batch in DataLoader(graphs, batch_size=PUBLISHED_BATCH):
                atoms, _ = model.graph_encoder(batch)
                mu, _ = model.dist_net(model.pool(atoms, batch.batch)).chunk(2, dim=1)
                found.append(mu)
        return torch.cat(found).numpy()

    return [embed]


def check_shape(vectors: np.ndarray, rows: int, hidden: int) -> dict[str, Any]:
    """Tell whether a side gave a vector for each molecule."""
    if vectors.shape != (rows, hidden) or not np.isfinite(vectors).all():
        raise SystemExit(f"{vectors.shape} numbers came, or NaN among them, where {(rows, hidden)} should")
    return {}


@click.command(context_settings={"show_default": True})
@data_root_option
@click.option(
    "--reference",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Checkout of the published implementation.",
)
@click.option("--limit", type=click.IntRange(1), help="First molecules only, for a try.")
@click.option("--hidden", type=click.IntRange(1), default=300, help="Width of the encoder.")
@click.option("--layers", type=click.IntRange(2), default=5, help="Message passing layers.")
@common_options
def main(
    data_root: Path | None, reference: Path | None, limit: int | None, hidden: int, layers: int,
    rounds: int, threads: int, json_file: Path | None,
) -> None:  # fmt: skip
    """Time embedding: ours and the published package's, if it is installed."""
    if data_root is None:
        raise click.UsageError("--data-root, or INFOALIGN_DATA, must name the folder that holds tasks/")
    limit_threads(threads)
    import pandas as pd

    table = data_root / "tasks/chembl2k/assays.csv.gz"
    smiles = pd.read_csv(table, usecols=["smiles"], nrows=limit)["smiles"].tolist()
    settings = {"limit": limit or "none", "hidden": hidden, "layers": layers, "rounds": rounds}
    report = Report("embed", settings, threads, json_file)
    section = Section(f"{len(smiles):,} molecules of ChEMBL2K to vectors", OURS, len(smiles), "molecules")
    section.full_size = limit is None and (hidden, layers) == (300, 5)
    with tempfile.TemporaryDirectory() as folder:
        ours = make_run(Path(folder), hidden, layers)
        found: list[tuple[str, Embed]] = [(OURS, lambda rows: np.asarray(ours.embed(rows)))]
        peers = [(PACKAGE, lambda: package_entry(Path(folder), hidden, layers))]
        if reference is not None:
            peers.append((CHECKOUT, lambda: checkout_entry(reference.resolve(), hidden, layers)))
        for name, build in peers:
            embeds, skipped = build_peer([name], build)
            found += [(name, embed) for embed in embeds]
            section.skipped += skipped

        def make_entry(name: str, embed: Embed) -> Entry:
            return Entry(
                name,
                lambda: embed(smiles),
                "" if name == OURS else "does not standardize",
                peer=name != OURS,
                facts=lambda vectors: check_shape(vectors, len(smiles), hidden),
            )

        entries = [make_entry(*side) for side in found] + parts(ours, smiles)
        measure(section, entries, rounds, cap_seconds=CAP_SECONDS)
    section.compare(
        [
            Ratio("package / ours", PACKAGE, OURS, at_least=2.5),
            Ratio("published modules / ours", CHECKOUT, OURS, at_least=2.5),
            Ratio("share of reading structures", READING, OURS),
            Ratio("share of encoding", ENCODING, OURS),
        ]
    )
    report.add(section)


def parts(ours: Representation, smiles: list[str]) -> list[Entry]:
    """Time what ours does in two halves: structures to graphs, and graphs to vectors."""
    from infoalign_dgl.molecules import standardized_graphs

    packed, _ = standardized_graphs(smiles)
    return [
        Entry(READING, lambda: standardized_graphs(smiles, helpers=ours.helpers), "in processes"),
        Entry(ENCODING, lambda: ours.encode(packed), "all threads"),
    ]


if __name__ == "__main__":
    main()
