"""What readers of files share: endings, compression, and what to say of a file that cannot be read."""

from __future__ import annotations

import csv
import gzip
import zlib
from typing import IO, TYPE_CHECKING

import pyarrow as pa

from infoalign_dgl.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, pa.ArrowException)


def suffix(path: Path) -> str:
    """Lower-case ending that says the kind of table, ``.gz`` taken off."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_binary(path: Path) -> IO[bytes]:
    """Open a file that may be gzipped."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def unreadable(path: Path, error: BaseException) -> SourceError:
    """Make the error that says why a file cannot be read."""
    if isinstance(error, EOFError):
        return SourceError(f"'{path}' is truncated (its gzip stream has no end): fetch or copy it again")
    if isinstance(error, (gzip.BadGzipFile, zlib.error)):
        return SourceError(f"'{path}' is not a whole gzip file ({error}): fetch or copy it again")
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in str(error):
        return SourceError(f"'{path}' is not UTF-8 text: save it as UTF-8")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SourceError(f"'{path}' cannot be read ({reason}): check that it is the table it should be")
