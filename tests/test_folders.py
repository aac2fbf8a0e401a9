"""Folders are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from infoalign_dgl import _folders
from infoalign_dgl._folders import CHECKSUMS, atomic_folder, verify_folder
from infoalign_dgl.errors import InfoAlignError


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_folder_verifies(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "graph") as folder:
        (folder / "features").mkdir()
        (folder / "features" / "a.npy").write_bytes(b"123")
    verify_folder(tmp_path / "graph")
    assert _names(tmp_path) == ["graph"]
    # sha256sum's own format: anybody can check a folder without this package
    checked = subprocess.run(
        ["sha256sum", "-c", CHECKSUMS], cwd=tmp_path / "graph", capture_output=True, text=True
    )
    assert checked.returncode == 0
    assert checked.stdout == "features/a.npy: OK\n"


@pytest.mark.parametrize("harm", ["change", "remove", "unfinished"])
def test_damage_is_named(tmp_path: Path, harm: str) -> None:
    with atomic_folder(tmp_path / "graph") as folder:
        (folder / "nodes.parquet").write_bytes(b"123")
    victim = tmp_path / "graph" / (CHECKSUMS if harm == "unfinished" else "nodes.parquet")
    if harm == "change":
        victim.write_bytes(b"124")
    else:
        victim.unlink()
    with pytest.raises(InfoAlignError, match=CHECKSUMS if harm == "unfinished" else "nodes.parquet"):
        verify_folder(tmp_path / "graph")


def test_an_error_while_writing_leaves_the_old_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "graph") as folder:
        (folder / "old").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "graph", overwrite=True) as folder:
        (folder / "new").write_text("new")
        raise ZeroDivisionError
    assert _names(tmp_path) == ["graph"]
    assert _names(tmp_path / "graph") == [CHECKSUMS, "old"]


def test_an_existing_folder_is_kept_unless_told(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    with pytest.raises(InfoAlignError, match="--overwrite"), atomic_folder(tmp_path / "graph"):
        pytest.fail("the body must not run")
    with atomic_folder(tmp_path / "graph", overwrite=True) as folder:
        (folder / "new").write_text("new")
    assert _names(tmp_path / "graph") == [CHECKSUMS, "new"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """A process may write 4 kB a file; the old folder stands, and the error names the target."""
    program = textwrap.dedent(
        """
        import resource, signal, sys
        from pathlib import Path
        from infoalign_dgl._folders import atomic_folder
        from infoalign_dgl.errors import InfoAlignError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        target = Path(sys.argv[1])
        with atomic_folder(target) as folder:
            (folder / "old").write_text("old")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            with atomic_folder(target, overwrite=True) as folder:
                (folder / "new").write_bytes(b"x" * 10_000)
        except InfoAlignError as error:
            print(error)
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "graph")], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert f"could not write '{tmp_path / 'graph'}'" in run.stdout
    assert _names(tmp_path) == ["graph"]
    assert _names(tmp_path / "graph") == [CHECKSUMS, "old"]


def test_a_killed_writer_leaves_the_old_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "graph") as folder:
        (folder / "old").write_text("old")
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from infoalign_dgl._folders import atomic_folder
        with atomic_folder(Path(sys.argv[1]), overwrite=True) as folder:
            (folder / "new").write_text("new")
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path / "graph")], env=os.environ)
    assert run.returncode == -signal.SIGKILL
    verify_folder(tmp_path / "graph")
    assert _names(tmp_path / "graph") == [CHECKSUMS, "old"]


def test_a_reader_always_finds_a_whole_folder(tmp_path: Path) -> None:
    """Another process replaces the folder again and again; whoever looks sees the old one or the new one."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from infoalign_dgl._folders import atomic_folder
        for turn in range(60):
            with atomic_folder(Path(sys.argv[1]), overwrite=True) as folder:
                (folder / "turn").write_text(str(turn))
        """
    )
    target = tmp_path / "graph"
    with atomic_folder(target) as folder:
        (folder / "turn").write_text("-1")
    writer = subprocess.Popen([sys.executable, "-c", program, str(target)])
    looks = 0
    while writer.poll() is None:
        assert target.is_dir()
        looks += 1
    assert writer.returncode == 0
    assert looks > 1000
    assert (target / "turn").read_text() == "59"
    assert _names(tmp_path) == ["graph"]


def test_file_systems_without_exchange_replace_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_folders, "_exchange", lambda _one, _other: False)
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "graph", overwrite=True) as folder:
            (folder / "text").write_text(text)
    assert (tmp_path / "graph" / "text").read_text() == "new"
    assert _names(tmp_path) == ["graph"]


def test_what_killed_writers_left_is_cleared(tmp_path: Path) -> None:
    """A folder that a writer moved aside, and did not replace, gets its name back."""
    for name in ("one", "two"):
        (tmp_path / f".{name}.partial-x.old").mkdir()
        (tmp_path / f".{name}.partial-x.old" / "content").write_text("old")
        (tmp_path / f".{name}.partial-x").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / ".last.partial").write_text("st")
    (tmp_path / ".hidden").write_text("the user's own")
    _folders.clear_leftovers(tmp_path)
    assert _names(tmp_path) == [".hidden", "one", "two"]
    assert _names(tmp_path / "one") == ["content"]
    assert _names(tmp_path / "two") == []


def test_a_name_never_stands_for_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off while its files are removed, the folder has lost its name already."""
    with atomic_folder(tmp_path / "graph") as folder:
        (folder / "old").write_text("old")

    def cut_off(path: Path, **_: object) -> None:
        if Path(path).exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_folders.shutil, "rmtree", cut_off)
        with pytest.raises(KeyboardInterrupt):
            _folders.remove_folder(tmp_path / "graph")
    assert not (tmp_path / "graph").exists()
    _folders.clear_leftovers(tmp_path)
    assert _names(tmp_path) == []


def test_sums_that_are_damaged_themselves(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "graph") as folder:
        (folder / "model").write_text("weights")
    verify_folder(tmp_path / "graph", required=["model"])
    with pytest.raises(InfoAlignError, match="optimizer' is missing"):
        verify_folder(tmp_path / "graph", required=["optimizer"])
    sums = tmp_path / "graph" / CHECKSUMS
    for text in (b"", b"\xff\xfe\x00", sums.read_bytes()[:30], sums.read_bytes().replace(b"model", b"modem")):
        sums.write_bytes(text)
        with pytest.raises(InfoAlignError, match=r"is missing|is damaged"):
            verify_folder(tmp_path / "graph", required=["model"])


def test_a_small_file_that_finds_no_room(tmp_path: Path) -> None:
    path = tmp_path / "last"
    _folders.replace_text(path, "step-1\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3, before[1]))
    try:
        with pytest.raises(InfoAlignError, match=r"could not write '.*last': File too large; make room"):
            _folders.replace_text(path, "step-2\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert _names(tmp_path) == ["last"]
    assert path.read_text() == "step-1\n"
