"""Time several implementations of one task in turn, and print and write what came out.

Every entry runs once untimed, then rounds go through all entries, in another order each, so that whatever
else the machine does hits all of them alike. A slow entry leaves after `CAP_SECONDS` of its own; the table
says how many rounds each had. A call much shorter than `SHORTEST_SECONDS` is repeated in its round and
averaged.
"""

from __future__ import annotations

import gc
import json
import math
import os
import random
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from _machine import describe_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CAP_SECONDS = 20.0
SHORTEST_SECONDS = 0.02
LONG_SECONDS = 2.0  # not run once more to see how long it takes
# What a peer that does not work with the installed versions raises, as far as any did.
PEER_ERRORS = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Entry:
    """One implementation of the task.

    Attributes
    ----------
    name : str
        Unique within its section.
    run : callable
        The call that is timed; takes nothing.
    note : str
        What this one leaves out, or does besides.
    peer : bool
        Somebody else's: skipped, with its error, where its warm-up fails.
    warm_up : callable, optional
        What runs untimed before, where that is not one ``run`` (it takes long, say).
    facts : callable, optional
        What the last timed run's result says, for the table: takes the result, gives a mapping.
    scale : float
        What seconds are multiplied by, where ``run`` does a part of the task only; ``note`` says so.
    """

    name: str
    run: Callable[[], Any]
    note: str = ""
    peer: bool = False
    warm_up: Callable[[], Any] | None = None
    facts: Callable[[Any], Mapping[str, Any]] | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Skipped:
    """An implementation that was not timed, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Timing:
    """Seconds that one entry took in each of its rounds, scaled where it did a part only."""

    name: str
    note: str
    warm_up_seconds: float
    seconds: list[float]
    calls_per_round: int
    scale: float
    facts: dict[str, Any]

    @property
    def median(self) -> float:
        """Median over the rounds, in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two medians, and what it should be."""

    label: str
    over: str
    under: str
    at_least: float | None = None
    at_most: float | None = None


@dataclass
class Section:
    """One comparison: what was timed, in how many units of work, and what to say of it.

    Ratios are held against what is asked of them at full size only.
    """

    title: str
    baseline: str
    work: float = 0
    unit: str = ""
    full_size: bool = True
    timings: list[Timing] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def median(self, name: str) -> float | None:
        """Median seconds of the entry of that name, None where it was not timed."""
        return next((timing.median for timing in self.timings if timing.name == name), None)

    def compare(self, ratios: Sequence[Ratio]) -> None:
        """Add the ratios whose both sides were timed."""
        for ratio in ratios:
            over, under = self.median(ratio.over), self.median(ratio.under)
            if over is None or under is None:
                continue
            value = over / under
            met: bool | None = None
            if self.full_size and (ratio.at_least is not None or ratio.at_most is not None):
                met = (ratio.at_least or 0) <= value <= (ratio.at_most or math.inf)
            self.ratios.append({**asdict(ratio), "value": value, "met": met})


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a benchmark that runs in rounds."""
    rounds = click.option(
        "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Most rounds per entry."
    )
    return rounds(machine_options(command))


def machine_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all benchmarks share."""
    cores = len(os.sched_getaffinity(0))
    for option in (
        click.option(
            "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write it all here."
        ),
        click.option(
            "--threads", type=click.IntRange(1), default=cores, show_default="all cores", help="Threads."
        ),
    ):
        command = option(command)
    return command


def data_root_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option that names the real data."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    return click.option(
        "--data-root",
        type=folder,
        envvar="INFOALIGN_DATA",
        show_envvar=True,
        help="Folder that holds context/ and tasks/.",
    )(command)


def build_peer(names: Sequence[str], build: Callable[[], list[Any]]) -> tuple[list[Any], list[Skipped]]:
    """Call ``build``, which imports and prepares a peer; where that fails, say why under its names."""
    try:
        return build(), []
    except ModuleNotFoundError as error:
        reason = f"not installed: no module named {error.name}"
    except PEER_ERRORS as error:
        reason = f"does not work here: {_first_line(error)}"
    return [], [Skipped(name, reason) for name in names]


def measure(
    section: Section, entries: Sequence[Entry], rounds: int, *, cap_seconds: float = CAP_SECONDS
) -> None:
    """Time the entries in turn, adding to the section's timings and to its skipped ones."""
    running: list[tuple[Entry, Timing]] = []
    for entry in entries:
        click.echo(f"  warming up: {entry.name}", err=True)
        begin = time.perf_counter()
        try:
            (entry.warm_up or entry.run)()
        except PEER_ERRORS as error:
            if not entry.peer:
                raise
            section.skipped.append(Skipped(entry.name, f"does not work here: {_first_line(error)}"))
            continue
        first = time.perf_counter() - begin
        calls = _calls_per_round(entry) if first < LONG_SECONDS else 1
        running.append((entry, Timing(entry.name, entry.note, first, [], calls, entry.scale, {})))
    for number in range(rounds):
        # In another order each time: what an entry finds in the caches is what the one before it left there.
        for entry, timing in random.Random(number).sample(running, len(running)):
            if number and sum(timing.seconds) * timing.calls_per_round / entry.scale > cap_seconds:
                continue
            seconds, result = _time(entry, timing.calls_per_round)
            timing.seconds.append(seconds * entry.scale)
            if entry.facts is not None:
                timing.facts.update(entry.facts(result))
            del result
    section.timings += [timing for _, timing in running]


