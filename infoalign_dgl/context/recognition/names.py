"""Names for tables and feature spaces, from those of files and folders."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.recognition.look import Look

_SAYS_NOTHING = {"data", "dataset", "feature", "features", "file", "matrix", "out", "output", "profile"}
_SAYS_NOTHING |= {"profiles", "result", "results", "table", "values", "wells", "x"}


def base_names(looks: Sequence[Look]) -> dict[str, str]:
    """Name each file: by what stands before its endings, and by a folder too where that tells too little.

    Parameters
    ----------
    looks : sequence of Look

    Returns
    -------
    dict of str to str
        A name of letters, digits, ``_`` and ``-`` by file; files of one kind in one folder may share one.
    """
    alike: dict[tuple[str, bool], list[Look]] = {}
    for look in looks:
        alike.setdefault((_stem(look).lower(), look.has_features), []).append(look)
    names = {}
    for (stem, _), group in alike.items():
        folders = _folders(group, says_nothing=stem in _SAYS_NOTHING)
        for look, folder in zip(group, folders, strict=True):
            name = re.sub(r"[^A-Za-z0-9_-]+", "_", f"{folder}_{_stem(look)}").strip("_-")
            names[look.file] = name or "table"
    return names


def _stem(look: Look) -> str:
    return look.path.name.split(".")[0]


def _folders(looks: Sequence[Look], *, says_nothing: bool) -> list[str]:
    """Give each file the nearest of its folders that tells it from the others; none where none is needed."""
    above = [[*reversed(look.path.absolute().parent.parts[1:])] for look in looks]
    for level in zip(*above, strict=False):
        if len(set(level)) > 1:
            return list(level)
    if len(looks) == 1 and says_nothing:
        return [next((folder for folder in above[0] if folder.lower() not in _SAYS_NOTHING), "")]
    return [""] * len(looks)
