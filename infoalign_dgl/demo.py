"""The tour: simulate cells and molecules, build, pretrain, embed, and see whether the cell data did the work.

The pretrained representation is compared, on molecules that no graph contained, at telling a mechanism from
few labels: with Morgan fingerprints, an untrained encoder, and two controls that keep the simulation honest,
the same pretraining on responses permuted across molecules and on fingerprint targets only.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from infoalign_dgl.context import build_from_rows
from infoalign_dgl.errors import RunError
from infoalign_dgl.evaluation.fewlabel import FewLabelTable, compare_few_label
from infoalign_dgl.molecules import morgan_fingerprints
from infoalign_dgl.representation import load
from infoalign_dgl.sources.simulate import Simulation, simulate
from infoalign_dgl.sources.simulated import simulation_rows
from infoalign_dgl.training.config import PretrainConfig
from infoalign_dgl.training.loop import PretrainResult, pretrain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from infoalign_dgl.context import ContextGraph

PRETRAINED = "pretrained on cell data"
UNTRAINED = "untrained encoder"
MORGAN = "Morgan fingerprints"
PERMUTED = "control: responses permuted"
FINGERPRINTS_ONLY = "control: fingerprint targets only"


@dataclass(frozen=True)
class DemoConfig:
    """What the tour does; the simulator's own parameters are its defaults and are not set here.

    Attributes
    ----------
    num_molecules : int
        Molecules to simulate.
    test_share : float
        Share of the molecules that no graph contains; the comparison is made on these.
    num_labels : int
        Labelled molecules per mechanism and split, half of them active.
    num_splits : int
        Random choices of the labelled molecules, the same ones for every method.
    pretraining : PretrainConfig
        The settings of every pretraining run of the tour: a smaller network than the paper's, to be quick.
    """

    num_molecules: int = 3000
    test_share: float = 0.3
    num_labels: int = 16
    num_splits: int = 10
    pretraining: PretrainConfig = field(
        default_factory=lambda: PretrainConfig(
            hidden=128, layers=3, dropout=0.1, batch_size=128, epochs=25, lr=3e-3, sampling="measured=0.9"
        )
    )


@dataclass(frozen=True)
class DemoResult:
    """What the tour found.

    Attributes
    ----------
    table : FewLabelTable
        The comparison.
    graph : ContextGraph
        The graph of the main run.
    runs : dict of str to Path
        Run folder by method.
    vectors : (n, D) float32 array
        The pretrained embedding of the n test molecules.
    labels : (n, K) bool array
        Which simulated mechanisms each test molecule has.
    mechanisms : list of str
        The K names.
    seconds : dict of str to float
        How long each part took.
    """

    table: FewLabelTable
    graph: ContextGraph
    runs: dict[str, Path]
    vectors: np.ndarray
    labels: np.ndarray
    mechanisms: list[str]
    pretraining: PretrainResult
    seconds: dict[str, float]


def run_demo(
    folder: Path, config: DemoConfig | None = None, *, say: Callable[[str], None] = lambda _: None
) -> DemoResult:
    """Run the tour in ``folder``: ``graph/`` and ``run/`` are the main ones, ``controls/`` holds the rest.

    Parameters
    ----------
    folder : Path
        Where everything is written; ``graph``, ``run`` and ``controls`` in it are replaced.
    config : DemoConfig, optional
        Settings; the defaults take a few minutes on two cores.
    say : callable
        Gets a line whenever a part begins.

    Returns
    -------
    DemoResult
        The comparison and everything it was made from.
    """
    config = config or DemoConfig()
    clock = _Clock(say)
    for name in ("graph", "run", "controls"):
        shutil.rmtree(folder / name, ignore_errors=True)

    clock.start(
        "simulate", f"Simulating {config.num_molecules:,} molecules and how cells respond to them ..."
    )
    simulation = simulate(config.num_molecules)
    test = held_out_molecules(simulation, config.test_share)
    seen = without_molecules(simulation, set(simulation.molecules["id"][test]))

    clock.start("graph", "Building the context graph ...")
    graph = build_from_rows(simulation_rows(seen))
    graph.save(folder / "graph")

    plans = _plans(folder, config.pretraining)
    results = {}
    console = Console(stderr=True)  # progress; standard output is for the result
    for name, (run, chosen) in plans.items():
        clock.start(name, f"Pretraining: {name} ...")
        results[name] = pretrain(graph, run, chosen, console=console)
        if results[name].interrupted is not None:
            raise RunError(f"stopped by {results[name].interrupted}: start the demo again to see its table")

    clock.start("compare", "Embedding molecules that no graph contained, and comparing ...")
    smiles = simulation.molecules["smiles"][test].tolist()
    methods = {name: np.asarray(load(plans[name][0]).embed(smiles)) for name in plans}
    bits = np.unpackbits(morgan_fingerprints(smiles, radius=2, num_bits=1024), axis=1)
    methods[MORGAN] = bits.astype(np.float32)
    table = compare_few_label(
        methods,
        simulation.labels[test],
        simulation.mechanisms,
        num_labels=config.num_labels,
        seeds=range(config.num_splits),
        reference=PRETRAINED,
    )
    clock.stop()
    return DemoResult(
        table=table,
        graph=graph,
        runs={name: run for name, (run, _) in plans.items()},
        vectors=methods[PRETRAINED],
        labels=simulation.labels[test],
        mechanisms=simulation.mechanisms,
        pretraining=results[PRETRAINED],
        seconds=clock.seconds,
    )


def held_out_molecules(simulation: Simulation, share: float) -> np.ndarray:
    """Choose molecules that no graph shall contain, the same ones at each call.

    Parameters
    ----------
    simulation : Simulation
        Of n molecules.
    share : float
        Share of them to choose.

    Returns
    -------
    np.ndarray
        Shape (n,), bool.
    """
    chosen = np.random.default_rng(0).permutation(len(simulation.molecules))[
        : int(share * len(simulation.molecules))
    ]
    mask = np.zeros(len(simulation.molecules), dtype=bool)
    mask[chosen] = True
    return mask


def without_molecules(simulation: Simulation, ids: set[str]) -> Simulation:
    """Leave molecules out of a simulation: their structures and everything that was measured of them.

    Parameters
    ----------
    simulation : Simulation
        Unchanged.
    ids : set of str
        Molecules to leave out; unknown ids do nothing.
    """
    stays = ~simulation.molecules["id"].isin(ids).to_numpy()

    def rest(table: pd.DataFrame) -> pd.DataFrame:
        return table[~table["id"].isin(ids)].reset_index(drop=True)

    return dataclasses.replace(
        simulation,
        molecules=rest(simulation.molecules),
        activity=simulation.activity[stays],
        labels=simulation.labels[stays],
        morphology={space: rest(table) for space, table in simulation.morphology.items()},
        expression=rest(simulation.expression),
        molecule_gene=rest(simulation.molecule_gene),
    )


def _plans(folder: Path, settings: PretrainConfig) -> dict[str, tuple[Path, PretrainConfig]]:
    """Run folder and settings of every pretraining run, by what the table calls it."""
    controls = folder / "controls"
    return {
        PRETRAINED: (folder / "run", settings),
        PERMUTED: (controls / "permuted", dataclasses.replace(settings, control="permuted")),
        FINGERPRINTS_ONLY: (controls / "fingerprints", dataclasses.replace(settings, control="fingerprints")),
        UNTRAINED: (controls / "untrained", dataclasses.replace(settings, max_steps=0)),
    }


class _Clock:
    """Says what begins and keeps how long it took."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._running: tuple[str, float] | None = None
        self.seconds: dict[str, float] = {}

    def start(self, name: str, line: str) -> None:
        self.stop()
        self._say(line)
        self._running = (name, time.monotonic())

    def stop(self) -> None:
        if self._running is not None:
            name, began = self._running
            self.seconds[name] = time.monotonic() - began
            self._running = None
