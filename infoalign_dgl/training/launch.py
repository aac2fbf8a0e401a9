"""Starting a command in several processes on this machine."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

SIGNALLED = 128  # above it, an exit code is this and a signal's number
_RELAYED = (signal.SIGTERM, signal.SIGINT)


def launch(arguments: Sequence[str], processes: int, *, max_restarts: int = 0) -> int:
    """Run this Python in several processes, as ``torchrun`` on one machine does.

    SIGTERM and Ctrl-C are passed on to them. The processor's cores are shared out among them, unless
    ``OMP_NUM_THREADS`` says otherwise.

    Parameters
    ----------
    arguments : sequence of str
        Of the Python interpreter.
    processes : int
        How many.
    max_restarts : int
        How often all are started again after one failed.

    Returns
    -------
    int
        0 if all ended well; else the exit code of the first one that failed: ``SIGNALLED`` + N after signal
        N.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    logging.getLogger("torch.distributed.elastic").setLevel(
        logging.CRITICAL
    )  # processes say themselves why they end
    with tempfile.TemporaryDirectory(prefix="infoalign-dgl-") as logs, _signals_relayed():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # any free port
            local_addr="localhost",
            max_restarts=max_restarts,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            signals_to_handle="SIGHUP,SIGQUIT",
        )
        try:
            elastic_launch(config, sys.executable)(*arguments)
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            return failure.exitcode if failure.exitcode > 0 else SIGNALLED - failure.exitcode
        except SignalException as error:
            return SIGNALLED + error.sigval
    return 0


@contextmanager
def _signals_relayed() -> Iterator[None]:
    """Pass signals on to the processes started from here, which decide what to do.

    The launcher's own handling would end the processes, and with them the knowledge of how they ended.
    """

    def relay(number: int, _frame: FrameType | None) -> None:
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        if not children:
            sys.exit(SIGNALLED + number)
        for child in children:
            os.kill(int(child), number)

    before = {number: signal.signal(number, relay) for number in _RELAYED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
