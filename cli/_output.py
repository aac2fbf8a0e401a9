"""What the commands share: progress on a terminal, tables, and JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from infoalign_dgl._durations import format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


def print_json(data: Any) -> None:
    """Print ``data`` as JSON, with numpy numbers and paths made plain."""
    click.echo(json.dumps(data, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def can_draw() -> bool:
    """Whether matplotlib is there, made ready to draw without a screen; it is said if not."""
    try:
        import matplotlib
    except ImportError:
        click.echo("No figures were drawn: pip install 'infoalign-dgl[plots]'.", err=True)
        return False
    matplotlib.use("Agg")
    return True


def require_pages() -> None:
    """Check that pages can be made, and make matplotlib ready to draw without a screen.

    Raises
    ------
    InfoAlignError
        If something that they need is not installed.
    """
    from infoalign_dgl.errors import InfoAlignError

    try:
        import jinja2  # noqa: F401
        import matplotlib as mpl
    except ImportError as error:
        raise InfoAlignError(
            f"a page needs {error.name}, which is not installed: pip install 'infoalign-dgl[plots]'"
        ) from error
    mpl.use("Agg")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table under its title, columns of numbers aligned right; nothing where there are no rows."""
    from rich.console import Console
    from rich.table import Table

    body = [list(row) for row in rows]
    if not body:
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, column in enumerate(columns):
        numbers = all(_is_number(row[index]) for row in body)
        table.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in body:
        table.add_row(*(_cell(value) for value in row))
    # A structure's [nH] is no markup, and a key's :a: no emoji.
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False, emoji=False)
    if title:
        console.print(title, style="italic")
    console.print(table)
    console.print()


def _is_number(value: Any) -> bool:
    return not isinstance(value, str) or value.strip("+-0123456789.,%") == ""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


class StageProgress:
    """Prints one line a stage: its name, how far it is, how long it takes still, and how long it took.

    On a terminal the line is rewritten in place; elsewhere each stage gives one line when it ends. What is
    left is what the stage itself shows: the time per item so far, times the items that are left.

    Parameters
    ----------
    whole : callable, optional
        Given the seconds that the stage still takes, or None where nobody knows, says how far everything is.
    clock : callable
        Seconds since any moment.
    """

    def __init__(
        self,
        whole: Callable[[float | None], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._whole = whole
        self._clock = clock
        self._stage = ""
        self._started = self._shown = clock()
        self._first = self._total = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take note that ``done`` of ``total`` items of a stage are done; a total of 0 is not known yet."""
        now = self._clock()
        if stage != self._stage:
            self.close()
            self._stage, self._started, self._first, self._shown = stage, now, done, 0.0
        self._total = total
        if sys.stderr.isatty() and now - self._shown > 0.1:
            self._shown = now
            line = self._line(done, now)
            width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be rewritten
            click.echo(f"\r\x1b[K{line[:width]}", nl=False, err=True)

    def _line(self, done: int, now: float) -> str:
        passed, left = now - self._started, None
        said = self._stage
        if self._total:
            said += f": {done:,} of {self._total:,} in {format_seconds(passed)}"
        if done > self._first:
            left = passed / (done - self._first) * (self._total - done)
            said += f", {format_seconds(left)} left"
        return said if self._whole is None else f"{said} | {self._whole(left)}"

    def close(self) -> None:
        """End the running stage's line."""
        if not self._stage:
            return
        start = "\r\x1b[K" if sys.stderr.isatty() else ""
        items = f"{self._total:,} in " if self._total else ""
        whole = "" if self._whole is None else f" | {self._whole(None)}"
        click.echo(f"{start}{self._stage}: {items}{self._clock() - self._started:.1f} s{whole}", err=True)
        self._stage = ""
