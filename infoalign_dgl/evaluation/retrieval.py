"""Matching by a run: which of many profiles is a molecule's own, which of many molecules made a profile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation._pairs import (
    Molecules,
    Reading,
    Unseen,
    choose_space,
    named_by_ids,
    open_source,
    read_candidates,
    read_queries,
    read_spaces,
    take,
)
from infoalign_dgl.evaluation.matching import FORWARD, SCORES, Direction, match
from infoalign_dgl.training.run_folder import read_molecules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infoalign_dgl.representation import Representation

    Progress = Callable[[str, int, int], None]

FIGURES, PER_QUERY = "figures.json", "per_query.csv"
_DECODED = 4096  # molecules at a time


@dataclass(frozen=True)
class Retrieval:
    """What ``retrieve`` found.

    Attributes
    ----------
    run, checkpoint, space : str
        What decoded the molecules, and into which space.
    include_seen : bool
        Whether molecules seen in pretraining stayed.
    counts : dict of str to dict of str to int
        For ``queries`` and ``candidates``: rows that were read, left out by reason, and ranked.
    molecules, profiles : Molecules
        The M molecules and P profiles that were ranked; a profile's key is that of its molecule.
    directions : dict of str to Direction
        ``molecule_to_profile`` and ``profile_to_molecule``.
    """

    run: str
    checkpoint: str
    space: str
    include_seen: bool
    counts: dict[str, dict[str, int]]
    molecules: Molecules
    profiles: Molecules
    directions: dict[str, Direction]

    def to_json(self) -> dict[str, Any]:
        """Return settings, counts and figures as JSON can hold them."""
        return {
            "run": self.run,
            "checkpoint": self.checkpoint,
            "space": self.space,
            "include_seen": self.include_seen,
            "counts": self.counts,
            "directions": {
                name: {
                    "queries": len(found.queries),
                    "candidates": found.candidates,
                    "scores": {
                        score: {measure: vars(figure) for measure, figure in figures.items()}
                        for score, figures in found.figures.items()
                    },
                }
                for name, found in self.directions.items()
            },
        }

    def per_query(self) -> pd.DataFrame:
        """Return a row per query: what it is, its right answers, and the rank of the first by score."""
        parts = []
        for name, found in self.directions.items():
            of = take(self.molecules if name == FORWARD else self.profiles, found.queries)
            columns = {
                "direction": name,
                "query": of.names,
                "inchikey_block": of.keys,
                "smiles": of.smiles,
                "right_answers": found.right,
                "candidates": found.candidates,
            }
            ranks = {f"rank_{score}": ranked.first() for score, ranked in found.ranks.items()}
            parts.append(pd.DataFrame({**columns, **ranks}))
        return pd.concat(parts, ignore_index=True)

    def write(self, folder: Path) -> None:
        """Write ``figures.json`` and ``per_query.csv`` into a folder."""
        (folder / FIGURES).write_text(json.dumps(self.to_json(), indent=1) + "\n")
        self.per_query().to_csv(folder / PER_QUERY, index=False)


def retrieve(
    run: str | Path,
    queries: str | Path,
    candidates: str | Path,
    *,
    space: str | None = None,
    exclude: str | Path | None = None,
    include_seen: bool = False,
    ks: Sequence[int] = (1, 10),
    scores: Sequence[str] = SCORES,
    smiles_column: str | None = None,
    id_column: str | None = None,
    step: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Retrieval:
    """Match molecules with profiles by what a run's decoder predicts of them.

    Parameters
    ----------
    run : str or Path
        A run folder of pretrain.
    queries : str or Path
        A table with SMILES; or a context graph's folder, for its molecules with a profile in the space.
    candidates : str or Path
        A table of raw profiles with the space's columns, or a context graph's folder; may be the same.
    space : str, optional
        One of the run's; by default the only one that the candidates are in.
    exclude : str or Path, optional
        A table (or task set) whose molecules are left out, by first InChIKey block.
    include_seen : bool
        Keep molecules that were seen in pretraining.
    ks, scores
        As for ``infoalign_dgl.evaluation.matching.match``.
    smiles_column : str, optional
        The tables' column of structures; by default found by its name.
    id_column : str, optional
        The column by which profiles name their molecules, in both tables; by default profiles have SMILES.
    step, device
        As for :func:`infoalign_dgl.load`.
    progress : callable, optional
        Called with (stage, done, all).

    Returns
    -------
    Retrieval

    Raises
    ------
    InfoAlignError
        If something cannot be read, or nothing is left to match.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, zero-shot matching of molecules and
    morphology.
    """
    from infoalign_dgl.context.exclusion import read_excluded
    from infoalign_dgl.representation import load

    representation = load(run, step=step, device=device)
    how = Reading(smiles_column, id_column, representation.tautomer)
    excluded = (
        read_excluded([exclude], tautomer=representation.tautomer).keys
        if exclude is not None
        else frozenset()
    )
    unseen = Unseen(excluded, *read_molecules(Path(run)), include_seen)
    spaces = read_spaces(Path(run))
    paths = [str(queries), str(candidates)]
    opened = {path: open_source(path) for path in dict.fromkeys(paths)}
    of, among = (opened[path] for path in paths)
    chosen = choose_space(spaces, among, space)
    asked = read_queries(of, chosen, how)
    offered = read_candidates(among, chosen, how)
    whose = offered.of if id_column is None else named_by_ids(offered.of, asked, paths[0])
    rows, logits = _decode(representation, chosen.name, asked, unseen, progress)
    molecules = take(asked, rows)
    kept = np.flatnonzero([unseen.keeps(key) for key in whose.keys])
    profiles = take(whose, kept)
    counts = {
        "queries": {**unseen.count(asked), "repeated": _repeats(asked, unseen), "ranked": len(rows)},
        "candidates": {**unseen.count(whose), **offered.counts, "ranked": len(kept)},
    }
    number = {key: place for place, key in enumerate(molecules.keys)}
    owner = np.array([number.get(key, -1) for key in profiles.keys], np.int64)
    if min(len(rows), len(kept)) < 2 or not (owner >= 0).any():
        raise EvaluationError(_too_few(paths, counts, int((owner >= 0).sum())))
    directions = match(logits, offered.values[kept], owner, ks=ks, scores=scores)
    step_name = representation.checkpoint.name
    return Retrieval(str(run), step_name, chosen.name, include_seen, counts, molecules, profiles, directions)


def _decode(
    representation: Representation, space: str, asked: Molecules, unseen: Unseen, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray]:
    """Decode each molecule that stays once: the rows of those that can be encoded, and (M, d) logits."""
    import torch

    first: dict[str, int] = {}
    for row, key in enumerate(asked.keys):
        if key is not None and unseen.keeps(key):
            first.setdefault(key, row)
    rows = np.array(list(first.values()), np.int64)
    mu = representation.embed(
        [asked.smiles[row] for row in rows],
        progress=None
        if progress is None
        else lambda done, total: progress("encoding molecules", done, total),
    )
    readable = ~np.isnan(mu).any(axis=1)
    model, found = representation.model, torch.from_numpy(np.asarray(mu[readable]))
    device = next(model.parameters()).device
    logits = np.empty((len(found), model.config.spaces[space]), np.float32)
    with torch.inference_mode():
        for start in range(0, len(found), _DECODED):
            part = slice(start, start + _DECODED)
            logits[part] = model.decode(space, found[part].to(device)).cpu().numpy()
    return rows[readable], logits


def _repeats(asked: Molecules, unseen: Unseen) -> int:
    """Count rows of molecules that stay and had a row before."""
    kept = [key for key in asked.keys if unseen.keeps(key)]
    return len(kept) - len(set(kept))


def _too_few(paths: list[str], counts: dict[str, dict[str, int]], pairs: int) -> str:
    said = [
        f"{of['ranked']:,} of {of['read']:,} {what} of '{path}' are left ({of['seen']:,} were seen in "
        f"pretraining, {of['excluded']:,} are excluded)"
        for path, what, of in zip(paths, ("molecules", "profiles"), counts.values(), strict=True)
    ]
    return (
        f"{' and '.join(said)}, {pairs:,} profiles of them with their molecule, too few to match: give "
        "others, keep those seen with --include-seen, or pretrain with more held out (--holdout)"
    )
