"""From the steps' reports to lines of ``metrics.jsonl`` and progress on the console."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from infoalign_dgl.training.failures import check_finite
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
    log : MetricsLog or None
        None where another process writes.
    console : ConsoleReport
    modality : dict of str to str
        Feature space to node type.
    steps_per_epoch : int
    device : torch.device
        Where the losses are.
    metrics : dict
        The last line written.
    """

    log: MetricsLog | None
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
        NotFiniteError
            If a loss or a gradient is not finite; the lines of the steps before are written.
        """
        if not self._pending:
            return
        losses = torch.stack([report.losses for report in self._pending]).cpu()
        gradients = torch.stack([report.gradients for report in self._pending]).cpu()
        targets = torch.stack([torch.stack([*report.targets.values()]) for report in self._pending]).cpu()
        molecules = sum(len(report.molecules) for report in self._pending)
        rate = molecules / max(time.monotonic() - self._last_read, 1e-9)
        memory = peak_memory_bytes(self.device)
        for number, pending in enumerate(self._pending):
            counts = dict(zip(pending.targets, targets[number], strict=True))
            report = replace(pending, losses=losses[number], gradients=gradients[number], targets=counts)
            check_finite(report)
            total, kl, *each = report.losses.tolist()
            spaces = dict(zip(report.targets, each, strict=True))
            self.metrics = {
                "step": report.step,
                "epoch": (report.step - 1) // self.steps_per_epoch,
                "molecules": len(report.molecules),
                "micro_batches": report.micro_batches,
                "lr": report.lr,
                **{f"targets/{name}": int(count) for name, count in counts.items()},
                "loss": total,
                "kl": kl,
                **{f"loss/{name}": loss for name, loss in spaces.items()},
                "molecules_per_second": rate,
                "peak_memory_bytes": memory,
                **((extra or {}) if pending is self._pending[-1] else {}),
            }
            if self.log is not None:
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
        if self.log is not None:
            self.log.close()

    def _by_modality(self, report: StepReport, spaces: dict[str, float]) -> dict[str, float]:
        """Sum the losses of the spaces that the batch visited, per modality."""
        summed: dict[str, float] = {}
        for name, loss in spaces.items():
            if report.targets[name]:
                summed[self.modality[name]] = summed.get(self.modality[name], 0.0) + loss
        return summed
