"""Why a run predicts what it predicts of a molecule: what shaped its targets, and what its decoders say.

The names below are imported on first use.
"""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

_EXPORTS = {
    "AlphaMass": "infoalign_dgl.explanation.walked",
    "Explanation": "infoalign_dgl.explanation.results",
    "Feature": "infoalign_dgl.explanation.results",
    "Group": "infoalign_dgl.explanation.results",
    "Similar": "infoalign_dgl.explanation.results",
    "SpacePrediction": "infoalign_dgl.explanation.results",
    "Subject": "infoalign_dgl.explanation.results",
    "alpha_mass": "infoalign_dgl.explanation.walked",
    "explain": "infoalign_dgl.explanation.assemble",
}

__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
