"""The model: encoder, bottleneck, one decoder per feature space, and the objective that trains them.

The names below are imported on first use, because torch is not light.
"""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

_EXPORTS = {
    "ENCODERS": "infoalign_dgl.models.encoder",
    "InfoAlign": "infoalign_dgl.models.infoalign",
    "Latent": "infoalign_dgl.models.bottleneck",
    "ModelConfig": "infoalign_dgl.models.config",
    "OBJECTIVES": "infoalign_dgl.models.objective",
}

__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
