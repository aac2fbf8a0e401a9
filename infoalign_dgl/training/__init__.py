"""Pretraining: what is drawn, what is held out, the loop, and the folder that a run leaves.

The names below are imported on first use, because torch is not light.
"""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

_EXPORTS = {
    "ImportedRun": "infoalign_dgl.training.imported",
    "PretrainConfig": "infoalign_dgl.training.config",
    "PretrainResult": "infoalign_dgl.training.loop",
    "import_reference": "infoalign_dgl.training.imported",
    "pretrain": "infoalign_dgl.training.loop",
}

__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
