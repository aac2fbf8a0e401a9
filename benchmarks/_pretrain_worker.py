"""Build a context graph and pretrain on it, by this package's public calls, in a process of its own.

It answers the requests ``build``, ``steps``, ``where``, ``products`` and ``rates``.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _processes import serve
from _products import read_profile, time_products
from _step_clock import durations, step_ends
from _where import Look

if TYPE_CHECKING:
    from collections.abc import Callable

    from infoalign_dgl.context import ContextGraph

warnings.simplefilter("ignore")

state: dict[str, Any] = {}


def build(data: str, scratch: str) -> dict[str, Any]:
    """Build a graph of the data, write it, and read it again with its features on disk."""
    from infoalign_dgl.context import ContextGraph, build_context_graph

    folder = Path(scratch)
    build_context_graph(f"reference:{data}").save(folder / "graph")
    return _use(ContextGraph.load(folder / "graph"), folder)


def load(graph: str, scratch: str) -> dict[str, Any]:
    """Read a graph that was built before."""
    from infoalign_dgl.context import ContextGraph

    return _use(ContextGraph.load(graph), Path(scratch))


def _use(graph: ContextGraph, folder: Path) -> dict[str, Any]:
    state.update(graph=graph, runs=folder / "runs")
    return {"nodes": graph.total_nodes, "edges": sum(graph.num_edges.values())}


def _pretrain(count: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Pretrain so many steps in a run folder that is not kept, and give the lines of its metrics."""
    from rich.console import Console

    from infoalign_dgl.training import PretrainConfig, pretrain

    config = PretrainConfig(max_steps=count, device="cpu", checkpoint_every=10**9, **settings)
    run = state["runs"]
    shutil.rmtree(run, ignore_errors=True)
    pretrain(state["graph"], run, config, console=Console(file=sys.stderr))
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def steps(count: int, leave_out: int, **settings: Any) -> dict[str, Any]:
    """Run training steps, and give the seconds of all but the first ones, and those until the first."""
    begin = time.perf_counter()
    with step_ends() as ends:
        lines = _pretrain(count, settings)
    sizes = {line["molecules"] for line in lines}
    if len(ends) != count or sizes != {settings["batch_size"]}:
        raise RuntimeError(f"{count} steps were asked for: {len(ends)} came, of {sizes} molecules")
    found = {"seconds": durations(ends, leave_out), "loss": lines[-1]["loss"]}
    return {**found, "until_first_seconds": ends[0] - begin}


def _within(count: int, leave_out: int, begin: Callable[[], None], end: Callable[[], None]) -> Any:
    """Call back at the end of the first steps, and before the last step, which prepares no other."""

    def then(done: int) -> None:
        if done == leave_out:
            begin()
        elif done == count - 1:
            end()

    return step_ends(then)


def where(count: int, leave_out: int, **settings: Any) -> dict[str, Any]:
    """Look where the time of training steps goes; see `_where`."""
    looks: list[Look] = []
    found: dict[str, Any] = {"steps": count - 1 - leave_out}

    def end() -> None:
        found.update(looks[0].stop())

    with _within(count, leave_out, lambda: looks.append(Look()), end):
        _pretrain(count, settings)
    return found


def products(count: int, leave_out: int, **settings: Any) -> dict[str, Any]:
    """Profile the operations of training steps; see `_products`."""
    import torch

    profile = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True)
    with _within(count, leave_out, profile.start, profile.stop) as ends:
        _pretrain(count, settings)
    inside = count - 1 - leave_out
    return read_profile(profile, inside, ends[count - 2] - ends[leave_out - 1])


def rates(shapes: list[list[int]], dtype: str) -> dict[str, Any]:
    """Time matrix products alone."""
    return {"seconds": time_products([(m, k, n) for m, k, n in shapes], dtype)}


if __name__ == "__main__":
    serve(
        {
            "build": build,
            "load": load,
            "steps": steps,
            "where": where,
            "products": products,
            "rates": rates,
        }
    )
