"""Tables of morphology profiles, of molecules or of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.recognition.conditions import conditions
from infoalign_dgl.context.recognition.controls import propose_controls
from infoalign_dgl.context.recognition.known import Recognized, refer
from infoalign_dgl.context.recognition.profiles import molecule_profiles

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


def morphology(look: Look, known: Known) -> Recognized | None:
    """Recognize a table with features by pycytominer's convention, or else with blocks of numbers."""
    if not (look.conventional or look.blocks):
        return None
    features, columns, why = _features(look)
    of_genes = _genes(look, known)
    if of_genes is not None:
        space, shared = known.space(look, "gene_morphology", set(columns))
        keys = {**of_genes[0], "space": space, **features}
        column = of_genes[0].get("gene") or of_genes[0]["id"]
        labels = look.labels()
        proposed, controls = propose_controls(look, column, labels, normalized=True)
        if proposed and "plate" in labels:
            proposed = {"plate": labels["plate"], **proposed}
        reasons = [why + shared, of_genes[1], *controls, *conditions(look, column)]
        return Recognized(look.file, "gene_morphology", keys, reasons, proposed=proposed)
    space, shared = known.space(look, "morphology", set(columns))
    return molecule_profiles(look, known, "morphology", {"space": space, **features}, why + shared)


def _genes(look: Look, known: Known) -> tuple[dict[str, str], str] | None:
    """Find the keys that name a row's gene, and why, unless the table is about molecules."""
    if look.structure:
        return None
    # Plates of guides have some wells with compounds, which are controls: most ids decide.
    found = refer(look, [*known.molecules, *known.reagents], besides=look.genes)
    if found is not None:
        return (found.keys, found.why) if found.to.entry.section == "perturbations" else None
    if look.genes:
        return {"gene": look.genes[0]}, f"'{look.genes[0]}' has Entrez ids, and no column names molecules"
    return None


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
