"""Which molecule each row is about: structures standardized, merged by InChIKey, ids looked up."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import pandas as pd

from infoalign_dgl.context.exclusion import BLOCK, REASON, Excluded
from infoalign_dgl.context.reuse import Reuse
from infoalign_dgl.errors import GraphError
from infoalign_dgl.molecules import standardize
from infoalign_dgl.sources.rows import settle_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from infoalign_dgl.context.reuse import Structure
    from infoalign_dgl.molecules._workers import Executor
    from infoalign_dgl.molecules.standardization import Standardized
    from infoalign_dgl.sources.rows import (
        ContextRows,
        MoleculeReferences,
        MoleculeRows,
        StructureKind,
        TableAccount,
    )

NO_STRUCTURE = "molecule whose structure cannot be used"

Structures = dict[tuple[str, str], "Structure"]  # by kind and text


@dataclass
class _Found:
    """A molecule met so far: the structure is that of the first row that has it."""

    inchikey: str
    smiles: str
    sources: list[str]


@dataclass(frozen=True)
class Molecules:
    """All molecules of a build.

    Parameters
    ----------
    nodes : pandas.DataFrame
        Sorted by ``key``: key, inchikey, smiles, sources (names of the tables with its structure) and ids
        (what tables of molecules call it), both sorted and joined by ``;``.
    references : dict
        By ``id()`` of a reference list: the molecule of each row, shape (rows,), int64, -1 where it was
        dropped.
    """

    nodes: pd.DataFrame
    references: dict[int, np.ndarray]

    def of(self, references: MoleculeReferences) -> np.ndarray:
        """Local molecule ids of a table's rows, shape (rows,), int64, -1 where the row was dropped."""
        return self.references[id(references)]


def identify(
    rows: ContextRows,
    identity: Literal["block", "full"],
    *,
    tautomer: bool = False,
    excluded: Excluded | None = None,
    num_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    helpers: Executor | None = None,
    reuse: Reuse | None = None,
) -> Molecules:
    """Find the molecules of all tables, and each row's molecule.

    Rows without a usable structure or with an unknown id are counted as dropped in their tables' accounts;
    so are crosswalk rows that nothing refers to. Rows of molecule tables that name a molecule are counted as
    used.

    Parameters
    ----------
    rows : ContextRows
        All tables. Structures are kept from molecule tables first, then profiles, then molecule-gene edges.
    identity : {"block", "full"}
        Merge on the InChIKey's first block or on all of it.
    tautomer : bool
        As for :func:`infoalign_dgl.molecules.standardize`.
    excluded : Excluded, optional
        Molecules that are left out, and rows about them; such rows are counted as dropped.
    num_workers, progress, helpers
        As for :func:`infoalign_dgl.molecules.standardize`.
    reuse : Reuse, optional
        Structures that were standardized before; gets all of them.

    Raises
    ------
    GraphError
        If no row of any table names a molecule.
    """
    referring = rows.about_molecules()
    wanted = _wanted_ids([table.molecules for table in referring])
    texts = _texts(rows, wanted)
    work = partial(standardize, tautomer=tautomer, num_workers=num_workers, helpers=helpers)
    reuse = Reuse() if reuse is None else reuse
    structures = _standardize_all(texts, work, progress, reuse, tautomer=tautomer)
    excluded = Excluded() if excluded is None else excluded
    book = _Book(structures, identity, excluded.keys | _keys_of_ids(rows, excluded.ids, structures))
    for table in rows.molecules:
        book.add_table(table, wanted.get(table.name, set()) if table.crosswalk else None)
    keys = {
        id(table.molecules): book.resolve(table.account, table.molecules, table.numbers)
        for table in referring
    }
    if not book.found:
        reasons = sorted({reason for account in rows.accounts() for reason in account.dropped})
        raise GraphError(
            f"no row of any table names a molecule ({'; '.join(reasons)}): check the tables' columns"
        )
    nodes = book.nodes()
    position = pd.Index(nodes["key"])
    return Molecules(
        nodes, {name: position.get_indexer(pd.Index(found, dtype=object)) for name, found in keys.items()}
    )


def _wanted_ids(references: list[MoleculeReferences]) -> dict[str, set[str]]:
    """Ids that tables refer to, by the name of the table whose ids they are."""
    wanted: dict[str, set[str]] = {}
    for refs in references:
        if refs.kind == "id" and refs.ids_of is not None:
            wanted.setdefault(refs.ids_of, set()).update(value for value in refs.values if value)
    return wanted


def _keys_of_ids(rows: ContextRows, ids: frozenset[str], structures: Structures) -> set[str]:
    """First blocks of the molecules that tables list under one of the ids."""
    if not ids:
        return set()
    listed = [
        structures[table.kind, text][1]
        for table in rows.molecules
        for row_id, text in zip(table.ids, table.structures, strict=True)
        if row_id in ids and text and (table.kind, text) in structures
    ]
    return {key[:BLOCK] for key in listed if key is not None}


def _texts(rows: ContextRows, wanted: dict[str, set[str]]) -> dict[StructureKind, dict[str, None]]:
    """Give the different structures that tables have, in their order."""
    texts: dict[StructureKind, dict[str, None]] = {"smiles": {}, "inchi": {}}
    for table in rows.molecules:
        needed = wanted.get(table.name, set())
        for row_id, text in zip(table.ids, table.structures, strict=True):
            if text and (not table.crosswalk or row_id in needed):
                texts[table.kind].setdefault(text)
    for referring in rows.about_molecules():
        if referring.molecules.kind != "id":
            texts[referring.molecules.kind].update(dict.fromkeys(v for v in referring.molecules.values if v))
    return texts


