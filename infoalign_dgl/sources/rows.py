"""Rows as every source yields them and the graph is built from, whatever file or program they came from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infoalign_dgl.sources.tables import FIRST_ROW

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_LISTED = 1000  # rows listed per table and reason; counts are always exact

StructureKind = Literal["smiles", "inchi"]
ReferenceKind = Literal["id", "smiles", "inchi"]
Aggregate = Literal["median", "mean", "strongest-dose", "keep"]
Flaw = Literal["near-constant", "duplicated"]
LABELS = ("batch", "plate", "well", "dose")  # what a row of profiles may say of where it was measured


@dataclass
class TableAccount:
    """What became of one table's rows: each is either used or dropped for one reason.

    Parameters
    ----------
    table : str
        The table's name in messages and in the report.
    kind : str
        What the table holds, for instance ``"morphology"``.
    rows : int
        Rows read.
    """

    table: str
    kind: str
    rows: int
    used: int = 0
    merged: int = 0  # of the used rows, those that added nothing of their own
    dropped: dict[str, int] = field(default_factory=dict)
    listed: dict[str, list[list[Any]]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def drop(self, reason: str, row: int, detail: str | None = None) -> None:
        """Count one row, by its number in the file, as dropped; the first 1,000 per reason are listed."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        listed = self.listed.setdefault(reason, [])
        if len(listed) < MAX_LISTED:
            listed.append([int(row), detail])

    def drop_all(self, reason: str, rows: np.ndarray, details: Iterable[str | None] | None = None) -> None:
        """Count several rows as dropped for one reason."""
        for row, detail in zip(
            rows.tolist(), [None] * len(rows) if details is None else details, strict=True
        ):
            self.drop(reason, row, detail)

    @property
    def num_dropped(self) -> int:
        """Rows dropped for any reason."""
        return sum(self.dropped.values())

    def to_json(self) -> dict[str, Any]:
        """As ``build_report.json`` shows it; listed rows are [row number, detail]."""
        return {
            "table": self.table,
            "kind": self.kind,
            "rows": self.rows,
            "used": self.used,
            "merged": self.merged,
            "dropped": dict(sorted(self.dropped.items())),
            "listed": dict(sorted(self.listed.items())),
            **self.notes,
        }


