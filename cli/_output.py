"""What the commands share: progress on a terminal, tables, and JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")


def print_json(data: Any) -> None:
    """Print ``data`` as JSON, with numpy numbers and paths made plain."""
    click.echo(json.dumps(data, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


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
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
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
    """Prints one line a stage: its name, how far it is, and how long it took.

    On a terminal the line is rewritten in place; elsewhere each stage gives one line when it ends.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._started = time.monotonic()
        self._total = 0
        self._shown = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self.close()
            self._stage, self._started = stage, now
        self._total = total
        if sys.stderr.isatty() and now - self._shown > 0.1:
            self._shown = now
            click.echo(f"\r\x1b[K{stage}: {done:,} of {total:,}", nl=False, err=True)

    def close(self) -> None:
        """End the running stage's line."""
        if not self._stage:
            return
        start = "\r\x1b[K" if sys.stderr.isatty() else ""
        seconds = time.monotonic() - self._started
        click.echo(f"{start}{self._stage}: {self._total:,} in {seconds:.1f} s", err=True)
        self._stage = ""
