"""What a run says: ``metrics.jsonl``, TensorBoard events where installed, and progress on the console."""

from __future__ import annotations

import json
import os
import resource
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infoalign_dgl._durations import format_seconds
from infoalign_dgl._folders import replace_text
from infoalign_dgl.errors import RunError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

METRICS = "metrics.jsonl"
_SECONDS_BETWEEN_LINES = 10.0
_SMOOTHING = 0.9


def peak_memory_bytes(device: torch.device) -> int:
    """Largest memory so far: the process's on a CPU, torch's on a GPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cut_metrics(path: Path, step: int) -> None:
    """Drop lines of steps after ``step``, and a line that was not written to its end."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if values["step"] <= step:
            kept.append(line + "\n")
    replace_text(path, "".join(kept))


class MetricsLog:
    """Appends a line per step to ``metrics.jsonl``, and the same to TensorBoard where it is installed.

    Parameters
    ----------
    run : Path
        The run folder.
    step : int
        Steps done before; what a run that was cut off wrote beyond is dropped.
    """

    def __init__(self, run: Path, step: int) -> None:
        self._path = run / METRICS
        cut_metrics(self._path, step)
        self._stream = self._path.open("ab", buffering=0)  # a line is written when it is written
        self._board = _tensorboard(run, step)

    def write(self, values: dict[str, Any]) -> None:
        """Append one step's values; those that are floats go to TensorBoard too.

        Raises
        ------
        RunError
            If they cannot be written.
        """
        line = memoryview((json.dumps(values) + "\n").encode())
        try:
            while line:
                line = line[self._stream.write(line) :]
            if self._board is not None:
                for name, value in values.items():
                    if isinstance(value, float):
                        self._board.add_scalar(name, value, values["step"])
        except OSError as error:
            raise RunError(
                f"could not write '{self._path}': {error.strerror or error}; make room, and go on with "
                "--resume"
            ) from error

    def sync(self) -> None:
        """Wait until the lines are on the disk."""
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Write out what is buffered."""
        self._stream.close()
        if self._board is not None:
            with suppress(OSError):  # a full disk: the same numbers are in metrics.jsonl
                self._board.close()


def _tensorboard(run: Path, step: int) -> Any | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)


class ConsoleReport:
    """Progress on the console: a live bar in a terminal, else a line now and then.

    Parameters
    ----------
    console : rich.console.Console
        Where to write.
    total_steps, done : int
        Steps of the run, and those done before.
    """

    def __init__(self, console: Console, total_steps: int, done: int) -> None:
        self._console = console
        self._total = total_steps
        self._first = done
        self._started = self._printed = time.monotonic()
        self._smooth: dict[str, float] = {}
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=console,
            )
            self._task = self._bar.add_task("", total=total_steps, completed=done)
            self._bar.start()

    def step(self, step: int, losses: dict[str, float], molecules_per_second: float) -> None:
        """Show a step: loss per modality (smoothed), molecules per second, time left."""
        for name, loss in losses.items():
            before = self._smooth.get(name, loss)
            self._smooth[name] = _SMOOTHING * before + (1 - _SMOOTHING) * loss
        shown = " ".join(f"{name} {loss:.4f}" for name, loss in self._smooth.items())
        text = f"{molecules_per_second:,.0f} molecules/s  {shown}"
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=text)
            return
        now = time.monotonic()
        if step < self._total and now - self._printed < _SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        left = (now - self._started) / max(step - self._first, 1) * (self._total - step)
        self._console.print(
            f"step {step:,}/{self._total:,}  {text}  {format_seconds(left)} left",
            highlight=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        """Leave the live bar as it is."""
        if self._bar is not None:
            self._bar.stop()
