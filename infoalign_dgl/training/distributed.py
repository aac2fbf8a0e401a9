"""Several processes that train together: who they are, and what they agree on.

``torchrun`` says in the environment how many processes there are. What lies on a CPU is exchanged by gloo,
what lies on a GPU by NCCL. A single process is a world of one, which exchanges nothing.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, distributed

from infoalign_dgl.errors import InfoAlignError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

# Of one exchange. A process that dies closes its connections, which the others notice at once; this is for
# one that hangs, and must be longer than a validation or a save, for which the others wait.
_TIMEOUT = timedelta(minutes=30)
_POLLS, _POLL_SECONDS = 100, 0.1  # torchrun gives a process 30 seconds to end


class ElsewhereError(InfoAlignError):
    """Another process of the run says what went wrong; this one has nothing to add."""

    def __init__(self) -> None:
        super().__init__("another process of the run stopped: see what it said")


@dataclass(frozen=True)
class World:
    """The processes of a run, and which of them this is.

    Attributes
    ----------
    rank, size : int
        This process among how many.
    local_rank, local_size : int
        The same among those on this machine.
    restarts : int
        How often the processes were all started again, after one of them was lost. ``torchrun`` counts that
        on the machine that lost it only, and a joined world has the largest count.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    restarts: int = 0

    @classmethod
    def of_environment(cls) -> World:
        """Read what ``torchrun`` says."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RESTART_COUNT")
        defaults = cls()
        values = zip(names, (defaults.rank, defaults.size, 0, 1, 0), strict=True)
        return cls(*(int(os.environ.get(name, default)) for name, default in values))

    def share(self, count: int) -> slice:
        """Which of ``count`` things in a row are this process's; shares differ by at most one thing."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def share_sizes(self, count: int) -> list[int]:
        """How many of ``count`` things each process has."""
        edges = [count * rank // self.size for rank in range(self.size + 1)]
        return [stop - start for start, stop in pairwise(edges)]

    def add_up(self, values: Tensor) -> Tensor:
        """Add the processes' tensors up, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def copy_first(self, tensors: list[Tensor]) -> None:
        """Give every process what the first one's tensors hold, in place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, src=0)

    def from_first(self, make: Callable[[], T]) -> T:
        """Let the first process do something, and give every process what came of it.

        Raises
        ------
        ElsewhereError
            In the others, if the first process raises something; there it stays what it is.
        """
        if self.size == 1:
            return make()
        made: list[T] = []
        try:
            if self.rank == 0:
                made.append(make())
        finally:
            box = [made]
            distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        if not box[0]:
            raise ElsewhereError
        return box[0][0]

    @contextmanager
    def one_per_machine_first(self) -> Iterator[None]:
        """Let one process of each machine through the block before its others."""
        if self.local_rank > 0:
            self.add_up(torch.zeros(1))
        yield
        if self.local_rank == 0:
            self.add_up(torch.zeros(1))


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Join the processes that ``torchrun`` started beside this one, until the block ends.

    A process group that is there already is used, and left as it is.

    Raises
    ------
    RunError
        If the others cannot be reached.
    ElsewhereError
        If another one ended in the meantime.
    """
    world = World.of_environment()
    if world.size == 1:
        yield world
        return
    was_there = distributed.is_initialized()
    if not was_there:
        try:
            _join(world)
        except RuntimeError as error:
            where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
            raise RunError(
                f"process {world.rank} of {world.size} does not reach the others through {where} "
                f"({_first_line(error)}): check the network, and GLOO_SOCKET_IFNAME where there are several"
            ) from error
    try:
        yield replace(world, restarts=_most(world.restarts))
    except RuntimeError as error:
        if not is_lost_process(error):
            raise
        raise ElsewhereError from error
    finally:
        if not was_there:
            distributed.destroy_process_group()


def _most(count: int) -> int:
    """Return the largest of the processes' counts."""
    counts = torch.tensor(count)
    distributed.all_reduce(counts, distributed.ReduceOp.MAX)
    return int(counts)


def _join(world: World) -> None:
    on_gpu = torch.cuda.is_available() and distributed.is_nccl_available()
    store, _, _ = next(distributed.rendezvous("env://", timeout=_TIMEOUT))
    if world.local_size == world.size:
        # torchrun keeps the store over restarts, with the addresses of processes that are gone. Several
        # machines count restarts each for itself, and have no common name for what is new.
        store = distributed.PrefixStore(f"restart-{world.restarts}", store)
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    shows_errors = sys.excepthook
    distributed.init_process_group(
        backend, store=store, rank=world.rank, world_size=world.size, timeout=_TIMEOUT
    )
    sys.excepthook = shows_errors  # torch's puts the rank before each line, but few processes have one to say


def is_lost_process(error: BaseException) -> bool:
    """Tell whether an error says that an exchange failed, which it does when another process is gone."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and ("gloo" in str(error) or "Connection closed" in str(error))


def is_idle(device: torch.device) -> bool:
    """Wait for what was asked of a device; False if it does not come to an end.

    A GPU can be stuck in an exchange with a process that is gone. What lies on it cannot be read then, since
    it could be half of an update.
    """
    if device.type == "cpu":
        return True
    done = torch.cuda.Event()
    done.record()
    for _ in range(_POLLS):
        if done.query():
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def lock(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock within the block, or yield False at once if another process holds it.

    The system lets go of the lock when its holder dies. The first process of a run holds that of the run
    folder, so that another one which gets it knows that the first is gone.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # held, or a file system without locks, on which nobody can know
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
