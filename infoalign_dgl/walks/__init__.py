"""Random walks on the context graph: the index, three backends, and the targets that walks give."""

from __future__ import annotations

from infoalign_dgl.walks.index import WalkIndex
from infoalign_dgl.walks.native import cuda_status
from infoalign_dgl.walks.targets import CollapsedTargets, collapse_targets
from infoalign_dgl.walks.walk import Walks, random_walks

__all__ = ["CollapsedTargets", "WalkIndex", "Walks", "collapse_targets", "cuda_status", "random_walks"]
