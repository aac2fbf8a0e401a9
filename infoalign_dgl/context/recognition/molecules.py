"""Tables of structures and their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.context.recognition.known import Ids, Recognized

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


def add_molecules(look: Look, known: Known) -> bool:
    """Take a table of structures and their ids, which has no features; say whether it is one."""
    if not look.structure or look.has_features:
        return False
    key, column, why = look.structure
    candidates = [name for name in look.plain if name not in (column, "problem") and look.unique(name)]
    if look.genes and not (candidates or look.unique(column)):
        return False
    name = known.table_name(look)
    entry = Recognized(look.file, "molecules", {"name": name, key: column}, [why])
    if look.label_blocks:
        labels = ", ".join(look.label_blocks)
        entry.reasons.append(f"columns of zeros and ones alone ({labels}) are labels of a task, not features")
    inchikeys = look.inchikeys()
    keyed = sorted(candidates, key=lambda name: (name in inchikeys, "id" not in name.lower()))
    known.molecules += [Ids(name, candidate, look.ids(candidate), entry) for candidate in keyed]
    known.found.append(entry)
    return True


def finish(known: Known) -> None:
    """Give tables of molecules that no other refers to their likeliest ids; say what the others may be."""
    entries = [one for one in known.found if one.section == "molecules"]
    if len(entries) > 1:
        entries[0].reasons.append("of a molecule in several tables, the structure in the first one is kept")
    for entry in entries:
        if "id" in entry.keys and len(entries) > 1:
            entry.reasons.append(
                "written as [[crosswalks]], it would bring only those molecules whose ids other tables have"
            )
    for ids in known.molecules:
        if "id" not in ids.entry.keys:
            ids.entry.keys["id"] = ids.column
            ids.entry.reasons.append(f"'{ids.column}' has an id of its own for each row")
