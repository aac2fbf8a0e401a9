"""The context graph: what it is built from, how it is built, and the folder that holds it."""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

_EXPORTS = {
    "BuildSpec": "infoalign_dgl.context.spec",
    "ContextGraph": "infoalign_dgl.context.graph",
    "EDGE_TYPES": "infoalign_dgl.context.vocabulary",
    "FeatureSpace": "infoalign_dgl.context.spaces",
    "MinMaxScaler": "infoalign_dgl.context.spaces",
    "NODE_TYPES": "infoalign_dgl.context.vocabulary",
    "build_context_graph": "infoalign_dgl.context.build",
    "build_from_rows": "infoalign_dgl.context.build",
    "describe_node": "infoalign_dgl.context.diagnostics",
    "diagnose": "infoalign_dgl.context.diagnostics",
    "similar_pairs": "infoalign_dgl.context.similarity",
}

__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
