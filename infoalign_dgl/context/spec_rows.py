"""Read the tables that a build specification lists into rows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from infoalign_dgl.context.sections.base import TableReader
from infoalign_dgl.context.sections.expression import read_expression
from infoalign_dgl.context.sections.genes import read_gene_ids, read_genes
from infoalign_dgl.context.sections.molecules import read_molecules
from infoalign_dgl.context.sections.morphology import read_gene_morphology, read_morphology
from infoalign_dgl.context.sections.networks import read_gene_gene, read_molecule_gene, read_network
from infoalign_dgl.context.sections.perturbations import GeneOf, read_perturbations
from infoalign_dgl.sources.genes import GeneNames
from infoalign_dgl.sources.reference_layout import read_reference_layout
from infoalign_dgl.sources.rows import ContextRows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from infoalign_dgl.context.sections.base import Table
    from infoalign_dgl.context.spec import BuildSpec

    ReadOne = Callable[[str, Table, Callable[[TableReader], Any]], list[Any]]


def read_spec_rows(
    spec: BuildSpec,
    data_root: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    read_one: ReadOne | None = None,
) -> ContextRows:
    """Read every table of a spec.

    Parameters
    ----------
    spec : BuildSpec
        What to read.
    data_root : Path
        Where the spec's paths start.
    progress : callable, optional
        Called with (tables read, tables).
    read_one : callable, optional
        Called with (section, table, read) for each table: gives ``read`` the table's reader and returns a
        list of what that returned, or of nothing to go on without the table.

    Returns
    -------
    ContextRows

    Raises
    ------
    SpecError
        If a column that the spec names is missing.
    SourceError
        If a file is missing or cannot be read as a table.
    """
    sections = {name: getattr(spec, name) for name in type(spec).model_fields}
    total = sum(len(tables) for tables in sections.values() if isinstance(tables, list))
    done = 0

    def simply(section: str, table: Table, read: Callable[[TableReader], Any]) -> list[Any]:
        return [read(TableReader(section, table, data_root))]

    def each(section: str, reader: Callable) -> list:
        nonlocal done
        found = []
        for table in sections[section]:
            found += (read_one or simply)(section, table, partial(reader, table=table))
            done += 1
            if progress is not None:
                progress(done, total)
        return found

    names = GeneNames()
    accounts = each("gene_ids", lambda reader, table: read_gene_ids(reader, table, names))
    genes_of: GeneOf = {}
    accounts += each("perturbations", lambda reader, table: read_perturbations(reader, table, genes_of))
    molecules = each("molecules", read_molecules)
    crosswalks = each("crosswalks", lambda reader, table: read_molecules(reader, table, crosswalk=True))
    networks = each("networks", read_network)
    folder = spec.reference_layout
    given = ContextRows([]) if folder is None else read_reference_layout(data_root / folder.folder)
    return ContextRows(
        molecules=[*molecules, *crosswalks, *given.molecules],
        profiles=[
            *given.profiles,
            *each("morphology", read_morphology),
            *each("expression", lambda reader, table: read_expression(reader, table, names)),
        ],
        gene_profiles=[
            *given.gene_profiles,
            *each("gene_morphology", lambda reader, table: read_gene_morphology(reader, table, genes_of)),
        ],
        gene_gene=[
            *given.gene_gene,
            *each("gene_gene", read_gene_gene),
            *(part for network in networks for part in network.gene_gene),
        ],
        molecule_gene=[
            *given.molecule_gene,
            *each("molecule_gene", read_molecule_gene),
            *(part for network in networks for part in network.molecule_gene),
        ],
        genes=[*given.genes, *each("genes", read_genes)],
        symbols=names.symbol_of,
        other_accounts=accounts,
        joined=given.joined,
    )
