"""Figures: each function draws on matplotlib axes and returns them. Nothing else imports this package."""

from infoalign_dgl.plots.comparison import draw_comparison
from infoalign_dgl.plots.evaluation import draw_best_shares, draw_task_comparison, draw_task_scores
from infoalign_dgl.plots.figures import save_figure
from infoalign_dgl.plots.latent import draw_latent_map
from infoalign_dgl.plots.losses import draw_losses
from infoalign_dgl.plots.metagraph import draw_metagraph
from infoalign_dgl.plots.retrieval import draw_rank_distribution
from infoalign_dgl.plots.sweep import draw_setting

__all__ = [
    "draw_best_shares",
    "draw_comparison",
    "draw_latent_map",
    "draw_losses",
    "draw_metagraph",
    "draw_rank_distribution",
    "draw_setting",
    "draw_task_comparison",
    "draw_task_scores",
    "save_figure",
]
