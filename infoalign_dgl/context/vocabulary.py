"""The graph's vocabulary: its node types, its edge types, and the molecules' own feature space."""

from __future__ import annotations

from infoalign_dgl.errors import GraphError

NODE_TYPES = ("molecule", "gene", "gene_expression", "morphology")
"""The node types, in the order of their global ids."""

EDGE_TYPES: tuple[tuple[str, str, str], ...] = (
    ("molecule", "perturbs", "morphology"),
    ("molecule", "induces", "gene_expression"),
    ("molecule", "binds", "gene"),
    ("molecule", "regulates", "gene"),
    ("gene", "interacts", "gene"),
    ("gene", "covaries", "gene"),
    ("gene", "regulates", "gene"),
    ("molecule", "similar", "molecule"),
    ("gene", "similar", "gene"),
    ("gene_expression", "similar", "gene_expression"),
    ("morphology", "similar", "morphology"),
)
"""The canonical edge types as (source type, relation, target type), in the order of their global ids."""

EdgeType = str | tuple[str, str, str]
DIRECTED = {("gene", "regulates", "gene")}  # a pair and its reverse are two edges only here
FINGERPRINT = "fingerprint"  # the molecules' own feature space


def relations_of(entry: EdgeType) -> list[int]:
    """Positions in ``EDGE_TYPES`` of a canonical type, or of all types of a name."""
    given = entry if isinstance(entry, str) else tuple(entry)
    found = [r for r, kind in enumerate(EDGE_TYPES) if given in (kind, kind[1])]
    if not found:
        raise GraphError(f"unknown edge type {entry!r}: use one of {list(EDGE_TYPES)}, or a name in them")
    return found
