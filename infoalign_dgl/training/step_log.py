"""From the steps' reports to lines of ``metrics.jsonl`` and progress on the console."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from infoalign_dgl.errors import RunError
from infoalign_dgl.training.reporting import peak_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infoalign_dgl.training.reporting import ConsoleReport, MetricsLog
    from infoalign_dgl.training.step import StepReport

_STEPS_PER_READ_ON_GPU = 20  # reading a loss waits for the device


@dataclass
class StepLog:
    """Collects steps' reports, reads their losses now and then, and writes their lines.

    Attributes
    ----------
    log : MetricsLog
    console : ConsoleReport
    modality : dict of str to str
        Feature space to node type, in the model's order.
    steps_per_epoch : int
    device : torch.device
        Where the losses are.
    metrics : dict
        The last line written.
    """

    log: MetricsLog
    console: ConsoleReport
    modality: dict[str, str]
    steps_per_epoch: int
    device: torch.device
    metrics: dict[str, Any] = field(default_factory=dict)
    _pending: list[StepReport] = field(default_factory=list)
    _last_read: float = field(default_factory=time.monotonic)

    def add(self, report: StepReport) -> None:
        """Take a step's report; on a GPU its losses stay there for some steps."""
        self._pending.append(report)

    def read_if_cheap(self) -> None:
        """Write the lines of the steps so far, unless that would often wait for a GPU."""
        if self.device.type == "cpu" or len(self._pending) >= _STEPS_PER_READ_ON_GPU:
            self.read()

    def read(self, extra: dict[str, Any] | None = None) -> None:
        """Write the lines of the steps so far.

        Parameters
        ----------
        extra : dict, optional
            What stands on the last step's line besides.

        Raises
        ------
        RunError
            If a loss is not finite.
        """
        if not self._pending:
            return
        rows = torch.stack([report.losses for report in self._pending]).tolist()
        molecules = sum(len(report.molecules) for report in self._pending)
        rate = molecules / max(time.monotonic() - self._last_read, 1e-9)
        memory = peak_memory_bytes(self.device)
        for report, (total, kl, *losses) in zip(self._pending, rows, strict=True):
            spaces = dict(zip(self.modality, losses, strict=True))
            _check_finite(report.step, total, kl, spaces)
            self.metrics = {
                "step": report.step,
                "epoch": (report.step - 1) // self.steps_per_epoch,
                "molecules": len(report.molecules),
                "micro_batches": report.micro_batches,
                "lr": report.lr,
                **{f"targets/{name}": count for name, count in report.targets.items()},
                "loss": total,
                "kl": kl,
                **{f"loss/{name}": loss for name, loss in spaces.items()},
                "molecules_per_second": rate,
                "peak_memory_bytes": memory,
                **((extra or {}) if report is self._pending[-1] else {}),
            }
            self.log.write(self.metrics)
            self.console.step(report.step, self._by_modality(report, spaces), rate)
        self._pending.clear()
        self._last_read = time.monotonic()

    @contextmanager
    def clock_stopped(self) -> Iterator[None]:
        """Leave the time spent inside out of the steps' rate."""
        started = time.monotonic()
        yield
        self._last_read += time.monotonic() - started

    def close(self) -> None:
        """Write out what is buffered; steps that were not read are lost."""
        self.console.close()
        self.log.close()

    def _by_modality(self, report: StepReport, spaces: dict[str, float]) -> dict[str, float]:
        """Sum the losses of the spaces that the batch visited, per modality."""
        summed: dict[str, float] = {}
        for name, loss in spaces.items():
            if report.targets[name]:
                summed[self.modality[name]] = summed.get(self.modality[name], 0.0) + loss
        return summed


def _check_finite(step: int, total: float, kl: float, spaces: dict[str, float]) -> None:
    if math.isfinite(total) and math.isfinite(kl):
        return
    broken = [f"feature space '{name}'" for name, loss in spaces.items() if not math.isfinite(loss)]
    if not math.isfinite(kl):
        broken.append("the KL term")
    raise RunError(
        f"the loss of {' and '.join(broken) or 'the sum of all spaces'} is not finite at step {step}: "
        f"start again with a lower --lr; what was saved before is untouched"
    )
