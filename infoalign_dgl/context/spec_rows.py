"""Read the tables that a build specification lists into rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infoalign_dgl.errors import SpecError
from infoalign_dgl.sources.genes import GeneNames, gene_columns
from infoalign_dgl.sources.rows import (
    ContextRows,
    GeneGeneRows,
    GeneProfileRows,
    GeneRows,
    MoleculeGeneRows,
    MoleculeReferences,
    MoleculeRows,
    ProfileRows,
    TableAccount,
    number_rows,
)
from infoalign_dgl.sources.tables import (
    did_you_mean,
    normalize_entrez,
    normalize_id,
    read_header,
    read_table,
    select_columns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from infoalign_dgl.context.spec import (
        BuildSpec,
        ExpressionTable,
        GeneGeneTable,
        GeneIdTable,
        GeneMorphologyTable,
        GeneTable,
        MoleculeGeneTable,
        MoleculeTable,
        MorphologyTable,
        _AboutMolecules,
        _Table,
    )


@dataclass(frozen=True)
class _Loaded:
    """A table's chosen columns after its row filter, with the numbers the rows have in the file."""

    frame: pd.DataFrame
    numbers: np.ndarray
    account: TableAccount

    def ids(self, column: str) -> list[str | None]:
        return [normalize_id(value) for value in self.frame[column]]

    def genes(self, column: str) -> list[str | None]:
        return [normalize_entrez(value) for value in self.frame[column]]

    def matrix(self, columns: Sequence[str]) -> np.ndarray:
        return self.frame[list(columns)].to_numpy(np.float64)


def read_spec_rows(
    spec: BuildSpec, data_root: Path, *, progress: Callable[[int, int], None] | None = None
) -> ContextRows:
    """Read every table of a spec.

    Parameters
    ----------
    spec : BuildSpec
        What to read.
    data_root : Path
        Where the spec's paths start.
    progress : callable, optional
        Called with (tables read, tables).

    Returns
    -------
    ContextRows

    Raises
    ------
    SpecError
        If a column that the spec names is missing.
    SourceError
        If a file is missing or cannot be read as a table.
    """
    sections = {name: getattr(spec, name) for name in type(spec).model_fields}
    total = sum(len(tables) for tables in sections.values() if isinstance(tables, list))
    done = 0

    def each(section: str, reader: Callable) -> list:
        nonlocal done
        found = []
        for table in sections[section]:
            found.append(reader(_Reader(section, table, data_root), table))
            done += 1
            if progress is not None:
                progress(done, total)
        return found

    names = GeneNames()
    accounts = each("gene_ids", lambda reader, table: _gene_ids(reader, table, names))
    molecules = each("molecules", _molecules)
    crosswalks = each("crosswalks", lambda reader, table: _molecules(reader, table, crosswalk=True))
    return ContextRows(
        molecules=[*molecules, *crosswalks],
        profiles=[
            *each("morphology", _morphology),
            *each("expression", lambda reader, table: _expression(reader, table, names)),
        ],
        gene_profiles=each("gene_morphology", _gene_morphology),
        gene_gene=each("gene_gene", _gene_gene),
        molecule_gene=each("molecule_gene", _molecule_gene),
        genes=each("genes", _genes),
        symbols=names.symbol_of,
        other_accounts=accounts,
    )


class _Reader:
    """Reads one table of the spec and explains which key asked for what is not there."""

    def __init__(self, section: str, table: _Table, data_root: Path) -> None:
        self.section = section
        self.table = table
        self.path = data_root / table.file
        self.header = read_header(self.path)

    def features(self, patterns: Sequence[str]) -> list[str]:
        return select_columns(self.path, self.header, patterns)

    def read(self, keys: Sequence[str], numbers: Sequence[str] = ()) -> _Loaded:
        """Read the columns that the given keys of the table name, and the feature columns."""
        asked = {key: getattr(self.table, key) for key in keys if getattr(self.table, key) is not None}
        asked |= {f"where_not.{column}": column for column in self.table.where_not}
        for key, column in asked.items():
            if column not in self.header:
                raise SpecError(
                    f"[[{self.section}]] '{self.table.file}' has {key} = '{column}', which is no column "
                    f"of that "
                    f"table: {did_you_mean(column, self.header)}"
                )
        numbers = [column for column in numbers if column not in asked.values()]
        frame = read_table(self.path, text=list(dict.fromkeys(asked.values())), numbers=numbers)
        account = TableAccount(self.table.file, self.section, len(frame))
        return self._filtered(frame, account)

    def _filtered(self, frame: pd.DataFrame, account: TableAccount) -> _Loaded:
        row_numbers = number_rows(len(frame))
        keep = np.ones(len(frame), bool)
        for column, values in self.table.where_not.items():
            out = frame[column].isin(values).to_numpy() & keep
            for value in values:
                account.drop_all(
                    f"{column} is {value}", row_numbers[out & (frame[column] == value).to_numpy()]
                )
            keep &= ~out
        return _Loaded(frame[keep].reset_index(drop=True), row_numbers[keep], account)


def _molecules(reader: _Reader, table: MoleculeTable, *, crosswalk: bool = False) -> MoleculeRows:
    loaded = reader.read(["id", "smiles", "inchi"])
    structure = table.smiles or table.inchi
    ids: list[str | None] = [None] * len(loaded.frame) if table.id is None else loaded.ids(table.id)
    return MoleculeRows(
        loaded.account,
        table.name,
        ids,
        loaded.frame[structure].tolist(),
        "smiles" if table.smiles else "inchi",
        loaded.numbers,
        crosswalk,
    )


