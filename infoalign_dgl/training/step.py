"""One optimizer step: the gradients of a batch, in one part or several, and the update."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
import torch

from infoalign_dgl.errors import RunError
from infoalign_dgl.models.objective import objective
from infoalign_dgl.training.distributed import ALONE, World
from infoalign_dgl.training.failures import check_finite, is_out_of_memory, release_memory
from infoalign_dgl.training.schedule import cosine_factor
from infoalign_dgl.training.seeds import step_seed
from infoalign_dgl.training.targets import number_of_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from infoalign_dgl.models import InfoAlign
    from infoalign_dgl.models.objective import BatchTotals, LossTerms
    from infoalign_dgl.training.config import PretrainConfig
    from infoalign_dgl.training.gradient_sums import GradientSums
    from infoalign_dgl.training.resident import ResidentBuilder
    from infoalign_dgl.training.targets import BatchBuilder, PreparedBatch


@dataclass
class Trainer:
    """What takes steps.

    Attributes
    ----------
    model : InfoAlign
        In training mode.
    optimizer : torch.optim.Optimizer
        Of its parameters.
    builder : BatchBuilder or ResidentBuilder
        Makes batches, and cuts batches into micro-batches.
    config : PretrainConfig
    device : torch.device
    total_steps : int
        Steps of the whole run, along which the learning rate falls.
    micro_batch : int or None
        Most molecules that go through the model at once; None for the whole batch. BatchNorm sees as many.
    world : World
        The processes that share each batch.
    sums : GradientSums or None
        Of these processes; None for a single one.
    """

    model: InfoAlign
    optimizer: torch.optim.Optimizer
    builder: BatchBuilder | ResidentBuilder
    config: PretrainConfig
    device: torch.device
    total_steps: int
    micro_batch: int | None = None
    world: World = ALONE
    sums: GradientSums | None = None


@dataclass(frozen=True)
class StepReport:
    """What one step says of itself; reading its tensors waits for the device.

    Attributes
    ----------
    step : int
        Steps done, this one included.
    molecules : np.ndarray
        Shape (B,), int64 node ids, over all processes.
    micro_batches : int
        Parts that each process's share went through the model in.
    lr : float
    targets : dict of str to Tensor
        Molecules with a target per feature space, shape () each.
    losses : Tensor
        Shape (2 + S,): the total, KL, and each space's loss.
    gradients : Tensor
        Shape (1 + S,): the Euclidean norm of the gradient of the encoder, and of each space's decoder.
    broken : Tensor
        Shape (processes,): 1 where a process's own losses are not finite.
    """

    step: int
    molecules: np.ndarray
    micro_batches: int
    lr: float
    targets: dict[str, torch.Tensor]
    losses: torch.Tensor
    gradients: torch.Tensor
    broken: torch.Tensor

    def suspects(self) -> np.ndarray:
        """Node ids in the shares whose losses are not finite; all where there is no such share, int64."""
        ranks = self.broken.nonzero().flatten().tolist()
        shares = [World(rank, len(self.broken)).share(len(self.molecules)) for rank in ranks]
        return np.concatenate([self.molecules[share] for share in shares]) if shares else self.molecules


def take_step(trainer: Trainer, step: int, batch: PreparedBatch) -> StepReport:
    """Take one optimizer step.

    Parameters
    ----------
    trainer : Trainer
        Its model and optimizer are changed, but not if anything is raised before the update.
    step : int
        Steps done before.
    batch : PreparedBatch
        This process's share, on the CPU.

    Raises
    ------
    NotFiniteError
        On a CPU, before the update, if a loss or a gradient is not finite. On a GPU that would wait for the
        device: whoever reads the report checks it.
    MemoryError
        In every process, if memory ran out in one of them.
    RunError
        If memory does not hold the optimizer.
    """
    totals, targets = _of_all_processes(trainer.world, batch)
    sizes = trainer.world.share_sizes(len(batch.whole))
    parts = trainer.builder.cut(replace(batch, totals=totals), number_of_parts(sizes, trainer.micro_batch))
    lr = trainer.config.lr * cosine_factor(step, trainer.total_steps)
    statistics = [
        buffer.clone() for buffer in trainer.model.buffers()
    ]  # of BatchNorm: moved in every forward
    try:
        trainer.optimizer.zero_grad(set_to_none=True)
        losses, broken = summed_gradients(trainer, step, parts)
        norms = gradient_norms(trainer.model)
        report = StepReport(step + 1, batch.whole, len(parts), lr, targets, losses, norms, broken)
        if trainer.device.type == "cpu":
            check_finite(report)
    except BaseException:
        trainer.optimizer.zero_grad(set_to_none=True)
        for buffer, before in zip(trainer.model.buffers(), statistics, strict=True):
            buffer.copy_(before)
        raise
    _update(trainer.optimizer, lr)
    return report


def _of_all_processes(world: World, batch: PreparedBatch) -> tuple[BatchTotals, dict[str, torch.Tensor]]:
    """Return the totals of a batch and its number of targets per feature space, over all its shares."""
    own = batch.totals.values
    rows = torch.stack([(rows.alpha > 0).sum() for rows in batch.targets.values()]).to(own.dtype)
    totals, counts = world.add_up(torch.cat([own, rows])).split([len(own), len(rows)])
    return replace(batch.totals, values=totals), dict(zip(batch.targets, counts.unbind(), strict=True))


def _update(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
    try:
        optimizer.step()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(
            "memory does not hold the model, its gradients and the optimizer's two moments: pass a smaller "
            "--hidden, or take a machine with more memory"
        ) from error


def gradient_norms(model: InfoAlign) -> torch.Tensor:
    """Return the norms of the gradients of encoder (with bottleneck) and decoders, shape (1 + S,).

    They overflow from about 1e19 on, where the squares that Adam keeps do so too.
    """
    groups: dict[str, list[torch.Tensor]] = {"": [], **{name: [] for name in model.config.spaces}}
    for name, parameter in model.named_parameters():
        space = name.split(".")[1] if name.startswith("decoders.") else ""
        if parameter.grad is not None:
            flat = parameter.grad.flatten()
            groups[space].append(torch.dot(flat, flat))  # in several threads, which a norm is not
    return torch.stack([torch.stack(squares).sum() for squares in groups.values()]).sqrt()


def summed_gradients(
    trainer: Trainer, step: int, parts: Sequence[PreparedBatch]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Let the model's gradients be those of a batch, over all its shares.

    All processes make the same exchanges in the same order, also where memory runs out in one of them (but
    for those within synchronized BatchNorm, where this process then ends, and the others see that it did).

    Parameters
    ----------
    trainer : Trainer
    step : int
        Steps done before.
    parts : sequence of PreparedBatch
        This process's share, cut; on the CPU.

    Returns
    -------
    losses : Tensor
        Shape (2 + S,), of the batch.
    broken : Tensor
        Shape (processes,): 1 where a process's own losses are not finite.

    Raises
    ------
    MemoryError
        In every process, if memory ran out in one of them; gradients are of no use then.
    RunError
        In the process whose memory ran out, with synchronized BatchNorm.
    """
    world, sums, failure = trainer.world, trainer.sums, None
    own = torch.zeros(2 + len(parts[0].targets), device=trainer.device)
    broken = torch.zeros(world.size, device=trainer.device)
    if sums is not None:
        sums.begin()
    try:
        own = accumulate_gradients(trainer, step, parts)
        broken[world.rank] = ~own.isfinite().all()
    except (MemoryError, RuntimeError) as error:
        if sums is None or not is_out_of_memory(error):
            raise
        if trainer.config.sync_batchnorm:
            most = max(len(part.molecules) for part in parts)
            raise RunError(
                f"memory ran out in process {world.rank} with {most} molecules at a time, and the others "
                f"wait within --sync-batchnorm: go on with --resume --micro-batch {max(2, most // 2)}"
            ) from error
        failure = str(error)
    if sums is None:
        return own, broken
    if failure is not None:  # out of the handler, nothing holds on to what the attempt had in memory
        release_memory(trainer.device)
    losses, broken = sums.finish(torch.cat([own, broken])).split([len(own), world.size])
    if world.add_up(torch.tensor(float(failure is not None))):
        raise MemoryError("in another process" if failure is None else failure)
    return losses, broken


