"""What profiles of every kind have: their molecules, and where they were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.recognition.conditions import conditions
from infoalign_dgl.context.recognition.controls import propose_controls
from infoalign_dgl.context.recognition.known import Recognized

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


def molecule_profiles(look: Look, known: Known, section: str, keys: dict[str, Any], why: str) -> Recognized:
    """Make a section of profiles of molecules, commented out if the table does not say which ones."""
    molecule = known.molecule(look, besides=look.genes)
    if molecule is None:
        lacks = "no column has structures, or ids of a table of molecules that was given: name one"
        nearest = known.nearest(look, besides=look.genes)
        lacks += f" ({nearest})" if nearest else ""
        return Recognized(look.file, section, {"smiles": "COLUMN", **keys}, [why, lacks], off=True)
    labels = look.labels()
    column = next(iter(molecule[0].values()))
    proposed, controls = propose_controls(look, column, labels, normalized=section == "morphology")
    reasons = [why, molecule[1], *controls, *conditions(look, column)]
    if labels:
        named = ", ".join(f"'{column}' ({label})" for label, column in labels.items())
        reasons.append(f"where a row was measured, by name or by what the cells look like: {named}")
    return Recognized(look.file, section, {**molecule[0], **keys, **labels}, reasons, proposed=proposed)
