"""What the sections with profiles have in common: where a row was measured, and how rows become a space."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from infoalign_dgl import _spill
from infoalign_dgl.context.sections.base import AboutMolecules, InSpace, Table
from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.normalization import MIN_CONTROLS, robust_mad
from infoalign_dgl.sources.rows import LABELS, MAX_LISTED, Aggregate, Flaw, SpaceRules
from infoalign_dgl.sources.tables import did_you_mean

if TYPE_CHECKING:
    from infoalign_dgl.context.sections.base import Loaded

_FAR = 10.0  # robust deviations beyond which a row's largest |value| is reported


class Profiles(InSpace):
    """Keys of every table of profiles; tables of one space share what one of them says.

    ``clip`` is a quantile (0.999 sets the values beyond a column's outer 0.1 % to it), ``max_missing`` the
    share of missing profiles from which on a column is dropped, ``drop`` which flawed columns go.
    """

    clip: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    max_missing: Annotated[float, Field(ge=0, le=1)] | None = None
    drop: list[Flaw] | None = None

    def rules(self) -> SpaceRules:
        """Return what the table says of its space."""
        drop = None if self.drop is None else tuple(sorted(set(self.drop)))
        return SpaceRules(getattr(self, "aggregate", None), self.clip, self.max_missing, drop)


class MoleculeProfiles(AboutMolecules, Profiles):
    """Profiles of molecules: columns that say where a row was measured, and how replicates are reduced."""

    batch: str | None = None
    plate: str | None = None
    well: str | None = None
    dose: str | None = None
    aggregate: Aggregate | None = None

    @model_validator(mode="after")
    def _doses_known(self) -> Self:
        if self.aggregate == "strongest-dose" and self.dose is None:
            raise ValueError("aggregate = 'strongest-dose' needs 'dose', the column of doses")
        return self


class AgainstControls(Table):
    """Normalization against control wells, ``controls = {column = [values]}``, by plate if there is one."""

    plate: str | None = None
    controls: dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    normalize: Literal["robust-mad"] | None = None

    @model_validator(mode="after")
    def _controls_known(self) -> Self:
        if bool(self.controls) != (self.normalize is not None):
            raise ValueError(
                "'normalize' and 'controls' (which rows are control wells: {column = [values]}) go together"
            )
        return self


def labels_of(loaded: Loaded, table: MoleculeProfiles) -> dict[str, list[str | None]]:
    """Return for each of ``LABELS`` that the table names a column for: the rows' values."""
    named = {label: getattr(table, label) for label in LABELS}
    return {label: loaded.ids(column) for label, column in named.items() if column is not None}


def against_controls(loaded: Loaded, table: AgainstControls, values: np.ndarray) -> tuple[Loaded, np.ndarray]:
    """Normalize rows against the control wells and leave these out, with the rows that have none.

    Raises
    ------
    SpecError
        If no row is a control well.
    """
    if table.normalize is None:
        return loaded, values
    controls = np.zeros(len(values), bool)
    for column, names in table.controls.items():
        controls |= loaded.frame[column].isin(names).to_numpy()
    if not controls.any():
        column, names = next(iter(table.controls.items()))
        there = sorted({value for value in loaded.frame[column] if value})
        raise SpecError(
            f"'{table.file}' has no control well: controls.{column} = {names}, which no row has: "
            f"{did_you_mean(names[0], there)}"
        )
    plates = None if table.plate is None else loaded.ids(table.plate)
    values, without, flat = robust_mad(values, controls, plates)
    account = loaded.account
    account.drop_all("control well", loaded.numbers[controls])
    lost = without & ~controls
    details = None if plates is None else [plates[row] for row in np.flatnonzero(lost)]
    account.drop_all(f"fewer than {MIN_CONTROLS} control wells on its plate", loaded.numbers[lost], details)
    account.notes["normalization"] = {
        "method": "(x - median) / (1.4826 MAD) of the control wells",
        "controls": int(controls.sum()),
        "plates": None if plates is None else len(set(plates) - {None}),
        "columns_where_controls_do_not_differ": flat,
    }
    keep = ~(controls | without)
    kept = replace(loaded, frame=loaded.frame[keep].reset_index(drop=True), numbers=loaded.numbers[keep])
    return kept, _spill.take_rows(values, keep)


def duplicated_rows(values: np.ndarray, numbers: np.ndarray) -> dict[str, Any]:
    """Find the rows with the very values of an earlier one: how many, and [row, the earlier one] of each."""
    first: dict[bytes, int] = {}
    listed = []
    for part in _spill.row_parts(values):
        rows = np.ascontiguousarray(values[part]) + 0.0  # + 0.0: -0.0 is 0.0
        measured = ~np.isnan(rows).all(axis=1)
        for row, number in zip(rows[measured], numbers[part][measured].tolist(), strict=True):
            earlier = first.setdefault(hashlib.blake2b(row.tobytes()).digest(), number)
            if earlier != number:
                listed.append([number, earlier])
    return {"rows": len(listed), "listed": listed[:MAX_LISTED]}


def outlying_rows(values: np.ndarray, numbers: np.ndarray) -> dict[str, Any]:
    """Find the rows whose largest |value| lies far above that of the others: how many, and [row, it] of each.

    Far is more than 10 robust deviations (1.4826 MAD) above the median of the rows' largest |value|.
    """
    largest = np.zeros(len(values))
    for part in _spill.column_parts(values):
        size = np.abs(values[:, part])
        largest = np.maximum(largest, np.where(np.isfinite(size), size, 0.0).max(axis=1, initial=0.0))
    middle = np.median(largest) if len(largest) else 0.0
    deviation = 1.4826 * np.median(np.abs(largest - middle)) if len(largest) else 0.0
    cut = float(middle + _FAR * deviation)
    far = np.flatnonzero(largest > cut) if deviation > 0 else np.zeros(0, np.int64)
    listed = [[int(numbers[row]), float(largest[row])] for row in far[:MAX_LISTED].tolist()]
    return {"rows": len(far), "above": cut, "listed": listed}
