"""What the stages of a build cannot do without; in a module of its own, which worker processes import."""

from __future__ import annotations

import gzip
import hashlib
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
from rdkit import rdBase

from infoalign_dgl.context.spec import read_spec
from infoalign_dgl.molecules._workers import map_chunks
from infoalign_dgl.molecules.parsing import parse_structure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def timed(run: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def parse(kind: str, texts: list[str]) -> int:
    with rdBase.BlockLogs():
        return sum(parse_structure(text, kind)[0] is not None for text in texts)


def parse_smiles(texts: list[str]) -> int:
    return parse("smiles", texts)


def parse_inchi(texts: list[str]) -> int:
    return parse("inchi", texts)


def floors(spec_file: Path, data: Path, folder: Path, workers: int) -> dict[str, float]:
    """Seconds of what each stage cannot do without, from the content of the folder that was built."""
    spec = read_spec(spec_file)
    files = {table.file for name in type(spec).model_fields for table in _tables(getattr(spec, name))}
    structures = pd.read_parquet(folder / "reuse" / "structures.parquet")
    texts = {
        kind: structures.loc[structures["kind"] == kind, "text"].tolist() for kind in ("smiles", "inchi")
    }
    smiles = pd.read_parquet(folder / "nodes" / "molecule.parquet")["smiles"].tolist()

    def read_structures() -> None:
        map_chunks(parse_smiles, texts["smiles"], num_workers=workers)
        map_chunks(parse_inchi, texts["inchi"], num_workers=workers)

    def sums() -> None:
        for path in folder.rglob("*.*"):
            with path.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")

    return {
        "reading tables": timed(lambda: [gzip.decompress((data / file).read_bytes()) for file in files]),
        "standardizing molecules": timed(read_structures),
        "fingerprints": timed(lambda: map_chunks(parse_smiles, smiles, num_workers=workers)),
        "writing files": timed(sums),
    }


def _tables(section: Any) -> list[Any]:
    return section if isinstance(section, list) else []
