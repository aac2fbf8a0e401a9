"""Tables of morphology profiles, of molecules or of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.recognition.known import Recognized
from infoalign_dgl.context.recognition.profiles import molecule_profiles

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


def morphology(look: Look, known: Known) -> Recognized | None:
    """Recognize a table with features by pycytominer's convention, or else with blocks of numbers."""
    if not (look.conventional or look.blocks):
        return None
    features, columns, why = _features(look)
    if look.genes and known.molecule(look, besides=look.genes) is None:
        space, shared = known.space(look, "gene_morphology", set(columns))
        reason = f"'{look.genes[0]}' has Entrez ids, and no column names molecules"
        keys = {"gene": look.genes[0], "space": space, **features}
        return Recognized(look.file, "gene_morphology", keys, [why + shared, reason])
    space, shared = known.space(look, "morphology", set(columns))
    return molecule_profiles(look, known, "morphology", {"space": space, **features}, why + shared)


def _features(look: Look) -> tuple[dict[str, Any], list[str], str]:
    """Choose a table's features: the key ``features``, the columns, and why."""
    if look.conventional:
        columns = look.conventional
        prefixes = [*dict.fromkeys(name.split("_")[0] + "_*" for name in columns)]
        why = f"{len(columns):,} columns are features by pycytominer's convention ({', '.join(prefixes)})"
        # Patterns would take columns that describe images, which the build's own choice leaves out.
        described = any(name.startswith("Image_Metadata_") for name in columns)
        return {} if described else {"features": prefixes}, columns, why
    pattern, columns = next(iter(look.blocks.items()))
    why = f"{len(columns):,} columns of numbers match '{pattern}'"
    others = [f"'{name}' ({len(block):,})" for name, block in [*look.blocks.items()][1:]]
    why += f"; others that are not taken match {', '.join(others)}" if others else ""
    return {"features": [pattern]}, columns, why
