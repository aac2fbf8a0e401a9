"""Chunks of molecules over helper processes that import RDKit and nothing heavier.

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
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar

from infoalign_dgl.errors import InfoAlignError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Progress = Callable[[int, int], None]

Result = TypeVar("Result")

FEW_ROWS = 2000
"""Below this many rows, starting processes takes longer than the work."""

_CHUNK_ROWS = 500
_BOOTSTRAP = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from infoalign_dgl.molecules._workers import serve; serve()"
)


def map_chunks(
    function: Callable[[list[Any]], Result],
    rows: Sequence[Any],
    *,
    num_workers: int | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Apply ``function`` to consecutive chunks of ``rows`` and return its results in order.

    Parameters
    ----------
    function : callable
        Takes a list of rows. It has to be importable by name, from a module that is cheap to import.
    rows : sequence
        Whatever pickles.
    num_workers : int, optional
        Processes to use; by default one per CPU this process may run on. Fewer than 2,000 rows stay in this
        process, and so does everything if one worker is asked for.
    progress : callable, optional
        Called with (rows done, rows in all) after every chunk.

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
    chunks = [list(rows[start : start + _CHUNK_ROWS]) for start in range(0, len(rows), _CHUNK_ROWS)]
    workers = min(num_workers or len(os.sched_getaffinity(0)), len(chunks))
    if len(rows) < FEW_ROWS or workers < 2:
        results = []
        for number, chunk in enumerate(chunks):
            results.append(function(chunk))
            if progress is not None:
                progress(min((number + 1) * _CHUNK_ROWS, len(rows)), len(rows))
        return results
    return _map_in_processes(function, chunks, workers, len(rows), progress)


def _map_in_processes(
    function: Callable[[list[Any]], Result],
    chunks: list[list[Any]],
    num_workers: int,
    num_rows: int,
    progress: Progress | None,
) -> list[Result]:
    results: dict[int, Result] = {}
    done = 0
    with _worker_processes(num_workers) as workers, ThreadPoolExecutor(num_workers) as threads:
        free: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        for worker in workers:
            free.put(worker)

        def run(number: int) -> Result:
            worker = free.get()
            first = number * _CHUNK_ROWS
            result = _ask(
                worker, (function, chunks[number]), f"rows {first} to {first + len(chunks[number]) - 1}"
            )
            free.put(worker)
            return result

        futures = {threads.submit(run, number): number for number in range(len(chunks))}
        try:
            for future in as_completed(futures):
                results[futures[future]] = future.result()
                done += len(chunks[futures[future]])
                if progress is not None:
                    progress(done, num_rows)
        except BaseException:
            # An error or Ctrl-C: without this, the threads would work through all that is still queued.
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.kill()
                free.put(worker)  # lets a thread that waits for a worker go on, and fail
            raise
    return [results[number] for number in range(len(chunks))]


@contextmanager
def _worker_processes(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            worker = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            workers.append(worker)
            _send(_pipe(worker.stdin), sys.path)
        yield workers
    finally:
        for worker in workers:
            try:
                _pipe(worker.stdin).close()
            except BrokenPipeError:
                worker.kill()
            worker.wait()
            _pipe(worker.stdout).close()


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
