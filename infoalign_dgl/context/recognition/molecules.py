"""Tables of structures and their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.context.recognition.known import COMPOUND, MIN_OVERLAP, Ids, Recognized, share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


def add_molecules(look: Look, known: Known) -> bool:
    """Take a table of structures and their ids, which has no features; say whether it is one."""
    if not look.structure or look.has_features:
        return False
    key, column, why = look.structure
    if look.genes and not any(look.unique(name, least=0.99) for name in look.plain if name != "problem"):
        return False  # a molecule with several targets has several rows
    candidates = [name for name in look.plain if look.names_structures(name)]
    name = known.table_name(look)
    entry = Recognized(look.file, "molecules", {"name": name, key: column}, [why])
    if look.label_blocks:
        labels = ", ".join(look.label_blocks)
        entry.reasons.append(f"columns of zeros and ones alone ({labels}) are labels of a task, not features")
    inchikeys = look.inchikeys()
    keyed = sorted(candidates, key=lambda name: (name in inchikeys, "id" not in name.lower()))
    known.molecules += [Ids(name, candidate, look.ids(candidate), entry) for candidate in keyed]
    others = [other for other in look.plain if other not in (column, "problem", *candidates)]
    known.no_ids += [Ids(name, other, look.ids(other), entry) for other in others]
    known.found.append(entry)
    return True


def settle_ids(known: Known, looks: Sequence[Look]) -> None:
    """Of a table's columns of ids pass over all but the one that most of the tables refer to."""
    votes: dict[int, list[tuple[int, float, Ids]]] = {}
    cells = [cells for look in looks if not look.structure and (cells := _cells(look))]
    for ids in known.molecules:
        shares = [max(share(one, ids.values) for one in columns) for columns in cells]
        enough = [found for found in shares if found >= MIN_OVERLAP]
        votes.setdefault(id(ids.entry), []).append((len(enough), sum(enough), ids))
    for columns in votes.values():
        most = max(columns, key=lambda vote: vote[:2])
        for count, _, ids in columns:
            ids.passed_over = most[0] > count


def _cells(look: Look) -> list[set[str]]:
    """Ids by which a table may name its molecules, by column; those that are its columns' names too."""
    columns = [look.ids(name) for name in look.plain]
    without = [{cell.removeprefix(COMPOUND) for cell in cells} for cells in columns]
    return [*columns, *without, set(look.header)]


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
            ids.entry.reasons.append(f"'{ids.column}' has an id of its own for (nearly) each structure")
