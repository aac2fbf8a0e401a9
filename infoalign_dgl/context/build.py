"""Tables in, context graph out: the whole pipeline, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infoalign_dgl import _spill
from infoalign_dgl.context.edges import EdgeBook, check_weights
from infoalign_dgl.context.exclusion import Excluded, read_excluded
from infoalign_dgl.context.finished_spaces import finished_spaces
from infoalign_dgl.context.gene_edges import (
    GeneEdges,
    closed_genes,
    expression_edges,
    gene_gene_edges,
    gene_ids,
    gene_measured,
    molecule_gene_edges,
)
from infoalign_dgl.context.graph import ContextGraph
from infoalign_dgl.context.identity import Molecules, identify
from infoalign_dgl.context.means import Means
from infoalign_dgl.context.node_tables import node_tables
from infoalign_dgl.context.profiles import (
    Aggregated,
    Measured,
    aggregate_spaces,
)
from infoalign_dgl.context.spec import BuildSettings, BuildSpec, read_spec
from infoalign_dgl.context.spec_rows import read_spec_rows
from infoalign_dgl.context.vocabulary import FINGERPRINT
from infoalign_dgl.errors import GraphError, SpecError
from infoalign_dgl.sources.reference_layout import read_reference_layout
from infoalign_dgl.sources.simulated import DEFAULT_MOLECULES, simulation_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.sources.rows import ContextRows


def build_to_folder(
    spec: str | Path,
    folder: str | Path,
    *,
    data_root: str | Path | None = None,
    overwrite: bool = False,
    exclude_tasks: Sequence[str | Path] = (),
    means: Means | None = None,
) -> ContextGraph:
    """Build a context graph and save it; large features pass through files beside the folder, not memory.

    Parameters
    ----------
    spec, data_root, exclude_tasks, means
        As for :func:`build_context_graph`.
    folder, overwrite
        As for :meth:`ContextGraph.save`.

    Raises
    ------
    SpecError, SourceError, GraphError
        As for :func:`build_context_graph`.
    InfoAlignError
        If the folder exists already, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not overwrite:  # said before the work, not after
        raise GraphError(
            f"'{folder}' already exists: choose another folder, or pass --overwrite to replace it"
        )
    means = Means() if means is None else means
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    with _spill.spilling(parent):
        graph = build_context_graph(spec, data_root=data_root, exclude_tasks=exclude_tasks, means=means)
        means.progress("writing files", 0, 1)
        graph.save(folder, overwrite=overwrite)
        means.progress("writing files", 1, 1)
    return graph


def build_context_graph(
    spec: str | Path | BuildSpec,
    *,
    data_root: str | Path | None = None,
    exclude_tasks: Sequence[str | Path] = (),
    means: Means | None = None,
) -> ContextGraph:
    """Build a context graph from tables on disk, or from the simulator.

    Parameters
    ----------
    spec : str, Path or BuildSpec
        A TOML file, ``reference:DIR`` for a folder in the published implementation's raw layout, or
        ``simulated`` (``simulated:N`` for N molecules).
    data_root : str or Path, optional
        Where the spec's paths start; by default the TOML file's folder.
    exclude_tasks : sequence of str or Path
        Task sets whose molecules are left out, by first InChIKey block and by id, and their profiles with
        them, before anything is fitted: see :func:`infoalign_dgl.evaluation.read_task_set`.
    means : Means, optional
        Processes, progress and what an earlier build left.

    Returns
    -------
    ContextGraph
        With its ``report``: for every table, rows read = rows used + rows dropped, by reason.

    Raises
    ------
    SpecError, SourceError, GraphError
        If the spec is wrong, a table cannot be read, or nothing remains to build from.

    References
    ----------
    Liu et al. 2024, Learning Molecular Representation in a Cell, section 3.1.

    Examples
    --------
    Simulated data need no tables:

    >>> from infoalign_dgl.context import build_context_graph
    >>> graph = build_context_graph("simulated:500")
    >>> graph.num_nodes
    {'molecule': 500, 'gene': 1117, 'gene_expression': 150, 'morphology': 300}
    >>> list(graph.spaces)
    ['fingerprint', 'expression', 'simulated_painting_a', 'simulated_painting_b', 'gene_perturbation']
    """
    means = Means() if means is None else means
    read_progress = partial(means.progress, "reading tables")
    settings: BuildSettings = BuildSettings()
    if isinstance(spec, BuildSpec):
        settings, rows = spec, read_spec_rows(spec, Path(data_root or "."), progress=read_progress)
    elif str(spec).startswith("reference:"):
        rows = read_reference_layout(Path(str(spec).removeprefix("reference:")))
    elif str(spec) == "simulated" or str(spec).startswith("simulated:"):
        from infoalign_dgl.sources.simulate import simulate

        rows = simulation_rows(simulate(_simulated_size(str(spec))))
    else:
        settings = read_spec(spec)
        rows = read_spec_rows(settings, Path(data_root or Path(spec).parent), progress=read_progress)
    tell = partial(means.progress, "standardizing excluded molecules")
    tautomer = settings.graph.tautomer
    excluded = (
        read_excluded(exclude_tasks, tautomer=tautomer, num_workers=means.num_workers, progress=tell)
        if exclude_tasks
        else Excluded()
    )
    return build_from_rows(rows, settings, excluded=excluded, means=means)


