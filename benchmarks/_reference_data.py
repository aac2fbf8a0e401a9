"""Simulated tables in the published implementation's raw layout, which it and `reference:DIR` both read.

Structures are real ones where a data folder is given, and joined by the simulator otherwise; everything
else is drawn from a seed and labelled simulated. Of 6,000 molecules the graph has 13,300 nodes.

The conventions are those of the published `create_nx_graph`: ids of molecules are text without underscores
(it joins gene and molecule ids by one and splits them again); a gene that both of its tables know has the
same molecule in both, so that they merge to one node; each perturbed gene names a molecule, since it does not
read an empty cell. A molecule is measured in one of the two morphology tables, so that both programs count as
many morphology nodes: the published one merges a molecule's two profiles into one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {"CP-Bray": 1783, "CP-JUMP": 966, "G-CRISPR": 1111, "G-ORF": 862, "GE": 978}
FULL_SIZE = 6_000  # molecules
_LEAST_ROWS = 120  # it makes 100 clusters of the genes, and of the JUMP profiles
_FIRST_GENE = 900_000_001  # beyond every Entrez id in use
_MEMBERS, _SPREAD = (
    8,
    0.35,
)  # of a cluster of similar profiles: their centred cosine is 1 / (1 + 0.35^2) = 0.89


@dataclass(frozen=True)
class Sizes:
    """Rows of each table."""

    molecules: int
    crispr: int
    orf: int
    both: int
    bray: int
    jump: int
    expression: int
    gene_pairs: int

    @classmethod
    def of(cls, molecules: int) -> Sizes:
        """Keep the proportions: 6,000 molecules, 4,200 genes, 2,100 morphology, 1,000 expression profiles."""

        def share(count: int, least: int) -> int:
            return max(least, round(count * molecules / FULL_SIZE))

        genes = (share(3_000, _LEAST_ROWS), share(2_700, _LEAST_ROWS), share(1_500, _LEAST_ROWS // 2))
        profiles = (share(1_200, _LEAST_ROWS // 2), share(900, _LEAST_ROWS), share(1_000, _LEAST_ROWS // 2))
        if sum(profiles[:2]) > molecules:
            raise ValueError(f"'molecules' must be at least {sum(profiles[:2])}, not {molecules}")
        return cls(molecules, *genes, *profiles, share(20_000, 500))

    @property
    def genes(self) -> int:
        """Genes that were perturbed in either way."""
        return self.crispr + self.orf - self.both

    @property
    def nodes(self) -> int:
        """Nodes of the graph."""
        return self.molecules + self.genes + self.bray + self.jump + self.expression


def structures(data_root: Path | None, count: int, seed: int = 0) -> list[str]:
    """Give different standardized SMILES: JUMP production compounds, or simulated ones without data."""
    rng = np.random.default_rng(seed)
    if data_root is None:
        from infoalign_dgl.sources.simulate_molecules import join_molecules

        return join_molecules(count, rng)
    from infoalign_dgl.molecules import standardize

    table = pd.read_csv(data_root / "context/molecules/jump_compounds.csv.gz", usecols=["smiles"])
    drawn = rng.permutation(table["smiles"].to_numpy())[: count + count // 5 + 50]
    standard = standardize(drawn.tolist())
    found = {
        key[:14]: smiles for key, smiles in zip(standard.key, standard.smiles, strict=True) if key and smiles
    }
    if len(found) < count:
        raise ValueError(f"{data_root} gives {len(found)} different molecules of {count}: ask for fewer")
    return list(found.values())[:count]


def write_reference_data(folder: Path, smiles: list[str], seed: int = 0) -> Sizes:
    """Write all of the layout's files into a new folder."""
    rng = np.random.default_rng(seed)
    sizes = Sizes.of(len(smiles))
    folder.mkdir(parents=True)
    molecules = np.array([f"simulated{i:06}" for i in range(len(smiles))])
    _write(folder, "structure", mol_id=molecules, smiles=smiles)
    genes = _FIRST_GENE + np.arange(sizes.genes)
    bound = rng.choice(molecules, sizes.genes)
    crispr, orf = slice(0, sizes.crispr), slice(sizes.genes - sizes.orf, None)
    for name, part in (("G-CRISPR", crispr), ("G-ORF", orf)):
        _write(folder, name, ncbi_gene_id=genes[part], mol_id=bound[part])
        _write_features(folder, name, len(genes[part]), rng)
    measured = rng.permutation(molecules)
    bray, jump = measured[: sizes.bray], measured[sizes.bray : sizes.bray + sizes.jump]
    expressed = rng.permutation(molecules)[: sizes.expression]
    for name, column, owners in (
        ("CP-Bray", "cell_bid", bray),
        ("CP-JUMP", "cell_jid", jump),
        ("GE", "express_id", expressed),
    ):
        ids = [f"simulated-{column}-{i}" for i in range(len(owners))]
        _write(folder, name, **{column: ids, "mol_id": owners})
        _write_features(folder, name, len(owners), rng)
    source, target = rng.integers(0, sizes.genes, (2, sizes.gene_pairs))
    _write(folder, "G-G", source_id=genes[source], target_id=genes[target])
    measured_genes = _FIRST_GENE + rng.permutation(max(sizes.genes, COLUMNS["GE"]))[: COLUMNS["GE"]]
    pd.DataFrame({"ncbi_gene_id": measured_genes}).to_csv(folder / "L1k_idmaps.csv", index=False)
    return sizes


def _write(folder: Path, name: str, **columns: object) -> None:
    pd.DataFrame(columns).to_csv(folder / f"{name}.csv.gz", index=False)


def _write_features(folder: Path, name: str, rows: int, rng: np.random.Generator) -> None:
    """Draw rows, half of which are like a few others, so that there are similarity edges."""
    values = rng.standard_normal((rows, COLUMNS[name]), dtype=np.float32)
    alike = rng.permutation(rows)[: rows // 2]
    cluster = np.arange(len(alike)) // _MEMBERS
    centres = rng.standard_normal((len(alike) // _MEMBERS + 1, COLUMNS[name]), dtype=np.float32)
    values[alike] = centres[cluster] + np.float32(_SPREAD) * values[alike]
    np.savez(folder / f"{name}_feature.npz", data=values)
