"""What the tables of a build specification have in common, and how one of them is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from infoalign_dgl import _spill
from infoalign_dgl.context.vocabulary import FINGERPRINT
from infoalign_dgl.errors import SourceError, SpecError
from infoalign_dgl.sources.rows import MoleculeReferences, TableAccount
from infoalign_dgl.sources.tables import (
    check_format,
    did_you_mean,
    format_by_ending,
    normalize_entrez,
    normalize_id,
    read_header,
    read_table,
    select_columns,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

_SPACE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Strict(BaseModel):
    """A part of a specification: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(Strict):
    """A table's file, relative to the data root, and the rows to leave out: ``{column: [values]}``.

    ``format`` says what kind of file it is where its ending does not.
    """

    file: str
    format: str | None = None
    where_not: dict[str, list[str]] = {}

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                check_format(value)
            except SourceError as error:
                raise ValueError(str(error)) from error
        return value


class AboutMolecules(Table):
    """Names each row's molecule by structure, or by an id of the table ``ids_of``."""

    smiles: str | None = None
    inchi: str | None = None
    id: str | None = None
    ids_of: str | None = None

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if sum(value is not None for value in (self.smiles, self.inchi, self.id)) != 1:
            raise ValueError(
                "give exactly one of 'smiles', 'inchi' and 'id', the column that names the molecule"
            )
        if (self.id is None) != (self.ids_of is None):
            raise ValueError("'id' and 'ids_of' (the name of the table whose ids they are) go together")
        return self


class InSpace(Strict):
    """Profiles of a feature space, which the key ``space`` names."""

    space: str

    @field_validator("space")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not _SPACE_NAME.fullmatch(value) or value == FINGERPRINT:
            raise ValueError(
                f"a feature space's name has letters, digits, '_' and '-' and is not '{FINGERPRINT}': "
                f"'{value}' will not do"
            )
        return value


@dataclass(frozen=True)
class Loaded:
    """A table's chosen columns after its row filter, with the numbers the rows have in the file."""

    frame: pd.DataFrame
    numbers: np.ndarray
    account: TableAccount

    def ids(self, column: str) -> list[str | None]:
        """Return a column of ids."""
        return [normalize_id(value) for value in self.frame[column]]

    def genes(self, column: str) -> list[str | None]:
        """Return a column of genes as Entrez ids, None where it is none."""
        return [normalize_entrez(value) for value in self.frame[column]]

    def matrix(self, columns: Sequence[str]) -> np.ndarray:
        """Return columns of numbers, shape (rows, columns), float64, NaN where missing."""
        matrix = _spill.empty((len(self.frame), len(columns)), by_column=True)
        for part in _spill.column_parts(matrix):
            for position in range(part.start, part.stop):
                column = self.frame[columns[position]].to_numpy()
                matrix[:, position] = column
            _spill.release(column)
        return matrix


class TableReader:
    """Reads one table of the spec and explains which key asked for what is not there."""

    def __init__(self, section: str, table: Table, data_root: Path) -> None:
        self.section = section
        self.table = table
        self.path = data_root / table.file
        self.format = table.format or format_by_ending(self.path)
        self.header = read_header(self.path, format=table.format)
        self.strange: list[str] = []  # of the columns of numbers, those with a cell that is no number

    def features(self, patterns: Sequence[str]) -> list[str]:
        """Names of the columns that match any of the patterns."""
        return select_columns(self.path, self.header, patterns)

    def require(self, key: str, column: str) -> None:
        """Raise a SpecError if there is no such column, naming the key that asks for it."""
        if column not in self.header:
            raise SpecError(
                f"[[{self.section}]] '{self.table.file}' has {key} = '{column}', which is no column of that "
                f"table: {did_you_mean(column, self.header)}"
            )

    def read(
        self,
        keys: Sequence[str],
        numbers: Sequence[str] = (),
        *,
        filters: Sequence[str] = (),
        text: Sequence[str] = (),
    ) -> Loaded:
        """Read the columns that the given keys of the table name, and the feature columns.

        ``filters`` are the keys whose value is ``{column: [values]}``, apart from ``where_not``; ``text`` are
        columns that the kind of file has, whatever the table's keys say.
        """
        asked = {key: getattr(self.table, key) for key in keys if getattr(self.table, key) is not None}
        for key in ("where_not", *filters):
            asked |= {f"{key}.{column}": column for column in getattr(self.table, key)}
        for key, column in asked.items():
            self.require(key, column)
        numbers = [column for column in numbers if column not in asked.values()]
        texts = list(dict.fromkeys([*asked.values(), *text]))
        frame = read_table(
            self.path,
            text=texts,
            numbers=numbers,
            format=self.table.format,
            header=self.header,
            strange=self.strange,
        )
        account = TableAccount(self.table.file, self.section, len(frame))
        return self._filtered(frame, account)

    def _filtered(self, frame: pd.DataFrame, account: TableAccount) -> Loaded:
        row_numbers, frame = frame.index.to_numpy(), frame.reset_index(drop=True)
        keep = np.ones(len(frame), bool)
        for column, values in self.table.where_not.items():
            out = frame[column].isin(values).to_numpy() & keep
            for value in values:
                account.drop_all(
                    f"{column} is {value}", row_numbers[out & (frame[column] == value).to_numpy()]
                )
            keep &= ~out
        kept = frame if keep.all() else frame[keep].reset_index(drop=True)
        return Loaded(kept, row_numbers[keep], account)


def references(loaded: Loaded, table: AboutMolecules) -> MoleculeReferences:
    """Return how the rows of a table name their molecules."""
    if table.id is not None:
        return MoleculeReferences(loaded.ids(table.id), "id", table.ids_of)
    if table.smiles is not None:
        return MoleculeReferences(loaded.frame[table.smiles].tolist(), "smiles")
    return MoleculeReferences(loaded.frame[table.inchi].tolist(), "inchi")


def weight_column(reader: TableReader, weight: str | None) -> list[str]:
    """Return the column of weights, if the table has one: a list of one name or of none."""
    if weight is None:
        return []
    reader.require("weight", weight)
    return [weight]
