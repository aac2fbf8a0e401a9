"""Rows of a table of profiles that seem to be control wells, by what their cells say or by their number."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.recognition.spec_text import toml_value
from infoalign_dgl.sources.normalization import MIN_CONTROLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infoalign_dgl.context.recognition.look import Look

# What JUMP, Broad's L1000 and Cell Painting data sets and others call wells without a treatment, without
# spaces and the like.
_NEGATIVE = {"negcon", "negcontrol", "negctrl", "negativecontrol", "negativectrl", "ctlvehicle", "vehicle"}
_NEGATIVE |= {"vehiclecontrol", "mock", "solvent", "solventcontrol", "dmsocontrol", "ctlvector"}
_DMSO = {"dmso", "dimethylsulfoxide", "dimethylsulphoxide"}
_DMSO_STRUCTURES = {"CS(C)=O", "CS(=O)C", "C[S](C)=O", "C[S+](C)[O-]", "InChI=1S/C2H6OS/c1-4(2)3/h1-2H3"}
_CONTROL = {"control", "controls", "ctrl", "ctl", "untreated", "ctluntrt"}  # may be positive ones too
_MOST_KINDS = 20  # different values of a column that says what kind of well a row is
_MIN_ROWS = 6  # that one molecule has at least to be taken for a control by their number alone,
_MIN_SHARE = 0.02  # of all rows,
_TIMES_THE_NEXT = 3  # and as many as any other molecule has


def propose_controls(
    look: Look, column: str, labels: Mapping[str, str], *, normalized: bool
) -> tuple[dict[str, Any], list[str]]:
    """Find rows that seem to be control wells.

    Parameters
    ----------
    look : Look
    column : str
        The column that names a row's molecule or gene.
    labels : mapping of str to str
        Columns that say where a row was measured: that of the plate counts.
    normalized : bool
        Whether tables of this section can be normalized against control wells.

    Returns
    -------
    keys : dict
        Of the section, to be written commented out; empty where no row seems to be a control well.
    reasons : list of str
    """
    found = _told(look) or _numerous(look, column)
    if found is None:
        return {}, []
    name, values = found
    there = [cell in values for cell in look.cells[name]]
    chosen = {name: sorted(values)}
    named = " or ".join(f"'{value}'" for value in sorted(values))
    says = f"{sum(there):,} of the {len(there):,} rows have {named} in '{name}'"
    if not normalized:
        return {"where_not": chosen}, [f"{says}: if these are control wells, where_not below leaves them out"]
    says += _on_plates(look, labels.get("plate"), there)
    uses = "controls and normalize below measure the others against them, plate by plate where one is named"
    leaves = f"where_not = {toml_value(chosen)} leaves them out"
    says += f": if these are control wells, {uses}; if the features are normalized already, {leaves}"
    return {"controls": chosen, "normalize": "robust-mad"}, [says]


def _told(look: Look) -> tuple[str, set[str]] | None:
    """Find the column that says which rows are control wells, and by which values: the clearest words win."""
    found: list[tuple[int, str, set[str]]] = []
    for column in look.plain:
        counts = Counter(cell for cell in look.cells[column] if cell)
        kinds = len(counts) <= _MOST_KINDS
        for rank, words in enumerate((_NEGATIVE | _DMSO, _DMSO, _CONTROL)):
            if not kinds and words is not _DMSO:
                continue
            values = {cell for cell in counts if _plain(cell) in words}
            values |= counts.keys() & _DMSO_STRUCTURES if words is not _CONTROL else set()
            if MIN_CONTROLS <= sum(counts[value] for value in values) < len(look.cells[column]):
                found.append((rank, column, values))
                break
    if not found:
        return None
    _, column, values = min(found, key=lambda one: one[0])
    return column, values


def _numerous(look: Look, column: str) -> tuple[str, set[str]] | None:
    """Find the molecule or gene that has far more rows than any other."""
    counts = Counter(cell for cell in look.cells[column] if cell)
    if len(counts) < 2:
        return None
    (name, most), (_, next_most) = counts.most_common(2)
    if most < max(_MIN_ROWS, _MIN_SHARE * len(look.cells[column]), _TIMES_THE_NEXT * next_most):
        return None
    return column, {name}


def _on_plates(look: Look, plate: str | None, there: list[bool]) -> str:
    """Say on how many plates there are as many control wells as normalization needs."""
    if plate is None:
        return ""
    wells = Counter(name for name, control in zip(look.cells[plate], there, strict=True) if name and control)
    plates = {name for name in look.cells[plate] if name}
    enough = sum(count >= MIN_CONTROLS for count in wells.values())
    if enough == len(plates):
        return f", {min(wells.values())} or more on each of {len(plates):,} plates"
    return f", {MIN_CONTROLS} or more on {enough:,} of {len(plates):,} plates (the others would be left out)"


def _plain(cell: str) -> str:
    return re.sub(r"[^a-z0-9]", "", cell.lower())
