"""What a representation is worth: comparisons on tasks.

The names below are imported on first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "FewLabelRow": "infoalign_dgl.evaluation.fewlabel",
    "FewLabelTable": "infoalign_dgl.evaluation.fewlabel",
    "compare_few_label": "infoalign_dgl.evaluation.fewlabel",
    "few_label_auc": "infoalign_dgl.evaluation.fewlabel",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'infoalign_dgl.evaluation' has no attribute '{name}'")
