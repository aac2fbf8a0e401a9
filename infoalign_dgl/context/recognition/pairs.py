"""Tables of edges of one kind: pairs of genes, or of a molecule and a gene."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.context.recognition.known import Recognized
from infoalign_dgl.sources.files.base import parse_numbers

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look

_WEIGHT_NAME = re.compile(r"weight|score|confidence|probability|(^|[^a-z])z($|[^a-z])", re.IGNORECASE)


def pairs(look: Look, known: Known) -> Recognized | None:
    """Recognize two columns of genes, or one and a molecule."""
    weight = _weight(look)
    signed = weight is not None and min(_scores(look, weight), default=0.0) < 0
    regulates = signed or "direction" in look.plain
    genes = look.genes
    molecule = known.molecule(look, besides=genes) if genes else None
    if molecule is not None:
        kind = "regulates" if regulates else "binds"
        keys = {"kind": kind, **molecule[0], "gene": genes[0], **_weight_keys(look, weight)}
        reasons = [molecule[1], f"'{genes[0]}' has Entrez ids"]
        section = "molecule_gene"
    elif len(genes) >= 2:
        covaries = bool(re.search(r"covar|GcG", look.file, re.IGNORECASE))
        kind = "regulates" if regulates else "covaries" if covaries else "interacts"
        keys = {"kind": kind, "source": genes[0], "target": genes[1], **_weight_keys(look, weight)}
        reasons = [f"'{genes[0]}' and '{genes[1]}' have Entrez ids"]
        section = "gene_gene"
    else:
        return None
    if weight is not None:
        reasons.append(f"'{weight}' has a number in each row, and by its name these are weights or scores")
    reasons.append(_kind_reason(kind, signed=regulates))
    return Recognized(look.file, section, keys, reasons)


def _weight(look: Look) -> str | None:
    """Find a column of weights: numbers in every row, by its name."""
    for column in look.plain:
        whole = all(cell is not None for cell in look.cells[column])
        if whole and _WEIGHT_NAME.search(column) and len(_scores(look, column)) == len(look.cells[column]):
            return column
    return None


def _weight_keys(look: Look, weight: str | None) -> dict[str, str]:
    """Keys of a column of weights: a rule where they are not in [0, 1]."""
    if weight is None:
        return {}
    scores = _scores(look, weight)
    if min(scores) >= 0 and max(scores) <= 1:
        return {"weight": weight}
    return {"weight": weight, "weight_rule": "share-of-max"}


def _scores(look: Look, column: str) -> list[float]:
    values = parse_numbers([cell for cell in look.cells[column] if cell])
    found: list[float] = values[np.isfinite(values)].tolist()
    return found


def _kind_reason(kind: str, *, signed: bool) -> str:
    if signed:
        return f"kind: '{kind}', since there are signs or a direction"
    return f"kind: '{kind}' is a guess, since the table does not say"
