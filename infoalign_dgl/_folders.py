"""Folders that are either whole or not there: written aside, synced, checksummed, then renamed into place.

Small files likewise. A process that is killed on the way leaves names that start with a dot and contain
``.partial``, which :func:`clear_leftovers` removes.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from infoalign_dgl.errors import InfoAlignError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CHECKSUMS = "SHA256SUMS"
_PARTIAL, _OLD = ".partial", ".old"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of renameat2(2)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file's contents, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_folder(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; on success checksum, sync and rename it to ``target``.

    On any error the partial folder is removed and what stood at ``target`` is untouched.

    Parameters
    ----------
    target : Path
        Where the finished folder shall stand.
    overwrite : bool
        Replace a folder that stands there already.

    Raises
    ------
    InfoAlignError
        If ``target`` exists and ``overwrite`` is false, or if writing fails (a full disk, say).
    """
    target = target.absolute()
    if target.exists() and not overwrite:
        raise InfoAlignError(
            f"'{target}' already exists: choose another folder, or pass --overwrite to replace it"
        )
    if target.exists() and not target.is_dir():
        raise InfoAlignError(f"'{target}' is a file, not a folder: choose another output folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}{_PARTIAL}-", dir=target.parent))
    try:
        yield partial
        partial.chmod(0o755)
        paths = sorted(partial.rglob("*"))
        for path in paths:
            _sync(path)
        # The sums come last, so that a folder that has them has everything they name.
        lines = [f"{_sha256(p)}  {p.relative_to(partial).as_posix()}\n" for p in paths if p.is_file()]
        (partial / CHECKSUMS).write_text("".join(lines))
        _sync(partial / CHECKSUMS)
        _sync(partial)
        _swap_in(partial, target)
    except OSError as error:
        raise InfoAlignError(
            f"could not write '{target}': {error.strerror or error}; nothing was changed there, so make room "
            "or choose another place, and try again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _swap_in(partial: Path, target: Path) -> None:
    """Let ``target`` be the finished folder; an old one takes the place of ``partial``.

    Linux exchanges the two names in one step: a process killed at any moment leaves a whole ``target``.
    File systems that cannot do that get two renames, with the old folder put back if the second one fails.
    """
    if not target.exists():
        partial.rename(target)
    elif not _exchange(partial, target):
        aside = target.with_name(f"{partial.name}{_OLD}")
        target.rename(aside)
        try:
            partial.rename(target)
        except OSError:
            aside.rename(target)
            raise
        aside.rename(partial)
    _sync(target.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names atomically; False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    failed = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if failed and ctypes.get_errno() not in (errno.ENOSYS, errno.EINVAL):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    return not failed


def clear_leftovers(parent: Path) -> None:
    """Undo what writers that were killed left in a folder, which no writer may be using now.

    A folder that was moved aside to be replaced, and was not replaced, gets its name back.
    """
    for aside in parent.glob(f".*{_PARTIAL}-*{_OLD}"):
        target = parent / aside.name[1:].partition(_PARTIAL)[0]
        if not target.exists():
            aside.rename(target)
    for path in parent.glob(f".*{_PARTIAL}*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def remove_folder(folder: Path) -> None:
    """Remove a folder so that its name never stands for a part of it."""
    aside = folder.with_name(f".{folder.name}{_PARTIAL}-removed")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside)


def replace_text(path: Path, text: str) -> None:
    """Write a small text file as :func:`replace_file` does."""
    replace_file(path, lambda stream: stream.write(text.encode()))


def replace_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file so that its name stands for the old content or the new one, never for a part.

    Parameters
    ----------
    path : Path
        The file; its folder exists.
    write : callable
        Writes the content into an open binary stream.

    Raises
    ------
    InfoAlignError
        If it cannot be written; the old content stands then.
    """
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    try:
        with partial.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InfoAlignError(
            f"could not write '{path}': {error.strerror or error}; make room or choose a place that can be "
            "written, and try again"
        ) from error


def verify_folder(folder: Path, *, required: Sequence[str] = ()) -> None:
    """Check every file of ``folder`` against its ``SHA256SUMS``.

    Parameters
    ----------
    folder : Path
        The folder.
    required : sequence of str
        Files that must be among those that have a sum.

    Raises
    ------
    InfoAlignError
        Naming the first file that is missing or differs, or saying that the folder was never finished.
    """
    sums = folder / CHECKSUMS
    if not folder.is_dir():
        raise InfoAlignError(f"'{folder}' is not a folder: check the path")
    if not sums.is_file():
        raise InfoAlignError(
            f"'{folder}' has no {CHECKSUMS}: it was not written by this program, or not to the end"
        )
    listed = {}
    for line in sums.read_text(errors="replace").splitlines():  # whatever a bad disk made of it
        digest, _, name = line.partition("  ")
        listed[name] = digest
    for name in dict.fromkeys((*listed, *required)):
        path = folder / name
        if not path.is_file():
            raise InfoAlignError(f"'{path}' is missing: restore it from a copy, or build the folder again")
        if _sha256(path) != listed.get(name):
            raise InfoAlignError(
                f"'{path}' is damaged (its checksum differs): restore it from a copy, or build again"
            )
