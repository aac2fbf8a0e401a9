"""Data sets that are public elsewhere, brought into a folder: resumable, checked, cached, and never twice.

Each data set has a folder of its own. ``fetch-lock.json`` in it says of every file where it came from, its
size and its SHA-256 sum; a file that does not have them any more is refused, not used and not replaced.
"""

from __future__ import annotations

import datetime
import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infoalign_dgl._folders import replace_text
from infoalign_dgl.errors import DownloadError
from infoalign_dgl.sources.registry import DataSet, Listing, RemoteFile, checksum, explain
from infoalign_dgl.sources.transfer import Transfer

LOCK = "fetch-lock.json"
_YES = {"1", "ON", "YES", "TRUE"}
_HUB_LIST = "hub-files.json"
_CLOSED = "no connection may be opened (--offline, or HF_HUB_OFFLINE)"


@dataclass(frozen=True)
class Fetched:
    """What a fetch found and brought: the folder, all its files, and which of them came just now."""

    folder: Path
    files: list[Path]
    downloaded: list[Path]


def default_root() -> Path:
    """Return the user's cache folder for downloads, ``~/.cache/infoalign-dgl`` on Linux."""
    import pooch

    return Path(pooch.os_cache("infoalign-dgl"))


def find(registry: dict[str, DataSet], name: str) -> DataSet:
    """Look a data set up.

    Raises
    ------
    DownloadError
        Naming the nearest names where there is no such data set.
    """
    if name in registry:
        return registry[name]
    near = difflib.get_close_matches(name, registry, n=3, cutoff=0.4) or sorted(registry)
    raise DownloadError(f"there is no data set '{name}': did you mean {', '.join(near)}?")


def fetch(
    name: str, data_set: DataSet, root: Path, *, offline: bool = False, transfer: Transfer | None = None
) -> Fetched:
    """Make sure that all files of a data set lie in ``root / name`` and are what they should be.

    Parameters
    ----------
    name : str
        The data set's name, which is its folder's.
    data_set : DataSet
        Its entry in the registry.
    root : Path
        Folder of all data sets.
    offline : bool
        Check what is here and open no connection; so does HF_HUB_OFFLINE for data sets on the hub.
    transfer : Transfer, optional
        Timeouts, attempts and progress.

    Raises
    ------
    DownloadError
        Where a file is missing and cannot be brought, saying what was tried and where to put the file; or
        where a file is not what its checksum, or what came the first time, says.
    """
    folder = root / name
    on_hub = data_set.listing is not None and data_set.listing.kind == "hub"
    closed = offline or (on_hub and os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES)
    means = None if closed else transfer or Transfer()
    downloaded: list[Path] = []
    try:
        files = _files(name, data_set, folder, means, downloaded)
        for file in files:
            if _ensure(file, folder, means):
                downloaded.append(folder / file.path)
    except DownloadError as error:
        raise DownloadError(f"{name}: {error}") from error
    return Fetched(folder, [folder / file.path for file in files], downloaded)


def state(name: str, data_set: DataSet, root: Path) -> str:
    """Say whether a data set is here, by its files' names: "yes", "partly" or "no"."""
    folder = root / name
    try:
        files = _files(name, data_set, folder, None, [])
    except DownloadError:
        return "partly" if folder.is_dir() and any(folder.iterdir()) else "no"
    here = [(folder / file.path).is_file() for file in files]
    begun = any(here) or any(folder.rglob("*.part"))
    return "yes" if all(here) else "partly" if begun else "no"


def _files(
    name: str, data_set: DataSet, folder: Path, transfer: Transfer | None, downloaded: list[Path]
) -> list[RemoteFile]:
    """List the files of a data set; a publisher's own list is read from the folder once it is there."""
    listing = data_set.listing
    if listing is None:
        return data_set.files
    if listing.kind == "hub":
        return _hub_files(listing, folder, data_set.home, transfer)
    assert listing.file is not None  # the registry holds to that
    if _ensure(listing.file, folder, transfer, lock=False):  # records change
        downloaded.append(folder / listing.file.path)
    path = folder / listing.file.path
    try:
        content = json.loads(path.read_text())
        read = _read_jump if listing.kind == "jump" else _read_zenodo
        files = read(content, listing)
    except ValidationError as error:
        raise DownloadError(f"'{path}' lists a file that cannot be taken: {explain(error)}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(
            f"'{path}' is not the list of files it should be ({type(error).__name__}: {error}): remove it "
            "and fetch again"
        ) from error
    if not files:
        raise DownloadError(
            f"'{path}' lists no file for '{listing.subset or name}': remove it and fetch again"
        )
    return files


