"""What methods learn from: fingerprints, embeddings, measured profiles, and a user's own vectors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from infoalign_dgl.errors import EvaluationError
from infoalign_dgl.evaluation.predictions import Predictions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from infoalign_dgl.context import ContextGraph
    from infoalign_dgl.representation import Representation

    Progress = Callable[[int, int], None]

RADIUS, NUM_BITS = 2, 2048
Modality = Literal["morphology", "gene_expression"]

_EDGES = {
    "morphology": ("molecule", "perturbs", "morphology"),
    "gene_expression": ("molecule", "induces", "gene_expression"),
}
_BLOCK = 14  # letters of an InChIKey's first block, which says the connectivity


@dataclass(frozen=True)
class Features:
    """Vectors of a task set's molecules, row for row.

    Attributes
    ----------
    name : str
    values : numpy.ndarray
        (n, d) float32, NaN in rows without a vector.
    has : numpy.ndarray
        (n,) bool: rows with a vector.
    notes : list of str
        What a user should know of where they come from, a sentence each.
    """

    name: str
    values: np.ndarray
    has: np.ndarray
    notes: list[str] = field(default_factory=list)

    @property
    def coverage(self) -> float:
        """Share of rows with a vector, 0 where there is no row."""
        return float(self.has.mean()) if len(self.has) else 0.0


def morgan_counts(
    smiles: Sequence[str | None], *, num_workers: int | None = None, progress: Progress | None = None
) -> Features:
    """Count the circular substructures of molecules, up to radius 2, folded into 2,048 columns.

    Structures are standardized first, as for an embedding: largest fragment, uncharged.

    Parameters
    ----------
    smiles : sequence of (str or None)
        n structures as given.
    num_workers : int, optional
        Processes; by default one per CPU.
    progress : callable, optional
        Called with (structures done, n).

    Returns
    -------
    Features
        (n, 2048), whole numbers.
    """
    from infoalign_dgl.molecules._workers import map_chunks

    chunks = map_chunks(_count_chunk, smiles, num_workers=num_workers, progress=progress)
    none = np.zeros((0, NUM_BITS), np.float32)
    values = np.concatenate([none, *(chunk.astype(np.float32) for chunk, _ in chunks)])
    has = np.concatenate([np.zeros(0, bool), *(read for _, read in chunks)])
    values[~has] = np.nan
    return Features("morgan counts", values, has, _missing(has, "has no structure that can be read"))


def morgan_bits(
    smiles: Sequence[str | None], *, num_workers: int | None = None, progress: Progress | None = None
) -> Features:
    """Say which circular substructures molecules have: 1 where `morgan_counts` is above 0."""
    counts = morgan_counts(smiles, num_workers=num_workers, progress=progress)
    return replace(counts, name="morgan bits", values=np.minimum(counts.values, 1))


def _count_chunk(smiles: list[str | None]) -> tuple[np.ndarray, np.ndarray]:
    from rdkit import rdBase
    from rdkit.Chem import rdFingerprintGenerator

    from infoalign_dgl.molecules.parsing import parse_structure
    from infoalign_dgl.molecules.standardization import standardize_one

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=NUM_BITS)
    counts = np.zeros((len(smiles), NUM_BITS), np.uint16)
    read = np.zeros(len(smiles), bool)
    with rdBase.BlockLogs():
        for row, text in enumerate(smiles):
            standard = standardize_one(text.strip() if isinstance(text, str) else "", "smiles")[0]
            molecule = None if standard is None else parse_structure(standard)[0]
            if molecule is not None:
                counts[row] = generator.GetCountFingerprintAsNumPy(molecule)
                read[row] = True
    return counts, read


def embed_features(
    representation: Representation, smiles: Sequence[str | None], *, progress: Progress | None = None
) -> Features:
    """Embed structures with a pretrained encoder; what cannot be embedded has no vector."""
    vectors = representation.embed(smiles, progress=progress)
    values = np.asarray(vectors)
    has = np.isfinite(values).all(axis=1)
    return Features("embedding", values, has, _missing(has, "has no embedding"))


def untrained_features(
    representation: Representation,
    smiles: Sequence[str | None],
    seed: int,
    *,
    progress: Progress | None = None,
) -> Features:
    """Embed structures with an encoder whose weights are as they were drawn.

    Parameters
    ----------
    representation : Representation
        A run's, whose configuration the encoder has.
    smiles : sequence of (str or None)
        n structures.
    seed : int
        Of the weights.
    progress : callable, optional
        Called with (molecules encoded, all).

    Returns
    -------
    Features
        (n, hidden). On the CPU, so that a seed is the same vectors on every machine.
    """
    import torch

    from infoalign_dgl.models import InfoAlign
    from infoalign_dgl.models.compat import bound_all_rows

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = InfoAlign(representation.model.config).eval()
    if model.config.compat is not None:
        bound_all_rows(model)
    features = embed_features(replace(representation, model=model), smiles, progress=progress)
    return replace(features, name="untrained embedding")


def pooled_features(
    representation: Representation, smiles: Sequence[str | None], *, batch_size: int = 128
) -> Features:
    """Embed structures as what the encoder hands to the bottleneck: the latent left out.

    Parameters
    ----------
    representation : Representation
    smiles : sequence of (str or None)
        n structures.
    batch_size : int
        Molecules at a time; the vectors do not depend on it.

    Returns
    -------
    Features
        (n, hidden).
    """
    import torch

    from infoalign_dgl.models.encoder import DEFAULT_BACKEND
    from infoalign_dgl.molecules import standardized_graphs

    packed, reasons = standardized_graphs(list(smiles), tautomer=representation.tautomer)
    rows = np.array([row for row, reason in enumerate(reasons) if reason is None], np.int64)
    device = next(representation.model.parameters()).device
    values = np.full((len(reasons), representation.dim), np.nan, np.float32)
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        with torch.inference_mode():
            pooled = representation.model.encoder(packed.gather(part).to(device), DEFAULT_BACKEND)
        values[part] = pooled.float().cpu().numpy()
    has = np.asarray(np.isfinite(values).all(axis=1))
    return Features("encoder without the bottleneck", values, has, _missing(has, "has no embedding"))


def measured_features(
    keys: Sequence[str | None], graph: ContextGraph, modality: Modality, *, space: str | None = None
) -> Features:
    """Take the measured profiles of a context graph for the molecules of a task set.

    Profiles of different spaces have different columns, so one space is taken: the one that covers most rows,
    or the one named. A molecule with several profiles in it gets their mean.

    Parameters
    ----------
    keys : sequence of (str or None)
        n first blocks of InChIKeys.
    graph : ContextGraph
        One that was built without excluding the task set's molecules, or none of them is covered.
    modality : {"morphology", "gene_expression"}
    space : str, optional
        A feature space of the modality.

    Returns
    -------
    Features
        (n, columns of the space), each scaled to [0, 1] over the graph's profiles; the notes give the
        coverage by each space.

    Raises
    ------
    EvaluationError
        If the graph has no profiles of the modality, or no such space of it.
    """
    spaces = {name: found for name, found in graph.spaces.items() if found.node_type == modality}
    if not spaces or (space is not None and space not in spaces):
        what = f"no feature space '{space}'" if spaces else "no feature space"
        there = f"it has {', '.join(spaces)}" if spaces else "use a graph with such profiles"
        raise EvaluationError(f"the graph has {what} of {modality}: {there}")
    blocks = [str(key)[:_BLOCK] for key in graph.nodes["molecule"]["inchikey"]]
    place = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    rows = np.array([-1 if key is None else place.get(key, -1) for key in keys], np.int64)
    source, target, _ = graph.edges(_EDGES[modality])
    source = np.array([place[block] for block in blocks], np.int64)[source]
    covered, pairs = {}, {}
    for name, found in spaces.items():
        stored = found.node_rows[target]
        pairs[name] = source[stored >= 0], stored[stored >= 0]
        has = np.zeros(len(place) + 1, bool)  # the last one stands for rows without a molecule
        has[pairs[name][0]] = True
        covered[name] = has[rows]
    chosen = max(spaces, key=lambda name: covered[name].sum()) if space is None else space
    owners, stored = pairs[chosen]
    wanted = np.isin(owners, rows)
    owners, stored = owners[wanted], stored[wanted]
    measured, which = np.unique(owners, return_inverse=True)
    sums = np.zeros((len(measured), spaces[chosen].dim))
    np.add.at(sums, which, spaces[chosen].dense(stored))
    means = sums / np.bincount(which, minlength=len(measured))[:, None]
    values = np.full((len(rows), spaces[chosen].dim), np.nan, np.float32)
    has = covered[chosen]
    values[has] = means[np.searchsorted(measured, rows[has])]
    each = ", ".join(f"{name} {covered[name].sum():,}" for name in spaces)
    notes = [f"Rows of {len(rows):,} with a profile, by feature space: {each}; '{chosen}' is used."]
    return Features(f"{modality} of '{chosen}'", values, has, notes)


def file_features(path: str | Path, smiles: Sequence[str | None]) -> Features:
    """Read a user's own vectors of a task set's molecules.

    Parameters
    ----------
    path : str or Path
        A ``.npy`` file of shape (n, d), or a table of n rows (CSV, TSV, Parquet, ...), such as ``embed``
        writes. A table's vectors are its columns of numbers whose names are not those of identifiers.
    smiles : sequence of (str or None)
        The n structures of the task set. A table's column ``smiles``, where it has one, must equal them.

    Returns
    -------
    Features
        A row with an empty or infinite cell has no vector.

    Raises
    ------
    EvaluationError
        If the file is no matrix of numbers, or its rows are not those of the task set.
    SourceError
        If it cannot be read as a table.
    """
    path = Path(path)
    notes: list[str] = []
    values = _npy(path) if path.suffix == ".npy" else _columns(path, smiles, notes)
    if len(values) != len(smiles):
        raise EvaluationError(
            f"'{path}' has {len(values):,} rows and the task set has {len(smiles):,}: give one row for each, "
            "in the same order"
        )
    values = values.astype(np.float32)
    has = np.isfinite(values).all(axis=1)
    if not has.any():
        raise EvaluationError(f"'{path}' has no row without an empty or infinite cell: fill its gaps")
    values[~has] = np.nan
    return Features(path.name, values, has, notes + _missing(has, "has an empty or infinite cell"))


def _npy(path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise EvaluationError(
            f"'{path}' cannot be read as an array ({error}): write it with numpy.save"
        ) from error
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise EvaluationError(
            f"'{path}' holds {values.dtype} of shape {values.shape}: give numbers of shape (rows, columns)"
        )
    return values


def _columns(path: Path, smiles: Sequence[str | None], notes: list[str]) -> np.ndarray:
    from infoalign_dgl.sources.tables import read_header, read_table
    from infoalign_dgl.sources.task_tables import is_identifier

    header = read_header(path)
    wanted = [name for name in header if not is_identifier(name)]
    text = ["smiles"] if "smiles" in header else []
    strange: list[str] = []
    frame = read_table(path, text=text, numbers=wanted, strange=strange)
    if text and len(frame) == len(smiles):
        pairs = zip(frame.index, frame["smiles"], smiles, strict=True)
        other = next(((row, mine, theirs) for row, mine, theirs in pairs if mine != theirs), None)
        if other is not None:
            raise EvaluationError(
                f"'{path}' has '{other[1]}' in row {other[0]}, where the task set has '{other[2]}': give its "
                "rows in the order of the task set"
            )
    numbers = frame[wanted].notna().any()
    for name in strange:
        if numbers[name]:
            row = frame.index[frame[name].isna()][0]
            raise EvaluationError(
                f"'{path}' has cells that are no numbers in column '{name}' (first in or after row {row}): "
                "correct them, or remove the column"
            )
    left_out = [name for name in header if name not in wanted or not numbers[name]]
    if len(left_out) == len(header):
        raise EvaluationError(f"'{path}' has no column of numbers besides identifiers: add the vectors")
    if left_out:
        notes.append(f"Columns left out of '{path.name}': {', '.join(left_out)}.")
    return frame[[name for name in wanted if numbers[name]]].to_numpy()


def _missing(has: np.ndarray, why: str) -> list[str]:
    lost = int((~has).sum())
    which = f", first row {int(np.argmin(has))}" if lost else ""
    return [f"{lost:,} of {len(has):,} rows have no vector ({why}{which})."] if lost else []


def standardize(features: Features, train: np.ndarray) -> Features:
    """Subtract each column's mean and divide by its standard deviation, both of the train rows.

    Parameters
    ----------
    features : Features
    train : numpy.ndarray
        Row numbers, int64; of these the rows with a vector count.

    Returns
    -------
    Features
        Columns that are constant in train are all 0: they tell train rows apart by nothing, and nothing says
        how far another row's value is from theirs.

    Raises
    ------
    EvaluationError
        If no train row has a vector.
    """
    rows = train[features.has[train]]
    if not len(rows):
        raise EvaluationError(
            f"none of the {len(train):,} train rows has a vector of {features.name}: use another split or "
            "other features"
        )
    known = features.values[rows].astype(np.float64)
    mean, scale = known.mean(axis=0), known.std(axis=0)
    # What rounding leaves of a constant column is no scale.
    constant = scale <= 1e-6 * np.abs(known).max(axis=0)
    values = (features.values - mean) / np.where(constant, np.inf, scale)
    return replace(features, values=values.astype(np.float32))


def fall_back(profiles: Predictions, structure: Predictions) -> Predictions:
    """Take the predictions from profiles where there are any, and those from structure elsewhere.

    The first model learns from the measured train rows alone, the second from all train rows.

    Parameters
    ----------
    profiles : Predictions
        NaN in rows without a profile, and in tasks that too few measured rows have labels of.
    structure : Predictions
        Of the same seeds, rows and tasks; its notes are left to the method that it is by itself.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 6.1.
    """
    absent = np.isnan(profiles.values)
    values = np.where(absent, structure.values, profiles.values)
    spread = None
    if profiles.spread is not None and structure.spread is not None:
        spread = np.where(absent, structure.spread, profiles.spread)
    rows = int((~absent).any(axis=(0, 2)).sum())
    tasks = int((~absent).any(axis=(0, 1)).sum())
    share = 100 * rows / max(absent.shape[1], 1)
    notes = [
        f"{rows:,} of {absent.shape[1]:,} rows ({share:.1f} %) were predicted from profiles, in "
        f"{tasks:,} of {absent.shape[2]:,} tasks, and the rest from structure."
    ]
    return Predictions(values, spread, profiles.notes + notes)
