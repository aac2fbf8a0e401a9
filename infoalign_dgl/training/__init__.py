"""Pretraining: what is drawn, what is held out, the loop, and the folder that a run leaves.

The names below are imported on first use, because torch is not light.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "PretrainConfig": "infoalign_dgl.training.config",
    "PretrainResult": "infoalign_dgl.training.loop",
    "pretrain": "infoalign_dgl.training.loop",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'infoalign_dgl.training' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
