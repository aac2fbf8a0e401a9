"""What tables were recognized as, and what later ones may refer to: genes, ids, feature spaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.profiles import MIN_SHARED_COLUMNS
from infoalign_dgl.context.vocabulary import FINGERPRINT
from infoalign_dgl.sources.genes import GeneNames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.context.recognition.look import Look

_MIN_ALIKE = 5  # different ids that say which column they are from, though it has none of its own
MIN_OVERLAP = 0.5  # of a column's ids that the table it refers to must have
COMPOUND = "Compound::"  # what ids of Hetionet's compounds begin with


@dataclass
class Recognized:
    """A table and what it seems to be.

    Parameters
    ----------
    section : str
        Section of the spec; empty where the table was not recognized.
    keys : dict
        The section's keys.
    reasons : list of str
        Why it is taken for that, or why for nothing.
    off : bool
        Whether the section lacks something, and stands in the spec commented out.
    proposed : dict
        Further keys, which stand there commented out.
    """

    file: str
    section: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    off: bool = False
    proposed: dict[str, Any] = field(default_factory=dict)


@dataclass
class Ids:
    """A column of ids of a recognized table, which other tables may refer to.

    It is ``passed_over`` where more of them refer to another column of the table.
    """

    name: str
    column: str
    values: set[str]
    entry: Recognized
    passed_over: bool = False

    def choose(self) -> None:
        """Make this the column of ids of its table, if that has none yet."""
        if "id" not in self.entry.keys:
            self.entry.keys["id"] = self.column
            self.entry.reasons.append(
                f"'{self.column}' has an id of its own for (nearly) each structure, which others refer to"
            )

    @property
    def may_be_chosen(self) -> bool:
        """Whether its table has no other column of ids."""
        return not self.passed_over and self.entry.keys.get("id", self.column) == self.column


@dataclass
class Known:
    """Tables recognized so far and what they hold.

    Parameters
    ----------
    found : list of Recognized
    names : GeneNames
    genes : set of str
        Entrez ids of the tables of gene ids.
    molecules : list of Ids
        Columns of ids of the tables of molecules.
    no_ids : list of Ids
        Their other columns, whose values are repeated for different structures or often missing.
    reagents : list of Ids
        The columns of ids of the tables of reagents.
    base_names : dict of str to str
        What to call a file's table or feature space.
    spaces : dict of str to (str, set of str)
        A feature space's name to its section and columns.
    """

    found: list[Recognized] = field(default_factory=list)
    names: GeneNames = field(default_factory=GeneNames)
    genes: set[str] = field(default_factory=set)
    molecules: list[Ids] = field(default_factory=list)
    no_ids: list[Ids] = field(default_factory=list)
    reagents: list[Ids] = field(default_factory=list)
    base_names: dict[str, str] = field(default_factory=dict)
    spaces: dict[str, tuple[str, set[str]]] = field(default_factory=dict)

    def table_name(self, look: Look) -> str:
        """Make a name for a table that others refer to."""
        return self._distinct(look, {one.keys.get("name") for one in self.found})

    def space(self, look: Look, section: str, columns: set[str]) -> tuple[str, str]:
        """Name a table's feature space, which others of (nearly) the same columns share, and say so."""
        said = ""
        for name, (other, known) in self.spaces.items():
            if len(columns & known) < MIN_SHARED_COLUMNS * len(columns | known) or other != section:
                continue
            if not _only_numbered(columns):
                return name, f", the same as those of the space '{name}'"
            # The 3rd principal component of one screen is not that of another.
            said = (
                f"; the space '{name}' has such columns too, but numbers do not say whether these are the "
                f"same features: if they are, give both tables one space"
            )
        name = self._distinct(look, {*self.spaces, FINGERPRINT})
        self.spaces[name] = (section, columns)
        return name, said

    def _distinct(self, look: Look, taken: set[Any]) -> str:
        """Make a name of a file's that is none of those taken."""
        name = base = self.base_names[look.file]
        number = 2
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        return name

    def molecule(self, look: Look, *, besides: Sequence[str] = ()) -> tuple[dict[str, str], str] | None:
        """Find the keys that name a row's molecule, and why."""
        if look.structure:
            return {look.structure[0]: look.structure[1]}, look.structure[2]
        found = refer(look, self.molecules, besides=besides)
        return None if found is None else (found.keys, found.why)

    def nearest(self, look: Look, *, besides: Sequence[str] = ()) -> str:
        """Say which column of a table of molecules has most of a table's ids, and why it will not do."""
        best: tuple[float, bool, str, Ids] | None = None
        candidates = [(ids, True) for ids in self.molecules] + [(ids, False) for ids in self.no_ids]
        for ids, own in candidates:
            for column in look.plain:
                # A few words, or small numbers, are in many columns by chance.
                if column in besides or not (own or len(look.ids(column)) >= _MIN_ALIKE):
                    continue
                rank = (share(look.ids(column), ids.values), own, column, ids)
                best = max(best or rank, rank, key=lambda row: row[:2])
        if best is None or best[0] == 0:
            return ""
        found, own, column, ids = best
        file = ids.entry.file
        says = f"nearest: '{ids.column}' of '{file}' has {found:.0%} of the ids in '{column}'"
        if not own:
            return f"{says}, but the same for several structures, or none for many"
        if found >= MIN_OVERLAP and not ids.may_be_chosen:
            chosen = f"the ids of '{file}' are those of another column, to which more tables refer"
            return f"{says}, but {chosen}: list '{file}' once more, with another name and id = '{ids.column}'"
        return says


@dataclass(frozen=True)
class Reference:
    """A column of ids of another table: whose, the keys ``id`` and ``ids_of``, and why."""

    to: Ids
    keys: dict[str, str]
    why: str


def refer(look: Look, tables: Sequence[Ids], *, besides: Sequence[str] = ()) -> Reference | None:
    """Find the column most of whose ids one of the tables has."""
    best: tuple[float, bool, str, Ids] | None = None
    for column in look.plain:
        cells = look.ids(column) if column not in besides else set()
        whole = all(cell.isdigit() for cell in cells)  # such ids are in many columns by chance
        for ids in tables:
            found = share(cells, ids.values)
            if found >= (0.9 if whole else MIN_OVERLAP) and ids.may_be_chosen:
                rank = (found, column == ids.column, column, ids)
                best = max(best or rank, rank, key=lambda row: row[:2])
    if best is None:
        return None
    found, _, column, ids = best
    ids.choose()
    why = f"'{column}' refers to '{ids.column}' of '{ids.entry.file}', which has {found:.0%} of its ids"
    return Reference(ids, {"id": column, "ids_of": ids.name}, why)


def share(cells: set[str], known: set[str]) -> float:
    """Share of the cells that are known."""
    return len(cells & known) / max(len(cells), 1)


def _only_numbered(columns: set[str]) -> bool:
    """Whether columns have one name, such as X_1, X_2, and differ in its number alone."""
    names = {name.rstrip("0123456789") for name in columns}
    return len(names) == 1 and names != {""}  # numbers and no name are Entrez ids
