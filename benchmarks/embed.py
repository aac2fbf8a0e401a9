"""SMILES to vectors: ours and the published package's, on the molecules of ChEMBL2K.

Both start at the same text and end at an array with a row of 300 numbers per molecule; the models (GIN with
a virtual node, 5 layers of 300, weights as they are drawn) are loaded before, and our processes that read
structures are started before. Ours standardizes each molecule (largest fragment, uncharged); the package
does not. Each side runs in a process of its own, in turn with the others.

The published side is the package `infoalign` of the package index where it is installed, and the same steps
by the modules of a checkout of the published implementation where one is given. Its batch size is its
default, 32.

Run it with::

    python benchmarks/embed.py --data-root ../shared/data --json embed.json
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import click
from _harness import Entry, Ratio, Report, Section, Skipped, common_options, data_root_option, measure
from _machine import limit_threads
from _processes import Worker, WorkerError, running

OURS, PACKAGE, CHECKOUT = "ours", "infoalign, from the package index", "published modules"
READING, ENCODING = "ours, reading structures", "ours, encoding"
CAP_SECONDS = 60.0


def start(stack: ExitStack, smiles: list[str], hidden: int, layers: int, *side: str | Path) -> Worker:
    """Start a side's process and let it make its model."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    worker = stack.enter_context(running("_embed_worker.py", *side))
    worker.ask("load", smiles=smiles, folder=folder, hidden=hidden, layers=layers)
    return worker


def why_not(error: WorkerError) -> str:
    """Say why a side cannot be timed."""
    _, missing, module = str(error).partition("ModuleNotFoundError: No module named ")
    return f"not installed: no module named {module}" if missing else f"does not work here: {error}"


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
    peers: dict[str, tuple[str | Path, ...]] = {PACKAGE: ("package",)}
    if reference is not None:
        peers[CHECKOUT] = ("checkout", reference.resolve())
    with ExitStack() as stack:
        ours = start(stack, smiles, hidden, layers, "ours")
        entries = [
            Entry(OURS, lambda: ours.ask("embed")),
            Entry(READING, lambda: ours.ask("read"), "in processes"),
            Entry(ENCODING, lambda: ours.ask("encode"), "all threads"),
        ]
        for name, side in peers.items():
            try:
                peer = start(stack, smiles, hidden, layers, *side)
            except WorkerError as error:
                section.skipped.append(Skipped(name, why_not(error)))
                continue

            def embed(peer: Worker = peer) -> object:
                return peer.ask("embed")

            entries.append(Entry(name, embed, "does not standardize", peer=True))
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


if __name__ == "__main__":
    main()
