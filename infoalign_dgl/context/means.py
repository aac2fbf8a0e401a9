"""What a build works with: processes, a cluster, what an earlier build left."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from infoalign_dgl.context.reuse import Reuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.molecules.cluster import Cluster

    Progress = Callable[[str, int, int], None]


def _silent(stage: str, done: int, total: int) -> None:
    """Stand in for a progress callback."""


@dataclass(frozen=True)
class Means:
    """What a build works with; none of it changes the result.

    Parameters
    ----------
    num_workers : int, optional
        Processes for reading molecules; by default one per CPU, or all of ``helpers``.
    helpers : Cluster, optional
        Workers of a cluster, for molecules and for similarity.
    reuse : Reuse
        What an earlier build left; gets what this one leaves.
    progress : callable
        Called with (stage, done, total).
    """

    num_workers: int | None = None
    helpers: Cluster | None = None
    reuse: Reuse = field(default_factory=Reuse)
    progress: Progress = _silent
