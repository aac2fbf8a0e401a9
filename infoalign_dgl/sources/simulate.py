"""The embedded default: molecules whose mechanisms are known, and how simulated cells respond to them.

No cell data can be shipped with the program, so this stands in for it. Nothing here is measured: structures
are joined from fragments of drugs, mechanisms are assigned to fragments at random, and responses are
computed from them. What makes it a test is that a mechanism is switched on by several chemically different
fragments: from a few labelled molecules the structure alone does not tell it for the other chemotypes, while
the response of the cell does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcCrippenDescriptors, CalcTPSA

from infoalign_dgl.sources.simulate_molecules import choose_chemotypes, contains_fragment, join_molecules

if TYPE_CHECKING:
    from collections.abc import Sequence

MECHANISMS: tuple[str, ...] = tuple(
    f"simulated: {name}-like"
    for name in (
        "tubulin",
        "actin",
        "DNA damage",
        "proteasome",
        "HDAC",
        "EGFR",
        "mTOR",
        "HSP90",
        "glucocorticoid receptor",
        "Na+/K+ ATPase",
        "lysosome",
        "mitochondrial uncoupling",
    )
)
_COMPARTMENTS = ("Cells", "Cytoplasm", "Nuclei")
_CHANNELS = ("AGP", "DNA", "ER", "Mito", "RNA")
_FIRST_GENE = 900_000_001  # beyond every Entrez id in use: a simulated gene is never taken for a real one


@dataclass(frozen=True)
class SimulationConfig:
    """What is simulated; each number was set by the reason beside it, before any method was compared.

    Attributes
    ----------
    chemotypes : int
        Fragments that switch on one mechanism. Ligands of a target usually fall into a few chemical series.
    potency : (float, float)
        Range of a chemotype's potency p; activity is 1 - exp(-sum of p), so 0.6 to 2.4 is 45 % to 91 % of
        the full response: most chemotypes are clear, some are borderline.
    context : float
        Standard deviation of log potency that comes from the rest of the molecule (lipophilicity, polarity,
        size): 0.25 changes potency by a quarter, less than chemotypes differ.
    active_from : float
        Activity from which a molecule counts as having the mechanism: half of the full response.
    columns : tuple of (str, int)
        Morphology columns of each assay; two assays, since laboratories do not measure the same columns.
    gene_columns : int
        Columns of the first assay that genetic perturbations are profiled in; fewer than 95 %, so that they
        form a feature space of their own.
    measured : tuple of float
        Share of the molecules that each assay of ``columns`` measured, then the share with expression; most
        molecules of a library never reach every assay.
    replicates : int
        Most replicates of a profile; 1 to this many, equally often.
    noise : float
        Standard deviation of a replicate, around the full response's 1; half of the variance is shared
        between columns. At 0.7 a single profile of a borderline molecule drowns and the median of several
        strong ones does not, as in real screens.
    expression_noise : float
        The same for expression; 1, since the values are z-scores.
    batches, batch_effect : int, float
        Plates, and the standard deviation of what a plate adds to a column; well below noise, as after
        correction.
    nuisance : float
        Standard deviation of a response that follows lipophilicity and no mechanism, as toxicity does.
    genes, extra_genes : int, int
        Expression columns, as many as L1000 has landmark genes, and genes known from the network only.
    signature_genes : int
        Genes that a mechanism regulates, to z-scores of 3 to 7 when fully active.
    targets : int
        Genes of each mechanism whose perturbation looks like it; half are expression columns.
    inert_genes : int
        Perturbed genes without a phenotype.
    interactions : int
        Random gene-gene pairs, beside those within mechanisms.
    annotated : float
        Share of (molecule, mechanism) pairs whose binding to a target gene is known.
    """

    chemotypes: int = 4
    potency: tuple[float, float] = (0.6, 2.4)
    context: float = 0.25
    active_from: float = 0.5
    columns: tuple[tuple[str, int], ...] = (("simulated_painting_a", 300), ("simulated_painting_b", 200))
    gene_columns: int = 150
    measured: tuple[float, float, float] = (0.35, 0.25, 0.30)
    replicates: int = 3
    noise: float = 0.7
    expression_noise: float = 1.0
    batches: int = 8
    batch_effect: float = 0.2
    nuisance: float = 0.3
    genes: int = 978
    extra_genes: int = 150
    signature_genes: int = 80
    targets: int = 6
    inert_genes: int = 120
    interactions: int = 2000
    annotated: float = 0.2


@dataclass(frozen=True)
class Simulation:
    """Simulated tables, and the truth behind them. Nothing in it is measured.

    Attributes
    ----------
    molecules : pandas.DataFrame
        ``id``, ``smiles``: n molecules, no two with the same InChIKey first block.
    mechanisms : list of str
        K names, each beginning with "simulated: ".
    chemotypes : list of list of str
        By mechanism, the fragments (SMILES, a wildcard at each cut) that switch it on.
    activity : numpy.ndarray
        (n, K) float64 in [0, 1): the share of a mechanism's full response.
    labels : numpy.ndarray
        (n, K) bool: activity from half of the full response.
    morphology : dict of str to pandas.DataFrame
        By assay, ``id`` and columns named as CellProfiler names them, one row per replicate, in standard
        deviations of controls.
    expression : pandas.DataFrame
        ``id`` and a column per gene (its id as a string), z-scores, one row per replicate.
    gene_morphology : pandas.DataFrame
        ``entrez`` and columns of the first assay: what perturbing a gene does.
    genes : pandas.DataFrame
        ``entrez``, ``symbol`` of every simulated gene; the ids are beyond all real Entrez ids.
    gene_gene : pandas.DataFrame
        ``gene_0``, ``gene_1``: interactions, each pair once.
    molecule_gene : pandas.DataFrame
        ``id``, ``entrez``: known binding.
    """

    molecules: pd.DataFrame
    mechanisms: list[str]
    chemotypes: list[list[str]]
    activity: np.ndarray
    labels: np.ndarray
    morphology: dict[str, pd.DataFrame]
    expression: pd.DataFrame
    gene_morphology: pd.DataFrame
    genes: pd.DataFrame
    gene_gene: pd.DataFrame
    molecule_gene: pd.DataFrame


def simulate(
    num_molecules: int = 3000, *, seed: int = 0, config: SimulationConfig | None = None
) -> Simulation:
    """Simulate molecules and the cells that respond to them.

    Parameters
    ----------
    num_molecules : int
        Molecules to join; a few thousand take seconds.
    seed : int
        The result is a function of the seed, the settings and RDKit's version, and of nothing else.
    config : SimulationConfig, optional
        Settings of the simulation.

    Returns
    -------
    Simulation
        Tables and truth.

    Raises
    ------
    ValueError
        If ``num_molecules`` is below 1.
    SourceError
        If the fragments do not give that many molecules.
    """
    if num_molecules < 1:
        raise ValueError(f"'num_molecules' must be at least 1, not {num_molecules}: the usual number is 3000")
    config = config or SimulationConfig()
    structure_rng, mechanism_rng, gene_rng, assay_rng = np.random.default_rng(seed).spawn(4)
    smiles = join_molecules(num_molecules, structure_rng)
    ids = [f"SIM{number:07d}" for number in range(1, num_molecules + 1)]
    structures = [Chem.MolFromSmiles(text) for text in smiles]
    descriptors = _descriptors(structures)
    chemotypes = choose_chemotypes(len(MECHANISMS), config.chemotypes, mechanism_rng)
    activity = _activity(structures, chemotypes, descriptors, config, mechanism_rng)
    labels = activity >= config.active_from

    genes = np.arange(_FIRST_GENE, _FIRST_GENE + config.genes + config.extra_genes)
    signatures = _signatures(config, gene_rng)
    targets = _targets(signatures, config, gene_rng)
    loadings = {name: _phenotypes(count, gene_rng) for name, count in config.columns}

    names = _column_names()
    morphology = {}
    for (space, count), share in zip(config.columns, config.measured[:-1], strict=True):
        chosen = np.sort(gene_rng.permutation(len(names))[:count])
        response = activity @ loadings[space]
        response += config.nuisance * np.outer(descriptors[:, 0], gene_rng.standard_normal(count))
        columns = [names[i] for i in chosen]
        morphology[space] = _measure(ids, response, columns, share, config, assay_rng, noise=config.noise)
    measured_genes, expressed = [str(gene) for gene in genes[: config.genes]], activity @ signatures
    expression = _measure(
        ids, expressed, measured_genes, config.measured[-1], config, assay_rng, noise=config.expression_noise
    )
    first = config.columns[0][0]
    first_columns = list(morphology[first].columns[1:])
    return Simulation(
        molecules=pd.DataFrame({"id": ids, "smiles": smiles}),
        mechanisms=list(MECHANISMS),
        chemotypes=chemotypes,
        activity=activity,
        labels=labels,
        morphology=morphology,
        expression=expression,
        gene_morphology=_perturb_genes(genes, targets, loadings[first], first_columns, config, gene_rng),
        genes=pd.DataFrame({"entrez": genes, "symbol": [f"SIMG{i:04d}" for i in range(1, len(genes) + 1)]}),
        gene_gene=_interactions(genes, targets, signatures, config, gene_rng),
        molecule_gene=_binding(ids, labels, genes, targets, config, gene_rng),
    )


def _descriptors(structures: Sequence[Any]) -> np.ndarray:
    """(n, 3) lipophilicity, polar surface and size, each with mean 0 and standard deviation 1."""
    values = np.array(
        [
            (CalcCrippenDescriptors(molecule)[0], CalcTPSA(molecule), float(molecule.GetNumAtoms()))
            for molecule in structures
        ]
    )
    return (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)


def _activity(
    structures: Sequence[Any],
    chemotypes: list[list[str]],
    descriptors: np.ndarray,
    config: SimulationConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """(n, K): potencies add over a molecule's chemotypes, scaled by the rest of it, and saturate."""
    total = np.zeros((len(structures), len(chemotypes)))
    for mechanism, group in enumerate(chemotypes):
        for core in group:
            total[:, mechanism] += rng.uniform(*config.potency) * contains_fragment(structures, core)
    direction = rng.standard_normal((descriptors.shape[1], len(chemotypes)))
    direction /= np.linalg.norm(direction, axis=0)
    return 1.0 - np.exp(-total * np.exp(config.context * np.tanh(descriptors @ direction)))


