"""The folder of a run: its configuration, and what makes it usable without the graph it was trained on."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl import __version__
from infoalign_dgl._folders import replace_text
from infoalign_dgl.errors import RunError
from infoalign_dgl.extensions import how_to_register
from infoalign_dgl.models.config import ModelConfig, is_known_encoder
from infoalign_dgl.training.config import PretrainConfig

if TYPE_CHECKING:
    from pathlib import Path

    from infoalign_dgl.context import ContextGraph

FORMAT_VERSION = 1
CONFIG = "config.json"
SPACES = "spaces.json"
MOLECULES = "molecules.txt"
HELD_OUT = "held_out.txt"
_VERSIONED = ("dgl", "dgllife", "numpy", "rdkit", "torch")
_BLOCK = 14  # characters of an InChIKey's first block


@dataclass(frozen=True)
class RunConfig:
    """What ``config.json`` says.

    Attributes
    ----------
    model : ModelConfig
    pretrain : PretrainConfig or None
        None for weights that were imported: nothing says how they were trained.
    graph : dict
        Where the graph was and the hash of its checksums (missing where it was never saved), counts, the hash
        of its structures, and its settings ``tautomer`` and ``identity``; runs of before these were kept lack
        them. Empty for weights that were imported.
    imported : dict or None
        Name and SHA-256 of the file that weights were imported from.
    processes : int
        How many trained together, the last time.
    """

    model: ModelConfig
    pretrain: PretrainConfig | None
    graph: dict[str, Any]
    imported: dict[str, str] | None = None
    processes: int = 1

    @property
    def tautomer(self) -> bool:
        """Whether the run has learnt from canonical tautomers, to which molecules have to be brought."""
        return bool(self.graph.get("tautomer", False))


def start_run(folder: Path, config: RunConfig, graph: ContextGraph, held_out: np.ndarray) -> None:
    """Write what stands in a run folder from the start.

    ``config.json``; ``spaces.json`` with every feature space's column names and scaler; ``molecules.txt``
    with the first InChIKey blocks of all molecules of the graph, sorted, against which evaluation checks for
    leakage; ``held_out.txt`` with those of them that no molecule of training has.

    Parameters
    ----------
    folder : Path
    config : RunConfig
    graph : ContextGraph
    held_out : np.ndarray
        (H,) int64 node ids of the molecules held out.

    Raises
    ------
    InfoAlignError
        If the folder cannot be written.
    """
    spaces = {name: space.describe() for name, space in graph.spaces.items() if name in config.model.spaces}
    blocks = graph.nodes["molecule"]["inchikey"].astype("string").str[:_BLOCK]
    held = np.zeros(len(blocks), bool)
    held[held_out] = True
    keys = set(blocks.dropna())
    # A stereoisomer held out says nothing of one that was trained on: they have one block.
    unseen = set(blocks[held].dropna()) - set(blocks[~held].dropna())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"could not write the run folder '{folder}': {error.strerror or error}; choose a folder that "
            "can be written"
        ) from error
    replace_text(folder / SPACES, json.dumps(spaces))
    replace_text(folder / MOLECULES, "".join(f"{key}\n" for key in sorted(keys)))
    replace_text(folder / HELD_OUT, "".join(f"{key}\n" for key in sorted(unseen)))
    write_config(folder, config)  # last: a folder that has it is a run


def is_unstarted(folder: Path) -> bool:
    """Tell whether a folder holds nothing, or only what a run that was killed while starting left there."""
    written = (SPACES, MOLECULES, HELD_OUT)
    names = {*written, *(f".{name}.partial" for name in (*written, CONFIG))}
    return not folder.exists() or (folder.is_dir() and {path.name for path in folder.iterdir()} <= names)


def read_molecules(folder: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Read which molecules the graph of a run has.

    Parameters
    ----------
    folder : Path
        The run folder.

    Returns
    -------
    seen, held_out : frozenset of str
        First InChIKey blocks of those that training may have seen, and of those it was kept from. A run of
        before these were kept counts all as seen.

    Raises
    ------
    RunError
        If the run does not say which molecules it has seen.
    """
    try:
        molecules = frozenset((folder / MOLECULES).read_text().split())
    except OSError as error:
        raise RunError(
            f"'{folder}' has no {MOLECULES}, so that nobody can say which molecules it has seen: choose a "
            "run that pretrain wrote"
        ) from error
    path = folder / HELD_OUT
    held_out = frozenset(path.read_text().split()) if path.is_file() else frozenset()
    return molecules - held_out, held_out


def write_config(folder: Path, config: RunConfig) -> None:
    """Write ``config.json``.

    Raises
    ------
    InfoAlignError
        If it cannot be written.
    """
    versions = {name: importlib.metadata.version(name) for name in _VERSIONED}
    stored = {
        "format_version": FORMAT_VERSION,
        "model": config.model.to_json(),
        "pretrain": None if config.pretrain is None else config.pretrain.to_json(),
        "graph": config.graph,
        "imported": config.imported,
        "processes": config.processes,
        "versions": {"infoalign-dgl": __version__, **versions},
    }
    replace_text(folder / CONFIG, json.dumps(stored, indent=2) + "\n")


def read_config(folder: Path) -> RunConfig:
    """Read a run's ``config.json``.

    Raises
    ------
    RunError
        If the folder is no run, or of a format version that this program does not know; or if its encoder
        is one that somebody registered and nobody did here.
    """
    path = folder / CONFIG
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise RunError(
            f"'{folder}' has no {CONFIG} and is no run: pass the folder that pretrain wrote"
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(
            f"'{path}' cannot be read ({error}): restore it from a copy, or pretrain again"
        ) from error
    if not isinstance(stored, dict) or stored.get("format_version") != FORMAT_VERSION:
        found = stored.get("format_version") if isinstance(stored, dict) else stored
        raise RunError(
            f"'{path}' has format version {found!r} and this program reads version {FORMAT_VERSION}: use the "
            f"program version that wrote it, or pretrain again"
        )
    settings, encoder = stored["pretrain"], stored["model"].get("encoder", ModelConfig.encoder)
    if not is_known_encoder(encoder):
        raise RunError(
            f"'{folder}' was trained with the encoder '{encoder}', which does not come with the package and "
            f"is not registered here: {how_to_register('register_encoder')}"
        )
    return RunConfig(
        ModelConfig.from_json(stored["model"]),
        None if settings is None else PretrainConfig.from_json(settings),
        stored["graph"],
        stored.get("imported"),
        stored.get("processes", 1),
    )
