"""SIGTERM, Ctrl-C and a time limit as a request to stop between steps."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from infoalign_dgl.training.distributed import World

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_TIME_LIMIT = "the time limit"


class StopRequest:
    """While entered, notes the first SIGTERM or Ctrl-C; a second one acts as usual.

    Outside the main thread, where Python delivers no signals, only the time limit counts.

    Parameters
    ----------
    deadline : float or None
        When to stop, as ``time.monotonic`` tells the time.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._received: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def reason(self) -> str | None:
        """The signal's name, or ``"the time limit"``; None to go on."""
        if self._received is None and self._deadline is not None and time.monotonic() >= self._deadline:
            return _TIME_LIMIT
        return self._received

    def agreed(self, world: World) -> str | None:
        """Return the reason that any process has, the same one in all of them."""
        if world.size == 1:
            return self.reason
        known = [*(number.name for number in _SIGNALS), _TIME_LIMIT]
        processes = world.add_up(torch.tensor([float(self.reason == reason) for reason in known]))
        return next((reason for reason, count in zip(known, processes.tolist(), strict=True) if count), None)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
