"""The batches of a run in order, the next one prepared while the current one trains."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from infoalign_dgl.errors import RunError
from infoalign_dgl.training.distributed import ALONE, World
from infoalign_dgl.training.failures import is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Generator

    from infoalign_dgl.training.sampler import EpochPlan, Sampler
    from infoalign_dgl.training.targets import BatchBuilder, PreparedBatch


def prepared_batches(
    sampler: Sampler, builder: BatchBuilder, first: int, end: int, world: World = ALONE
) -> Generator[PreparedBatch]:
    """Yield this process's shares of the batches of steps ``first`` to ``end - 1``, one ahead by a thread.

    Close the generator to let go of the thread before the last batch.

    Parameters
    ----------
    sampler : Sampler
        Draws molecules.
    builder : BatchBuilder
        Walks from them.
    first, end : int
        Steps, counted from 0 over the whole run.
    world : World
        The processes that share each batch.

    Raises
    ------
    RunError
        If memory does not hold a batch.
    """
    plan: tuple[int, EpochPlan] | None = None

    def prepare(step: int) -> PreparedBatch:
        nonlocal plan
        epoch, position = divmod(step, sampler.steps_per_epoch)
        if plan is None or plan[0] != epoch:
            plan = (epoch, sampler.epoch(epoch))
        whole = plan[1].batches[position]
        here = world.share(len(whole))
        molecules, walk_ids = whole[here], plan[1].walk_ids[position][here]
        try:
            return replace(builder.prepare(molecules, walk_ids, epoch), whole=whole)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise RunError(
                f"memory does not hold the walks and targets of {len(molecules):,} molecules: pass a smaller "
                "--batch-size"
            ) from error

    with ThreadPoolExecutor(max_workers=1) as background:  # one thread: ``plan`` is nobody else's
        ready = background.submit(prepare, first) if first < end else None
        for step in range(first, end):
            assert ready is not None
            batch = ready.result()
            ready = background.submit(prepare, step + 1) if step + 1 < end else None
            yield batch
