"""Tables of edges of several kinds, by Hetionet's metaedges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.recognition.known import COMPOUND, Recognized, share
from infoalign_dgl.context.sections.networks import GENE_METAEDGES, MOLECULE_METAEDGES

if TYPE_CHECKING:
    from infoalign_dgl.context.recognition.known import Known
    from infoalign_dgl.context.recognition.look import Look


def metaedge_column(look: Look) -> str | None:
    """Find the column of metaedges."""
    known = {*GENE_METAEDGES, *MOLECULE_METAEDGES}
    for column in look.plain:
        different = set(look.sample(column))
        if different & known and len(different) <= 60 and all(len(code) <= 6 for code in different):
            return column
    return None


def network(look: Look, known: Known) -> Recognized | None:
    """Recognize a table with a column of metaedges and two of ids such as ``Gene::2625``."""
    codes = metaedge_column(look)
    if codes is None:
        return None
    there = set(look.cells[codes])
    ends = [name for name in look.plain if sum("::" in cell for cell in look.sample(name)) > 0]
    if len(ends) != 2:
        reason = f"'{codes}' has Hetionet's metaedges, but no two columns have ids such as 'Gene::2625'"
        return Recognized(look.file, reasons=[reason], off=True)
    keys: dict[str, Any] = {"source": ends[0], "metaedge": codes, "target": ends[1]}
    chosen = [code for code in (*GENE_METAEDGES, *MOLECULE_METAEDGES) if code in there]
    reasons = [f"'{codes}' has Hetionet's metaedges: of those with genes, {', '.join(chosen)}"]
    of_molecules = [code for code in chosen if code in MOLECULE_METAEDGES]
    if of_molecules:
        cells = {cell.removeprefix(COMPOUND) for cell in look.ids(ends[0]) if cell.startswith(COMPOUND)}
        shares = [(share(cells, ids.values), n) for n, ids in enumerate(known.molecules) if ids.may_be_chosen]
        most, place = max(shares, default=(0.0, 0))
        if most > 0:
            ids = known.molecules[place]
            ids.choose()
            keys["ids_of"] = ids.name
            reasons.append(f"'{ids.column}' of '{ids.entry.file}' has {most:.0%} of its compounds")
        else:
            chosen = [code for code in chosen if code not in of_molecules]
            reasons.append(f"no table has the ids of its compounds, so {', '.join(of_molecules)} are not")
    keys["metaedges"] = chosen
    return Recognized(look.file, "networks", keys, reasons, off=not chosen)
