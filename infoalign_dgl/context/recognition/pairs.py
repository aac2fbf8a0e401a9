"""Tables of edges of one kind: pairs of genes, or of a molecule and a gene."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.context.recognition.known import Recognized
from infoalign_dgl.context.sections.networks import GENE_METAEDGES, MOLECULE_METAEDGES
from infoalign_dgl.sources.files.base import parse_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look

_WEIGHT_NAME = re.compile(r"weight|score|confidence|probability|(^|[^a-z])z($|[^a-z])", re.IGNORECASE)


def pairs(look: Look, known: Known) -> Recognized | None:
    """Recognize two columns of genes, or one and a molecule."""
    weight = _weight(look)
    signed = weight is not None and min(_scores(look, weight), default=0.0) < 0
    directed = signed or "direction" in look.plain
    genes = look.genes
    molecule = known.molecule(look, besides=genes) if genes else None
    if molecule is not None:
        section, where = "molecule_gene", {**molecule[0], "gene": genes[0]}
        kind, why_kind = _kind(look, ("binds", "regulates"), MOLECULE_METAEDGES, directed=directed)
        reasons = [molecule[1], f"'{genes[0]}' has Entrez ids"]
    elif len(genes) >= 2:
        section, where = "gene_gene", {"source": genes[0], "target": genes[1]}
        kinds = ("interacts", "covaries", "regulates")
        kind, why_kind = _kind(look, kinds, GENE_METAEDGES, directed=directed)
        reasons = [f"'{genes[0]}' and '{genes[1]}' have Entrez ids"]
    else:
        return None
    if weight is not None:
        reasons.append(f"'{weight}' has a number in each row, and by its name these are weights or scores")
    keys = {"kind": kind, **where, **_weight_keys(look, weight)}
    return Recognized(look.file, section, keys, [*reasons, why_kind])


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


def _kind(
    look: Look, kinds: Sequence[str], metaedges: Mapping[Any, str], *, directed: bool
) -> tuple[str, str]:
    """Choose the kind of edges, and say why: by signs, by the file's name, or else the first one."""
    if directed:
        return "regulates", "kind: 'regulates', since there are signs or a direction"
    words = re.findall(r"[A-Za-z>]+", look.path.name)
    code = next((code for code in metaedges if code in words), None)
    if code is not None:
        return metaedges[code], f"kind: '{metaedges[code]}', since the file's name has Hetionet's '{code}'"
    named = next((kind for kind in kinds if kind[:5] in look.path.name.lower()), None)
    if named is not None:
        return named, f"kind: '{named}', by the file's name"
    others = " or ".join(f"'{kind}'" for kind in kinds[1:])
    return kinds[0], f"kind: '{kinds[0]}' is a guess, since the table does not say; it may be {others}"