def build_from_rows(
    rows: ContextRows,
    settings: BuildSettings | None = None,
    *,
    excluded: Excluded | None = None,
    means: Means | None = None,
) -> ContextGraph:
    """Build a context graph from rows in memory.

    Parameters
    ----------
    rows : ContextRows
        From any source, for one build: their accounts are filled in.
    settings : BuildSettings, optional
        Similarity and graph settings; the defaults if left out.
    excluded : Excluded, optional
        Molecules that are left out, and what was measured of them.
    means
        As for :func:`build_context_graph`.

    Raises
    ------
    SourceError
        If an edge's weight is NaN or outside [0, 1].
    GraphError
        If no molecule remains, or profiles of two kinds claim one feature space.
    """
    settings = BuildSettings() if settings is None else settings
    means = Means() if means is None else means
    excluded = Excluded() if excluded is None else excluded
    combined = combine(rows, settings, means, excluded)
    molecules, profiles, gene_profiles = combined.molecules, combined.profiles, combined.gene_profiles
    gene_edges, known, warnings = combined.gene_edges, combined.known_genes, combined.warnings
    derived, cuts = expression_edges(profiles, settings.graph.regulates_top, known)
    genes = gene_ids([*gene_edges, *derived], gene_profiles, known)
    nodes, profiles, places = node_tables(rows, molecules, profiles, genes)
    book = EdgeBook()
    for edges in (*gene_edges, *derived):
        edges.add_to(book, genes)
    places |= {space.name: np.searchsorted(genes, space.owners) for space in gene_profiles}
    spaces, similarity = finished_spaces([*profiles, *gene_profiles], nodes, places, book, settings, means)
    edges_by_type = book.merged()
    _warn(rows, similarity, warnings)
    report = {
        "row_numbers": "as in the table's file, where the header is row 1",
        "tables": [account.to_json() for account in rows.accounts()],
        "spaces": {space.name: space.report for space in (*profiles, *gene_profiles)},
        "similarity": similarity,
        "expression_edges": cuts,
        "edges": book.report,
        "warnings": warnings,
    }
    _check_accounts(rows)
    schema = {"spec": settings.model_dump(mode="json"), "similarity": similarity}
    if excluded.names:
        schema["excluded"] = excluded.describe()
    graph = ContextGraph.from_edges(edges_by_type, nodes, spaces, schema, report)
    graph.reuse = means.reuse
    return graph


@dataclass(frozen=True)
class Combined:
    """Tables brought together: molecules and genes known, profiles complete, their tables' accounts filled.

    ``known_genes`` is None where any gene may come.
    """

    molecules: Molecules
    profiles: list[Aggregated]
    gene_profiles: list[Aggregated]
    gene_edges: list[GeneEdges]
    known_genes: np.ndarray | None
    warnings: list[str]


