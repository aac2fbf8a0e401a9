"""All that is wrong with a build's spec and tables, found with the build's own rules and without building.

A problem stops a build or leaves nothing of a table; a remark is about what a build would leave out.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from infoalign_dgl import _spill
from infoalign_dgl.context.build import Combined, combine
from infoalign_dgl.context.edges import check_weights
from infoalign_dgl.context.findings import LISTED, Finding, account_findings, space_findings
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.scopes import scope_node_type
from infoalign_dgl.context.sections.base import TableReader
from infoalign_dgl.context.spec import BuildSettings, BuildSpec, explain, read_toml
from infoalign_dgl.context.spec_rows import read_spec_rows
from infoalign_dgl.context.vocabulary import FINGERPRINT
from infoalign_dgl.errors import GraphError, SourceError, SpecError
from infoalign_dgl.sources.files.base import parse_numbers
from infoalign_dgl.sources.tables import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from infoalign_dgl.context.sections.base import Loaded, Table
    from infoalign_dgl.sources.rows import ContextRows, TableAccount

# Keys of tables that name a column, and those whose value is {column: [values]}.
COLUMN_KEYS: tuple[str, ...] = (
    "id",
    "smiles",
    "inchi",
    "gene",
    "symbol",
    "entrez",
    "synonyms",
    "status",
    "source",
)
COLUMN_KEYS += ("metaedge", "target", "weight", "batch", "plate", "well", "dose")
FILTER_KEYS = ("where_not", "controls")
_CELLS_AT_ONCE = 2_000_000  # read again as text


@dataclass(frozen=True)
class Checked:
    """What a check found, and what became of the rows of the tables that could be read."""

    findings: list[Finding]
    tables: list[TableAccount]

    @property
    def problems(self) -> list[Finding]:
        """What stops a build, or leaves nothing of a table; what is about the spec comes first."""
        return sorted((f for f in self.findings if f.is_problem), key=lambda f: f.file is not None)

    @property
    def remarks(self) -> list[Finding]:
        """What a build would leave out."""
        return [finding for finding in self.findings if not finding.is_problem]


def check_spec(spec: Path, *, data_root: Path | None = None, means: Means | None = None) -> Checked:
    """Find all that is wrong with a spec and its tables.

    Parameters
    ----------
    spec : Path
        A TOML file.
    data_root : Path, optional
        Where the spec's paths start; by default the TOML file's folder.
    means : Means, optional
        As for :func:`~infoalign_dgl.context.build.build_context_graph`.
    """
    means = Means() if means is None else means
    check = _Check(spec.parent if data_root is None else data_root)
    try:
        found = check.valid_part(read_toml(spec))
    except SpecError as error:
        return Checked([Finding(str(error), is_problem=True)], [])
    check.look_at_headers(found)
    with tempfile.TemporaryDirectory() as folder, _spill.spilling(Path(folder)):
        rows = check.read(found, means)
        check.combine(rows, found, means)
    return Checked(check.findings, rows.accounts())


@dataclass
class _Check:
    """A check under way. ``broken`` has the names of tables that others refer to and that cannot be used.

    ``readers`` has, by ``id()``, those of the tables that may be read: their headers are right.
    """

    data_root: Path
    findings: list[Finding] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    readers: dict[int, _Watching] = field(default_factory=dict)
    symbols_unread: bool = False

    def problem(self, message: str, file: str | None = None) -> None:
        """Add a problem, each sentence once."""
        finding = Finding(message, file, is_problem=True)
        if finding not in self.findings:
            self.findings.append(finding)

    def valid_part(self, content: dict[str, Any]) -> BuildSpec:
        """List what is wrong with the spec by itself, and return what of it is right."""
        try:
            return BuildSpec.model_validate(content)
        except ValidationError as error:
            complaints = error.errors(include_url=False)
        for complaint in complaints:
            if complaint["loc"]:  # the others are listed below, all of them
                self.problem(explain(complaint, content))
        found: dict[str, Any] = {}
        for section, model in BuildSpec.model_fields.items():
            given = content.get(section)
            one: TypeAdapter[Any] = TypeAdapter(model.annotation)  # type: ignore[arg-type]
            if given is None or not isinstance(given, list):
                found[section] = _valid(one, given, model.get_default())
                continue
            tables = [_valid(one, [table], []) for table in given]
            self.broken |= {
                str(table["name"])
                for table, valid in zip(given, tables, strict=True)
                if not valid and isinstance(table, dict) and "name" in table
            }
            self.symbols_unread |= section == "gene_ids" and not all(tables)
            found[section] = [table for valid in tables for table in valid]
        spec = BuildSpec.model_construct(**found)
        for sentence in spec.disagreements():
            if not any(f"ids_of = '{name}'" in sentence for name in self.broken):
                self.problem(f"the spec: {sentence}")
        if len(complaints) == 1 and not complaints[0]["loc"]:
            self.problem(explain(complaints[0], content))
        return spec

    def look_at_headers(self, spec: BuildSpec) -> None:
        """List the files that are missing, and the columns and patterns that tables lack."""
        for section, table in _tables(spec):
            try:
                reader = _Watching(section, table, self.data_root)
            except (SourceError, SpecError) as error:
                self.give_up(section, table, [str(error)])
                continue
            wrong = [str(error) for error in _header_errors(reader, table)]
            if wrong:
                self.give_up(section, table, wrong)
            else:
                self.readers[id(table)] = reader

    def give_up(self, section: str, table: Table, sentences: Sequence[str]) -> None:
        """List why a table cannot be read, and remember it for those that need it."""
        for sentence in sentences:
            self.problem(sentence, table.file)
        self.readers.pop(id(table), None)
        self.broken |= {table.name} if hasattr(table, "name") else set()
        self.symbols_unread |= section == "gene_ids"

    def read(self, spec: BuildSpec, means: Means) -> ContextRows:
        """Read the tables that can be read."""

        def tell(done: int, total: int) -> None:
            means.progress("reading tables", done, total)

        try:
            return read_spec_rows(spec, self.data_root, progress=tell, read_one=self.read_one)
        except (SourceError, SpecError) as error:  # of the folder in the published layout: tables give none
            self.problem(str(error), spec.reference_layout.folder if spec.reference_layout else None)
        without = spec.model_copy(update={"reference_layout": None})
        return read_spec_rows(without, self.data_root, progress=tell, read_one=self.read_one)

    def read_one(self, section: str, table: Table, read: Callable[[TableReader], Any]) -> list[Any]:
        """Read one table unless that cannot work, and list what is wrong with it."""
        reader = self.readers.get(id(table))
        if reader is None:
            return []
        needed = getattr(table, "ids_of", None)
        if needed in self.broken or (self.symbols_unread and getattr(table, "genes", "") == "symbol"):
            other = f"the ids of '{needed}'" if needed in self.broken else "the genes of [[gene_ids]]"
            message = (
                f"[[{section}]] '{table.file}' was not looked into, since it needs {other}, which cannot"
            )
            self.findings.append(Finding(f"{message} be read: correct that and check again", table.file))
            del self.readers[id(table)]
            return []
        try:
            found = read(reader)
        except (SourceError, SpecError) as error:
            self.give_up(section, table, [str(error)])
            return []
        self.findings += reader.findings
        return [found]

    def combine(self, rows: ContextRows, spec: BuildSpec, means: Means) -> None:
        """Bring the tables together, and list what is wrong or would be left out."""
        self.without_wrong_weights(rows.gene_gene)
        self.without_wrong_weights(rows.molecule_gene)
        combined = None
        if rows.molecules or rows.about_molecules():
            settings = BuildSettings(similarity=spec.similarity, graph=spec.graph)
            try:
                combined = combine(rows, settings, means)
            except GraphError as error:
                self.problem(str(error))
        tables_by_place = {(section, table.file): table for section, table in _tables(spec)}
        for account in rows.accounts():
            about = tables_by_place.get((account.kind, account.table))
            self.findings += account_findings(account, about, whole=combined is not None)
        if combined is not None:
            self.check_spaces(combined, spec)

    def without_wrong_weights(self, tables: list[Any]) -> None:
        """List the tables of edges whose weights will not do, and go on as if they had none."""
        for place, table in enumerate(tables):
            try:
                check_weights(table)
            except SourceError as error:
                self.problem(str(error), table.account.table)
                tables[place] = replace(table, weights=None)

    def check_spaces(self, combined: Combined, spec: BuildSpec) -> None:
        """List what is wrong with feature spaces, and the columns that they lose."""
        spaces = [*combined.profiles, *combined.gene_profiles]
        self.findings += space_findings(spaces, combined.warnings)
        kinds = {FINGERPRINT: "molecule", **{space.name: space.node_type for space in spaces}}
        for names in spec.similarity.scope:
            try:
                scope_node_type(names, kinds)
            except SpecError as error:
                self.problem(f"[similarity] {error}")


class _Watching(TableReader):
    """Reads a table and finds the cells of its columns of numbers that are something else."""

    findings: Sequence[Finding] = ()

    def read(self, keys: Sequence[str], numbers: Sequence[str] = (), **more: Any) -> Loaded:
        """Read as :class:`TableReader` does."""
        loaded = super().read(keys, numbers, **more)
        self.findings = list(self._not_numbers(self.strange, loaded.numbers))
        return loaded

    def _not_numbers(self, columns: list[str], used: np.ndarray) -> Iterator[Finding]:
        """Read columns with such cells again, as text; ``used`` has the numbers of the rows to look at."""
        step = max(1, _CELLS_AT_ONCE // max(len(used), 1))
        cells: Counter[str] = Counter()
        first: list[list[Any]] = []
        for start in range(0, len(columns), step):
            part = columns[start : start + step]
            frame = read_table(self.path, text=part, format=self.table.format, header=self.header)
            frame = frame.loc[used]
            for column in part:
                texts = frame[column]
                there = texts[texts.notna()]
                bad = there[np.isnan(parse_numbers(there.tolist()))]
                if len(bad):
                    cells[column] = len(bad)
                    first += [[int(row), f"{column}: {text}"] for row, text in bad[:LISTED].items()]
        if cells:
            named = ", ".join(f"'{name}' ({n})" for name, n in cells.most_common(LISTED))
            more = f" and {len(cells) - LISTED} more" if len(cells) > LISTED else ""
            yield Finding(
                f"[[{self.section}]] '{self.table.file}' has cells that are no numbers, which would count as "
                f"missing, in {named}{more}: correct them, or leave the columns out",
                self.table.file,
                cells.total(),
                first[:LISTED],
            )


def _valid(model: TypeAdapter[Any], given: Any, otherwise: Any) -> Any:
    if given is None:
        return otherwise
    try:
        return model.validate_python(given)
    except ValidationError:
        return otherwise


def _tables(spec: BuildSpec) -> Iterator[tuple[str, Table]]:
    for section in BuildSpec.model_fields:
        tables = getattr(spec, section)
        if isinstance(tables, list):
            for table in tables:
                yield section, table


def _header_errors(reader: TableReader, table: Table) -> Iterator[SpecError | SourceError]:
    """Give an error for each column and pattern that a table's header lacks."""
    named = [(key, getattr(table, key, None)) for key in COLUMN_KEYS]
    named += [(f"{key}.{column}", column) for key in FILTER_KEYS for column in getattr(table, key, {})]
    for key, column in named:
        try:
            if column is not None:
                reader.require(key, column)
        except SpecError as error:
            yield error
    for pattern in getattr(table, "features", None) or []:
        try:
            reader.features([pattern])
        except SourceError as error:
            yield error
