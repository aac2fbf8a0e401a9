"""Tables of task sets: where they are, and which of their columns are structures and identifiers."""

from __future__ import annotations

import re
from pathlib import Path

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.sources.tables import did_you_mean, format_by_ending

TABLE = "assays.csv.gz"
"""The table in a task set's folder, in the layout of the reference implementation."""

_STRUCTURES = ("smiles", "canonical_smiles", "isomeric_smiles", "structure", "molecule", "mol")
_IDENTIFIERS = {"name", "cas", "casrn", "cid", "sid", "index", "row", "split", "fold", "number", "no"}
_IDENTIFIERS |= {"compound", "compound_name", "molecule", "molecule_name", "mol", "structure", "scaffold"}
_IDENTIFIERS |= {"id", "inchi", "inchikey", "inchi_key", "dtxsid", "collectionname", "collection_name", ""}
_IDENTIFIER = re.compile(r".*_(id|cid|sid)|.*smiles.*|metadata_.*|unnamed_\d+")
REPEAT = re.compile(r"(.+)#\d+")
_SHOWN = 5  # names in a sentence


def locate_task(source: str | Path) -> tuple[str, Path]:
    """Find a task set's table.

    Parameters
    ----------
    source : str or Path
        A table, a folder with one, or the name of a data set that was fetched.

    Returns
    -------
    name : str
    path : Path

    Raises
    ------
    EvaluationError
        If there is no such source, or not one table.
    """
    path = Path(source)
    if path.is_file():
        return path.name.split(".")[0] or path.name, path
    if path.is_dir():
        return path.resolve().name, _table_in(path)
    from infoalign_dgl.sources.downloads import default_root, fetch, state
    from infoalign_dgl.sources.registry import read_registry

    registry, name = read_registry(), str(source)
    if name not in registry:
        raise EvaluationError(
            f"'{name}' is no file, no folder and no data set of 'infoalign-dgl fetch': "
            f"{did_you_mean(name, registry)}"
        )
    if state(name, registry[name], default_root()) != "yes":
        raise EvaluationError(
            f"the data set '{name}' is not in '{default_root()}': run 'infoalign-dgl fetch {name}', or give "
            "the path of its folder"
        )
    return name, _table_in(fetch(name, registry[name], default_root(), offline=True).folder)


def _table_in(folder: Path) -> Path:
    for path in (folder / TABLE, folder / "raw" / TABLE):
        if path.is_file():
            return path
    tables = sorted(path for path in folder.iterdir() if path.is_file() and format_by_ending(path))
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables[:_SHOWN]) or "no table"
        raise EvaluationError(
            f"'{folder}' should hold {TABLE} or a single table and holds {found}: give the path of the table"
        )
    return tables[0]


def structure_column(path: Path, header: list[str], given: str | None = None) -> str:
    """Find the column of SMILES by its name, or check the one given.

    Raises
    ------
    EvaluationError
        If there is no such column, or several could be meant.
    """
    if given is not None:
        if given not in header:
            raise EvaluationError(f"'{path}' has no column '{given}': {did_you_mean(given, header)}")
        return given
    for wanted in _STRUCTURES:
        found = [name for name in header if _plain(name) == wanted]
        if found:
            return found[0]
    found = [name for name in header if "smiles" in name.lower()]
    if len(found) != 1:
        what = f"several columns of SMILES ({', '.join(found[:_SHOWN])})" if found else "no column of SMILES"
        raise EvaluationError(f"'{path}' has {what} by their names: name the one with the molecules")
    return found[0]


def is_identifier(name: str) -> bool:
    """Whether a column's name is that of an identifier, not of a task."""
    repeat = REPEAT.fullmatch(name)
    plain = _plain(repeat[1] if repeat else name)
    return plain in _IDENTIFIERS or _IDENTIFIER.fullmatch(plain) is not None


def _plain(name: str) -> str:
    """Lower-case name with single underscores in place of all that is neither letter nor digit."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
