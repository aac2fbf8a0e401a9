"""Figures, drawn on matplotlib axes that are returned, and pages around them. Nothing else imports it.

The names below are imported on first use: one figure does not need what all figures need.
"""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

_EXPORTS = {
    "draw_alpha_mass": "infoalign_dgl.plots.explanation",
    "draw_best_shares": "infoalign_dgl.plots.evaluation",
    "draw_bounds": "infoalign_dgl.plots.bounds",
    "draw_comparison": "infoalign_dgl.plots.comparison",
    "draw_coverage": "infoalign_dgl.plots.distributions",
    "draw_degrees": "infoalign_dgl.plots.distributions",
    "draw_dimension_divergences": "infoalign_dgl.plots.dimensions",
    "draw_features": "infoalign_dgl.plots.explanation",
    "draw_groups": "infoalign_dgl.plots.explanation",
    "draw_kl": "infoalign_dgl.plots.training",
    "draw_latent_map": "infoalign_dgl.plots.latent",
    "draw_latent_spread": "infoalign_dgl.plots.latent_spread",
    "draw_learning_rate": "infoalign_dgl.plots.training",
    "draw_losses": "infoalign_dgl.plots.losses",
    "draw_metagraph": "infoalign_dgl.plots.metagraph",
    "draw_neighborhood": "infoalign_dgl.plots.neighborhood",
    "draw_rank_distribution": "infoalign_dgl.plots.retrieval",
    "draw_ranked_profiles": "infoalign_dgl.plots.ranked_profiles",
    "draw_setting": "infoalign_dgl.plots.sweep",
    "draw_task_comparison": "infoalign_dgl.plots.evaluation",
    "draw_task_scores": "infoalign_dgl.plots.evaluation",
    "draw_throughput": "infoalign_dgl.plots.throughput",
    "draw_umap": "infoalign_dgl.plots.umap",
    "draw_validation": "infoalign_dgl.plots.training",
    "draw_visits": "infoalign_dgl.plots.walks",
    "draw_walks": "infoalign_dgl.plots.walks",
    "draw_weights": "infoalign_dgl.plots.distributions",
    "save_figure": "infoalign_dgl.plots.figures",
    "write_explanation_page": "infoalign_dgl.plots.pages",
    "write_graph_page": "infoalign_dgl.plots.pages",
    "write_run_page": "infoalign_dgl.plots.pages",
}

__all__ = [*_EXPORTS]
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