def _read_jump(content: Any, listing: Listing) -> list[RemoteFile]:
    """Read JUMP's profile index; the ETag of an object that S3 took in one piece is its MD5 sum."""
    files = []
    for row in content:
        if row["subset"] == listing.subset:
            md5 = row["etag"] if len(row["etag"]) == 32 else None
            files.append(RemoteFile(path=row["url"].rpartition("/")[2], urls=[row["url"]], md5=md5))
    return files


def _read_zenodo(content: Any, _listing: Listing) -> list[RemoteFile]:
    return [
        RemoteFile(
            path=entry["key"],
            urls=[entry["links"]["self"]],
            size=entry["size"],
            md5=entry["checksum"].removeprefix("md5:"),
        )
        for entry in content["files"]
    ]


def _hub_files(listing: Listing, folder: Path, home: str, transfer: Transfer | None) -> list[RemoteFile]:
    """List the files of a repository on the hub, at the revision that was the newest at the first look."""
    kept = folder / _HUB_LIST
    try:
        if kept.is_file():
            return [RemoteFile.model_validate(entry) for entry in json.loads(kept.read_text())["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"'{kept}' is damaged ({error}): remove it and fetch again to list the files anew"
        ) from error
    by_hand = f"; or download the files from {home} into '{folder / listing.folder}' and use them from there"
    if transfer is None:
        raise DownloadError(f"its list of files is not here, and {_CLOSED}{by_hand}")
    try:
        import huggingface_hub
        from huggingface_hub import constants
        from huggingface_hub.errors import HTTPError
    except ImportError as error:
        raise DownloadError(
            f"the hub needs the package huggingface_hub: pip install 'infoalign-dgl[hub]'{by_hand}"
        ) from error
    assert listing.repository is not None  # the registry holds to that
    repository, kind = listing.repository, listing.repository_type
    api = huggingface_hub.HfApi()
    ask = api.dataset_info if kind == "dataset" else api.model_info
    try:
        info = ask(repository, files_metadata=True, timeout=transfer.timeout)
    except (HTTPError, OSError) as error:
        raise DownloadError(
            f"the hub at {constants.ENDPOINT} did not list '{repository}' ({_first_line(error)}){by_hand}"
        ) from error
    files = []
    for entry in info.siblings or []:
        if not listing.folder or entry.rfilename.startswith(f"{listing.folder}/"):
            url = huggingface_hub.hf_hub_url(repository, entry.rfilename, repo_type=kind, revision=info.sha)
            sums = {"sha256": entry.lfs.sha256} if entry.lfs else {"git_blob": entry.blob_id}
            files.append(RemoteFile(path=entry.rfilename, urls=[url], size=entry.size, **sums))
    if not files:
        raise DownloadError(f"'{repository}' has no files below '{listing.folder}' on the hub{by_hand}")
    folder.mkdir(parents=True, exist_ok=True)
    found = {"repository": repository, "revision": info.sha, "files": [f.model_dump() for f in files]}
    replace_text(kept, json.dumps(found, indent=1) + "\n")
    return files


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _ensure(file: RemoteFile, folder: Path, transfer: Transfer | None, *, lock: bool = True) -> bool:
    """Check a file that is here or bring it; True where it was brought."""
    path = folder / file.path
    locked = _read_lock(folder).get(file.path, {}).get("sha256")
    hint = ""
    if locked and not file.sha256:
        file = file.model_copy(update={"sha256": locked})
        hint = f" (as it came the first time; take its entry out of '{folder / LOCK}' to accept another one)"
    if path.is_file():
        if problem := file.mismatch(path):
            raise DownloadError(
                f"'{path}' is damaged or another version: {problem}{hint}; remove it and fetch again"
            )
        if lock and not locked:  # put there by hand, or by a process that ended before it wrote the lock
            _write_lock(file, folder, "found here")
        return False
    by_hand = f"; fetch it by hand from {' or '.join(file.urls)} and put it at '{path}'"
    if transfer is None:
        raise DownloadError(f"'{file.path}' is not here, and {_CLOSED}{by_hand}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        transfer.bring(file, folder)
    except DownloadError as error:
        raise DownloadError(f"{error}{hint}{by_hand}") from error
    if lock and not locked:
        _write_lock(file, folder, "downloaded")
    return True


def _read_lock(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / LOCK
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
        return {str(name): dict(entry) for name, entry in content.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise DownloadError(
            f"'{path}' is damaged ({error}): remove it to take the files beside it as they are"
        ) from error


def _write_lock(file: RemoteFile, folder: Path, how: str) -> None:
    path = folder / file.path
    entries = _read_lock(folder)
    entries[file.path] = {
        "sha256": checksum(path, "sha256"),
        "size": path.stat().st_size,
        "urls": file.urls,
        how: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    replace_text(folder / LOCK, json.dumps(dict(sorted(entries.items())), indent=1) + "\n")
