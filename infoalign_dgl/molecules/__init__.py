"""Molecules: standardization, fingerprints, and graphs packed for the encoder.

The names below are imported on first use, because RDKit is not light.
"""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

_EXPORTS = {
    "ATOM_FEATURE_SIZES": "infoalign_dgl.molecules.featurization",
    "BOND_FEATURE_SIZES": "infoalign_dgl.molecules.featurization",
    "MoleculeBatch": "infoalign_dgl.molecules.batch",
    "PackedMolecules": "infoalign_dgl.molecules.packed",
    "Standardized": "infoalign_dgl.molecules.standardization",
    "featurize": "infoalign_dgl.molecules.featurization",
    "morgan_fingerprints": "infoalign_dgl.molecules.fingerprints",
    "standardize": "infoalign_dgl.molecules.standardization",
    "standardized_graphs": "infoalign_dgl.molecules.preparation",
}

__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
