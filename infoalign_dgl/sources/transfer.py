"""Bring one file over HTTP: resumed where it broke off, retried, checked, and whole or not there.

What has come so far stands in ``NAME.TAG.part`` beside the file's own name, where TAG stands for the
version that the server said it was sending (its ETag or Last-Modified), so that the rest of another
version is never appended to it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from infoalign_dgl.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from infoalign_dgl.sources.registry import RemoteFile

_CHUNK = 1 << 14  # what a connection that stalls or a process that is killed loses at most
_NO_VERSION = "0" * 12
_BUSY = {408, 425, 429}


class _Temporary(Exception):
    """Worth another try: the connection broke, the server was busy, the file changed on the way."""


class _Final(Exception):
    """Not to be had at one address: not found, forbidden, or another file than expected."""


@dataclass(frozen=True)
class Transfer:
    """How files are brought.

    Parameters
    ----------
    timeout : float
        Seconds to wait for a connection, and for the next bytes.
    attempts : int
        How often one address is tried without anything new coming.
    pause : float
        Seconds before the second attempt; each further one waits twice as long.
    progress : callable
        Called with the file's path, the bytes that are here and the bytes there will be (or None).
    """

    timeout: float = 30.0
    attempts: int = 4
    pause: float = 1.0
    progress: Callable[[str, int, int | None], None] = lambda _path, _done, _total: None

    def bring(self, file: RemoteFile, folder: Path) -> Path:
        """Download ``file`` into ``folder``, from the first of its addresses that gives it.

        Returns
        -------
        Path
            The file: complete, checked, and put in place in one step.

        Raises
        ------
        DownloadError
            Saying what was tried at which address, and what happened.
        """
        import pooch

        pooch.get_logger().setLevel("WARNING")  # progress and errors are told in our own words
        tried = []
        for url in file.urls:
            store = pooch.Pooch(folder, "", registry={file.path: None}, urls={file.path: url})
            try:
                return Path(store.fetch(file.path, downloader=_Resuming(self, file, folder)))
            except _Final as problem:
                tried.append(f"{url} ({problem})")
        raise DownloadError(f"could not download '{file.path}': tried {' and '.join(tried)}")


class _Resuming:
    """A downloader for pooch that keeps what came in a ``.part`` file and goes on from there."""

    def __init__(self, how: Transfer, file: RemoteFile, folder: Path) -> None:
        self._how = how
        self._file = file
        self._target = folder / file.path

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:  # noqa: FBT001, FBT002
        # pooch made this empty file; without it, a process killed on the way leaves nothing but the part.
        Path(output_file).unlink()
        failures, most = 0, self._here()
        while True:
            try:
                part = self._attempt(url)
                break
            except _Temporary as problem:
                # Attempts that brought something do not count: a bad line ends a large file all the same.
                failures = failures + 1 if self._here() <= most else 1
                most = max(most, self._here())
                if failures == self._how.attempts:
                    raise _Final(f"{problem}, after {failures} attempts") from problem
                time.sleep(self._how.pause * 2 ** (failures - 1))
        part.replace(output_file)
        for other in self._parts():
            other.unlink()

    def _here(self) -> int:
        return max((path.stat().st_size for path in self._parts()), default=0)

    def _parts(self) -> list[Path]:
        """List what earlier downloads of this file left, the longest first."""
        name = re.compile(rf"{re.escape(self._target.name)}\.[0-9a-f]{{12}}\.part")
        found = [path for path in self._target.parent.iterdir() if name.fullmatch(path.name)]
        return sorted(found, key=lambda path: -path.stat().st_size)

    def _part(self, version: str) -> Path:
        return self._target.with_name(f"{self._target.name}.{version}.part")

    def _attempt(self, url: str) -> Path:
        parts = self._parts()
        # Bytes of an unknown version are gone on with only where a checksum tells in the end.
        old = next((p for p in parts if self._file.has_checksum or p != self._part(_NO_VERSION)), None)
        have = old.stat().st_size if old else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        wait = (self._how.timeout, self._how.timeout)
        try:
            with requests.get(url, headers=headers, stream=True, timeout=wait) as response:
                part, resumed = self._receive(response, old, have)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise _Temporary(f"nothing came for {self._how.timeout:g} s") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Temporary(f"the connection failed: {_reason(error)}") from error
        if problem := self._file.mismatch(part):
            part.unlink()
            if resumed:
                raise _Temporary(problem)
            raise _Final(f"what came is another file: {problem}")
        return part

    def _receive(self, response: requests.Response, old: Path | None, have: int) -> tuple[Path, bool]:
        """Write what the server sends behind what is here, or afresh; give the part and which it was."""
        status = response.status_code
        version = _version(response.headers)
        if status == 416 and old is not None:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return old, True
            old.unlink()
            raise _Temporary("the file there is shorter than what came before")
        if status in _BUSY or status >= 500:
            raise _Temporary(f"the server answered {status} {response.reason}")
        if status not in (200, 206):
            raise _Final(f"the server answered {status} {response.reason}")
        if response.headers.get("Content-Encoding", "identity") != "identity" and not (
            self._file.path.endswith(".gz") and response.headers["Content-Encoding"] == "gzip"
        ):
            raise _Final("the server sends it compressed although the plain file was asked for")
        resumed = status == 206
        if resumed and (old is None or old != self._part(version) or not _starts_at(response.headers, have)):
            if old is not None:
                old.unlink()
            raise _Temporary("the file there is another one than what came before")
        part = self._part(version)
        total = _total(response.headers, resumed=resumed)
        self._refuse_early(part, total, have if resumed else 0)
        done = self._write(response, part, have if resumed else 0, total)
        if total is not None and done != total:
            raise _Temporary(f"the connection ended after {done:,} of {total:,} bytes")
        return part, resumed

    def _refuse_early(self, part: Path, total: int | None, have: int) -> None:
        if total is None:
            return
        if self._file.size is not None and total != self._file.size:
            raise _Final(f"it has {total:,} bytes there instead of {self._file.size:,}")
        room = shutil.disk_usage(part.parent).free
        if total - have > room:
            raise DownloadError(
                f"'{self._target}' needs {total - have:,} more bytes and the disk has {room:,}: make room, "
                "or choose another folder with --to"
            )

    def _write(self, response: requests.Response, part: Path, have: int, total: int | None) -> int:
        with part.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DownloadError(
                    f"another process is downloading '{self._target}': wait for it, or end it"
                ) from error
            if have == 0:
                stream.truncate(0)
            done = stream.seek(0, os.SEEK_END)
            if done != have:
                raise _Temporary("another process finished this download")
            try:
                # The bytes as they are: a .csv.gz stays one, whatever the server says of its encoding.
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    stream.write(chunk)
                    done += len(chunk)
                    self._how.progress(self._file.path, done, total)
                stream.flush()
                os.fsync(stream.fileno())
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise DownloadError(f"the disk is full at '{part}': make room and go on") from error
        return done


def _version(headers: Mapping[str, str]) -> str:
    """Twelve characters for the version that the server says it sends."""
    told = headers.get("ETag") or headers.get("Last-Modified")
    return hashlib.sha256(told.encode()).hexdigest()[:12] if told else _NO_VERSION


def _total(headers: Mapping[str, str], *, resumed: bool) -> int | None:
    """Bytes of the whole file; a server may send less of it at a time than what was asked for."""
    told = (
        headers.get("Content-Range", "").rpartition("/")[2] if resumed else headers.get("Content-Length", "")
    )
    return int(told) if told.isdigit() else None


def _starts_at(headers: Mapping[str, str], first: int) -> bool:
    return headers.get("Content-Range", "").startswith(f"bytes {first}-")


def _reason(error: BaseException) -> str:
    """Find the innermost reason of a failed request: libraries wrap it several times over."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error.args[0] if error.args and isinstance(error.args[0], str) else error)
    return text.rpartition(": ")[2] if "object at 0x" in text else text
