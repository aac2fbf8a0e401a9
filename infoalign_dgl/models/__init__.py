"""The model: encoder, bottleneck, one decoder per feature space, and the objective that trains them.

The names below are imported on first use, because torch is not light.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "ENCODERS": "infoalign_dgl.models.encoder",
    "InfoAlign": "infoalign_dgl.models.infoalign",
    "Latent": "infoalign_dgl.models.bottleneck",
    "ModelConfig": "infoalign_dgl.models.config",
    "OBJECTIVES": "infoalign_dgl.models.objective",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'infoalign_dgl.models' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
