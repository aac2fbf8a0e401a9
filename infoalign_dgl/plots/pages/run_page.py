"""A run as one page: what it is, how it was trained, its latent, and how it was evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from infoalign_dgl.errors import RunError
from infoalign_dgl.plots._metrics import read_metrics
from infoalign_dgl.plots.pages._run_facts import describe
from infoalign_dgl.plots.pages._run_latent import describe_latent
from infoalign_dgl.plots.pages._run_results import read_results
from infoalign_dgl.plots.pages._run_training import describe_training
from infoalign_dgl.plots.pages.shell import write_page
from infoalign_dgl.training.run_folder import read_config

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_run_page(
    run: str | Path,
    path: str | Path,
    *,
    molecules: str | Path | None = None,
    label: str | None = None,
    results: Sequence[str | Path] = (),
    seed: int = 0,
) -> None:
    """Write a page about a run: one HTML file that needs nothing beside it.

    Parameters
    ----------
    run : path
        A run folder; one that is still being trained may be read.
    path : path
        The HTML file to write; one that is there is replaced.
    molecules : path, optional
        A table with SMILES, whose molecules are drawn on the map of the latent. By default they are up to
        2,000 of the run's graph, where that is still in its folder; else the page says why it has no map.
    label : str, optional
        The column of ``molecules`` that the map is coloured by.
    results : sequence of path
        Folders that ``evaluate`` and ``retrieve`` wrote for this run.
    seed : int
        Of the draw of molecules, where there are too many for a map.

    Raises
    ------
    InfoAlignError
        If the run, the table or a results folder cannot be read, results are of another run, or the page
        cannot be written.
    """
    folder, target = Path(run), Path(path)
    if label is not None and molecules is None:
        raise RunError(f"'label' is a column of 'molecules': pass the table that has the column '{label}'")
    config, lines = read_config(folder), read_metrics(folder)
    found = [read_results(folder, Path(one)) for one in results]
    write_page(
        target,
        "run.html",
        name=folder.resolve().name,
        facts=describe(folder, config, lines),
        training=describe_training(folder, config, lines),
        imported=config.imported is not None,
        latent=describe_latent(folder, config, None if molecules is None else Path(molecules), label, seed),
        results=found,
    )
