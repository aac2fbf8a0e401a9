"""What a representation is worth: comparisons on tasks.

The names below are imported on first use.
"""

from __future__ import annotations

from infoalign_dgl._lazy import lazy_exports

_EXPORTS = {
    "FewLabelRow": "infoalign_dgl.evaluation.fewlabel",
    "FewLabelTable": "infoalign_dgl.evaluation.fewlabel",
    "HeadConfig": "infoalign_dgl.evaluation.heads",
    "Predictions": "infoalign_dgl.evaluation.predictions",
    "Predictor": "infoalign_dgl.evaluation.predictor",
    "Retrieval": "infoalign_dgl.evaluation.retrieval",
    "Split": "infoalign_dgl.evaluation.splits",
    "TaskSet": "infoalign_dgl.evaluation.tasks",
    "compare_few_label": "infoalign_dgl.evaluation.fewlabel",
    "few_label_auc": "infoalign_dgl.evaluation.fewlabel",
    "fit_mlp_heads": "infoalign_dgl.evaluation.heads",
    "load_predictor": "infoalign_dgl.evaluation.predictor",
    "predict_table": "infoalign_dgl.evaluation.prediction_table",
    "read_task_set": "infoalign_dgl.evaluation.tasks",
    "retrieve": "infoalign_dgl.evaluation.retrieval",
    "split_molecules": "infoalign_dgl.evaluation.splits",
    "train_predictor": "infoalign_dgl.evaluation.finetune",
}

__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