def combine(
    rows: ContextRows, settings: BuildSettings, means: Means, excluded: Excluded | None = None
) -> Combined:
    """Bring tables together; parameters and errors as for :func:`build_from_rows`."""
    _check_space_names(rows)
    gene_weights = [check_weights(table) for table in rows.gene_gene]
    molecule_weights = [check_weights(table) for table in rows.molecule_gene]
    molecules = identify(
        rows,
        settings.graph.identity,
        tautomer=settings.graph.tautomer,
        excluded=excluded,
        num_workers=means.num_workers,
        progress=partial(means.progress, "standardizing molecules"),
        helpers=means.helpers,
        reuse=means.reuse,
    )
    warnings: list[str] = []
    means.progress("joining feature spaces", 0, 1)
    profiles = aggregate_spaces(_measured(rows, molecules), warnings)
    known = closed_genes(rows.genes)
    gene_profiles = aggregate_spaces(gene_measured(rows.gene_profiles, known), warnings)
    gene_edges = [
        *(gene_gene_edges(t, w, known) for t, w in zip(rows.gene_gene, gene_weights, strict=True)),
        *(
            molecule_gene_edges(t, molecules, w, known)
            for t, w in zip(rows.molecule_gene, molecule_weights, strict=True)
        ),
    ]
    means.progress("joining feature spaces", 1, 1)
    return Combined(molecules, profiles, gene_profiles, gene_edges, known, warnings)


def _simulated_size(spec: str) -> int:
    _, _, size = spec.partition(":")
    if not size:
        return DEFAULT_MOLECULES
    if not size.isdecimal() or int(size) < 1:
        raise SpecError(
            f"'{spec}' should be simulated or simulated:N with N the number of molecules, at least 1"
        )
    return int(size)


def _check_space_names(rows: ContextRows) -> None:
    kinds: dict[str, str] = {FINGERPRINT: "molecule"}
    claims = [(table.space, table.node_type) for table in rows.profiles]
    for space, kind in [*claims, *((table.space, "gene") for table in rows.gene_profiles)]:
        if kinds.setdefault(space, kind) != kind:
            raise GraphError(
                f"feature space '{space}' is claimed for {kinds[space]} and for {kind} nodes: use two names"
            )


def _measured(rows: ContextRows, molecules: Molecules) -> list[Measured]:
    """Profiles with their molecules; rows whose molecule is unknown are left out (and were counted)."""
    tables = []
    for table in rows.profiles:
        owners = molecules.of(table.molecules)
        keep = owners >= 0
        tables.append(
            Measured(
                table.account,
                table.node_type,
                table.space,
                table.columns,
                _spill.take_rows(table.values, keep),
                owners[keep],
                table.numbers[keep],
                {name: np.array(found, object)[keep] for name, found in table.labels.items()},
                table.rules,
            )
        )
    return tables


def _warn(rows: ContextRows, similarity: dict[str, Any], warnings: list[str]) -> None:
    for account in rows.accounts():
        if account.rows and not account.used:
            reason, count = max(account.dropped.items(), key=lambda item: item[1])
            warnings.append(f"no row of '{account.table}' could be used: {count} of {account.rows}: {reason}")
    for space, found in similarity.items():
        if not found["edges"] and found.get("scope") != "none":
            few = f"feature space '{space}' has no similarity edge among its {found['rows']} rows"
            advice = ": a lower threshold or sparsity in [similarity] keeps more pairs"
            warnings.append(f"{few}{advice if found['rows'] > 1 else ''}")


def _check_accounts(rows: ContextRows) -> None:
    for account in rows.accounts():
        if account.used + account.num_dropped != account.rows:
            raise GraphError(
                f"'{account.table}' has {account.rows} rows, but {account.used} were used and "
                f"{account.num_dropped} "
                f"dropped: this is a fault of the program, please report it"
            )
