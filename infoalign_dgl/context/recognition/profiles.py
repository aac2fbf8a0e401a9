"""What profiles of every kind have: their molecules, and where they were measured."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.recognition.known import Recognized
from infoalign_dgl.context.recognition.spec_text import toml_value

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look

_MIN_CONTROLS = 50  # rows that a control has at least
_MIN_CONTROL_SHARE = 0.02  # of all rows
_TIMES_THE_NEXT = 3  # as many as any other molecule


def molecule_profiles(look: Look, known: Known, section: str, keys: dict[str, Any], why: str) -> Recognized:
    """Make a section of profiles of molecules, commented out if the table does not say which ones."""
    molecule = known.molecule(look, besides=look.genes)
    if molecule is None:
        lacks = "no column has structures, or ids of a table of molecules that was given: name one"
        nearest = known.nearest(look, besides=look.genes)
        lacks += f" ({nearest})" if nearest else ""
        return Recognized(look.file, section, {"smiles": "COLUMN", **keys}, [why, lacks], off=True)
    labels = look.labels()
    reasons = [
        why,
        molecule[1],
        *_likely_control(look, next(iter(molecule[0].values())), morphology=section == "morphology"),
    ]
    if labels:
        named = ", ".join(f"'{column}' ({label})" for label, column in labels.items())
        reasons.append(f"where a row was measured, by name or by what the cells look like: {named}")
    return Recognized(look.file, section, {**molecule[0], **keys, **labels}, reasons)


def _likely_control(look: Look, column: str, *, morphology: bool) -> list[str]:
    """Say which molecule has so many rows that it may be a control, such as DMSO."""
    counts = Counter(cell for cell in look.cells[column] if cell)
    if len(counts) < 2:
        return []
    (name, most), (_, next_most) = counts.most_common(2)
    rows = len(look.cells[column])
    if most < max(_MIN_CONTROLS, _MIN_CONTROL_SHARE * rows, _TIMES_THE_NEXT * next_most):
        return []
    chosen = toml_value({column: [name]})
    says = (
        f"'{name}' has {most:,} of the {rows:,} rows: if it is a control, where_not = {chosen} leaves it out"
    )
    if morphology:
        says += f', and controls = {chosen} with normalize = "robust-mad" measures the others against it'
    return [says]
