"""Other ways to similar pairs: FPSim2, RDKit, the plain matrix product; and the fingerprints they compare."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from _harness import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

FPSIM2_TANIMOTO = "FPSim2, Tanimoto >= 0.7"
FPSIM2_COSINE = "FPSim2, cosine >= 0.8"
FPSIM2_NAMES = [FPSIM2_TANIMOTO, FPSIM2_COSINE]
RDKIT = "RDKit, BulkTanimotoSimilarity"
RDKIT_QUERIES = 300
BLOCKS = (2048, 4096)


@dataclass(frozen=True)
class Fingerprints:
    """Packed bits in the order of ``numpy.packbits``, the file they came from, and FPSim2's beside it."""

    packed: np.ndarray
    fpsim2_file: Path


def cache_file(given: str | None, limit: int | None) -> Path:
    """Give the place of the cached fingerprints."""
    if given is not None:
        return Path(given)
    return Path(tempfile.gettempdir()) / f"infoalign-dgl-jump-{limit or 'all'}.npy"


def load_fingerprints(
    data_root: Path, limit: int | None, cache: Path, radius: int, num_bits: int
) -> Fingerprints:
    """Read the fingerprints, or compute them and FPSim2's file of the same molecules."""
    fpsim2_file = cache.with_suffix(".fpsim2.h5")
    have_fpsim2 = fpsim2_file.is_file() or not _importable("FPSim2")
    if not (cache.is_file() and have_fpsim2):
        smiles = parseable(data_root, limit)
        click.echo(f"  computing {len(smiles):,} fingerprints", err=True)
        if not cache.is_file():
            from infoalign_dgl.molecules import morgan_fingerprints

            with replacing(cache) as unfinished:
                np.save(unfinished, morgan_fingerprints(smiles, radius=radius, num_bits=num_bits))
        if not have_fpsim2:
            from FPSim2.io import create_db_file

            with replacing(fpsim2_file) as unfinished:
                numbered = ((text, row) for row, text in enumerate(smiles))
                parameters = {"radius": radius, "fpSize": num_bits}
                create_db_file(numbered, str(unfinished), "smiles", "Morgan", parameters)
    return Fingerprints(np.load(cache), fpsim2_file)


def parseable(data_root: Path, limit: int | None) -> list[str]:
    """Give the SMILES of the JUMP production compounds that are molecules."""
    import pandas as pd
    from rdkit import rdBase

    from infoalign_dgl.molecules.parsing import parse_structure

    table = pd.read_csv(data_root / "context/molecules/jump_compounds.csv.gz", nrows=limit)
    click.echo(f"  parsing {len(table):,} molecules", err=True)
    with rdBase.BlockLogs():
        return [text for text in table["smiles"] if parse_structure(text)[0] is not None]


def _importable(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to that becomes ``target`` once it is whole."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        unfinished = Path(folder) / target.name
        yield unfinished
        unfinished.replace(target)


def fpsim2_entries(table: Fingerprints, threads: int, tanimoto: float, cosine: float) -> list[Entry]:
    """FPSim2's sparse matrix of all pairs, by Tanimoto and by cosine."""
    from FPSim2 import FPSim2Engine

    engine = FPSim2Engine(str(table.fpsim2_file))
    if len(engine.fps) != len(table.packed):
        raise ValueError(
            f"{table.fpsim2_file.name} has {len(engine.fps)} rows, not {len(table.packed)}: remove it"
        )

    def entry(name: str, metric: str, threshold: float) -> Entry:
        def run() -> Any:
            with contextlib.redirect_stderr(io.StringIO()):  # it draws a progress bar
                return engine.symmetric_distance_matrix(threshold, metric, n_workers=threads)

        return Entry(
            name,
            run,
            "warmed up by one query",
            peer=True,
            warm_up=lambda: engine.similarity("CCO", threshold),
            facts=lambda matrix: {"pairs": matrix.nnz // 2},
        )

    return [entry(FPSIM2_TANIMOTO, "tanimoto", tanimoto), entry(FPSIM2_COSINE, "cosine", cosine)]


def rdkit_entries(table: Fingerprints, threshold: float) -> list[Entry]:
    """RDKit's bulk call for some rows against all rows after them, scaled up to all rows."""
    from rdkit import DataStructs

    count = len(table.packed)
    # FPS text is hexadecimal with the first bit of a byte lowest; packbits has it highest.
    lowest_first = np.packbits(np.unpackbits(table.packed, axis=1), axis=1, bitorder="little")
    vectors = [DataStructs.CreateFromFPSText(row.tobytes().hex()) for row in lowest_first]
    queries = np.linspace(0, count - 2, min(RDKIT_QUERIES, count - 1)).astype(int).tolist()
    compared = sum(count - 1 - query for query in queries)

    def run() -> int:
        found = 0
        for query in queries:
            values = DataStructs.BulkTanimotoSimilarity(vectors[query], vectors[query + 1 :])
            found += int((np.array(values) >= threshold).sum())
        return found

    scale = count * (count - 1) / 2 / compared
    note = f"{len(queries)} of {count:,} query rows, times {scale:.1f}; 1 thread"
    return [Entry(RDKIT, run, note, peer=True, scale=scale, facts=lambda found: {"pairs in those": found})]


class BlockedProduct:
    """The float32 products of all pairs of blocks on and above the diagonal, each thrown away."""

    def __init__(self, rows: np.ndarray) -> None:
        import torch

        self._rows = torch.from_numpy(rows)
        self.block = min(BLOCKS, key=self._seconds_per_product)
        starts = range(0, len(rows), self.block)
        self._pairs = [(row, column) for row in starts for column in starts if row <= column]
        done = sum(self._size(row) * self._size(column) for row, column in self._pairs)
        self.flops = 2 * done * rows.shape[1]
        self.full_share = len(rows) ** 2 / done

    def _size(self, start: int) -> int:
        return min(self.block, len(self._rows) - start)

    def _seconds_per_product(self, block: int) -> float:
        """Time one block of that size, per product of two rows, after one untimed."""
        block = min(block, len(self._rows))
        part = self._rows[:block]
        (part @ part.T).sum()
        begin = time.perf_counter()
        for _ in range(3):
            part @ part.T
        return (time.perf_counter() - begin) / block**2

    def run(self) -> None:
        """Multiply all pairs of blocks."""
        import torch

        with torch.inference_mode():
            for row, column in self._pairs:
                left, right = self._rows[row : row + self.block], self._rows[column : column + self.block]
                torch.mm(left, right.T)


def brute_force(rows: np.ndarray, threshold: float) -> np.ndarray:
    """Give i n + j of the pairs i < j of n rows whose float64 cosine is at least ``threshold``, ascending."""
    import torch

    unit = torch.from_numpy(rows).double()
    unit /= unit.norm(dim=1, keepdim=True)
    found = []
    for begin in range(0, len(unit), 1000):
        near = unit[begin : begin + 1000] @ unit[begin:].T >= threshold
        row, column = near.triu(1).nonzero(as_tuple=True)
        found.append((row + begin) * len(unit) + column + begin)
    return torch.cat(found).numpy()
