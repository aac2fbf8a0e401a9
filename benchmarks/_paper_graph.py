"""Write a context graph of the paper's size, some rows of features at a time, in a process of its own.

It answers the request ``write``.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from _processes import serve

if TYPE_CHECKING:
    from infoalign_dgl.context import FeatureSpace

NODES = {"molecule": 129_592, "gene": 4_533, "gene_expression": 13_795, "morphology": 128_935}
EDGES = {
    ("molecule", "perturbs", "morphology"): 128_935,
    ("molecule", "induces", "gene_expression"): 13_795,
    ("molecule", "binds", "gene"): 10_000,
    ("molecule", "regulates", "gene"): 40_000,
    ("gene", "interacts", "gene"): 60_000,
    ("molecule", "similar", "molecule"): 60_000,
    ("gene", "similar", "gene"): 10_000,
    ("gene_expression", "similar", "gene_expression"): 13_654,
    ("morphology", "similar", "morphology"): 30_000,
}  # 366,384
# Node type, columns, and which of the type's nodes have a row: the first and the last, as shares.
SPACES = {
    "bray": ("morphology", 1783, 0.0, 0.21),
    "jump": ("morphology", 966, 0.21, 1.0),
    "l1000": ("gene_expression", 978, 0.0, 1.0),
    "crispr": ("gene", 1111, 0.0, 0.7),
    "orf": ("gene", 862, 0.3, 1.0),
}
BITS = 1024
_ROWS = 4_096  # drawn and written at a time
_SIMULATED = 2_000  # structures joined where there are no real ones


@dataclass(frozen=True)
class Plan:
    """What is written, and where it stands on the way."""

    counts: dict[str, int]
    scratch: Path
    dtype: type[np.floating[Any]]
    rng: np.random.Generator


def structures(data_root: Path | None, count: int, rng: np.random.Generator) -> list[str]:
    """Give that many SMILES, starting anew where there are fewer."""
    if data_root is None:
        from infoalign_dgl.sources.simulate_molecules import join_molecules

        found = join_molecules(min(count, _SIMULATED), rng)
    else:
        found = _real_structures(data_root, count)
    return [found[i % len(found)] for i in range(count)]


def _real_structures(data_root: Path, count: int) -> list[str]:
    from rdkit import Chem, rdBase

    tables = [data_root / "context/molecules/jump_compounds.csv.gz"]
    tables += [data_root / f"tasks/{name}/assays.csv.gz" for name in ("moltoxcast", "chembl2k")]
    found: list[str] = []
    with rdBase.BlockLogs():
        for table in tables:
            for text in pd.read_csv(table, usecols=["smiles"])["smiles"].dropna():
                if len(found) == count:
                    return found
                molecule = Chem.MolFromSmiles(text)
                if molecule is not None and molecule.GetNumAtoms():
                    found.append(text)
    return found


def write_features(plan: Plan, name: str) -> FeatureSpace:
    """Draw a space's rows, and give it with its values on disk."""
    from infoalign_dgl.context import FeatureSpace
    from infoalign_dgl.context.spaces import MinMaxScaler

    node_type, columns, begin, end = SPACES[name]
    nodes = plan.counts[node_type]
    first, last = round(begin * nodes), round(end * nodes)
    path = plan.scratch / f"{name}.npy"
    with path.open("wb") as stream:
        shape = (last - first, columns)
        header = {"descr": np.dtype(plan.dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(first, last, _ROWS):
            rows = plan.rng.random((min(_ROWS, last - start), columns), dtype=np.float32)
            stream.write(rows.astype(plan.dtype).data)
    node_rows = np.full(nodes, -1, np.int64)
    node_rows[first:last] = np.arange(last - first)
    names = [f"simulated_{name}_{i}" for i in range(columns)]
    scaler = MinMaxScaler(np.zeros(columns), np.ones(columns))
    return FeatureSpace(name, node_type, names, np.load(path, mmap_mode="r"), node_rows, None, scaler)


def draw_edges(plan: Plan, scale: float) -> dict[Any, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Draw different pairs of nodes; each profile has one molecule."""
    edges = {}
    for (source, relation, target), count in EDGES.items():
        sources, targets = plan.counts[source], plan.counts[target]
        if relation in ("perturbs", "induces"):
            pairs = plan.rng.integers(0, sources, targets), np.arange(targets)
        else:
            pairs = _different_pairs(
                plan.rng, sources, targets, round(count * scale), ordered=source != target
            )
        weight = 1 - 0.2 * plan.rng.random(len(pairs[0]), dtype=np.float32)
        edges[source, relation, target] = (*pairs, weight)
    return edges


def _different_pairs(
    rng: np.random.Generator, sources: int, targets: int, wanted: int, *, ordered: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Draw different pairs; those of one type are pairs of two nodes, in one order."""
    one, other = (rng.integers(0, size, wanted + wanted // 4 + 50) for size in (sources, targets))
    if not ordered:
        one, other = np.minimum(one, other), np.maximum(one, other)
        one, other = one[one < other], other[one < other]
    codes = rng.permutation(np.unique(one * targets + other))[:wanted]
    one, other = np.divmod(codes, targets)
    return one, other


def node_tables(plan: Plan, smiles: list[str]) -> dict[str, pd.DataFrame]:
    """Tables of all nodes, labelled simulated."""
    keys = {kind: [f"simulated-{kind}-{i}" for i in range(count)] for kind, count in plan.counts.items()}
    tables = {kind: pd.DataFrame({"key": found}) for kind, found in keys.items()}
    tables["molecule"] = tables["molecule"].assign(
        inchikey=[f"S{i:013}" for i in range(len(smiles))], smiles=smiles, sources="simulated"
    )
    tables["gene"]["symbol"] = ""
    for kind in ("gene_expression", "morphology"):
        tables[kind] = tables[kind].assign(molecule="", space="", replicates=1)
    return tables


def write(folder: str, data_root: str | None, scale: float, float16: bool) -> dict[str, Any]:
    """Write the graph as ``graph`` in the folder."""
    from infoalign_dgl.context import ContextGraph, FeatureSpace
    from infoalign_dgl.molecules import morgan_fingerprints

    counts = {kind: max(10, round(count * scale)) for kind, count in NODES.items()}
    scratch = Path(folder) / "scratch"
    scratch.mkdir()
    plan = Plan(counts, scratch, np.float16 if float16 else np.float32, np.random.default_rng(0))
    smiles = structures(None if data_root is None else Path(data_root), counts["molecule"], plan.rng)
    bits = morgan_fingerprints(smiles, radius=4, num_bits=BITS)
    columns = [f"morgan4_{bit}" for bit in range(BITS)]
    spaces = {
        "fingerprint": FeatureSpace("fingerprint", "molecule", columns, bits, np.arange(len(bits)), BITS)
    }
    spaces |= {name: write_features(plan, name) for name in SPACES}
    graph = ContextGraph.from_edges(draw_edges(plan, scale), node_tables(plan, smiles), spaces)
    graph.save(Path(folder) / "graph")
    shutil.rmtree(scratch)
    return {"feature_bytes": sum(space.values.nbytes for space in spaces.values())}


if __name__ == "__main__":
    serve({"write": write})
