"""What can be downloaded: data sets, their files, and what is known of each file before it comes."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from infoalign_dgl.errors import DownloadError

SHIPPED = Path(__file__).with_name("registry.toml")
_CHUNK = 1 << 20


def _relative(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path:
        raise ValueError(f"'{path}' is not the path of a file inside the data set's folder")
    return str(PurePosixPath(path))


def _web(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"'{url}' is not an http or https address")
    return url


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RemoteFile(_Strict):
    """One file: where it lies in the data set's folder, where it is served, and what is known of it.

    ``size`` (bytes) and the checksums are held to; ``git_blob`` is the id git gives to such a file.
    ``urls`` are tried in order.
    """

    path: Annotated[str, AfterValidator(_relative)]
    urls: list[Annotated[str, AfterValidator(_web)]] = Field(min_length=1)
    size: int | None = Field(default=None, ge=0)
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    git_blob: str | None = Field(default=None, pattern="^[0-9a-f]{40}$")

    @property
    def has_checksum(self) -> bool:
        """Whether the publisher states what the bytes must be."""
        return bool(self.sha256 or self.md5 or self.git_blob)

    def mismatch(self, path: Path) -> str | None:
        """Say how the file at ``path`` differs from what is known of this one; None where it does not."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"it has {size:,} bytes instead of {self.size:,}"
        for kind in ("sha256", "md5", "git_blob"):
            expected = getattr(self, kind)
            if expected and (found := checksum(path, kind)) != expected:
                return f"its {kind} is {found} instead of {expected}"
        return None


def checksum(path: Path, kind: str) -> str:
    """Compute the ``sha256``, ``md5`` or ``git_blob`` (git's id of a file with these bytes) of a file."""
    digest = hashlib.new("sha1" if kind == "git_blob" else kind, usedforsecurity=False)
    if kind == "git_blob":
        digest.update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Listing(_Strict):
    """Where the publisher itself lists a data set's files.

    ``jump``: the file of one ``subset`` in JUMP's profile index; ``zenodo``: all files of a record;
    ``hub``: the files below a ``folder`` of a ``repository`` on the Hugging Face hub.
    """

    kind: Literal["jump", "zenodo", "hub"]
    file: RemoteFile | None = None
    subset: str | None = None
    repository: str | None = None
    repository_type: Literal["dataset", "model"] = "dataset"
    folder: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Listing:
        needed = {"jump": ("file", "subset"), "zenodo": ("file",), "hub": ("repository",)}[self.kind]
        missing = [key for key in needed if not getattr(self, key)]
        if missing:
            raise ValueError(f"a listing of kind '{self.kind}' needs {' and '.join(missing)}")
        return self


class DataSet(_Strict):
    """One entry of the registry: either ``files`` or a ``listing`` of them.

    ``about`` is the size in bytes that others report; it is shown and never checked.
    """

    title: str
    licence: str
    home: str
    about: int | None = Field(default=None, ge=0)
    files: list[RemoteFile] = []
    listing: Listing | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> DataSet:
        if bool(self.files) == bool(self.listing):
            raise ValueError("give either files or a listing")
        return self


def read_registry(path: Path = SHIPPED) -> dict[str, DataSet]:
    """Read a registry: the shipped one, or a TOML file with the same keys.

    Raises
    ------
    DownloadError
        Naming the file, the data set and the key that is wrong.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DownloadError(
            f"'{path}' cannot be read as a registry of data sets ({error}): write TOML, one table a data set"
        ) from error
    registry = {}
    for name, table in tables.items():
        try:
            registry[_relative(name)] = DataSet.model_validate(table)
        except ValidationError as error:
            raise DownloadError(f"'{path}', data set '{name}': {explain(error)}") from error
    return registry


def explain(error: ValidationError) -> str:
    """Put the first problem of a validation in words: the key, what is wrong, what came."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the table"
    return f"{where}: {first['msg']}; correct it"
