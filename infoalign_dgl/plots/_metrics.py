"""What a run's ``metrics.jsonl`` says, also while the run is still writing it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

METRICS = "metrics.jsonl"
LOSS, TARGETS, VALIDATION = "loss/", "targets/", "validation/"


def read_metrics(run: str | Path) -> list[dict[str, Any]]:
    """Read the lines of a run's ``metrics.jsonl``, one a step.

    Parameters
    ----------
    run : path
        A run folder.

    Returns
    -------
    list of dict
        In the order of the file; a line that was not written to its end is left out. Empty where there is no
        such file, as in runs whose weights were imported.
    """
    path = Path(run) / METRICS
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:  # the last line of a run that was killed, or is being written
            continue
    return found


def spaces_of(lines: list[dict[str, Any]]) -> list[str]:
    """Name the feature spaces that the lines have losses of, in the run's order."""
    return [key.removeprefix(LOSS) for key in lines[0] if key.startswith(LOSS)] if lines else []


def validated(lines: list[dict[str, Any]]) -> list[tuple[int, dict[str, dict[str, float]]]]:
    """Collect the validations on molecules held out.

    Returns
    -------
    list of (int, dict)
        The step, and by feature space what :class:`~infoalign_dgl.training.holdout.SpaceValidation` holds:
        ``loss``, ``mean_loss``, ``difference`` and ``targets``.
    """
    found = []
    for line in lines:
        spaces: dict[str, dict[str, float]] = {}
        for key, value in line.items():
            if key.startswith(VALIDATION):
                space, _, name = key.removeprefix(VALIDATION).rpartition("/")
                spaces.setdefault(space, {})[name] = value
        if spaces:
            found.append((line["step"], spaces))
    return found


def parts_of(lines: list[dict[str, Any]]) -> list[int]:
    """Find the steps at which another process went on with the run.

    The largest memory of a process never falls, so that a line with less of it than the line before is of
    another process. One that came to need more before its first line is missed.

    Returns
    -------
    list of int
        The first step of each part, the run's first step included; empty where there are no lines.
    """
    starts = [lines[0]["step"]] if lines else []
    for before, line in pairwise(lines):
        if line["peak_memory_bytes"] < before["peak_memory_bytes"]:
            starts.append(line["step"])
    return starts
