"""Tables of unknown kind to the sections of a spec, each with the reasons why."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl.context.look import MIN_BLOCK, Look, look_at
from infoalign_dgl.context.profiles import MIN_SHARED_COLUMNS
from infoalign_dgl.context.sections.networks import GENE_METAEDGES, MOLECULE_METAEDGES
from infoalign_dgl.context.spec import BuildSpec
from infoalign_dgl.errors import SourceError
from infoalign_dgl.sources.files.base import parse_numbers
from infoalign_dgl.sources.genes import GeneNames
from infoalign_dgl.sources.tables import normalize_entrez

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MIN_OVERLAP = 0.5  # of a column's ids that a table of molecules must have
_WEIGHT_NAME = re.compile(r"weight|score|confidence|probability|(^|[^a-z])z($|[^a-z])", re.IGNORECASE)
_COMPOUND = "Compound::"


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
    """

    file: str
    section: str = ""
    keys: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    off: bool = False


@dataclass
class _Ids:
    """A column of ids of a recognized table of molecules."""

    name: str
    column: str
    values: set[str]
    entry: Recognized


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
    found: list[Recognized] = []
    looks: list[Look] = []
    for path, file in zip(paths, files, strict=True):
        try:
            looks.append(look_at(path, file))
        except SourceError as error:
            found.append(Recognized(file, reasons=[str(error)], off=True))
    book = _Book()
    ids = [look.ids(name) for look in looks if look.structure for name in look.plain if look.unique(name)]
    rest = [look for look in looks if not book.add_genes(look, ids)]
    for look in looks:
        look.known_genes.update(book.genes)
    rest = [look for look in rest if not book.add_molecules(look)]
    # Those with Entrez ids before those with symbols, of which some may be unknown: a space has the columns
    # of its first table.
    for look in sorted(rest, key=lambda look: not look.entrez_columns):
        book.found.append(book.recognize(look))
    book.name_ids()
    order = list(BuildSpec.model_fields)
    found += book.found
    return sorted(found, key=lambda one: order.index(one.section) if one.section else len(order))


def spec_text(found: Sequence[Recognized]) -> str:
    """Write what was recognized as a spec, with the reasons as comments."""
    lines = [
        "# What infoalign-dgl init-spec recognized, and why. Look it over, then try: infoalign-dgl check"
    ]
    if not any(one.section and not one.off for one in found):
        lines.append("# No table was recognized: fill in the sections below, or see examples/own-data.toml.")
    for one in found:
        lines += ["", *(f"# {reason}" for reason in one.reasons)]
        body = [f"[[{one.section or 'section'}]]", *_toml({"file": one.file} | one.keys)]
        lines += [f"# {line}" for line in body] if one.off or not one.section else body
    return "\n".join(lines) + "\n"


def _toml(keys: dict[str, Any]) -> list[str]:
    def value(given: Any) -> str:
        if isinstance(given, dict):
            return "{ " + ", ".join(f"{value(k)} = {value(v)}" for k, v in given.items()) + " }"
        return json.dumps(given, ensure_ascii=False)  # TOML writes strings and lists of them as JSON does

    return [f"{key} = {value(given)}" for key, given in keys.items() if given is not None]


