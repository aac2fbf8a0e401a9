"""Chunks of molecules over helper processes that import RDKit and nothing heavier, or over a cluster.

The helpers are plain child processes of this interpreter that talk pickle over pipes, not a
``multiprocessing`` pool: a fork would copy the threads' locks of torch and DGL, and a spawned pool would
import the caller's main script again, with whatever it imports and does at its top level.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from infoalign_dgl.errors import InfoAlignError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Progress = Callable[[int, int], None]

Result = TypeVar("Result")

FEW_ROWS = 2000
"""Below this many rows, starting processes takes longer than the work."""

FEW_ROWS_WHERE_KEPT = 200
"""The same where they were started before."""

_MOST_CHUNK_ROWS, _LEAST_CHUNK_ROWS = 500, 50
_CHUNKS_PER_WORKER = 8  # so that the one that ends last ends soon after the others
_BOOTSTRAP = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from infoalign_dgl.molecules._workers import serve; serve()"
)


class Executor(Protocol):
    """What `map_chunks` gives its chunks to: processes of this machine, or the workers of a cluster."""

    def __len__(self) -> int:
        """Give how many workers there are by now."""

    def most(self) -> int:
        """Give how many workers can be used at once."""

    def map(
        self,
        function: Callable[[list[Any]], Result],
        chunks: list[list[Any]],
        num_workers: int,
        progress: Progress | None,
    ) -> list[Result]:
        """Apply ``function`` to every chunk and return its results in order; see `map_chunks`."""


class Helpers:
    """Helper processes that start when they are first needed, and are kept until this object goes.

    Each holds RDKit, some 80 MB. Calls from several threads share them. A copy, in a child process or by
    pickle, starts its own.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._owner = os.getpid()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._free: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Helpers.__init__(self)

    def __len__(self) -> int:
        return len(self._workers)

    def most(self) -> int:
        """Give one for each CPU this process may run on."""
        return len(os.sched_getaffinity(0))

    def start(self, count: int) -> None:
        """Let there be at least that many."""
        with self._lock:
            if self._owner != os.getpid():  # after a fork: these are the parent's
                self._forget()
            for _ in range(count - len(self._workers)):
                worker = subprocess.Popen(
                    [sys.executable, "-c", _BOOTSTRAP], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
                self._workers.append(worker)
                weakref.finalize(self, _end, worker, os.getpid())
                self._free.put(worker)
                _send(_pipe(worker.stdin), sys.path)

    def map(
        self,
        function: Callable[[list[Any]], Result],
        chunks: list[list[Any]],
        num_workers: int,
        progress: Progress | None,
    ) -> list[Result]:
        """Apply ``function`` to every chunk and return its results in order; see `map_chunks`."""
        self.start(num_workers)
        free = self._free
        firsts = [0]
        for chunk in chunks:
            firsts.append(firsts[-1] + len(chunk))
        results: dict[int, Result] = {}
        done = 0
        with ThreadPoolExecutor(num_workers) as threads:

            def run(number: int) -> Result:
                worker = free.get()
                what = f"rows {firsts[number]} to {firsts[number + 1] - 1}"
                result = _ask(worker, (function, chunks[number]), what)
                free.put(worker)
                return result

            futures = {threads.submit(run, number): number for number in range(len(chunks))}
            try:
                for future in as_completed(futures):
                    results[futures[future]] = future.result()
                    done += len(chunks[futures[future]])
                    if progress is not None:
                        progress(done, firsts[-1])
            except BaseException:
                # An error or Ctrl-C: without this, the threads would work through all that is still queued.
                threads.shutdown(wait=False, cancel_futures=True)
                self.kill()
                raise
        return [results[number] for number in range(len(chunks))]

    def kill(self) -> None:
        """End all of them at once, whatever they do; the next call starts others."""
        with self._lock:
            workers, free = self._workers, self._free
            self._forget()
        for worker in workers:
            worker.kill()
            free.put(worker)  # lets a thread that waits for a worker go on, and fail

    def close(self) -> None:
        """Let all of them end; the next call starts others."""
        with self._lock:
            workers = self._workers
            self._forget()
        for worker in workers:
            _end(worker, os.getpid())


def _end(worker: subprocess.Popen[bytes], owner: int) -> None:
    """Let a process end, unless this is a fork of the one that started it; it may have ended before."""
    if owner != os.getpid():
        return
    try:
        _pipe(worker.stdin).close()
    except BrokenPipeError:
        worker.kill()
    worker.wait()
    _pipe(worker.stdout).close()


def map_chunks(
    function: Callable[[list[Any]], Result],
    rows: Sequence[Any],
    *,
    num_workers: int | None = None,
    progress: Progress | None = None,
    helpers: Executor | None = None,
) -> list[Result]:
    """Apply ``function`` to consecutive chunks of ``rows`` and return its results in order.

    Parameters
    ----------
    function : callable
        Takes a list of rows. It has to be importable by name, from a module that is cheap to import.
    rows : sequence
        Whatever pickles.
    num_workers : int, optional
        Processes to use; by default one per CPU this process may run on, or all of ``helpers``. Fewer than
        2,000 rows stay in this process, and so does everything if one worker is asked for.
    progress : callable, optional
        Called with (rows done, rows in all) after every chunk.
    helpers : Helpers or Cluster, optional
        Processes that are kept for the next call (the first one starts them), or a cluster's workers.

    Raises
    ------
    ValueError
        If ``num_workers`` is below 1.
    InfoAlignError
        If a worker process dies.
    """
    if num_workers is not None and num_workers < 1:
        raise ValueError(
            f"'num_workers' must be at least 1, not {num_workers}: leave it out to use every CPU"
        )
    mine = Helpers()
    executor = mine if helpers is None else helpers
    workers = num_workers or executor.most()
    size = len(rows) // (_CHUNKS_PER_WORKER * workers)
    size = max(_LEAST_CHUNK_ROWS, min(_MOST_CHUNK_ROWS, size))
    chunks = [list(rows[start : start + size]) for start in range(0, len(rows), size)]
    workers = min(workers, len(chunks))
    few = FEW_ROWS if len(executor) < workers else FEW_ROWS_WHERE_KEPT
    if len(rows) < few or workers < 2:
        results = []
        for number, chunk in enumerate(chunks):
            results.append(function(chunk))
            if progress is not None:
                progress(min((number + 1) * size, len(rows)), len(rows))
        return results
    try:
        return executor.map(function, chunks, workers, progress)
    finally:
        mine.close()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # both ends are pipes: see Popen above
    return stream


def _send(stream: IO[bytes], message: Any) -> None:
    pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _ask(worker: subprocess.Popen[bytes], message: Any, what: str) -> Any:
    try:
        _send(_pipe(worker.stdin), message)
        return pickle.load(_pipe(worker.stdout))
    except (BrokenPipeError, EOFError, pickle.UnpicklingError) as error:
        raise InfoAlignError(
            f"a worker process ended with status {worker.wait()} while it worked on {what}: its own message, "
            "if any, stands above; use num_workers=1 to see the error itself, or fewer workers to save memory"
        ) from error


def serve() -> None:
    """Answer requests on standard input until it closes: the main loop of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it closes the pipe
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not land among the answers
    while True:
        try:
            function, rows = pickle.load(requests)
        except EOFError:
            return
        try:
            _send(answers, function(rows))
        except BrokenPipeError:
            return
