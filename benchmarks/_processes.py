"""Programs that run in processes of their own and answer requests, so that sides can take turns.

A request and its answer are one line of JSON each. Whatever else a program or a library in it prints goes to
its log.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _machine import status_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LOOK_SECONDS = 0.05


class WorkerError(RuntimeError):
    """A program ended before it answered."""


class Worker:
    """A program that answers requests, and what its processes hold in memory.

    Attributes
    ----------
    peak_bytes : int
        Most memory that was resident since it started: the program's own, or, where that was more at one of
        the moments looked at, all of its processes together.
    peak_anonymous_bytes : int
        The same without the pages of files, which the system may drop and read again; at the moments looked
        at.
    """

    def __init__(self, program: str, *arguments: str | Path) -> None:
        # The harness lets threads sleep at once because all entries share its process; here each has its own.
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(program)), *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment,
        )  # fmt: skip
        self.peak_bytes = self.peak_anonymous_bytes = 0

    def ask(self, request: str, **values: Any) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises
        ------
        WorkerError
            If the program ends instead, with the last line that it printed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._watching():
            try:
                self._process.stdin.write(json.dumps({"request": request, **values}) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            raise WorkerError(
                f"ended with status {self._process.wait()} at '{request}': {self._last_words()}"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines() or ["it said nothing"]
        # What stands after the error is a progress bar that the interpreter closed.
        errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
        return (errors or lines)[-1][:200]

    @contextmanager
    def _watching(self) -> Iterator[None]:
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_SECONDS):
                resident, anonymous = resident_with_children(self._process.pid)
                self.peak_bytes = max(self.peak_bytes, resident)
                self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, anonymous)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.peak_bytes = max(self.peak_bytes, status_bytes("VmHWM", self._process.pid) or 0)


@contextmanager
def running(program: str, *arguments: str | Path) -> Iterator[Worker]:
    """Start a program and let it end with the block."""
    worker = Worker(program, *arguments)
    try:
        yield worker
    finally:
        worker.close()


def resident_with_children(pid: int) -> tuple[int, int]:
    """Bytes resident now in a process and all below it, and those of no file; shared pages count in each."""
    total, anonymous = (status_bytes(key, pid) or 0 for key in ("VmRSS", "RssAnon"))
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = thread.read_text().split()
        except OSError:  # it has ended
            continue
        for child in below:
            more, more_anonymous = resident_with_children(int(child))
            total, anonymous = total + more, anonymous + more_anonymous
    return total, anonymous


def serve(handlers: Mapping[str, Callable[..., dict[str, Any]]]) -> None:
    """Answer requests on standard input until it closes; what is printed meanwhile goes to standard error.

    An error ends the program, and its last line there says why.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        values = json.loads(line)
        begin = time.perf_counter()
        answer = handlers[values.pop("request")](**values)
        answer["request_seconds"] = time.perf_counter() - begin
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