def _references(loaded: _Loaded, table: _AboutMolecules) -> MoleculeReferences:
    if table.id is not None:
        return MoleculeReferences(loaded.ids(table.id), "id", table.ids_of)
    if table.smiles is not None:
        return MoleculeReferences(loaded.frame[table.smiles].tolist(), "smiles")
    return MoleculeReferences(loaded.frame[table.inchi].tolist(), "inchi")


def _morphology(reader: _Reader, table: MorphologyTable) -> ProfileRows:
    columns = reader.features(table.features)
    loaded = reader.read(["smiles", "inchi", "id"], columns)
    columns = [column for column in columns if loaded.frame[column].dtype == np.float64]
    return ProfileRows(
        loaded.account,
        "morphology",
        table.space,
        columns,
        loaded.matrix(columns),
        _references(loaded, table),
        loaded.numbers,
    )


def _expression(reader: _Reader, table: ExpressionTable, names: GeneNames) -> ProfileRows:
    taken = {table.smiles, table.inchi, table.id, *table.where_not}
    candidates = [column for column in reader.header if column not in taken]
    found = gene_columns(candidates, None if table.genes == "entrez" else names)
    if not found.columns:
        raise SpecError(
            f"[[expression]] '{table.file}' has no column that names a gene by {table.genes}: set genes "
            f"to the other of "
            f"'entrez' and 'symbol', or list the symbols under [[gene_ids]]"
        )
    loaded = reader.read(["smiles", "inchi", "id"], found.columns)
    loaded.account.notes |= {"unknown_columns": found.unknown, "repeated_columns": found.repeated}
    return ProfileRows(
        loaded.account,
        "gene_expression",
        table.space,
        found.entrez,
        loaded.matrix(found.columns),
        _references(loaded, table),
        loaded.numbers,
    )


def _gene_morphology(reader: _Reader, table: GeneMorphologyTable) -> GeneProfileRows:
    columns = reader.features(table.features)
    loaded = reader.read(["gene"], columns)
    values = loaded.matrix(columns)
    return GeneProfileRows(
        loaded.account, table.space, columns, values, loaded.genes(table.gene), loaded.numbers
    )


def _gene_gene(reader: _Reader, table: GeneGeneTable) -> GeneGeneRows:
    loaded = reader.read(["source", "target"], [] if table.weight is None else _weight_column(reader, table))
    weights = None if table.weight is None else loaded.matrix([table.weight])[:, 0]
    return GeneGeneRows(
        loaded.account,
        table.kind,
        loaded.genes(table.source),
        loaded.genes(table.target),
        weights,
        loaded.numbers,
    )


def _molecule_gene(reader: _Reader, table: MoleculeGeneTable) -> MoleculeGeneRows:
    loaded = reader.read(
        ["smiles", "inchi", "id", "gene"], [] if table.weight is None else _weight_column(reader, table)
    )
    references = _references(loaded, table)
    weights = None if table.weight is None else loaded.matrix([table.weight])[:, 0]
    if weights is not None and table.weight_rule == "share-of-max":
        weights = share_of_max(references.values, weights)
        loaded.account.notes["weight_rule"] = (
            f"|{table.weight}| / the largest |{table.weight}| of the molecule"
        )
    return MoleculeGeneRows(
        loaded.account, table.kind, references, loaded.genes(table.gene), weights, loaded.numbers
    )


def _weight_column(reader: _Reader, table: GeneGeneTable | MoleculeGeneTable) -> list[str]:
    assert table.weight is not None
    if table.weight not in reader.header:
        raise SpecError(
            f"[[{reader.section}]] '{table.file}' has weight = '{table.weight}', which is no column of "
            f"that table: "
            f"{did_you_mean(table.weight, reader.header)}"
        )
    return [table.weight]


def share_of_max(groups: Sequence[str | None], scores: np.ndarray) -> np.ndarray:
    """Divide each score's size by the largest of its group: shape (rows,), in [0, 1], NaN for a NaN score."""
    _, group = np.unique([g or "" for g in groups], return_inverse=True)
    size = np.abs(scores)
    largest = np.zeros(group.max() + 1)
    np.maximum.at(largest, group, np.nan_to_num(size, nan=0.0))
    return size / np.where(largest > 0, largest, 1.0)[group]


def _genes(reader: _Reader, table: GeneTable) -> GeneRows:
    loaded = reader.read(["gene", "symbol"])
    symbols = [None] * len(loaded.frame) if table.symbol is None else loaded.frame[table.symbol].tolist()
    return GeneRows(loaded.account, loaded.genes(table.gene), symbols, loaded.numbers)


def _gene_ids(reader: _Reader, table: GeneIdTable, names: GeneNames) -> TableAccount:
    loaded = reader.read(["symbol", "entrez"])
    pairs = zip(loaded.numbers, loaded.frame[table.symbol], loaded.frame[table.entrez], strict=True)
    for row, symbol, value in pairs:
        entrez = normalize_entrez(value)
        if entrez is None:
            loaded.account.drop("not an Entrez id", row, value)
        elif not symbol:
            loaded.account.drop("no symbol", row, value)
        else:
            names.add(symbol.strip(), entrez)
            loaded.account.used += 1
    for alias, symbol in table.aliases.items():
        found = names.entrez_of.get(symbol)
        if found is None:
            raise SpecError(
                f"[[gene_ids]] '{table.file}' has aliases.{alias} = '{symbol}', which is no symbol of "
                f"that table: "
                f"{did_you_mean(symbol, names.entrez_of)}"
            )
        names.add_alias(alias, found)
    return loaded.account
