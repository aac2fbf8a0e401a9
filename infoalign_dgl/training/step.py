"""One optimizer step: the gradients of a batch, in one part or several, and the update."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import torch

from infoalign_dgl.errors import RunError
from infoalign_dgl.models.objective import objective
from infoalign_dgl.training.failures import check_finite, is_out_of_memory
from infoalign_dgl.training.schedule import cosine_factor
from infoalign_dgl.training.seeds import step_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from infoalign_dgl.models import InfoAlign
    from infoalign_dgl.models.objective import LossTerms
    from infoalign_dgl.training.config import PretrainConfig
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
    builder : BatchBuilder
        Cuts batches into micro-batches.
    config : PretrainConfig
    device : torch.device
    total_steps : int
        Steps of the whole run, along which the learning rate falls.
    micro_batch : int or None
        Most molecules that go through the model at once; None for the whole batch. BatchNorm sees as many.
    rank : int
        Which of the run's processes.
    """

    model: InfoAlign
    optimizer: torch.optim.Optimizer
    builder: BatchBuilder
    config: PretrainConfig
    device: torch.device
    total_steps: int
    micro_batch: int | None = None
    rank: int = 0


@dataclass(frozen=True)
class StepReport:
    """What one step says of itself; reading its tensors waits for the device.

    Attributes
    ----------
    step : int
        Steps done, this one included.
    molecules : np.ndarray
        Shape (B,), int64 node ids.
    micro_batches : int
        Parts that the batch went through the model in.
    lr : float
    targets : dict of str to int
        Rows per feature space.
    losses : Tensor
        Shape (2 + S,): the total, KL, and each space's loss.
    gradients : Tensor
        Shape (1 + S,): the Euclidean norm of the gradient of the encoder, and of each space's decoder.
    """

    step: int
    molecules: np.ndarray
    micro_batches: int
    lr: float
    targets: dict[str, int]
    losses: torch.Tensor
    gradients: torch.Tensor


def take_step(trainer: Trainer, step: int, batch: PreparedBatch) -> StepReport:
    """Take one optimizer step.

    Parameters
    ----------
    trainer : Trainer
        Its model and optimizer are changed, but not if anything is raised before the update.
    step : int
        Steps done before.
    batch : PreparedBatch
        On the CPU.

    Raises
    ------
    NotFiniteError
        On a CPU, before the update, if a loss or a gradient is not finite. On a GPU that would wait for the
        device: whoever reads the report checks it.
    RunError
        If memory does not hold the optimizer.
    """
    parts = trainer.builder.cut(batch, trainer.micro_batch)
    lr = trainer.config.lr * cosine_factor(step, trainer.total_steps)
    targets = {name: len(rows) for name, rows in batch.targets.items()}
    statistics = [
        buffer.clone() for buffer in trainer.model.buffers()
    ]  # of BatchNorm: moved in every forward
    try:
        trainer.optimizer.zero_grad(set_to_none=True)
        losses = accumulate_gradients(trainer, step, (part.to(trainer.device) for part in parts))
        norms = gradient_norms(trainer.model)
        report = StepReport(step + 1, batch.molecules, len(parts), lr, targets, losses, norms)
        if trainer.device.type == "cpu":
            check_finite(report)
    except BaseException:
        trainer.optimizer.zero_grad(set_to_none=True)
        for buffer, before in zip(trainer.model.buffers(), statistics, strict=True):
            buffer.copy_(before)
        raise
    _update(trainer.optimizer, lr)
    return report


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
            groups[space].append(parameter.grad)
    return torch.stack([torch.nn.utils.get_total_norm(gradients) for gradients in groups.values()])


def accumulate_gradients(trainer: Trainer, step: int, parts: Iterable[PreparedBatch]) -> torch.Tensor:
    """Add the gradients of a batch's parts to the model's, and return the batch's losses, shape (2 + S,).

    With BatchNorm in eval mode and no random numbers, neither depends on how the batch was cut.

    Parameters
    ----------
    trainer : Trainer
    step : int
        Steps done before.
    parts : iterable of PreparedBatch
        On the trainer's device; each is let go of before the next one is asked for.
    """
    losses = []
    for number, part in enumerate(parts):
        torch.manual_seed(step_seed(trainer.config.seed, step, trainer.rank, number))
        terms = part_loss(trainer, part)
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
            path_nodes=config.walk_length + 1,
        )