class _Book:
    """Tables recognized so far: what later ones may refer to."""

    def __init__(self) -> None:
        self.found: list[Recognized] = []
        self.names = GeneNames()
        self.genes: set[str] = set()
        self.ids: list[_Ids] = []
        self.spaces: dict[str, tuple[str, set[str]]] = {}

    def add_genes(self, look: Look, ids: Sequence[set[str]]) -> bool:
        """Take a table of gene ids and symbols, none of which are ids of molecules; say whether it is one."""
        if look.structure or look.blocks or look.conventional or _code_column(look):
            return False
        for column in look.plain:
            entrez = [normalize_entrez(cell) for cell in look.cells[column]]
            rows = [row for row, gene in enumerate(entrez) if gene is not None]
            different = {entrez[row] for row in rows}
            if look.entrez_share(column) < 0.5 or len(different) < 0.9 * len(rows):
                continue
            others = [name for name in look.plain if name != column and not look.is_numeric(name)]
            symbol = next((name for name in others if look.symbols(name, rows)), None)
            if symbol is not None and any(_share(look.ids(symbol), known) >= _MIN_OVERLAP for known in ids):
                return False
            if symbol is None:
                continue
            reasons = [f"'{column}' has different Entrez ids and '{symbol}' what look like their symbols"]
            keys: dict[str, Any] = {"symbol": symbol, "entrez": column}
            if "status" in look.plain:
                keys["status"] = "status"
            left_out = _other_kinds(look, rows, others)
            if left_out:
                keys["where_not"] = left_out
                reasons.append(f"where_not: these rows have no Entrez id in '{column}'")
            for row in rows:
                name, gene = look.cells[symbol][row], entrez[row]
                if name and gene:
                    self.names.add(name, gene)
            self.genes |= {gene for gene in different if gene}
            self.found.append(Recognized(look.file, "gene_ids", keys, reasons))
            return True
        return False

    def add_molecules(self, look: Look) -> bool:
        """Take a table of structures and their ids; say whether it is one."""
        if (
            not look.structure
            or look.blocks
            or look.conventional
            or look.entrez_columns
            or self._symbols(look)
        ):
            return False
        key, column, why = look.structure
        candidates = [name for name in look.plain if name not in (column, "problem") and look.unique(name)]
        if look.genes and not (candidates or look.unique(column)):
            return False
        entry = Recognized(look.file, "molecules", {"name": self._name(look)}, [why])
        entry.keys[key] = column
        keyed = sorted(candidates, key=lambda name: (name in look.inchikeys(), "id" not in name.lower()))
        self.ids += [_Ids(entry.keys["name"], name, look.ids(name), entry) for name in keyed]
        self.found.append(entry)
        return True

    def name_ids(self) -> None:
        """Give each table of molecules the column of ids that others refer to, or else its likeliest one."""
        for ids in self.ids:
            if "id" not in ids.entry.keys:
                ids.entry.keys["id"] = ids.column
                ids.entry.reasons.append(f"'{ids.column}' has an id of its own for each row")

    def recognize(self, look: Look) -> Recognized:
        """Say what a table of neither genes' nor molecules' names is."""
        codes = _code_column(look)
        if codes is not None:
            return self._network(look, codes)
        by_row = self._genes_as_rows(look)
        if by_row is not None:
            return by_row
        symbols = self._symbols(look)
        if look.entrez_columns or symbols:
            return self._expression(look, symbols)
        if look.conventional or look.blocks:
            return self._morphology(look)
        return self._pairs(look)

    def _molecule(self, look: Look, *, besides: Sequence[str] = ()) -> tuple[dict[str, str], str] | None:
        """Find the keys that name a row's molecule, and why."""
        if look.structure:
            return {look.structure[0]: look.structure[1]}, look.structure[2]
        best: tuple[float, bool, str, _Ids] | None = None
        for column in look.plain:
            cells = look.ids(column) if column not in besides else set()
            for ids in self.ids:
                share = _share(cells, ids.values)
                whole = all(cell.isdigit() for cell in cells)  # such ids are in many columns by chance
                taken = ids.entry.keys.get("id", ids.column) == ids.column
                if share >= (0.9 if whole else _MIN_OVERLAP) and taken:
                    rank = (share, column == ids.column, column, ids)
                    best = max(best or rank, rank, key=lambda row: row[:2])
        if best is None:
            return None
        share, _, column, ids = best
        if "id" not in ids.entry.keys:
            ids.entry.keys["id"] = ids.column
            ids.entry.reasons.append(
                f"'{ids.column}' has an id of its own for each row, which others refer to"
            )
        why = f"'{column}' refers to '{ids.column}' of '{ids.entry.file}', which has {share:.0%} of its ids"
        return {"id": column, "ids_of": ids.name}, why

    def _profiles(self, look: Look, section: str, keys: dict[str, Any], why: str) -> Recognized:
        """Make a section of profiles, of molecules if the table says which ones."""
        molecule = self._molecule(look, besides=look.genes)
        if molecule is not None:
            labels = look.labels()
            reasons = [why, molecule[1]]
            if labels:
                named = ", ".join(f"'{column}' ({label})" for label, column in labels.items())
                reasons.append(f"where a row was measured, by name or by what the cells look like: {named}")
            return Recognized(look.file, section, {**molecule[0], **keys, **labels}, reasons)
        if section == "morphology" and look.genes:
            reason = f"'{look.genes[0]}' has Entrez ids, and no column names molecules"
            return Recognized(look.file, "gene_morphology", {"gene": look.genes[0], **keys}, [why, reason])
        lacks = "no column has structures, or ids of a table of molecules that was given: name one"
        return Recognized(look.file, section, {"smiles": "COLUMN", **keys}, [why, lacks], off=True)

    def _morphology(self, look: Look) -> Recognized:
        """Recognize features: by pycytominer's convention, or else the largest block of numbers."""
        keys: dict[str, Any] = {}
        if look.conventional:
            columns = look.conventional
            prefixes = dict.fromkeys(name.split("_")[0] + "_*" for name in columns)
            why = f"{len(columns):,} columns are features by pycytominer's convention ({', '.join(prefixes)})"
            if not any(name.startswith("Image_Metadata_") for name in columns):
                keys["features"] = list(prefixes)
        else:
            pattern, columns = next(iter(look.blocks.items()))
            keys["features"] = [pattern]
            why = f"{len(columns):,} columns of numbers match '{pattern}'"
            others = [f"'{name}' ({len(block):,})" for name, block in [*look.blocks.items()][1:]]
            why += f"; others that are not taken match {', '.join(others)}" if others else ""
        space, shared = self._space(look, "morphology", set(columns))
        return self._profiles(look, "morphology", {"space": space, **keys}, why + shared)

    def _expression(self, look: Look, symbols: list[str]) -> Recognized:
        columns = look.entrez_columns
        if len(columns) >= len(symbols):
            genes = {str(normalize_entrez(name.removeprefix("X"))) for name in columns}
            space, shared = self._space(look, "expression", genes)
            why = f"{len(columns):,} columns are named by Entrez ids{shared}"
            return self._profiles(look, "expression", {"space": space}, why)
        known = {gene for name in symbols if (gene := self.names.find(name)) is not None}
        space, shared = self._space(look, "expression", known)
        found = self._profiles(look, "expression", {"space": space, "genes": "symbol"}, "")
        if len(known) < len(symbols) / 2:
            found.off = True
            found.reasons[0] = (
                f"{len(symbols):,} columns look like gene symbols, but no table given says which genes they "
                f"are: give one of symbols and Entrez ids"
            )
        else:
            found.reasons[0] = f"{len(known):,} columns are known gene symbols{shared}"
        return found

    def _genes_as_rows(self, look: Look) -> Recognized | None:
        """Recognize an expression table turned around: a row per gene, a column per molecule."""
        for column in look.genes:
            others = {name for name in look.header if name != column}
            if not look.unique(column) or len(others) < MIN_BLOCK:
                continue
            for ids in self.ids:
                if _share(others, ids.values) >= 0.9:
                    ids.entry.keys.setdefault("id", ids.column)
                    keys = {"orientation": "genes-as-rows", "gene": column, "ids_of": ids.name}
                    why = f"'{column}' has a gene for each row, and the other columns are named by ids of "
                    space, _ = self._space(look, "expression", look.ids(column))
                    reasons = [f"{why}'{ids.column}' of '{ids.entry.file}'"]
                    return Recognized(look.file, "expression", {"space": space, **keys}, reasons)
        return None

    def _symbols(self, look: Look) -> list[str]:
        """Columns of numbers named by gene symbols."""
        if look.symbol_columns:
            return look.symbol_columns
        taken = {column for block in look.blocks.values() for column in block}
        named = [
            name for name in look.header if self.names.find(name) and (name in look.plain or name in taken)
        ]
        named = [name for name in named if name in taken or look.is_numeric(name)]
        return named if len(named) >= max(3, len(look.header) / 2) else []

    def _network(self, look: Look, codes: str) -> Recognized:
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
            cells = {cell.removeprefix(_COMPOUND) for cell in look.ids(ends[0]) if cell.startswith(_COMPOUND)}
            shares = [(_share(cells, ids.values), n) for n, ids in enumerate(self.ids)]
            share, place = max(shares, default=(0.0, 0))
            if share > 0:
                ids = self.ids[place]
                ids.entry.keys.setdefault("id", ids.column)
                keys["ids_of"] = ids.name
                reasons.append(f"'{ids.column}' of '{ids.entry.file}' has {share:.0%} of its compounds")
            else:
                chosen = [code for code in chosen if code not in of_molecules]
                reasons.append(f"no table has the ids of its compounds, so {', '.join(of_molecules)} are not")
        keys["metaedges"] = chosen
        return Recognized(look.file, "networks", keys, reasons, off=not chosen)

    def _pairs(self, look: Look) -> Recognized:
        """Recognize edges: two columns of genes, or one and a molecule."""
        weight, why_weight = _weight(look)
        signed = weight is not None and min(_scores(look, weight), default=0.0) < 0
        regulates = signed or "direction" in look.plain
        genes = look.genes
        molecule = self._molecule(look, besides=genes)
        if molecule is not None and genes:
            kind = "regulates" if regulates else "binds"
            keys = {"kind": kind, **molecule[0], "gene": genes[0], **_weight_keys(look, weight)}
            reasons = [
                molecule[1],
                f"'{genes[0]}' has Entrez ids",
                *why_weight,
                _kind_reason(kind, signed=regulates),
            ]
            return Recognized(look.file, "molecule_gene", keys, reasons)
        if len(genes) >= 2:
            covaries = bool(re.search(r"covar|GcG", look.file, re.IGNORECASE))
            kind = "regulates" if regulates else "covaries" if covaries else "interacts"
            keys = {"kind": kind, "source": genes[0], "target": genes[1], **_weight_keys(look, weight)}
            reasons = [
                f"'{genes[0]}' and '{genes[1]}' have Entrez ids",
                *why_weight,
                _kind_reason(kind, signed=regulates),
            ]
            return Recognized(look.file, "gene_gene", keys, reasons)
        has = [f"'{genes[0]}' has Entrez ids"] if genes else []
        has += [f"'{name}' has InChIKeys, from which no structure can be made" for name in look.inchikeys()]
        reason = "not recognized: no structures, no ids of a table of molecules that was given, no block of "
        reason += "features, no pairs of genes" + "".join(f"; {one}" for one in has)
        shown = ", ".join(look.header[:8]) + (", ..." if len(look.header) > 8 else "")
        return Recognized(look.file, reasons=[reason, f"its columns: {shown}"], off=True)

    def _name(self, look: Look) -> str:
        taken = {ids.name for ids in self.ids} | {one.keys.get("name") for one in self.found}
        return _distinct(look, taken)

    def _space(self, look: Look, kind: str, columns: set[str]) -> tuple[str, str]:
        """Name the feature space of a table, which others of (nearly) the same columns share."""
        for name, (other, known) in self.spaces.items():
            if other == kind and len(columns & known) >= MIN_SHARED_COLUMNS * len(columns | known):
                return name, f", the same as those of the space '{name}'"
        name = _distinct(look, set(self.spaces) | {"fingerprint"})
        self.spaces[name] = (kind, columns)
        return name, ""