def accumulate_gradients(trainer: Trainer, step: int, parts: Sequence[PreparedBatch]) -> torch.Tensor:
    """Add the gradients of a batch's parts to the model's, and return the parts' losses, shape (2 + S,).

    With BatchNorm in eval mode and no random numbers, neither depends on how the batch was cut.

    Parameters
    ----------
    trainer : Trainer
    step : int
        Steps done before.
    parts : sequence of PreparedBatch
        On the CPU; one at a time goes to the trainer's device.
    """
    losses = []
    for number, part in enumerate(parts):
        torch.manual_seed(step_seed(trainer.config.seed, step, trainer.world.rank, number))
        terms = part_loss(trainer, part.to(trainer.device))
        if trainer.sums is not None and number == len(parts) - 1:
            trainer.sums.last_part()
        terms.total.backward()
        losses.append(terms.stacked())
    return reduce(add, losses)


def part_loss(trainer: Trainer, part: PreparedBatch) -> LossTerms:
    """Return what one part adds to the batch's loss, under autocast where the run is in bf16."""
    config = trainer.config
    with torch.autocast(trainer.device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"):
        return objective(
            config.loss,
            trainer.model,
            trainer.model.encode(part.graphs),
            part.targets,
            part.totals,
            beta=config.beta,
            path_nodes=config.num_walks * (config.walk_length + 1),
        )
