"""``infoalign-dgl fetch``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infoalign_dgl.cli._output import json_option, print_json, print_table

if TYPE_CHECKING:
    from infoalign_dgl.sources.registry import DataSet


@click.command("fetch")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option(
    "--to",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of all data sets, each in one of its own; by default the user's cache.",
)
@click.option("--list", "as_list", is_flag=True, help="List what there is, and what is here already.")
@click.option("--offline", is_flag=True, help="Check what is here and open no connection.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="Seconds without bytes.",
)
@click.option(
    "--registry",
    "registry_file",
    type=click.Path(path_type=Path),
    help="TOML file of data sets in place of the built-in ones (a mirror's, say).",
)
@json_option
def command(
    names: tuple[str, ...],
    root: Path | None,
    as_list: bool,
    offline: bool,
    timeout: float,
    registry_file: Path | None,
    as_json: bool,
) -> None:
    """Download public data sets and the authors' weights.

    Each is put into a folder of its name, with a file of checksums beside it. What is there is checked and
    not downloaded again; what broke off goes on. `infoalign-dgl fetch --list` shows the names.
    """
    if not names and not as_list:
        raise click.UsageError("say which data sets to fetch, or --list to see them")
    from infoalign_dgl.errors import DownloadError
    from infoalign_dgl.sources.downloads import default_root, fetch, find
    from infoalign_dgl.sources.registry import SHIPPED, read_registry
    from infoalign_dgl.sources.transfer import Transfer

    registry = read_registry(registry_file or SHIPPED)
    chosen = {name: find(registry, name) for name in names} or registry
    root = root or default_root()
    if as_list:
        _print_list(chosen, root, as_json=as_json)
        return
    failed = []
    report = {}
    for name, data_set in chosen.items():
        click.echo(
            f"{name}: {data_set.title}\n  from {data_set.home}\n  licence: {data_set.licence}", err=True
        )
        progress = _Progress()
        try:
            found = fetch(
                name, data_set, root, offline=offline, transfer=Transfer(timeout=timeout, progress=progress)
            )
        except DownloadError as error:
            progress.close()
            failed.append(str(error))
            continue
        progress.close()
        report[name] = {"folder": found.folder, "files": found.files, "downloaded": found.downloaded}
        if not as_json:
            new = f"{len(found.downloaded)} downloaded now"
            click.echo(f"{name}: {len(found.files)} files in {found.folder}, {new}, all checked")
    if as_json:
        print_json(report)
    if failed:
        raise DownloadError("\nError: ".join(failed))


def _print_list(registry: dict[str, DataSet], root: Path, *, as_json: bool) -> None:
    from infoalign_dgl.sources.downloads import state

    rows = [
        (name, data_set.title, _size(data_set), data_set.licence, state(name, data_set, root))
        for name, data_set in registry.items()
    ]
    columns = ("name", "what it is", "size", "licence", "here")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(f"in {root}", columns, rows)


def _size(data_set: DataSet) -> str:
    if data_set.about is not None:
        return f"about {_bytes(data_set.about)}"
    sizes = [file.size for file in data_set.files]
    known = sum(size for size in sizes if size is not None)
    return f"{'over ' if None in sizes else ''}{_bytes(known)}" if known else "not known"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


class _Progress:
    """One line a file: on a terminal it is rewritten as bytes come, elsewhere it comes once a minute."""

    def __init__(self) -> None:
        self._path = ""
        self._text = ""
        self._terminal = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()
        self._first = 0

    def __call__(self, path: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        if path != self._path:
            self.close()
            self._path, self._started, self._shown, self._first = path, now, now, done
        speed = (done - self._first) / max(now - self._started, 1e-3)
        of = f" of {_bytes(total)}" if total is not None else ""
        self._text = f"  {path}: {_bytes(done)}{of}, {_bytes(speed)}/s"
        if now - self._shown > (0.1 if self._terminal else 60.0):
            self._shown = now
            click.echo(
                f"\r\x1b[K{self._text}" if self._terminal else self._text, nl=not self._terminal, err=True
            )

    def close(self) -> None:
        """End the running file's line."""
        if self._path:
            click.echo(f"\r\x1b[K{self._text}" if self._terminal else self._text, err=True)
        self._path = ""