def _share(cells: set[str], known: set[str]) -> float:
    """Share of the cells that are known."""
    return len(cells & known) / max(len(cells), 1)


def _weight_keys(look: Look, weight: str | None) -> dict[str, str]:
    """Keys of a column of weights: a rule where they are not in [0, 1]."""
    if weight is None:
        return {}
    scores = _scores(look, weight)
    if min(scores) >= 0 and max(scores) <= 1:
        return {"weight": weight}
    return {"weight": weight, "weight_rule": "share-of-max"}


def _weight(look: Look) -> tuple[str | None, list[str]]:
    """Find a column of weights: numbers in every row, by its name."""
    for column in look.plain:
        whole = all(cell is not None for cell in look.cells[column])
        if whole and _WEIGHT_NAME.search(column) and len(_scores(look, column)) == len(look.cells[column]):
            return column, [
                f"'{column}' has a number in each row, and by its name these are weights or scores"
            ]
    return None, []


def _scores(look: Look, column: str) -> list[float]:
    values = parse_numbers([cell for cell in look.cells[column] if cell])
    found: list[float] = values[np.isfinite(values)].tolist()
    return found


def _kind_reason(kind: str, *, signed: bool) -> str:
    if signed:
        return f"kind: '{kind}', since there are signs or a direction"
    return f"kind: '{kind}' is a guess, since the table does not say"


def _code_column(look: Look) -> str | None:
    """Find the column of Hetionet's metaedges."""
    known = {*GENE_METAEDGES, *MOLECULE_METAEDGES}
    for column in look.plain:
        different = set(look.sample(column))
        if different & known and len(different) <= 60 and all(len(code) <= 6 for code in different):
            return column
    return None


def _other_kinds(look: Look, rows: list[int], others: list[str]) -> dict[str, list[str]]:
    """Find a column that says which rows are no genes: ``{column: [values]}``."""
    genes = set(rows)
    count = len(look.cells[look.header[0]])
    if len(genes) == count:
        return {}
    for column in others:
        cells = look.cells[column]
        of_genes = {cells[row] for row in genes}
        values = {cells[row] for row in range(count) if row not in genes}
        if len(values) <= 10 and None not in values and not values & of_genes:
            return {column: sorted(value for value in values if value)}
    return {}


def _distinct(look: Look, taken: set[Any]) -> str:
    """Make a name of a file's, without its endings."""
    stem = look.path.name.split(".")[0]
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-") or "table"
    number = 2
    base = name
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name
