"""``explain``: a run and a molecule in, what shaped its targets and what is predicted of it out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.context.permuted import permute_responses
from infoalign_dgl.errors import EvaluationError, RunError
from infoalign_dgl.evaluation._pairs import read_spaces
from infoalign_dgl.explanation.molecule import find_molecule
from infoalign_dgl.explanation.notes import notes_on, said_of_sigma
from infoalign_dgl.explanation.predictions import decode, predict_space, read_validation
from infoalign_dgl.explanation.results import Explanation, SpacePrediction, Subject
from infoalign_dgl.explanation.similar import similar_molecules
from infoalign_dgl.explanation.walked import AlphaMass, alpha_mass
from infoalign_dgl.molecules import standardized_graphs
from infoalign_dgl.representation import load
from infoalign_dgl.training.features import packed_molecules
from infoalign_dgl.training.holdout import Holdout, choose_holdout
from infoalign_dgl.training.run_folder import read_config
from infoalign_dgl.training.run_graph import graph_folder_of, load_graph_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.run_folder import RunConfig


def explain(
    run: str | Path,
    molecule: str,
    *,
    graph: str | Path | None = None,
    walks: int = 1000,
    draws: int = 30,
    seed: int = 0,
    top: int = 20,
    step: int | None = None,
    device: str = "auto",
    tell: Callable[[str], None] = lambda _sentence: None,
) -> Explanation:
    """Say what shaped a molecule's targets, and what a run's decoders predict of it.

    Parameters
    ----------
    run : str or Path
        A run folder of pretrain.
    molecule : str
        SMILES, InChI, an InChIKey, a key of the graph, or an id of its tables.
    graph : str or Path, optional
        Where the run's graph is now; by default where it was. If it is not there any more, structures are
        predicted all the same, and a note says what is left out; one that is named has to be there.
    walks : int
        From a molecule of the graph, at least 2.
    draws : int
        Of the latent, for the predictions' sigma, at least 2.
    seed : int
        Of these draws. The walks have the run's own.
    top : int
        Nodes, and features in each direction, to name.
    step, device
        As for :func:`infoalign_dgl.load`.
    tell : callable
        Gets a sentence before what takes long.

    Returns
    -------
    Explanation

    Raises
    ------
    InfoAlignError
        If the molecule is not found and cannot be read, or the run or its graph cannot be.
    """
    if walks < 2 or draws < 2 or top < 1:
        raise EvaluationError(
            f"'walks' and 'draws' must be at least 2 and 'top' at least 1, not {walks}, {draws} and {top}"
        )
    folder = Path(run)
    config = read_config(folder)
    spaces = read_spaces(folder)
    representation = load(folder, step=step, device=device)
    loaded, notes = _graph_of(folder, None if graph is None else Path(graph))
    holdout = Holdout(np.zeros(0, np.int64), np.zeros(0, bool))
    if loaded is not None and config.pretrain is not None:
        holdout = _holdout(loaded, config.pretrain, tell)
    subject = find_molecule(loaded, molecule, holdout.molecules, tautomer=config.tautomer)
    packed, reasons = standardized_graphs([subject.smiles], tautomer=config.tautomer)
    if reasons[0] is not None:
        raise RunError(
            f"'{molecule}' cannot be encoded, since its structure {reasons[0]}: give another molecule"
        )
    mu, sigma = representation.latents(packed, np.array([0]))
    validations = read_validation(folder, int(representation.checkpoint.name.removeprefix("step-")))
    predictions = [
        predict_space(
            space,
            decode(representation.model, space, mu, sigma, draws=draws, seed=seed),
            loaded,
            subject.node,
            holdout.excluded,
            validations.get(name),
            top=top,
        )
        for name, space in spaces.items()
    ]
    predictions.sort(key=_validated)
    shaped, similar = None, []
    if loaded is not None and subject.node is not None and config.pretrain is not None:
        shaped = _shaped(loaded, subject, config, config.pretrain, holdout, walks=walks, top=top)
    elif loaded is not None:
        similar = similar_molecules(loaded, subject.smiles, tell=tell)
    notes += notes_on(config, subject, shaped, predictions)
    beta = None if config.pretrain is None else config.pretrain.beta
    notes.append(said_of_sigma(sigma, beta, predictions))
    return Explanation(
        run=str(run),
        checkpoint=representation.checkpoint.name,
        graph=None if loaded is None else str(loaded.folder),
        subject=subject,
        alpha_mass=shaped,
        predictions=predictions,
        draws=draws,
        latent_sigma=float(sigma.mean()),
        similar=similar,
        notes=notes,
    )


def _validated(found: SpacePrediction) -> float:
    """Order spaces by their decoders' validation; those without are last."""
    return np.inf if found.validation is None else found.validation.difference


def _graph_of(run: Path, given: Path | None) -> tuple[ContextGraph | None, list[str]]:
    """Load the run's graph; where it is not in its old place, say what cannot be said without it."""
    was = graph_folder_of(run)
    if given is None and (was is None or not was.is_dir()):
        where = (
            "does not say where its graph is" if was is None else f"was pretrained on '{was}', which is gone"
        )
        return None, [
            f"The run {where}: there are no walks, no measured profiles, no column means, no gene symbols "
            "and no similar molecules here. Name the graph with --graph to have them."
        ]
    return load_graph_of(run, given), []


def _holdout(graph: ContextGraph, settings: PretrainConfig, tell: Callable[[str], None]) -> Holdout:
    """Choose the molecules held out as pretraining did."""
    if not settings.holdout:
        return Holdout(np.zeros(0, np.int64), np.zeros(graph.total_nodes, bool))
    cached = graph.folder is not None and any((graph.folder / "cache").glob("molecules-*.npz"))
    if not cached and graph.num_nodes["molecule"] > 10_000:
        tell("featurizing the graph's molecules, to know which were held out; they are kept for next time")
    packed = packed_molecules(graph)
    return choose_holdout(graph, settings.holdout, np.diff(packed.atom_offsets) > 0)


def _shaped(
    graph: ContextGraph,
    subject: Subject,
    config: RunConfig,
    settings: PretrainConfig,
    holdout: Holdout,
    *,
    walks: int,
    top: int,
) -> AlphaMass:
    """Walk as training did; from a molecule held out as validation does, on the whole graph."""
    assert subject.node is not None
    if settings.control == "permuted":
        graph = permute_responses(graph, seed=settings.seed)
    out = np.flatnonzero(holdout.excluded) if subject.status == "training" else None
    return alpha_mass(
        graph,
        graph.walk_index(exclude_nodes=out),
        subject.node,
        length=settings.walk_length,
        transition=settings.transition,
        seed=settings.seed,
        walks=walks,
        spaces=[name for name in config.model.spaces if name in graph.spaces],
        top=top,
    )
