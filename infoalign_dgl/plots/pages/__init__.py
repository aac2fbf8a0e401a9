"""Pages: one HTML file each, which needs nothing beside it and asks the network for nothing."""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

_EXPORTS = {
    "write_explanation_page": "infoalign_dgl.plots.pages.explanation_page",
    "write_graph_page": "infoalign_dgl.plots.pages.graph_page",
    "write_run_page": "infoalign_dgl.plots.pages.run_page",
}

__all__ = [*_EXPORTS]
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
