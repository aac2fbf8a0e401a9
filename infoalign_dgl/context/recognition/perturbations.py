"""Tables of the reagents of genetic screens, such as guides and ORFs, and the gene of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoalign_dgl.context.recognition.known import MIN_OVERLAP, Ids, Recognized, share
from infoalign_dgl.sources.tables import normalize_entrez

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


@dataclass(frozen=True)
class Referring:
    """A column of a table of profiles: its ids, and the share of them that a table of molecules has."""

    file: str
    ids: set[str]
    of_molecules: float


def referring(looks: Sequence[Look], molecules: Sequence[set[str]]) -> list[Referring]:
    """List the columns of tables of profiles that may say which reagent a row is of.

    Parameters
    ----------
    looks : sequence of Look
    molecules : sequence of set of str
        Ids of molecules, by column.
    """
    profiles = [look for look in looks if look.has_features and not look.structure]
    columns = [(look.file, look.ids(name)) for look in profiles for name in look.plain]
    return [
        Referring(file, cells, max((share(cells, one) for one in molecules), default=0.0))
        for file, cells in columns
    ]


def reagent_column(look: Look, columns: Sequence[Referring]) -> tuple[str, str] | None:
    """Find the column of reagents, and the file of the profiles that refer to it.

    An id of its own for each row makes no reagents (a table of genes has such ids too), but that profiles
    name their rows by these ids and not by those of molecules does.
    """
    if look.structure or look.has_features:
        return None
    best = (0.0, "", "")
    for name in look.plain:
        if not look.unique(name) or look.entrez_share(name):
            continue
        reagents = look.ids(name)
        for column in columns:
            found = share(column.ids, reagents)
            if found >= MIN_OVERLAP and found > column.of_molecules and found > best[0]:
                best = (found, name, column.file)
    return best[1:] if best[0] else None


def add_perturbations(look: Look, known: Known, reagents: tuple[str, str] | None) -> bool:
    """Take a table with a column of reagents, and one of their genes; say whether it is one."""
    if reagents is None or not look.genes:
        return False
    column, file = reagents
    gene = look.genes[0]
    reasons = [
        f"'{column}' has an id of its own for each row, to which the profiles of '{file}' refer, and "
        f"'{gene}' has Entrez ids: reagents of a genetic screen and their genes"
    ]
    without = sum(normalize_entrez(cell) is None for cell in look.cells[gene])
    if without:
        reasons.append(f"rows without an Entrez id ({without:,}) are controls: their profiles are left out")
    name = known.table_name(look)
    entry = Recognized(look.file, "perturbations", {"name": name, "id": column, "gene": gene}, reasons)
    known.reagents.append(Ids(name, column, look.ids(column), entry))
    known.found.append(entry)
    return True
