"""Molecular representations from how cells respond: InfoAlign on DGL heterographs.

The names below are imported on first use, so that ``import infoalign_dgl`` costs nothing.
"""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

__version__ = "0.1.0"

_EXPORTS = {
    "ContextGraph": "infoalign_dgl.context",
    "FeatureSpace": "infoalign_dgl.context",
    "InfoAlign": "infoalign_dgl.models",
    "InfoAlignError": "infoalign_dgl.errors",
    "InfoAlignTransformer": "infoalign_dgl.transformer",
    "PackedMolecules": "infoalign_dgl.molecules",
    "WalkIndex": "infoalign_dgl.walks",
    "Walks": "infoalign_dgl.walks",
    "load": "infoalign_dgl.representation",
    "random_walks": "infoalign_dgl.walks",
}

__all__ = ["__version__", *_EXPORTS]
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
