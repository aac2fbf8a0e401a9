"""The order in which tables are tried as this and that: those that others refer to come first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infoalign_dgl.context.recognition.expression import expression, genes_as_rows, symbol_columns
from infoalign_dgl.context.recognition.gene_ids import add_gene_ids
from infoalign_dgl.context.recognition.known import Known, Recognized
from infoalign_dgl.context.recognition.look import Look, look_at
from infoalign_dgl.context.recognition.molecules import add_molecules, finish, settle_ids
from infoalign_dgl.context.recognition.morphology import morphology
from infoalign_dgl.context.recognition.names import base_names
from infoalign_dgl.context.recognition.networks import network
from infoalign_dgl.context.recognition.pairs import pairs
from infoalign_dgl.context.recognition.perturbations import add_perturbations, reagent_column, referring
from infoalign_dgl.context.spec import BuildSpec
from infoalign_dgl.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def recognize(paths: Sequence[Path], files: Sequence[str]) -> list[Recognized]:
    """Find for each table what it is.

    Parameters
    ----------
    paths : sequence of Path
    files : sequence of str
        How a spec names them.

    Returns
    -------
    list of Recognized
        In the order of a spec's sections.
    """
    unread: list[Recognized] = []
    looks: list[Look] = []
    for path, file in zip(paths, files, strict=True):
        try:
            looks.append(look_at(path, file))
        except SourceError as error:
            unread.append(Recognized(file, reasons=[str(error)], off=True))
    known = Known(base_names=base_names(looks))
    ids = [look.ids(name) for look in looks for name in look.plain if look.names_structures(name)]
    columns = referring(looks, ids)
    reagents = {look.file: reagent_column(look, columns) for look in looks}
    rest = [look for look in looks if not add_gene_ids(look, known, ids, repeated=bool(reagents[look.file]))]
    for look in looks:
        look.known_genes.update(known.genes)
    # A table of reagents may have the symbols of their genes too: it is both.
    rest = [
        look for look in looks if not add_perturbations(look, known, reagents[look.file]) and look in rest
    ]
    rest = [look for look in rest if symbol_columns(look, known) or not add_molecules(look, known)]
    settle_ids(known, rest)
    # Those with Entrez ids before those with symbols, of which some may be unknown: tables are compared with
    # the first one of a space.
    for look in sorted(rest, key=lambda look: not look.entrez_columns):
        kinds = (kind(look, known) for kind in (network, genes_as_rows, expression, morphology, pairs))
        known.found.append(next((found for found in kinds if found), None) or _nothing(look, known))
    finish(known)
    order = list(BuildSpec.model_fields)
    return sorted(
        unread + known.found, key=lambda one: order.index(one.section) if one.section else len(order)
    )


def _nothing(look: Look, known: Known) -> Recognized:
    """Say of a table that is nothing known what it has."""
    lacks = "no structures, no ids of a table of molecules that was given, no block of features, no pairs of "
    lacks += "genes"
    has = [f"'{name}' has InChIKeys, from which no structure can be made" for name in look.inchikeys()]
    molecule = known.molecule(look, besides=look.genes)
    if molecule is not None:
        lacks, has = "no features and no genes", [molecule[1], *has]
    if look.genes:
        reagents = next((name for name in look.plain if look.unique(name)), None)
        use = f": reagents of a screen, if profiles name their rows by '{reagents}'" if reagents else ""
        has.append(f"'{look.genes[0]}' has Entrez ids{use}")
    shown = ", ".join(look.header[:8]) + (", ..." if len(look.header) > 8 else "")
    reason = "; ".join([f"not recognized: {lacks}", *has])
    return Recognized(look.file, reasons=[reason, f"its columns: {shown}"], off=True)