def settle_ids(rows: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give each id the value that most of its rows say, of several such the smallest: no order decides.

    Parameters
    ----------
    rows : iterable of (str, str)
        Each row's id and what it says, for instance an InChIKey.
    """
    best: dict[str, tuple[int, str]] = {}
    for (row_id, value), count in Counter(rows).items():
        rank = (-count, value)
        best[row_id] = min(best.get(row_id, rank), rank)
    return {row_id: value for row_id, (_, value) in best.items()}


def number_rows(count: int) -> np.ndarray:
    """Row numbers of a table's data rows as files count them, shape (count,), int64."""
    return np.arange(FIRST_ROW, FIRST_ROW + count, dtype=np.int64)


@dataclass(frozen=True)
class MoleculeRows:
    """A table of structures by id.

    Parameters
    ----------
    name : str
        What other tables call this one in ``ids_of``.
    ids : list of (str or None)
        The rows' own ids; empty where the table has none.
    structures : list of (str or None)
        SMILES or InChI.
    crosswalk : bool
        Only rows whose id another table refers to become molecules.
    own : bool
        Each id is a molecule of its own, whatever its structure.
    """

    account: TableAccount
    name: str
    ids: list[str | None]
    structures: list[str | None]
    kind: StructureKind
    numbers: np.ndarray
    crosswalk: bool = False
    own: bool = False


@dataclass(frozen=True)
class MoleculeReferences:
    """How the rows of a table name their molecule: by structure, or by an id of the table ``ids_of``."""

    values: list[str | None]
    kind: ReferenceKind
    ids_of: str | None = None


@dataclass(frozen=True)
class GeneRows:
    """The genes there are; where a source yields such a table, other genes are unknown."""

    account: TableAccount
    genes: list[str | None]
    symbols: list[str | None]
    numbers: np.ndarray


@dataclass(frozen=True)
class SpaceRules:
    """How rows of profiles become a feature space; None where the table does not say.

    Parameters
    ----------
    aggregate : str or None
        How the rows of one molecule or gene become one profile, by default their median; ``"keep"`` leaves
        each a profile of its own.
    clip : float or None
        Values beyond the quantiles 1 - clip and clip of their column are set to those.
    max_missing : float or None
        A column with a larger share of missing profiles is dropped; by default 0.05.
    drop : tuple of str or None
        Flaws for which a column is dropped; by default none, they are reported only.
    """

    aggregate: Aggregate | None = None
    clip: float | None = None
    max_missing: float | None = None
    drop: tuple[Flaw, ...] | None = None


NO_RULES = SpaceRules()


@dataclass(frozen=True)
class ProfileRows:
    """Profiles of molecules in one feature space.

    Parameters
    ----------
    node_type : str
        ``"morphology"`` or ``"gene_expression"``.
    columns : list of str
        The d feature names; Entrez ids for expression.
    values : np.ndarray
        Shape (rows, d), float; NaN and infinite entries are missing.
    labels : dict of str to list of (str or None)
        For those of ``LABELS`` that the table has: each row's.
    """

    account: TableAccount
    node_type: Literal["morphology", "gene_expression"]
    space: str
    columns: list[str]
    values: np.ndarray
    molecules: MoleculeReferences
    numbers: np.ndarray
    labels: dict[str, list[str | None]] = field(default_factory=dict)
    rules: SpaceRules = NO_RULES


@dataclass(frozen=True)
class GeneProfileRows:
    """Profiles of genetic perturbations: features that gene nodes carry. Genes are Entrez ids."""

    account: TableAccount
    space: str
    columns: list[str]
    values: np.ndarray
    genes: list[str | None]
    numbers: np.ndarray
    rules: SpaceRules = NO_RULES


@dataclass(frozen=True)
class GeneGeneRows:
    """Edges between genes; ``weights`` None means 1."""

    account: TableAccount
    relation: Literal["interacts", "covaries", "regulates"]
    sources: list[str | None]
    targets: list[str | None]
    weights: np.ndarray | None
    numbers: np.ndarray


@dataclass(frozen=True)
class MoleculeGeneRows:
    """Edges from molecules to genes; ``weights`` None means 1."""

    account: TableAccount
    relation: Literal["binds", "regulates"]
    molecules: MoleculeReferences
    genes: list[str | None]
    weights: np.ndarray | None
    numbers: np.ndarray


_Table = MoleculeRows | GeneRows | ProfileRows | GeneProfileRows | GeneGeneRows | MoleculeGeneRows


@dataclass(frozen=True)
class ContextRows:
    """Everything a graph is built from. The order of the molecule tables decides whose structure is kept.

    Where ``joined`` is set, a molecule's profiles of one node type share their nodes over feature spaces: see
    :mod:`infoalign_dgl.context.joined`.
    """

    molecules: list[MoleculeRows]
    profiles: list[ProfileRows] = field(default_factory=list)
    gene_profiles: list[GeneProfileRows] = field(default_factory=list)
    gene_gene: list[GeneGeneRows] = field(default_factory=list)
    molecule_gene: list[MoleculeGeneRows] = field(default_factory=list)
    genes: list[GeneRows] = field(default_factory=list)
    symbols: dict[str, str] = field(default_factory=dict)  # Entrez id -> symbol
    other_accounts: list[TableAccount] = field(default_factory=list)  # tables used up while reading
    joined: bool = False

    def about_molecules(self) -> list[ProfileRows | MoleculeGeneRows]:
        """Return the tables whose rows refer to molecules, in the order in which structures are kept."""
        return [*self.profiles, *self.molecule_gene]

    def accounts(self) -> list[TableAccount]:
        """Return the accounts of all tables, each once: the kinds of edges of one table share its account."""
        tables: list[_Table] = [*self.molecules, *self.genes, *self.profiles, *self.gene_profiles]
        tables += [*self.gene_gene, *self.molecule_gene]
        accounts = [*(table.account for table in tables), *self.other_accounts]
        return list({id(account): account for account in accounts}.values())