def _standardize_all(
    texts: dict[StructureKind, dict[str, None]],
    work: Callable[..., Standardized],
    progress: Callable[[int, int], None] | None,
    reuse: Reuse,
    *,
    tautomer: bool,
) -> Structures:
    total = sum(len(found) for found in texts.values())
    result: Structures = {}
    for kind, found in texts.items():
        before = len(result)

        def compute(new: list[str], kind: str = kind, done: int = before + len(found)) -> list[Structure]:
            def report(count: int, of: int) -> None:
                if progress is not None:
                    progress(done - of + count, total)

            standard = work(new, kind=kind, progress=report)
            return list(zip(standard.smiles, standard.key, standard.reason, strict=True))

        known_as = f"{kind}, tautomer" if tautomer else kind
        entries = reuse.structures(known_as, list(found), compute)
        result.update(((kind, text), entry) for text, entry in zip(found, entries, strict=True))
    if progress is not None:
        progress(total, total)
    return result


class _Book:
    """The molecules and ids met while tables are read in order."""

    def __init__(
        self, structures: Structures, identity: Literal["block", "full"], excluded: frozenset[str]
    ) -> None:
        self.structures = structures
        self.length = BLOCK if identity == "block" else None
        self.excluded = excluded
        self.lost: dict[str, dict[str, str]] = {}  # why an id has no molecule, by table and id
        self.found: dict[str, _Found] = {}
        self.ids: dict[str, dict[str, str]] = {}

    def add_table(self, table: MoleculeRows, wanted: set[str] | None) -> None:
        """Take the structures of a molecule table; of a crosswalk only those whose id is wanted."""
        account = table.account
        known = self.ids.setdefault(table.name, {})
        settled = {} if table.own else settle_ids(self._keys_of_ids(table))
        for row, row_id, text in zip(table.numbers, table.ids, table.structures, strict=True):
            if wanted is not None and row_id not in wanted:
                account.drop("no other table refers to it", row, row_id)
                continue
            if table.own and not row_id:
                account.drop("no molecule id", row)
                continue
            key = self._key(account, table.kind, text, row)
            if key is None:
                if row_id:
                    lost = self.lost.setdefault(table.name, {})
                    excluded = self._is_excluded(table.kind, text)
                    lost[row_id] = REASON if excluded else lost.get(row_id, NO_STRUCTURE)
                continue
            if table.own and row_id:
                key = row_id
            if row_id and known.get(row_id, settled.get(row_id, key)) != key:
                account.drop("duplicated id: another row has another structure", row, row_id)
                continue
            account.used += 1
            account.merged += not self._add(key, (table.kind, text or ""), table.name)
            if row_id:
                known[row_id] = key

    def resolve(
        self, account: TableAccount, refs: MoleculeReferences, numbers: np.ndarray
    ) -> list[str | None]:
        """Key of each row's molecule, None if it was dropped; structures met here become molecules too."""
        keys: list[str | None] = []
        for row, value in zip(numbers, refs.values, strict=True):
            if refs.kind == "id":
                key = self.ids.get(refs.ids_of or "", {}).get(value or "")
                if key is None:
                    account.drop(self._why_unknown(refs.ids_of or "", value), row, value)
            else:
                key = self._key(account, refs.kind, value, row)
                if key is not None:
                    self._add(key, (refs.kind, value or ""), account.table)
            keys.append(key)
        return keys

    def nodes(self) -> pd.DataFrame:
        """Table of molecule nodes, sorted by key."""
        keys = sorted(self.found)
        ids: dict[str, set[str]] = {}
        for known in self.ids.values():
            for row_id, key in known.items():
                ids.setdefault(key, set()).add(row_id)
        return pd.DataFrame(
            {
                "key": keys,
                "inchikey": [self.found[key].inchikey for key in keys],
                "smiles": [self.found[key].smiles for key in keys],
                "sources": [";".join(sorted(self.found[key].sources)) for key in keys],
                "ids": [";".join(sorted(ids.get(key, ()))) for key in keys],
            }
        )

    def _keys_of_ids(self, table: MoleculeRows) -> Iterator[tuple[str, str]]:
        """Give the id and the key of each row that has both and is not left out."""
        for row_id, text in zip(table.ids, table.structures, strict=True):
            _, inchikey, _ = self.structures.get((table.kind, text or ""), (None, None, None))
            if row_id and inchikey is not None and inchikey[:BLOCK] not in self.excluded:
                yield row_id, inchikey[: self.length]

    def _key(self, account: TableAccount, kind: str, text: str | None, row: int) -> str | None:
        if not text:
            account.drop("no structure", row)
            return None
        _, inchikey, reason = self.structures[kind, text]
        if inchikey is None:
            category, _, detail = (reason or "").partition(":")
            account.drop(f"structure {category}", row, f"{text}{detail and ':'}{detail}")
            return None
        if inchikey[:BLOCK] in self.excluded:
            account.drop(REASON, row, text)
            return None
        return inchikey[: self.length]

    def _is_excluded(self, kind: str, text: str | None) -> bool:
        key = self.structures[kind, text][1] if text else None
        return key is not None and key[:BLOCK] in self.excluded

    def _why_unknown(self, table: str, row_id: str | None) -> str:
        if not row_id:
            return "no molecule id"
        return self.lost.get(table, {}).get(row_id, "unknown molecule id")

    def _add(self, key: str, structure: tuple[str, str], source: str) -> bool:
        """Whether the molecule is new."""
        known = self.found.get(key)
        if known is not None:
            if source not in known.sources:
                known.sources.append(source)
            return False
        smiles, inchikey, _ = self.structures[structure]
        assert smiles is not None  # rows without were dropped
        assert inchikey is not None
        self.found[key] = _Found(inchikey, smiles, [source])
        return True
