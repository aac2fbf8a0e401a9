"""What a comparison has to train, what of it is done, and how long the rest takes as far as it has shown."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from infoalign_dgl._durations import format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Part:
    """One thing to train.

    Attributes
    ----------
    kind : str
        Parts of a kind take time in proportion to their work.
    work : float
        In the same unit as other parts of the kind; 0 for what is likely there already.
    count : int
        Cells (predictions of one method, set and seed) in it, or what else the schedule counts.
    """

    kind: str
    work: float
    count: int = 1


@dataclass
class Schedule:
    """Parts by name, and what those that have run took.

    Nothing is assumed about a kind of part before one of the kind has run here.

    Attributes
    ----------
    clock : callable
        Seconds since any moment.
    unit : str
        What is counted.
    """

    clock: Callable[[], float] = time.monotonic
    unit: str = "cells"
    _parts: dict[str, Part] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _took: dict[str, tuple[float, float]] = field(default_factory=dict)  # by kind: seconds and work
    _running: str | None = None
    _since: float = 0.0
    _began: float | None = None

    def expect(self, name: str, part: Part) -> None:
        """Add a part; one that is known already stays as it is."""
        self._parts.setdefault(name, part)

    def begin(self, name: str, work: float | None = None) -> None:
        """Note that a part is being trained from now on, and its work if it is not what was expected."""
        if work is not None:
            self._parts[name] = replace(self._parts[name], work=work)
        self._running, self._since = name, self.clock()
        self._began = self._since if self._began is None else self._began

    def finish(self, name: str, *, trained: bool = True) -> None:
        """Note that a part is done; what was trained, and not taken over, tells how long others take."""
        if self._running == name:
            if trained:
                part = self._parts[name]
                seconds, work = self._took.get(part.kind, (0.0, 0.0))
                took = self.clock() - self._since
                self._took[part.kind] = (seconds + took, work + part.work)
            self._running = None
        self._done.add(name)

    def seconds_left(self, of_running: float | None = None) -> tuple[float, int]:
        """Estimate how long the rest takes.

        Parameters
        ----------
        of_running : float, optional
            Seconds that the part being trained still takes, where that is known.

        Returns
        -------
        seconds : float
            For the parts whose kind has run before, and the one being trained.
        unknown : int
            Cells of the other parts, of which nothing can be said yet.
        """
        seconds, unknown = 0.0, 0
        for name, part in self._parts.items():
            took, work = self._took.get(part.kind, (0.0, 0.0))
            if name in self._done:
                continue
            if name == self._running and of_running is not None:
                seconds += of_running
            elif not part.work:
                continue
            elif not work:
                unknown += part.count
            elif name == self._running:
                seconds += max(took / work * part.work - (self.clock() - self._since), 0.0)
            else:
                seconds += took / work * part.work
        return seconds, unknown

    def line(self, of_running: float | None = None) -> str:
        """Say how far the whole is: cells done, time passed, and time left."""
        done = sum(part.count for name, part in self._parts.items() if name in self._done)
        total = sum(part.count for part in self._parts.values())
        seconds, unknown = self.seconds_left(of_running)
        passed = 0.0 if self._began is None else self.clock() - self._began
        said = [f"{done:,} of {total:,} {self.unit} in {format_seconds(passed)}"]
        if seconds:
            said.append(f"about {format_seconds(seconds)} left")
        if unknown:
            said.append(f"{unknown:,} not timed yet")
        return ", ".join(said)
