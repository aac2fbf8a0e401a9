"""A Dask cluster in the place of this machine's processes: the same functions on the same chunks.

Results are put together in the order of the chunks, so they are the same bits wherever a chunk was done, and
how often: the scheduler gives what a lost worker had to others.
"""

from __future__ import annotations

import importlib.metadata
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from infoalign_dgl.errors import InfoAlignError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from distributed import Client

    from infoalign_dgl.molecules._workers import Progress

Result = TypeVar("Result")

LOCAL = "local"
_CONNECT_SECONDS = 10
_SAME = ("infoalign-dgl", "numpy", "rdkit")  # packages whose versions workers must share
_AHEAD = 4  # chunks handed out beyond those that are worked on, for each worker


class Cluster:
    """Workers of a Dask cluster, as an executor of `map_chunks` and for pairs of blocks.

    Parameters
    ----------
    client : distributed.Client
        Connected to the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def __len__(self) -> int:
        return sum(self._client.nthreads().values())

    def most(self) -> int:
        """Give how many threads its workers have by now."""
        return max(len(self), 1)

    def map(
        self,
        function: Callable[[list[Any]], Result],
        chunks: list[list[Any]],
        num_workers: int,
        progress: Progress | None,
    ) -> list[Result]:
        """Apply ``function`` to every chunk and return its results in order; see `map_chunks`."""
        total = sum(len(chunk) for chunk in chunks)
        results: list[Any] = [None] * len(chunks)
        done = 0
        calls = ((function, chunk) for chunk in chunks)
        for number, result in self._run(calls, _AHEAD * num_workers):
            results[number] = result
            done += len(chunks[number])
            if progress is not None:
                progress(done, total)
        return results

    def map_pairs(
        self,
        function: Callable[[Any, Any], Result],
        blocks: Sequence[Any],
        progress: Progress | None,
    ) -> Iterator[Result]:
        """Give ``function`` of every two blocks, the first not after the second, in any order.

        Each block is a task of its own, of which the scheduler can make another copy when a worker is lost.
        """
        stored = [self._client.submit(_same, block, pure=False) for block in blocks]
        pairs = [(first, second) for second in range(len(blocks)) for first in range(second + 1)]
        calls = ((function, stored[first], stored[second]) for first, second in pairs)
        for done, (_, result) in enumerate(self._run(calls, _AHEAD * self.most()), start=1):
            yield result
            if progress is not None:
                progress(done, len(pairs))

    def _run(self, calls: Iterator[tuple[Any, ...]], ahead: int) -> Iterator[tuple[int, Any]]:
        """Give (number of the call, its result) as calls end, with no more than ``ahead`` under way."""
        from distributed import CancelledError, KilledWorker, as_completed

        numbers: dict[Any, int] = {}
        under_way = as_completed()
        queue = enumerate(calls)
        try:
            while True:
                while len(numbers) < ahead and (following := next(queue, None)) is not None:
                    number, (function, *arguments) = following
                    future = self._client.submit(function, *arguments, pure=False)
                    numbers[future] = number
                    under_way.add(future)
                if not numbers:
                    return
                future = next(under_way)
                yield numbers.pop(future), future.result()
        except (KilledWorker, CancelledError) as error:
            raise InfoAlignError(
                f"the Dask cluster gave up a part of the work ({str(error).splitlines()[0]}): look into its "
                "workers' logs, and give each more memory or let there be fewer"
            ) from error
        finally:
            self._client.cancel(list(numbers))


def _same(block: Any) -> Any:
    return block


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _SAME}


@contextmanager
def open_cluster(address: str, *, num_workers: int | None = None) -> Iterator[Cluster]:
    """Connect to a Dask scheduler, or start one with workers on this machine.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://host:8786``; or ``"local"``.
    num_workers : int, optional
        Processes of a local cluster; by default one per CPU.

    Raises
    ------
    InfoAlignError
        If ``distributed`` is not installed, no scheduler answers, it has no worker, or a worker has other
        versions of the packages that results depend on.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InfoAlignError(
            "a Dask scheduler needs the package distributed: pip install 'infoalign-dgl[dask]'"
        ) from error
    if address == LOCAL:
        count = num_workers or len(os.sched_getaffinity(0))
        with (
            LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0") as cluster,
            Client(cluster) as client,
        ):
            yield Cluster(client)
        return
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise InfoAlignError(
            f"no Dask scheduler answers at '{address}': start one there, or pass '{LOCAL}'"
        ) from error
    with client:
        _check_workers(client, address)
        yield Cluster(client)


def _check_workers(client: Client, address: str) -> None:
    found = client.run(_versions)
    if not found:
        raise InfoAlignError(f"the Dask scheduler at '{address}' has no workers: start some and try again")
    own = _versions()
    for worker, versions in sorted(found.items()):
        for name, version in own.items():
            if versions[name] != version:
                raise InfoAlignError(
                    f"the Dask worker {worker} has {name} {versions[name]} and this program {version}: "
                    "install the same version, or results may differ"
                )