def _phenotypes(columns: int, rng: np.random.Generator) -> np.ndarray:
    """(K, columns): each mechanism moves 40 % of the columns; the mean square over all columns is 1."""
    loading = rng.standard_normal((len(MECHANISMS), columns)) * (rng.random((len(MECHANISMS), columns)) < 0.4)
    return loading / np.sqrt(np.mean(loading**2, axis=1, keepdims=True))


def _signatures(config: SimulationConfig, rng: np.random.Generator) -> np.ndarray:
    """(K, genes) z-scores of the full response of each mechanism."""
    signatures = np.zeros((len(MECHANISMS), config.genes))
    for row in signatures:
        regulated = rng.permutation(config.genes)[: config.signature_genes]
        row[regulated] = rng.uniform(3, 7, len(regulated)) * rng.choice((-1.0, 1.0), len(regulated))
    return signatures


def _targets(signatures: np.ndarray, config: SimulationConfig, rng: np.random.Generator) -> np.ndarray:
    """(K, targets) genes, none twice: half from a mechanism's signature, half never measured."""
    taken: set[int] = set()
    unmeasured = iter(config.genes + rng.permutation(config.extra_genes))
    targets = []
    for row in signatures:
        regulated = [int(gene) for gene in rng.permutation(np.flatnonzero(row)) if gene not in taken]
        inside = regulated[: config.targets // 2]
        outside = [int(next(unmeasured)) for _ in range(config.targets - len(inside))]
        taken.update(inside)
        targets.append(inside + outside)
    return np.array(targets)


def _column_names() -> list[str]:
    """Names as CellProfiler gives them, in a fixed order."""
    shapes = ("Area", "Compactness", "Eccentricity", "Extent", "FormFactor", "Perimeter", "Solidity")
    intensities = ("IntegratedIntensity", "MeanIntensity", "MedianIntensity", "StdIntensity", "MADIntensity")
    textures = ("Contrast", "Correlation", "Entropy", "SumAverage", "Variance")
    names = []
    for compartment in _COMPARTMENTS:
        names += [f"{compartment}_AreaShape_{shape}" for shape in shapes]
        for channel in _CHANNELS:
            names += [f"{compartment}_Intensity_{measure}_{channel}" for measure in intensities]
            names += [f"{compartment}_Texture_{texture}_{channel}_3_00_256" for texture in textures]
            names += [f"{compartment}_Granularity_{scale}_{channel}" for scale in range(1, 9)]
            names += [f"{compartment}_RadialDistribution_FracAtD_{channel}_{ring}of4" for ring in range(1, 5)]
        names += [
            f"{compartment}_Correlation_Correlation_{one}_{other}"
            for number, one in enumerate(_CHANNELS)
            for other in _CHANNELS[number + 1 :]
        ]
    return names


def _measure(
    ids: list[str],
    response: np.ndarray,
    columns: list[str],
    share: float,
    config: SimulationConfig,
    rng: np.random.Generator,
    *,
    noise: float,
) -> pd.DataFrame:
    """Measure a share of the molecules, some several times, each time on some plate."""
    num_molecules, num_columns = response.shape
    measured = np.sort(rng.permutation(num_molecules)[: max(1, round(share * num_molecules))])
    rows = np.repeat(measured, rng.integers(1, config.replicates + 1, len(measured)))
    plates = config.batch_effect * rng.standard_normal((config.batches, num_columns))
    shared_axes = rng.standard_normal((10, num_columns)) / np.sqrt(10)
    shared = rng.standard_normal((len(rows), 10)) @ shared_axes
    own = rng.standard_normal((len(rows), num_columns))
    values = response[rows] + plates[rng.integers(config.batches, size=len(rows))]
    values += noise * np.sqrt(0.5) * (shared + own)
    table = pd.DataFrame(values.astype(np.float32), columns=columns)
    table.insert(0, "id", [ids[row] for row in rows])
    return table


def _perturb_genes(
    genes: np.ndarray,
    targets: np.ndarray,
    loading: np.ndarray,
    columns: list[str],
    config: SimulationConfig,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Perturbing a target gene looks like its mechanism; perturbing any other gene looks like nothing."""
    chosen = np.sort(rng.permutation(len(columns))[: config.gene_columns])
    others = np.setdiff1d(np.arange(len(genes)), targets)
    inert = np.sort(rng.permutation(others)[: config.inert_genes])
    strength = rng.uniform(config.active_from, 1.0, targets.size)
    values = strength[:, None] * np.repeat(loading[:, chosen], targets.shape[1], axis=0)
    values = np.concatenate([values, np.zeros((len(inert), len(chosen)))])
    # A genetic profile is the mean over many wells of several guides, so its noise is half of a single
    # well's.
    values += config.noise / 2 * rng.standard_normal(values.shape)
    table = pd.DataFrame(values.astype(np.float32), columns=[columns[i] for i in chosen])
    table.insert(0, "entrez", genes[np.concatenate([targets.ravel(), inert])])
    return table.sort_values("entrez", ignore_index=True)


def _interactions(
    genes: np.ndarray,
    targets: np.ndarray,
    signatures: np.ndarray,
    config: SimulationConfig,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Targets of a mechanism interact with each other and with genes of its signature; the rest is random."""
    pairs = [rng.integers(len(genes), size=(config.interactions, 2))]
    for group, signature in zip(targets, signatures, strict=True):
        one, other = np.triu_indices(len(group), 1)
        pairs.append(np.stack([group[one], group[other]], axis=1))
        regulated = rng.choice(np.flatnonzero(signature), size=3 * len(group))
        pairs.append(np.stack([np.repeat(group, 3), regulated], axis=1))
    edges = np.sort(np.concatenate(pairs), axis=1)
    edges = np.unique(edges[edges[:, 0] != edges[:, 1]], axis=0)
    return pd.DataFrame({"gene_0": genes[edges[:, 0]], "gene_1": genes[edges[:, 1]]})


def _binding(
    ids: list[str],
    labels: np.ndarray,
    genes: np.ndarray,
    targets: np.ndarray,
    config: SimulationConfig,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Name one target gene for some of the active molecules."""
    molecules, mechanisms = np.nonzero(labels & (rng.random(labels.shape) < config.annotated))
    bound = targets[mechanisms, rng.integers(targets.shape[1], size=len(mechanisms))]
    return pd.DataFrame({"id": [ids[molecule] for molecule in molecules], "entrez": genes[bound]})