def _calls_per_round(entry: Entry) -> int:
    """Give how often to call what is short; a run with a warm-up of its own is long."""
    if entry.warm_up is not None:
        return 1
    seconds, _ = _time(entry, 1)
    return max(1, math.ceil(SHORTEST_SECONDS / max(seconds, 1e-6))) if seconds < SHORTEST_SECONDS / 2 else 1


def _time(entry: Entry, calls: int) -> tuple[float, Any]:
    gc.collect()
    begin = time.perf_counter()
    for _ in range(calls):
        result = entry.run()
    return (time.perf_counter() - begin) / calls, result


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


class Report:
    """Print sections as they come, and keep the JSON file up to date."""

    def __init__(
        self, benchmark: str, settings: Mapping[str, Any], threads: int, json_file: Path | None
    ) -> None:
        self._file = json_file
        self._content: dict[str, Any] = {
            "benchmark": benchmark,
            "settings": dict(settings),
            "machine": describe_machine(threads),
            "sections": [],
        }
        machine = self._content["machine"]
        click.echo(f"{benchmark}: {', '.join(f'{name} {value}' for name, value in settings.items())}")
        click.echo(
            f"{machine['cpu']}, {machine['cores']} cores, {threads} threads, "
            f"{machine['memory_gib']:.0f} GiB, caches {machine['caches']}; load {machine['load']:.2f} before"
        )
        click.echo(", ".join(f"{name} {version}" for name, version in machine["versions"].items()))

    def add(self, section: Section) -> None:
        """Print a section that is complete, and write everything so far."""
        _print_section(section)
        results = [
            {
                **asdict(timing),
                "median_seconds": timing.median,
                "min_seconds": min(timing.seconds),
                "times_baseline": _times(section, timing),
            }
            for timing in section.timings
        ]
        written = {
            "title": section.title,
            "baseline": section.baseline,
            "work": section.work,
            "unit": section.unit,
        }
        written |= {"results": results, "skipped": [asdict(entry) for entry in section.skipped]}
        written |= {"ratios": section.ratios, "notes": section.notes, "figures": section.figures}
        self._content["sections"].append(written)
        if self._file is not None:
            self._file.write_text(json.dumps(self._content, indent=2) + "\n")


def _times(section: Section, timing: Timing) -> float | None:
    baseline = section.median(section.baseline)
    return None if baseline is None else timing.median / baseline


def _print_section(section: Section) -> None:
    width = max([len(timing.name) for timing in section.timings] + [12])
    rate = f"{section.unit + '/s':>14}" if section.work else ""
    click.echo(
        f"\n{section.title}\n{'':{width}} {'median':>10} {'least':>10} {'rounds':>7} {'x ours':>9}{rate}"
    )
    for timing in section.timings:
        times = _times(section, timing)
        columns = f"{_seconds(timing.median)} {_seconds(min(timing.seconds))} {len(timing.seconds):>7} "
        columns += f"{times:>9.2f}" if times is not None else f"{'':>9}"
        columns += f"{section.work / timing.median:>14,.0f}" if section.work else ""
        facts = [f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
                 for name, value in timing.facts.items()]  # fmt: skip
        remark = "; ".join(part for part in (*facts, timing.note) if part)
        click.echo(f"{timing.name:{width}} {columns}  {remark}".rstrip())
    for entry in section.skipped:
        click.echo(f"{entry.name:{width}} skipped: {entry.reason}")
    for ratio in section.ratios:
        verdict = ""
        if ratio["met"] is not None:
            word = "at least" if ratio["at_most"] is None else "at most"
            bound = ratio["at_least"] if ratio["at_most"] is None else ratio["at_most"]
            verdict = f"  ({word} {bound:g} asked: {'met' if ratio['met'] else 'MISSED'})"
        click.echo(f"  {ratio['label']}: {ratio['value']:.2f}{verdict}")
    for note in section.notes:
        click.echo(f"  {note}")


def _seconds(value: float) -> str:
    if value < 1e-3:
        return f"{value * 1e6:>7.1f} us"
    return f"{value * 1e3:>7.2f} ms" if value < 1 else f"{value:>8.2f} s"
