"""Runs made of weights that another program trained."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from infoalign_dgl.errors import RunError
from infoalign_dgl.models.published import from_published, read_state_dict
from infoalign_dgl.training.checkpoint import Progress, save_checkpoint
from infoalign_dgl.training.run_folder import RunConfig, write_config


@dataclass(frozen=True)
class ImportedRun:
    """What ``import_reference`` wrote.

    Attributes
    ----------
    run_folder : Path
    hidden, layers : int
        Size of the encoder.
    spaces : dict of str to int
        Feature space to columns.
    unused : int
        Tensors of the file that the published model makes and never reads.
    shortened : int
        Embedding rows that were longer than 1, as which the published model reads them.
    """

    run_folder: Path
    hidden: int
    layers: int
    spaces: dict[str, int]
    unused: int
    shortened: int


def import_reference(file: str | Path, run_folder: str | Path) -> ImportedRun:
    """Make a run of a state dict that the published implementation saved.

    The run has ``config.json`` (with the file's name and SHA-256 in place of the pretraining settings) and
    one checkpoint, ``step-0``, without an optimizer. It has no ``spaces.json`` and no ``molecules.txt``: a
    state dict does not say what its decoders' columns are called or scaled by, nor which molecules it has
    seen, so no evaluation can check that its molecules are new to it.

    Parameters
    ----------
    file : str or Path
        ``pretrain.pt``, or the same tensors as ``.safetensors``.
    run_folder : str or Path
        A new folder.

    Returns
    -------
    ImportedRun

    Raises
    ------
    InfoAlignError
        If the file is no published state dict, or the folder is not empty or cannot be written.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, its published code.
    """
    path, folder = Path(file), Path(run_folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"'{folder}' is not empty: choose another folder")
    published = from_published(read_state_dict(path), str(path))
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    config = published.model.config
    save_checkpoint(folder, published.model, None, Progress(), keep=1)
    # Last, so that a folder that this was interrupted in is no run.
    write_config(folder, RunConfig(config, None, {}, {"file": path.name, "sha256": digest}))
    return ImportedRun(
        folder, config.hidden, config.layers, dict(config.spaces), published.unused, published.shortened
    )
