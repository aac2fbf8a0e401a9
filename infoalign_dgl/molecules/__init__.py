"""Molecules: standardization, fingerprints, and graphs packed for the encoder.

The names below are imported on first use, because RDKit is not light.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "ATOM_FEATURE_SIZES": "infoalign_dgl.molecules.featurization",
    "BOND_FEATURE_SIZES": "infoalign_dgl.molecules.featurization",
    "MoleculeBatch": "infoalign_dgl.molecules.packed",
    "PackedMolecules": "infoalign_dgl.molecules.packed",
    "Standardized": "infoalign_dgl.molecules.standardization",
    "featurize": "infoalign_dgl.molecules.featurization",
    "morgan_fingerprints": "infoalign_dgl.molecules.fingerprints",
    "standardize": "infoalign_dgl.molecules.standardization",
}

__all__ = list(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'infoalign_dgl.molecules' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
