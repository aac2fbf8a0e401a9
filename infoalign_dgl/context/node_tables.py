"""The table of each node type, and which of its nodes carry which feature space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from infoalign_dgl.context.joined import join_profiles
from infoalign_dgl.context.profiles import profile_nodes

if TYPE_CHECKING:
    from infoalign_dgl.context.identity import Molecules
    from infoalign_dgl.context.profiles import Aggregated
    from infoalign_dgl.sources.rows import ContextRows

PROFILE_RELATION = {"gene_expression": "induces", "morphology": "perturbs"}


def node_tables(
    rows: ContextRows, molecules: Molecules, profiles: list[Aggregated], genes: np.ndarray
) -> tuple[dict[str, pd.DataFrame], list[Aggregated], dict[str, np.ndarray]]:
    """Node tables; the profiles, repeated where several nodes carry one; each space's nodes, by local id."""
    listed: dict[str, str] = {}
    for table in rows.genes:
        for gene, symbol in zip(table.genes, table.symbols, strict=True):
            if gene and symbol:  # of several the first by the alphabet, whatever the order of tables and rows
                listed[gene] = min(listed.get(gene, symbol), symbol)
    symbols = {**rows.symbols, **listed}
    keys = [str(gene) for gene in genes.tolist()]
    gene_table = pd.DataFrame(
        {
            "key": pd.Series(keys, dtype=object),
            "symbol": pd.Series([symbols.get(k, "") for k in keys], dtype=object),
        }
    )
    names = molecules.nodes["key"].tolist()
    by_type: dict[str, pd.DataFrame] = {}
    placed: dict[str, Aggregated] = {}
    places: dict[str, np.ndarray] = {}
    for kind in PROFILE_RELATION:
        spaces = [space for space in profiles if space.node_type == kind]
        if rows.joined and spaces:
            spaces, local, by_type[kind] = join_profiles(spaces, names)
        else:  # profile nodes stand in the order of the spaces
            ends = np.cumsum([len(space.owners) for space in spaces]).tolist()
            local = [np.arange(end - len(s.owners), end) for s, end in zip(spaces, ends, strict=True)]
            by_type[kind] = profile_nodes(spaces, names)
        placed |= {space.name: space for space in spaces}
        places |= {space.name: nodes for space, nodes in zip(spaces, local, strict=True)}
    tables = {"molecule": molecules.nodes, "gene": gene_table, **by_type}
    return tables, [placed[space.name] for space in profiles], places
