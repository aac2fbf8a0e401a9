"""SMILES to molecular graphs: ours with one and with two processes, and OGB's own function.

The molecules of the task sets ChEMBL2K and MolToxCast, and some of the JUMP production compounds; all get
the same SMILES, as the tables have them. Whatever OGB's function gives, ours must give too: every integer
of atoms and bonds, and the order of the bonds, which OGB lists in both directions. Where one differs, the
first is named and the exit status is 1.

Run it with::

    python benchmarks/featurize.py --data-root ../shared/data --json featurize.json
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from _harness import Entry, Ratio, Report, Section, build_peer, common_options, data_root_option, measure
from _machine import limit_threads
from rdkit import rdBase

from infoalign_dgl.molecules import PackedMolecules, featurize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TASK_SETS = ("chembl2k", "moltoxcast")
CAP_SECONDS = 60.0  # long enough for a few rounds of each
ONE, TWO, OGB = "ours, 1 process", "ours, 2 processes", "ogb, smiles2graph in a loop"


def load_smiles(data_root: Path, limit: int | None, jump: int) -> dict[str, list[str]]:
    """Read the tables' SMILES; a molecule that RDKit does not parse is left out, for OGB fails on it."""
    import pandas as pd

    tables = {name: data_root / "tasks" / name / "assays.csv.gz" for name in TASK_SETS}
    limits = dict.fromkeys(tables, limit)
    tables["jump"], limits["jump"] = data_root / "context/molecules/jump_compounds.csv.gz", jump
    found = {}
    for name, table in tables.items():
        smiles = pd.read_csv(table, usecols=["smiles"], nrows=limits[name])["smiles"].tolist()
        _, reasons = featurize(smiles)
        found[name] = [text for text, reason in zip(smiles, reasons, strict=True) if reason is None]
    return found


def ogb_function() -> list[Callable[[str], dict[str, Any]]]:
    """Import OGB's function without its thread that asks the package index for a newer release."""
    sys.modules.setdefault("outdated", None)  # type: ignore[arg-type]
    from ogb.utils.mol import smiles2graph

    return [smiles2graph]


def first_difference(smiles: list[str], packed: PackedMolecules, graphs: list[dict[str, Any]]) -> str | None:
    """Compare every integer; say where the first one differs."""
    for row, graph in enumerate(graphs):
        atoms = slice(*packed.atom_offsets[row : row + 2])
        bonds = slice(*packed.bond_offsets[row : row + 2])
        ends = packed.bond_atoms[bonds]
        pairs = {
            "atom features": (packed.atom_features[atoms], graph["node_feat"]),
            "bonds": (np.stack([ends, ends[:, ::-1]], axis=1).reshape(-1, 2), graph["edge_index"].T),
            "bond features": (np.repeat(packed.bond_features[bonds], 2, axis=0), graph["edge_feat"]),
        }
        for name, (ours, theirs) in pairs.items():
            if not np.array_equal(ours, theirs):
                return f"row {row} ({smiles[row]}): {name} are {ours.tolist()}, and OGB's {theirs.tolist()}"
    return None


@click.command(context_settings={"show_default": True})
@data_root_option
@click.option("--jump", type=click.IntRange(0), default=20_000, help="First JUMP compounds of the table.")
@click.option("--limit", type=click.IntRange(1), help="First molecules of each task set only, for a try.")
@common_options
def main(
    data_root: Path | None, jump: int, limit: int | None, rounds: int, threads: int, json_file: Path | None
) -> None:
    """Time featurization: ours and OGB's, if it is installed, and compare their integers."""
    if data_root is None:
        raise click.UsageError("--data-root, or INFOALIGN_DATA, must name the folder that holds tasks/")
    limit_threads(threads)
    report = Report(
        "featurize", {"jump": jump, "limit": limit or "none", "rounds": rounds}, threads, json_file
    )
    sets = load_smiles(data_root, limit, jump)
    smiles = [text for group in sets.values() for text in group]
    sizes = ", ".join(f"{len(group):,} of {name}" for name, group in sets.items())
    section = Section(f"{len(smiles):,} molecules: {sizes}", ONE, len(smiles), "molecules")
    section.full_size = limit is None and threads >= 2
    kept: dict[str, Any] = {}

    def ours(workers: int) -> PackedMolecules:
        kept["packed"] = featurize(smiles, num_workers=workers)[0]
        return kept["packed"]

    def ogb_loop() -> None:
        with rdBase.BlockLogs():
            kept["graphs"] = [convert(text) for text in smiles]

    few = smiles[:3000]
    entries = [
        Entry(ONE, lambda: ours(1), warm_up=lambda: featurize(few, num_workers=1)),
        Entry(TWO, lambda: ours(2), warm_up=lambda: featurize(few, num_workers=2)),
    ]
    found, section.skipped = build_peer([OGB], ogb_function)
    if found:
        convert = found[0]
        entries.append(Entry(OGB, ogb_loop, peer=True, warm_up=lambda: [convert(text) for text in few]))
    measure(section, entries, rounds, cap_seconds=CAP_SECONDS)
    section.compare(
        [
            Ratio("1 process / 2 processes", ONE, TWO, at_least=1.8),
            Ratio("ogb / ours, 1 process", OGB, ONE),
            Ratio("ogb / ours, 2 processes", OGB, TWO),
        ]
    )
    difference = None
    if "graphs" in kept:
        difference = first_difference(smiles, kept["packed"], kept["graphs"])
        section.figures["equal_to_ogb"] = difference is None
        section.notes.append(difference or f"all integers of all {len(smiles):,} molecules equal OGB's")
    report.add(section)
    if difference is not None:
        sys.exit(1)


if __name__ == "__main__":
    main()
