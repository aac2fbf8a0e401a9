"""Where a training step's time goes: samples of the training thread, processor time of the others.

Nothing in the program is changed for it. A thread looks every other millisecond at which functions the
training thread is in. What threads of Python do meanwhile (they prepare batches, and write logs) takes
processor time from the network's products, and is read from the kernel's own account of it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

FORWARD, BACKWARD, OPTIMIZER = "forward and loss", "backward", "optimizer"
WALKS, TARGETS, MOLECULES = "walks", "targets", "molecules of the batch"
WAITING, REST = "waiting for the batch", "the rest of the loop"
BACKGROUND = "other threads"
NETWORK = (FORWARD, BACKWARD, OPTIMIZER)
_LOOK_SECONDS = 0.002
_PACKAGE = ("walks/targets", TARGETS), ("walks/", WALKS), ("molecules/", MOLECULES), ("models/", FORWARD)
_WAITS = ("threading.py", "queue.py", "concurrent/futures/_base.py")


def what(frame: FrameType | None) -> str:
    """Name the part of a step that a stack, given by its innermost frame, is in."""
    files = []
    while frame is not None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if "/torch/" in file and name in {"backward", "_engine_run_backward"}:
            return BACKWARD
        if "/torch/optim/" in file:
            return OPTIMIZER
        files.append(file)
        frame = frame.f_back
    if files and files[0].endswith(_WAITS):
        return WAITING
    for file in files:
        for folder, part in _PACKAGE:
            if f"/infoalign_dgl/{folder}" in file:
                return part
    return REST


class Look:
    """Watch the calling thread, and all threads of Python but that one and its own, until stopped."""

    def __init__(self) -> None:
        self._watched = threading.get_ident()
        self._counts: Counter[str] = Counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="look")
        self._switch = sys.getswitchinterval()
        sys.setswitchinterval(1e-4)  # else a look waits for the next call that lets other threads run
        self._thread.start()
        self._before = self._busy()
        self._begin = time.perf_counter()

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self._counts[what(sys._current_frames().get(self._watched))] += 1

    def _busy(self) -> dict[int, float]:
        """Seconds on a processor so far, by thread."""
        others = [t for t in threading.enumerate() if t is not self._thread and t.ident != self._watched]
        return {
            t.native_id: int(Path(f"/proc/self/task/{t.native_id}/schedstat").read_text().split()[0]) / 1e9
            for t in others
            if t.native_id is not None
        }

    def stop(self) -> dict[str, Any]:
        """Give the seconds watched, the share of each part in them, and the others' processor seconds."""
        seconds = time.perf_counter() - self._begin
        after = self._busy()
        self._ended.set()
        self._thread.join()
        sys.setswitchinterval(self._switch)
        looks = sum(self._counts.values())
        return {
            "seconds": seconds,
            "looks": looks,
            "shares": {part: count / looks for part, count in self._counts.items()},
            "background_seconds": sum(busy - self._before.get(thread, 0.0) for thread, busy in after.items()),
        }
